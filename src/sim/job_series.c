/* SPDX-License-Identifier: Apache-2.0 */
/* Traces that hold no jobs to run as they stand: the demand of a cluster's tenants through time, the
 * requests of a service, jobs without a length. */
#include "sim/csv.h"
#include "sim/draw.h"
#include "sim/input.h"
#include "sim/job.h"

#include "base/hash.h"
#include "base/memory.h"
#include "wire/unit.h"

#include <errno.h>
#include <stdio.h>

#define GPUS_MAX 100000
#define NODE_GPUS 8
#define GANG_NODES_MAX ((int64_t)4) /* larger ones would hold on to much more than the demand */
#define TENANTS_MAX 1000
#define MINUTES_MAX ((int64_t)10 * 365 * 24 * 60)
#define MINUTE_MS ((time_ms)60000)
#define TOKENS_MAX 100000000
#define TIMES_MAX 100000
#define REPLICAS_MAX ((int64_t)10000)
#define CONTEXT_PER_GPU_S 4000 /* tokens; assumed, as docs/sim.md says */
#define GENERATED_PER_GPU_S 400

/* ---- demand as jobs: what it rises by is submitted; what it falls by ends, the oldest that fit into it first ---- */

struct piece {
    time_ms submit;
    uint32_t replicas;
    int64_t gpus; /* of all replicas */
};

struct demand {
    struct str tenant;
    struct piece *pieces; /* that stand, by age */
    size_t count, capacity;
    int64_t gpus;
    time_ms at, step; /* of the sample read last; since the one before it */
    bool serving;     /* one replica a GPU, and not to be interrupted */
};

static void piece_end(struct jobs *jobs, struct demand *d, const struct piece *p, time_ms at)
{
    struct job job = job_default();
    job.tenant = d->tenant;
    job.submit = p->submit;
    job.replicas = p->replicas;
    job.amounts.gpu_milli = p->gpus / p->replicas * 1000;
    job.preemptible = !d->serving;
    job.run = at - p->submit;
    d->gpus -= p->gpus;
    jobs_add(jobs, &job);
}

static void piece_begin(struct demand *d, time_ms at, uint32_t replicas, int64_t gpus)
{
    ARRAY_RESERVE(d->pieces, d->count, d->capacity);
    d->pieces[d->count++] = (struct piece){at, replicas, gpus};
    d->gpus += gpus;
}

static void demand_fall(struct jobs *jobs, struct demand *d, time_ms at, int64_t gpus)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->count; i++)
        if (d->gpus - d->pieces[i].gpus >= gpus)
            piece_end(jobs, d, &d->pieces[i], at);
        else
            d->pieces[kept++] = d->pieces[i];
    d->count = kept;
}

static void demand_set(struct jobs *jobs, struct demand *d, time_ms at, int64_t gpus)
{
    if (gpus < d->gpus)
        demand_fall(jobs, d, at, gpus);
    while (!d->serving && gpus - d->gpus >= NODE_GPUS) {
        int64_t nodes = MIN((gpus - d->gpus) / NODE_GPUS, GANG_NODES_MAX);
        piece_begin(d, at, (uint32_t)nodes, nodes * NODE_GPUS);
    }
    while (d->gpus < gpus)
        piece_begin(d, at, 1, d->serving ? 1 : gpus - d->gpus);
    d->at = at;
}

static void demand_close(struct jobs *jobs, struct demand *d)
{
    demand_fall(jobs, d, d->at + d->step, 0);
    xfree(d->pieces);
}

/* ---- Helios: GPUs that run and wait, by tenant ---- */

enum { HELIOS_TENANT, HELIOS_MINUTE, HELIOS_RUNNING, HELIOS_PENDING };
static const struct csv_column helios_columns[] = {
    [HELIOS_TENANT] = {"vc|cluster|tenant", false},
    [HELIOS_MINUTE] = {"minute", false},
    [HELIOS_RUNNING] = {"running_gpus", false},
    [HELIOS_PENDING] = {"pending_gpus", true},
};

struct tenants {
    struct demand items[TENANTS_MAX];
    size_t count, last;
};

