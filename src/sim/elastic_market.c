/* SPDX-License-Identifier: Apache-2.0 */
/* The market: a job is taken if the plan still keeps every promise and it is worth what it
 * displaces (market/admit.h). Every job has the same value. */
#include "sim/elastic_plan.h"

#include "base/memory.h"
#include "market/admit.h"

#define JOB_VALUE ((udollar)1000000000)

struct own {
    struct elastic_plan plan;
    struct admit admit;
};

/* The least GPUs that meet the deadline, and for how long; false: none do. */
static bool promise_least(const struct elastic *e, const struct elastic_run *r, uint32_t *ret_size,
                          time_ms *ret_span)
{
    for (uint32_t size = 0; size < r->job->sizes && 1u << size <= e->gpus; size++) {
        time_ms span = elastic_overhead(size, false) + elastic_span(r->job, r->left, size);
        if (e->now + span > r->job->deadline)
            continue;
        *ret_size = size;
        *ret_span = span;
        return true;
    }
    return false;
}

static bool market_admit(struct elastic *e, uint32_t run)
{
    struct own *own = e->own;
    uint32_t size;
    time_ms span;
    if (!promise_least(e, &e->runs[run], &size, &span))
        return false;
    bool takes = elastic_plan_make(e, &own->plan);
    if (takes) {
        int64_t others = MAX(elastic_plan_use(&own->plan, e->now + span) - (span << size), 0);
        int64_t free = (int64_t)e->gpus * 1000 - mul_div_ceil(others, 1000, span);
        struct admit_promise p = {
            .units_milli = 1000 << size, .span = span, .free_milli = free, .value = JOB_VALUE};
        takes = admit_takes(&own->admit, e->now, &p);
    }
    admit_note(&own->admit, &(struct admit_asked){e->now, (span << size) * 1000, JOB_VALUE});
    return takes;
}

static void market_allocate(struct elastic *e)
{
    struct own *own = e->own;
    elastic_plan_make(e, &own->plan);
    elastic_plan_give_up(e, &own->plan);
    elastic_plan_allocate(e, &own->plan);
}

static void market_start(struct elastic *e)
{
    e->own = xcalloc(1, sizeof(struct own));
}

static void market_stop(struct elastic *e)
{
    elastic_plan_fini(&((struct own *)e->own)->plan);
    xfree(e->own);
}

const struct elastic_policy elastic_market = {.name = "market",
                                              .start = market_start,
                                              .stop = market_stop,
                                              .admit = market_admit,
                                              .allocate = market_allocate};
