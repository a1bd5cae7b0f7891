/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plan that keeps every promise: GPUs in use from now on, job by job in order of deadlines,
 * each at the least size that still meets its own (the minimum satisfactory share of ElasticFlow).
 */

#include "sim/elastic.h"

struct plan_step {
    time_ms from;  /* to the next one's; the last is for ever */
    uint32_t used; /* GPUs */
};

struct elastic_plan {
    struct plan_step *steps;
    size_t count, capacity;
    uint32_t *shares; /* by place in `order`: size now */
    bool *kept;       /* likewise: whether its deadline is met */
    uint32_t *order;  /* active runs by (deadline, run) */
    size_t order_count, order_capacity, share_capacity;
    uint32_t *trial; /* sizes by step, of the job being planned */
    size_t trial_capacity;
    time_ms guard; /* before the deadline, of the job being planned */
};

/* False where a deadline cannot be met, of those that were not given up. */
bool elastic_plan_make(struct elastic *e, struct elastic_plan *p);
/* Gives up the deadlines that the plan does not meet: such a job runs on what is idle. */
void elastic_plan_give_up(struct elastic *e, const struct elastic_plan *p);
void elastic_plan_fini(struct elastic_plan *p);
/* Targets: shares, then what runs keeps its size if there is room, then idle GPUs go to whoever
 * gains most by each. */
void elastic_plan_allocate(struct elastic *e, struct elastic_plan *p);
/* GPUs that the plan uses from now to `until`, in GPU x ms. */
int64_t elastic_plan_use(const struct elastic_plan *p, time_ms until);
