/* SPDX-License-Identifier: Apache-2.0 */
/* ElasticFlow: a job is taken if the plan still keeps every promise; GPUs go by minimum
 * satisfactory shares, then by marginal returns. */
#include "sim/elastic_plan.h"

#include "base/memory.h"

static bool flow_admit(struct elastic *e, uint32_t run)
{
    (void)run;
    return elastic_plan_make(e, e->own);
}

static void flow_allocate(struct elastic *e)
{
    elastic_plan_make(e, e->own);
    elastic_plan_give_up(e, e->own);
    elastic_plan_allocate(e, e->own);
}

static void flow_start(struct elastic *e)
{
    e->own = xcalloc(1, sizeof(struct elastic_plan));
}

static void flow_stop(struct elastic *e)
{
    elastic_plan_fini(e->own);
    xfree(e->own);
}

const struct elastic_policy elastic_elasticflow = {.name = "elasticflow",
                                                   .start = flow_start,
                                                   .stop = flow_stop,
                                                   .admit = flow_admit,
                                                   .allocate = flow_allocate};
