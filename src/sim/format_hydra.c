/* SPDX-License-Identifier: Apache-2.0 */
/* The mapping of jobs to bids, the same for every case: each has the same value, which falls
 * linearly and equally with its completion; its deadline is a hard window. Surplus is then highest
 * where the sum of completions is least and nothing is late. */
#include "sim/format.h"
#include "sim/hydra.h"

#include "base/memory.h"

#include <stdio.h>
#include <time.h>

struct sums {
    double completion, queue, lateness; /* s */
    int64_t missed;
};

static struct sums sums_make(const struct hydra *h, const struct schedule_slot *slots)
{
    struct sums s = {};
    int64_t completion = 0, queue = 0, lateness = 0;
    for (size_t i = 0; i < h->count; i++) {
        completion += slots[i].end;
        queue += slots[i].start;
        lateness += MAX(slots[i].end - h->jobs[i].deadline, 0);
        s.missed += slots[i].end > h->jobs[i].deadline;
    }
    s.completion = (double)completion / 1000;
    s.queue = (double)queue / 1000;
    s.lateness = (double)lateness / 1000;
    return s;
}

static void hydra_report(const struct hydra *h, const struct sim_options *o,
                         const struct schedule_slot *slots, struct report *ret)
{
    struct sums s = sums_make(h, slots);
    report_text(ret, "policy", o->policy);
    report_real(ret, "mean_jct_s", s.completion / (double)h->count);
    report_integer(ret, "missed", s.missed);
    report_integer(ret, "finished", (int64_t)h->count);
    report_real(ret, "mean_queue_s", s.queue / (double)h->count);
    report_real(ret, "total_lateness_s", s.lateness);
}

static bool hydra_schedule(const struct hydra *h, const struct sim_options *o,
                           struct schedule_slot *slots)
{
    struct schedule_job *jobs = xcalloc(h->count, sizeof *jobs);
    for (size_t i = 0; i < h->count; i++)
        jobs[i] = (struct schedule_job){h->jobs[i].run, h->jobs[i].deadline};
    struct schedule s = {jobs, (uint32_t)h->count, h->places, HYDRA_POOLS};
    bool market = str_is(str_from(o->policy), "market");
    bool done =
        market ? schedule_search(&s, o->seed, SCHEDULE_STEPS, slots) : schedule_greedy(&s, slots);
    xfree(jobs);
    return done;
}

static int hydra_run(const struct sim_options *o, struct report *ret, struct error *err)
{
    struct hydra h = {};
    int status = hydra_fleet(&h, o->fleet.path, err);
    if (status == 0)
        status = hydra_read(&h, o->trace.path, o->limit, err);
    if (status == 0) {
        struct schedule_slot *slots = xcalloc(h.count, sizeof *slots);
        clock_t start = clock();
        CHECK(hydra_schedule(&h, o, slots));
        fprintf(stderr, "sim: decided in %.3f s\n", (double)(clock() - start) / CLOCKS_PER_SEC);
        hydra_report(&h, o, slots, ret);
        xfree(slots);
    }
    hydra_fini(&h);
    return status;
}

const struct sim_format format_hydra = {
    .name = "hydra",
    .doc = "jobs with deadlines on three GPU types, all there at the start",
    .options = 1u << OPTION_LIMIT | 1u << OPTION_SEED,
    .policies = "market edf-sjf",
    .fleet = "hydra",
    .run = hydra_run,
};
