/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/fragmentation.h"

#include <time.h>
#include "base/memory.h"

struct run {
    struct openb *o;
    const struct policy *policy;
    struct policy_state state;
    struct fragmentation_result *result;
    int64_t arrived_milli, allocated_milli;
    int64_t percent; /* of the arrivals that are being averaged */
    double sum;
    size_t count;
};

static bool fits_somewhere(const struct fleet *f, const struct shape *s)
{
    for (size_t i = 0; i < f->count; i++)
        if (node_fits(&f->nodes[i], s))
            return true;
    return false;
}

static void percent_close(struct run *r)
{
    if (r->count == 0 || r->percent >= (int64_t)ARRAY_COUNT(r->result->allocated))
        return;
    r->result->allocated[r->percent] = r->sum / (double)r->count;
    r->result->reached[r->percent] = true;
}

/* The allocation at a percent is the mean over the pods whose arrival brings the load to it. */
static void percent_add(struct run *r)
{
    int64_t capacity = r->o->fleet.gpu_milli;
    int64_t percent = (200 * r->arrived_milli + capacity) / (2 * capacity);
    if (percent != r->percent) {
        percent_close(r);
        r->percent = percent;
        r->sum = 0;
        r->count = 0;
    }
    r->sum += 100 * (double)r->allocated_milli / (double)capacity;
    r->count++;
}

static void pod_arrive(struct run *r, uint32_t pod)
{
    const struct shape *s = &r->o->shapes[pod];
    struct fleet *f = &r->o->fleet;
    r->arrived_milli += s->gpu_count * s->gpu_milli;
    struct placing at = r->policy->place(&r->state, pod);
    if (at.node != SIZE_MAX) {
        CHECK(node_fits(&f->nodes[at.node], s));
        node_take_shape(&f->nodes[at.node], s, at.gpus);
        r->allocated_milli += s->gpu_count * s->gpu_milli;
        r->result->placed++;
        if (r->policy->placed)
            r->policy->placed(&r->state, at);
    } else {
        r->result->failed_gpu += s->gpu_count > 0;
        r->result->failed_cpu_only += s->gpu_count == 0;
        r->result->refused_that_fit += fits_somewhere(f, s);
    }
    percent_add(r);
}

void fragmentation_run(struct openb *o, const struct fragmentation *f,
                       struct fragmentation_result *ret)
{
    *ret = (struct fragmentation_result){0};
    fleet_reset(&o->fleet);
    openb_shuffle_nodes(o, f->seed);
    struct run r = {.o = o,
                    .policy = f->policy,
                    .result = ret,
                    .state = {.fleet = &o->fleet,
                              .shapes = o->shapes,
                              .counts = o->counts,
                              .shape_count = o->shape_count,
                              .random = {f->seed ^ UINT64_C(0x706f6c696379)}}};
    _cleanup_free_ uint32_t *pods = openb_arrivals(o, f->seed, f->saturate_milli, &ret->arrived);
    clock_t start = clock();
    if (f->policy->start)
        f->policy->start(&r.state);
    for (size_t i = 0; i < ret->arrived; i++)
        pod_arrive(&r, pods[i]);
    ret->pod_us = 1e6 * (double)(clock() - start) / CLOCKS_PER_SEC / (double)ret->arrived;
    percent_close(&r);
    if (f->policy->stop)
        f->policy->stop(&r.state);
}
