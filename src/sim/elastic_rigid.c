/* SPDX-License-Identifier: Apache-2.0 */
/* Baselines that never change a running job's size. */
#include "sim/elastic.h"

#include "base/memory.h"

static uint32_t size_requested(const struct elastic *e, const struct elastic_run *r)
{
    uint32_t size = r->job->requested;
    while (1u << size > e->gpus)
        size--;
    return size;
}

/* ---- edf: everybody is taken, the earliest deadline goes first, at the size asked for
 * ------------- */

static bool edf_admit(struct elastic *e, uint32_t run)
{
    (void)e, (void)run;
    return true;
}

struct edf {
    uint32_t *order; /* active runs by (deadline, run) */
    size_t count, capacity;
};

/* Takes in the newest and leaves out what has ended. */
static void edf_order(struct elastic *e)
{
    struct edf *edf = e->own;
    size_t kept = 0;
    for (size_t i = 0; i < edf->count; i++)
        if (e->runs[edf->order[i]].state == ELASTIC_ACTIVE)
            edf->order[kept++] = edf->order[i];
    edf->count = kept;
    uint32_t newest = e->active_count ? e->active[e->active_count - 1] : UINT32_MAX;
    if (newest == UINT32_MAX || e->runs[newest].target != ELASTIC_NONE || e->runs[newest].started)
        return;
    for (size_t i = 0; i < edf->count; i++)
        if (edf->order[i] == newest)
            return;
    size_t at = edf->count;
    ARRAY_RESERVE(edf->order, edf->count, edf->capacity);
    while (at > 0 && e->runs[edf->order[at - 1]].job->deadline > e->runs[newest].job->deadline)
        at--;
    memmove(&edf->order[at + 1], &edf->order[at], (edf->count - at) * sizeof *edf->order);
    edf->order[at] = newest;
    edf->count++;
}

static void edf_allocate(struct elastic *e)
{
    struct edf *edf = e->own;
    edf_order(e);
    uint32_t left = e->gpus;
    for (size_t i = 0; i < edf->count; i++) {
        struct elastic_run *r = &e->runs[edf->order[i]];
        uint32_t size = size_requested(e, r);
        r->target = 1u << size <= left ? size : ELASTIC_NONE;
        left -= r->target == ELASTIC_NONE ? 0 : 1u << size;
    }
}

static void edf_start(struct elastic *e)
{
    e->own = xcalloc(1, sizeof(struct edf));
}

static void edf_stop(struct elastic *e)
{
    xfree(((struct edf *)e->own)->order);
    xfree(e->own);
}

/* ---- naive: on arrival the fewest GPUs that meet the deadline, if they are free, else never
 * -------- */

static bool naive_admit(struct elastic *e, uint32_t run)
{
    struct elastic_run *r = &e->runs[run];
    for (uint32_t size = 0; size < r->job->sizes && 1u << size <= e->gpus; size++) {
        time_ms end = e->now + elastic_overhead(size, false) + elastic_span(r->job, r->left, size);
        if (end > r->job->deadline)
            continue;
        if (!elastic_has_block(e, size))
            return false;
        r->target = size;
        return true;
    }
    return false;
}

static void naive_allocate(struct elastic *e)
{
    (void)e; /* a target stands until its job ends */
}

const struct elastic_policy elastic_edf = {.name = "edf",
                                           .start = edf_start,
                                           .stop = edf_stop,
                                           .admit = edf_admit,
                                           .allocate = edf_allocate};
const struct elastic_policy elastic_naive = {
    .name = "naive", .admit = naive_admit, .allocate = naive_allocate};