static struct demand *tenant_demand(struct tenants *t, const struct csv *c, struct error *err)
{
    struct str name = c->fields[HELIOS_TENANT];
    if (t->last < t->count && str_equal(t->items[t->last].tenant, name))
        return &t->items[t->last];
    for (t->last = 0; t->last < t->count; t->last++)
        if (str_equal(t->items[t->last].tenant, name))
            return &t->items[t->last];
    if (t->count == TENANTS_MAX) {
        csv_fail(c, err, "vc: more than %d of them", TENANTS_MAX);
        return NULL;
    }
    t->items[t->count++] = (struct demand){.tenant = name, .at = -1, .step = 10 * MINUTE_MS};
    return &t->items[t->last];
}

static int helios_row(struct jobs *jobs, struct tenants *t, const struct csv *c, struct error *err)
{
    struct csv_range gpus = {1, 0, GPUS_MAX};
    int64_t minute, running, pending = 0;
    int status = csv_number(c, HELIOS_MINUTE, (struct csv_range){1, 0, MINUTES_MAX}, &minute, err);
    if (status == 0)
        status = csv_number(c, HELIOS_RUNNING, gpus, &running, err);
    if (status == 0)
        status = csv_number_given(c, HELIOS_PENDING, gpus, &pending, err);
    struct demand *d = status ? NULL : tenant_demand(t, c, err);
    if (d == NULL)
        return -EINVAL;
    if (minute * MINUTE_MS <= d->at)
        return csv_fail(c, err, "minute: not later than the row of the same vc before it");
    if (d->at >= 0)
        d->step = minute * MINUTE_MS - d->at;
    demand_set(jobs, d, minute * MINUTE_MS, running + pending);
    return 0;
}

int jobs_parse_helios(struct jobs *jobs, const char *file, struct buf *text, struct error *err)
{
    struct csv_form form = {helios_columns, ARRAY_COUNT(helios_columns)};
    struct tenants *tenants = xcalloc(1, sizeof *tenants);
    struct csv c;
    int status = csv_open(&c, file, text, &form, err);
    while (status == 0 && (status = csv_next(&c, err)) == 1)
        status = helios_row(jobs, tenants, &c, err);
    for (size_t i = 0; i < tenants->count; i++)
        demand_close(jobs, &tenants->items[i]);
    xfree(tenants);
    return status;
}

/* ---- Azure: requests of a language model, minute by minute as replicas of one GPU ---- */

enum { AZURE_TIME, AZURE_CONTEXT, AZURE_GENERATED };
static const struct csv_column azure_columns[] = {
    [AZURE_TIME] = {"TIMESTAMP|timestamp", false},
    [AZURE_CONTEXT] = {"ContextTokens|context_tokens", false},
    [AZURE_GENERATED] = {"GeneratedTokens|generated_tokens", false},
};

struct requests {
    struct demand demand;
    int64_t times, work_ms; /* of one GPU, in the minute that begins at demand.at */
};

/* "times=N": as if so many came for each; absent: 1. */
static int times_read(const char *part, int64_t *ret, struct error *err)
{
    struct str text = part ? str_from(part) : STR("times=1");
    if (str_starts(text, STR("times=")) && str_to_i64((struct str){text.data + 6, text.size - 6}, ret) &&
        *ret >= 1 && *ret <= TIMES_MAX)
        return 0;
    return error_set(err, -EINVAL, "--trace: #%.60s: allowed is #times=N, N from 1 to %d", part,
                     TIMES_MAX);
}

static void minute_close(struct jobs *jobs, struct requests *r, time_ms next)
{
    struct demand *d = &r->demand;
    demand_set(jobs, d, d->at, MIN(div_ceil(r->work_ms * r->times, MINUTE_MS), REPLICAS_MAX));
    if (next > d->at + MINUTE_MS)
        demand_set(jobs, d, d->at + MINUTE_MS, 0);
    d->at = next;
    r->work_ms = 0;
}

