/* SPDX-License-Identifier: Apache-2.0 */
/* Traces whose rows are jobs: our own columns, Philly, Chronus. */
#include "sim/csv.h"
#include "sim/input.h"
#include "sim/job.h"

#include "wire/unit.h"

#include <errno.h>

#define GPUS_MAX 100000
#define NODE_GPUS 8 /* of Philly's larger machines; what takes more spans whole ones */
#define SPAN_MAX ((time_ms)10 * 365 * 24 * HOUR_MS)
#define AMOUNT_MAX ((int64_t)1 << 31)

/* ---- fields ---- */

/* Seconds, or a date; an empty field leaves *ret as it is. */
static int time_read(const struct csv *c, size_t column, time_ms *ret, struct error *err)
{
    struct str text = c->fields[column];
    if (text.size == 0 || time_parse(text, ret))
        return 0;
    return csv_number(c, column, (struct csv_range){1000, 0, INT64_MAX / 4}, ret, err);
}

static int flag_read(const struct csv *c, size_t column, bool *ret, struct error *err)
{
    struct str text = c->fields[column];
    bool yes = str_is(text, "1") || str_is(text, "true") || str_is(text, "yes");
    bool no = str_is(text, "0") || str_is(text, "false") || str_is(text, "no");
    if (text.size)
        *ret = yes;
    if (text.size == 0 || yes || no)
        return 0;
    return csv_fail(c, err, "%s: \"%.*s\", allowed is true or false", c->form.columns[column].names,
                    (int)MIN(text.size, 40), text.data);
}

