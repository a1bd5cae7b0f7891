/* SPDX-License-Identifier: Apache-2.0 */
/* Traces of jobs: read, run, reported; once, or as often as seeds, a sweep or a comparison ask. */
#include "sim/format.h"

#include "base/memory.h"
#include "sim/experiment.h"
#include "sim/outcome.h"
#include "sim/repeat.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define OPTIONS_JOBS                                                                               \
    (1u << OPTION_SEED | 1u << OPTION_LIMIT | 1u << OPTION_SET | 1u << OPTION_UNTIL |              \
     1u << OPTION_WARMUP | 1u << OPTION_FAILURES | 1u << OPTION_SEEDS | 1u << OPTION_SWEEP |       \
     1u << OPTION_COMPARE | 1u << OPTION_OUT | 1u << OPTION_RESERVATIONS)

static int trace_read(const struct sim_options *o, struct jobs *jobs, struct error *err)
{
    struct str format = str_from(o->trace.format);
    if (str_is(format, "slurm"))
        return jobs_read_slurm(jobs, o->trace.path, err);
    if (str_is(format, "philly"))
        return jobs_read_philly(jobs, o->trace.path, err);
    if (str_is(format, "chronus"))
        return jobs_read_chronus(jobs, o->trace.path, err);
    if (str_is(format, "helios"))
        return jobs_read_helios(jobs, o->trace.path, err);
    if (str_is(format, "azure-llm"))
        return jobs_read_azure(jobs, o->trace.path, err);
    if (str_is(format, "pollux"))
        return jobs_read_pollux(jobs, o->trace.path, err);
    return jobs_read_csv(jobs, o->trace.path, o->map, err);
}

int experiment_read(struct experiment *x, const struct sim_options *o, const char *set,
                    struct error *err)
{
    *x = (struct experiment){.world = world_options_default()};
    x->world.until = o->until;
    x->world.warmup = o->warmup;
    x->world.progress = isatty(STDERR_FILENO);
    int status = trace_read(o, &x->jobs, err);
    if (status == 0 && x->jobs.count == 0)
        status = error_set(err, -EINVAL, "%s: holds no workload", o->trace.path);
    if (status == 0)
        status = cluster_read(&x->cluster, o->fleet.path, err);
    if (status == 0)
        jobs_settle(&x->jobs, o->limit);
    for (size_t i = 0; status == 0 && i < o->set_count; i++)
        status = experiment_set(x, o->sets[i], err);
    if (status == 0 && set)
        status = experiment_set(x, set, err);
    if (status == 0 && o->reservations)
        status = experiment_reservations(x, o, err);
    if (status == 0 && o->failures)
        status = experiment_failures(x, o->failures, err);
    return status;
}

static int once(const struct experiment *x, const struct sim_options *o, struct report *ret,
                struct error *err)
{
    const struct scheduler *scheduler = experiment_scheduler(str_from(o->policy));
    struct world w;
    struct market_record record = {.every = o->out ? OUTCOME_SAMPLE_MS : 0};
    clock_t start = clock();
    experiment_run(x, scheduler, o->seed, &w, &record);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    experiment_report(x, scheduler, &w, &record, ret);
    fprintf(stderr, "sim: %zu workloads, %.1f days, decided in %.3f s\n", w.arrived,
            (double)w.now / 86400000, seconds);
    struct outcome outcome = {&w, &record, ret, seconds};
    int status = o->out ? outcome_write(o->out, &outcome, err) : 0;
    world_fini(&w);
    market_record_fini(&record);
    return status;
}

static int jobs_run(const struct sim_options *o, struct report *ret, struct error *err)
{
    struct experiment x;
    if (o->sweep || o->seeds > 1 || o->compare[0])
        return repeat_run(o, ret, err);
    int status = experiment_read(&x, o, NULL, err);
    if (status == 0)
        status = once(&x, o, ret, err);
    experiment_fini(&x);
    return status;
}

#define FORMAT(symbol, text, description, more)                                                    \
    const struct sim_format format_##symbol = {.name = text,                                       \
                                               .doc = description,                                 \
                                               .options = OPTIONS_JOBS | (more),                   \
                                               .policies = EXPERIMENT_POLICIES,                    \
                                               .fleet = "",                                        \
                                               .run = jobs_run}

FORMAT(csv, "csv", "one workload a row: submit, run, gpus, … (docs/sim.md)", 1u << OPTION_MAP);
FORMAT(slurm, "slurm", "what `sacct --parsable2` prints", 0);
FORMAT(philly, "philly", "Microsoft Philly 2017, compact form", 0);
FORMAT(chronus, "chronus", "Philly with deadlines, as Chronus prepared it", 0);
FORMAT(helios, "helios", "GPUs that tenants ran and waited for, minute by minute", 0);
FORMAT(azure, "azure-llm", "requests of a language model, as replicas of one GPU; FILE#times=N", 0);
FORMAT(pollux, "pollux", "a workload of Pollux or Sia, FILE#NAME; lengths drawn", 0);