static int azure_row(struct jobs *jobs, struct requests *r, const struct csv *c, struct error *err)
{
    struct csv_range tokens = {1, 0, TOKENS_MAX};
    int64_t context, generated;
    time_ms at;
    if (!time_parse(c->fields[AZURE_TIME], &at))
        return csv_fail(c, err, "TIMESTAMP: \"%.*s\" is not a date and time",
                        (int)MIN(c->fields[AZURE_TIME].size, 40), c->fields[AZURE_TIME].data);
    int status = csv_number(c, AZURE_CONTEXT, tokens, &context, err);
    if (status == 0)
        status = csv_number(c, AZURE_GENERATED, tokens, &generated, err);
    if (status)
        return status;
    time_ms minute = at / MINUTE_MS * MINUTE_MS;
    if (minute < r->demand.at)
        return csv_fail(c, err, "TIMESTAMP: earlier than the row before it");
    if (r->demand.at < 0)
        r->demand.at = minute;
    if (minute > r->demand.at)
        minute_close(jobs, r, minute);
    r->work_ms += context * 1000 / CONTEXT_PER_GPU_S + generated * 1000 / GENERATED_PER_GPU_S;
    r->work_ms = MIN(r->work_ms, MINUTE_MS * REPLICAS_MAX);
    return 0;
}

int jobs_parse_azure(struct jobs *jobs, const char *file, const char *part, struct buf *text,
                     struct error *err)
{
    struct csv_form form = {azure_columns, ARRAY_COUNT(azure_columns)};
    struct requests r = {.demand = {.tenant = STR("llm"), .at = -1, .step = MINUTE_MS, .serving = true}};
    struct csv c;
    int status = times_read(part, &r.times, err);
    if (status == 0)
        status = csv_open(&c, file, text, &form, err);
    while (status == 0 && (status = csv_next(&c, err)) == 1)
        status = azure_row(jobs, &r, &c, err);
    if (status == 0 && r.demand.at >= 0)
        minute_close(jobs, &r, r.demand.at);
    demand_close(jobs, &r.demand);
    return status;
}

/* ---- Pollux and Sia: jobs by application, without a length ---- */

enum { POLLUX_WORKLOAD, POLLUX_NAME, POLLUX_SUBMIT, POLLUX_APPLICATION, POLLUX_GPUS, POLLUX_RUN };
static const struct csv_column pollux_columns[] = {
    [POLLUX_WORKLOAD] = {"workload", true},
    [POLLUX_NAME] = {"name", false},
    [POLLUX_SUBMIT] = {"submit_s|time|submit_time|submission_time", false},
    [POLLUX_APPLICATION] = {"application", false},
    [POLLUX_GPUS] = {"num_gpus_requested|num_gpus|num_replicas", false},
    [POLLUX_RUN] = {"run|duration|run_time", true},
};

/* GPU-hours from `least` to ten times that (Qiao et al., OSDI 2021, table 1: small to extra large). */
static const struct {
    const char *application;
    time_ms least; /* GPU-ms */
} pollux_sizes[] = {
    {"cifar10", HOUR_MS / 10}, {"ncf", HOUR_MS / 10},  {"bert", HOUR_MS},
    {"deepspeech2", HOUR_MS},  {"yolov3", 10 * HOUR_MS}, {"imagenet", 100 * HOUR_MS},
};

/* Uniform in the logarithm, from the job's own name: the same in every run and under every seed. */
static time_ms pollux_length(const struct csv *c, time_ms least, int64_t gpus)
{
    uint64_t name = hash_bytes(c->fields[POLLUX_NAME].data, c->fields[POLLUX_NAME].size);
    uint64_t state = hash_u64(name ^ hash_bytes(c->fields[POLLUX_WORKLOAD].data, c->fields[POLLUX_WORKLOAD].size));
    double power = (double)draw_below(&state, 1000000) / 1000000 * 2.302585092994046; /* ln 10 */
    return MAX(draw_scaled(least, power) / gpus, 1000);
}