static int level_read(const struct csv *c, size_t column, enum market_level *ret, struct error *err)
{
    static const struct {
        const char *name;
        enum market_level level;
    } levels[] = {{"", LEVEL_ANY},          {"any", LEVEL_ANY},   {"zone", LEVEL_ZONE},
                  {"fabric", LEVEL_FABRIC}, {"rack", LEVEL_RACK}, {"node", LEVEL_NODE}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (str_is(c->fields[column], levels[i].name)) {
            *ret = levels[i].level;
            return 0;
        }
    return csv_fail(c, err, "level: \"%.*s\", allowed is any, zone, fabric, rack or node",
                    (int)MIN(c->fields[column].size, 40), c->fields[column].data);
}

static int end_read(const struct csv *c, size_t column, enum job_end *ret, struct error *err)
{
    struct str text = c->fields[column];
    if (text.size == 0 || str_is(text, "finished"))
        *ret = JOB_FINISHES;
    else if (str_is(text, "failed"))
        *ret = JOB_FAILS;
    else if (str_is(text, "cancelled"))
        *ret = JOB_IS_CANCELLED;
    else
        return csv_fail(c, err, "end: \"%.*s\", allowed is finished, failed or cancelled",
                        (int)MIN(text.size, 40), text.data);
    return 0;
}

/* ---- our own columns ---- */

enum {
    SUBMIT,
    RUN,
    NAME,
    TENANT,
    REPLICAS,
    GPUS,
    CPUS,
    MEMORY,
    ACCELERATOR,
    SKU,
    LIMIT,
    PREEMPTIBLE,
    LEVEL,
    ESTIMATE,
    DEADLINE,
    NOTICE,
    RESTART_COST,
    RESERVATION,
    END
};
static const struct csv_column own_columns[] = {
    [SUBMIT] = {"submit|submit_time|submission_time", false},
    [RUN] = {"run|duration|run_time", false},
    [NAME] = {"name|job_id|id", true},
    [TENANT] = {"tenant|project|user", true},
    [REPLICAS] = {"replicas|num_nodes|nodes", true},
    [GPUS] = {"gpus|num_gpus", true},
    [CPUS] = {"cpus", true},
    [MEMORY] = {"memory_gb", true},
    [ACCELERATOR] = {"accelerator", true},
    [SKU] = {"sku", true},
    [LIMIT] = {"limit", true},
    [PREEMPTIBLE] = {"preemptible", true},
    [LEVEL] = {"level", true},
    [ESTIMATE] = {"estimate", true},
    [DEADLINE] = {"deadline|ddl", true},
    [NOTICE] = {"notice", true},
    [RESTART_COST] = {"restart_cost", true},
    [RESERVATION] = {"reservation", true},
    [END] = {"end", true},
};

static int own_amounts(const struct csv *c, struct job *job, struct error *err)
{
    struct csv_range amount = {1000, 0, AMOUNT_MAX};
    int64_t replicas = 1, memory = 0;
    int status = csv_number_given(c, REPLICAS, (struct csv_range){1, 1, GPUS_MAX}, &replicas, err);
    if (status == 0)
        status = csv_number_given(c, GPUS, amount, &job->amounts.gpu_milli, err);
    job->amounts.core_milli = job->amounts.gpu_milli ? 0 : 1000;
    if (status == 0)
        status = csv_number_given(c, CPUS, amount, &job->amounts.core_milli, err);
    if (status == 0)
        status = csv_number_given(c, MEMORY, (struct csv_range){1024 * 1000, 0, AMOUNT_MAX * 1000},
                                  &memory, err);
    job->replicas = (uint32_t)replicas;
    job->amounts.memory_mib = memory / 1000;
    if (status == 0 && job->amounts.gpu_milli == 0 && job->amounts.core_milli == 0)
        return csv_fail(c, err, "gpus, cpus: one of them must be above 0");
    if (status == 0 && job->amounts.gpu_milli > 1000 && job->amounts.gpu_milli % 1000)
        return csv_fail(c, err, "gpus: whole GPUs, or a share below 1");
    return status;
}

static int own_times(const struct csv *c, struct job *job, struct error *err)
{
    struct csv_range span = {1000, 0, SPAN_MAX};
    if (c->fields[SUBMIT].size == 0)
        return csv_fail(c, err, "submit: is empty");
    int status = time_read(c, SUBMIT, &job->submit, err);
    if (status == 0)
        status = csv_number(c, RUN, span, &job->run, err);
    if (status == 0)
        status = csv_number_given(c, ESTIMATE, span, &job->estimate, err);
    if (status == 0)
        status = csv_number_given(c, NOTICE, span, &job->notice, err);
    return status ? status : time_read(c, DEADLINE, &job->deadline, err);
}

static int own_bid(const struct csv *c, struct job *job, struct error *err)
{
    struct csv_range money = {1000000, 0, (int64_t)1000000 * 1000000};
    int status = csv_number_given(c, LIMIT, money, &job->limit, err);
    if (status == 0)
        status = csv_number_given(c, RESTART_COST, money, &job->restart_cost, err);
    if (status == 0)
        status = flag_read(c, PREEMPTIBLE, &job->preemptible, err);
    if (status == 0)
        status = level_read(c, LEVEL, &job->level, err);
    return status ? status : end_read(c, END, &job->end, err);
}

static int own_row(const struct csv *c, struct job *job, struct error *err)
{
    *job = job_default();
    job->name = c->fields[NAME];
    job->tenant = c->fields[TENANT];
    job->accelerator = c->fields[ACCELERATOR];
    job->sku = c->fields[SKU];
    job->reservation = c->fields[RESERVATION];
    int status = own_amounts(c, job, err);
    if (status == 0)
        status = own_times(c, job, err);
    return status ? status : own_bid(c, job, err);
}

/* ---- Philly and Chronus ---- */

/* GPUs of a gang: of one machine, or of whole ones. */
static void gang_set(struct job *job, int64_t gpus)
{
    job->replicas = (uint32_t)div_ceil(gpus, NODE_GPUS);
    job->amounts.gpu_milli = div_ceil(gpus, job->replicas) * 1000;
}

enum { PHILLY_TIME, PHILLY_DURATION, PHILLY_GPUS, PHILLY_CLUSTER };
static const struct csv_column philly_columns[] = {
    [PHILLY_TIME] = {"timestamp", false},
    [PHILLY_DURATION] = {"duration", false},
    [PHILLY_GPUS] = {"num_gpus", false},
    [PHILLY_CLUSTER] = {"cluster|vc", true},
};

static int philly_row(const struct csv *c, struct job *job, struct error *err)
{
    int64_t gpus;
    *job = job_default();
    job->tenant = c->fields[PHILLY_CLUSTER];
    if (c->fields[PHILLY_TIME].size == 0)
        return csv_fail(c, err, "timestamp: is empty");
    int status = time_read(c, PHILLY_TIME, &job->submit, err);
    if (status == 0)
        status =
            csv_number(c, PHILLY_DURATION, (struct csv_range){1000, 0, SPAN_MAX}, &job->run, err);
    if (status == 0)
        status = csv_number(c, PHILLY_GPUS, (struct csv_range){1, 1, GPUS_MAX}, &gpus, err);
    if (status == 0)
        gang_set(job, gpus);
    return status;
}

enum {
    CHRONUS_ID,
    CHRONUS_USER,
    CHRONUS_GPUS,
    CHRONUS_SUBMIT,
    CHRONUS_DURATION,
    CHRONUS_EXPECT,
    CHRONUS_BEST
};
static const struct csv_column chronus_columns[] = {
    [CHRONUS_ID] = {"job_id", true},
    [CHRONUS_USER] = {"user", true},
    [CHRONUS_GPUS] = {"num_gpu", false},
    [CHRONUS_SUBMIT] = {"submit_time|submission_time", false},
    [CHRONUS_DURATION] = {"duration", false},
    [CHRONUS_EXPECT] = {"expect_time_list", true},
    [CHRONUS_BEST] = {"best_effort", true},
};
#define MINUTE_MS ((int64_t)60000)

/* The last target: after it the work is worth nothing. */
static int chronus_deadline(const struct csv *c, struct job *job, struct error *err)
{
    struct str rest = c->fields[CHRONUS_EXPECT], last = {0};
    time_ms span;
    while (rest.size)
        last = str_cut(&rest, '-');
    if (last.size == 0 || str_is(c->fields[CHRONUS_BEST], "1"))
        return 0;
    if (!decimal_parse(last, MINUTE_MS, &span) || span < 0 || span > SPAN_MAX)
        return csv_fail(c, err, "expect_time_list: \"%.*s\" is no list of minutes",
                        (int)MIN(c->fields[CHRONUS_EXPECT].size, 40),
                        c->fields[CHRONUS_EXPECT].data);
    job->deadline = job->submit + span;
    return 0;
}

static int chronus_row(const struct csv *c, struct job *job, struct error *err)
{
    struct csv_range minutes = {MINUTE_MS, 0, SPAN_MAX};
    int64_t gpus;
    *job = job_default();
    job->name = c->fields[CHRONUS_ID];
    job->tenant = c->fields[CHRONUS_USER];
    int status = csv_number(c, CHRONUS_SUBMIT, minutes, &job->submit, err);
    if (status == 0)
        status = csv_number(c, CHRONUS_DURATION, minutes, &job->run, err);
    if (status == 0)
        status = csv_number(c, CHRONUS_GPUS, (struct csv_range){1, 0, GPUS_MAX}, &gpus, err);
    if (status)
        return status;
    gang_set(job, MAX(gpus, 1));
    if (gpus == 0)
        job->replicas = 0; /* left out */
    return chronus_deadline(c, job, err);
}

/* ---- files ---- */

struct reader {
    struct csv_form form;
    int (*read)(const struct csv *c, struct job *job, struct error *err);
};
#define FORM(columns)                                                                              \
    {                                                                                              \
        (columns), sizeof(columns) / sizeof *(columns)                                             \
    }

static int rows_read(struct jobs *jobs, const char *file, struct buf *text,
                     const struct reader *reader, struct error *err)
{
    struct csv c;
    struct job job;
    int status = csv_open(&c, file, text, &reader->form, err);
    while (status == 0 && (status = csv_next(&c, err)) == 1) {
        status = reader->read(&c, &job, err);
        if (status == 0 && job.replicas)
            jobs_add(jobs, &job);
        else if (status == 0)
            jobs->skipped++;
    }
    return status;
}

int jobs_parse_csv(struct jobs *jobs, const char *file, const char *map, struct buf *text,
                   struct error *err)
{
    struct reader reader = {FORM(own_columns), own_row};
    reader.form.map = map;
    return rows_read(jobs, file, text, &reader, err);
}

int jobs_parse_philly(struct jobs *jobs, const char *file, struct buf *text, struct error *err)
{
    struct reader reader = {FORM(philly_columns), philly_row};
    return rows_read(jobs, file, text, &reader, err);
}

int jobs_parse_chronus(struct jobs *jobs, const char *file, struct buf *text, struct error *err)
{
    struct reader reader = {FORM(chronus_columns), chronus_row};
    return rows_read(jobs, file, text, &reader, err);
}

int jobs_read_csv(struct jobs *jobs, const char *path, const char *map, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(INPUT_LIMIT);
    int status = input_read(path, &text, err);
    return status ? status : jobs_parse_csv(jobs, path, map, &text, err);
}

int jobs_read_philly(struct jobs *jobs, const char *path, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(INPUT_LIMIT);
    int status = input_read(path, &text, err);
    return status ? status : jobs_parse_philly(jobs, path, &text, err);
}

int jobs_read_chronus(struct jobs *jobs, const char *path, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(INPUT_LIMIT);
    int status = input_read(path, &text, err);
    return status ? status : jobs_parse_chronus(jobs, path, &text, err);
}
