/* SPDX-License-Identifier: Apache-2.0 */
/* A live server's journal: decided again as it was, or as it would have been. */
#include "sim/format.h"

#include "sim/experiment.h"

#include <errno.h>
#include <stdio.h>

static void past_report(const struct journal_past *past, struct report *ret)
{
    report_hex(ret, "digest", past->digest);
    report_integer(ret, "seq", (int64_t)past->seq);
    report_integer(ret, "groups", (int64_t)past->groups);
    report_integer(ret, "workloads", (int64_t)past->experiment.jobs.count);
    report_integer(ret, "nodes", (int64_t)past->experiment.cluster.count);
    report_real(ret, "hours", (double)(past->to - past->from) / (double)HOUR_MS);
    report_real(ret, "charged_usd", (double)past->charged / 1e6);
}

/* The share of the money that rests on lengths which nobody saw. */
static void drawn_report(const struct world *w, struct report *ret)
{
    udollar all = 0, drawn = 0;
    int64_t count = 0;
    for (size_t i = 0; i < w->arrived; i++) {
        const struct world_job *j = &w->jobs[i];
        all += j->cost;
        drawn += j->job->drawn ? j->cost : 0;
        count += j->job->drawn;
    }
    report_integer(ret, "lengths_drawn", count);
    report_real(ret, "cost_on_drawn_lengths_percent", all ? 100 * (double)drawn / (double)all : 0);
}

static int what_if(struct journal_past *past, const struct sim_options *o, struct report *ret,
                   struct error *err)
{
    struct experiment *x = &past->experiment;
    int status =
        x->cluster.count && x->jobs.count
            ? 0
            : error_set(err, -EINVAL, "--journal: %s: no node or no workload in it", o->trace.path);
    x->world.until = o->until;
    x->world.warmup = o->warmup;
    for (size_t i = 0; status == 0 && i < o->set_count; i++)
        status = experiment_set(x, o->sets[i], err);
    if (status)
        return status;
    struct world w;
    struct market_record record = {};
    const struct scheduler *scheduler = experiment_scheduler(str_from(o->policy));
    experiment_run(x, scheduler, o->seed, &w, &record);
    experiment_report(x, scheduler, &w, &record, ret);
    drawn_report(&w, ret);
    report_real(ret, "charged_live_usd", (double)past->charged / 1e6);
    world_fini(&w);
    market_record_fini(&record);
    return 0;
}

static int journal_run(const struct sim_options *o, struct report *ret, struct error *err)
{
    struct journal_past past;
    int status = journal_past_read(&past, o->trace.path, o->seed, err);
    bool as_it_was = o->set_count == 0 && !o->given[OPTION_POLICY];
    if (status == 0 && as_it_was)
        past_report(&past, ret);
    else if (status == 0)
        status = what_if(&past, o, ret, err);
    experiment_fini(&past.experiment);
    return status;
}

const struct sim_format format_journal = {
    .name = "journal",
    .doc = "a server's data folder (--journal DIR)",
    .options = 1u << OPTION_SEED | 1u << OPTION_SET | 1u << OPTION_UNTIL | 1u << OPTION_WARMUP,
    .policies = EXPERIMENT_POLICIES,
    .run = journal_run,
};
