/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which of many workloads runs where and in what order, when all are known and a place holds one at
 * a time: a search that maximises declared surplus where values fall with completion and a deadline
 * is a hard window. It is counted in steps and drawn from a seed, so that it ends and repeats. */

#include "market/market.h"

#define SCHEDULE_POOLS_MAX 64
#define SCHEDULE_RUN_MAX ((time_ms)366 * 24 * HOUR_MS)
#define SCHEDULE_JOBS_MAX 100000
#define SCHEDULE_STEPS 3000000 /* of a search, where nobody says otherwise */

struct schedule_job {
    const time_ms *run; /* by pool; TIME_NEVER: it cannot run there */
    time_ms deadline;   /* from now; TIME_NEVER: none */
};

struct schedule {
    const struct schedule_job *jobs;
    uint32_t job_count;
    const uint32_t *places; /* by pool: how many run side by side */
    uint32_t pool_count;
};

struct schedule_slot {
    uint32_t pool, place; /* place: of all pools, in order */
    time_ms start, end;
};

/* By deadline, then by the shortest run time, then in order, each to where it ends first. False
 * where a job can run nowhere. */
bool schedule_greedy(const struct schedule *s, struct schedule_slot *ret);
/* From the greedy order on; equal steps and seed give equal slots. */
bool schedule_search(const struct schedule *s, uint64_t seed, uint64_t steps,
                     struct schedule_slot *ret);