static int pollux_run(const struct csv *c, struct job *job, int64_t gpus, struct error *err)
{
    struct str name = c->fields[POLLUX_APPLICATION];
    if (c->fields[POLLUX_RUN].size)
        return csv_number(c, POLLUX_RUN, (struct csv_range){1000, 0, MINUTES_MAX * MINUTE_MS}, &job->run, err);
    for (size_t i = 0; i < ARRAY_COUNT(pollux_sizes); i++)
        if (str_is(name, pollux_sizes[i].application)) {
            job->run = pollux_length(c, pollux_sizes[i].least, gpus);
            job->drawn = true;
            return 0;
        }
    return csv_fail(c, err, "application: \"%.*s\" is of no known size, and there is no run",
                    (int)MIN(name.size, 40), name.data);
}

static int pollux_row(const struct csv *c, struct job *job, struct error *err)
{
    int64_t gpus;
    *job = job_default();
    job->name = c->fields[POLLUX_NAME];
    job->tenant = c->fields[POLLUX_APPLICATION];
    int status = csv_number(c, POLLUX_SUBMIT, (struct csv_range){1000, 0, MINUTES_MAX * MINUTE_MS}, &job->submit, err);
    if (status == 0)
        status = csv_number(c, POLLUX_GPUS, (struct csv_range){1, 1, GPUS_MAX}, &gpus, err);
    if (status)
        return status;
    job->replicas = (uint32_t)div_ceil(gpus, NODE_GPUS);
    job->amounts.gpu_milli = div_ceil(gpus, job->replicas) * 1000;
    return pollux_run(c, job, gpus, err);
}

/* Several workloads in one file are not to be run as one. */
static int workload_check(const struct csv *c, struct str *first, const char *part, struct error *err)
{
    struct str here = c->fields[POLLUX_WORKLOAD];
    if (first->data == NULL)
        *first = here;
    if (part || str_equal(*first, here))
        return 0;
    return csv_fail(c, err, "workload: another than %.*s; say which: pollux:FILE#%.*s", (int)MIN(first->size, 60),
                    first->data, (int)MIN(first->size, 60), first->data);
}

int jobs_parse_pollux(struct jobs *jobs, const char *file, const char *part, struct buf *text,
                      struct error *err)
{
    struct csv_form form = {pollux_columns, ARRAY_COUNT(pollux_columns)};
    struct str first = {0};
    struct job job;
    struct csv c;
    int status = csv_open(&c, file, text, &form, err);
    while (status == 0 && (status = csv_next(&c, err)) == 1) {
        status = workload_check(&c, &first, part, err);
        if (status == 0 && part && !str_is(c.fields[POLLUX_WORKLOAD], part))
            continue;
        if (status == 0)
            status = pollux_row(&c, &job, err);
        if (status == 0)
            jobs_add(jobs, &job);
    }
    if (status == 0 && part && jobs->count == 0)
        return error_set(err, -EINVAL, "%s: no workload %.60s", file, part);
    return status;
}

/* ---- files ---- */

/* "FILE#PART": the part, and the path without it in `storage`; NULL where there is none. */
static const char *part_of(const char *path, char *storage, size_t size)
{
    const char *hash = strrchr(path, '#');
    size_t length = hash ? (size_t)(hash - path) : strlen(path);
    snprintf(storage, size, "%.*s", (int)MIN(length, size - 1), path);
    return hash ? hash + 1 : NULL;
}

int jobs_read_helios(struct jobs *jobs, const char *path, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(INPUT_LIMIT);
    int status = input_read(path, &text, err);
    return status ? status : jobs_parse_helios(jobs, path, &text, err);
}

int jobs_read_azure(struct jobs *jobs, const char *path, struct error *err)
{
    char file[4096];
    _cleanup_buf_ struct buf text = BUF_INIT(INPUT_LIMIT);
    const char *part = part_of(path, file, sizeof file);
    int status = input_read(file, &text, err);
    return status ? status : jobs_parse_azure(jobs, file, part, &text, err);
}

int jobs_read_pollux(struct jobs *jobs, const char *path, struct error *err)
{
    char file[4096];
    _cleanup_buf_ struct buf text = BUF_INIT(INPUT_LIMIT);
    const char *part = part_of(path, file, sizeof file);
    int status = input_read(file, &text, err);
    return status ? status : jobs_parse_pollux(jobs, file, part, &text, err);
}
