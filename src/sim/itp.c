/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/itp.h"

#include "base/memory.h"
#include "base/sort.h"
#include "sim/csv.h"
#include "sim/input.h"

#define JOBS_MAX 10000000
#define SPEEDS_MAX 100000
#define SECONDS_MAX ((int64_t)1000000000)
#define WORK_SCALE ((int64_t)1000000000)

void itp_fini(struct itp *t)
{
    xfree(t->jobs);
    xfree(t->speeds);
    buf_fini(&t->speed_text);
    *t = (struct itp){0};
}

/* The exponent of a power of two; ITP_SIZES where it is none, or too large. */
static uint32_t exponent(int64_t gpus)
{
    uint32_t e = 0;
    while (e < ITP_SIZES && (int64_t)1 << e != gpus)
        e++;
    return e;
}

static struct itp_speed *speed_find(const struct itp *t, struct str model, int64_t batch)
{
    for (size_t i = 0; i < t->speed_count; i++)
        if (t->speeds[i].batch == batch && str_equal(t->speeds[i].model, model))
            return &t->speeds[i];
    return NULL;
}

enum { SPEED_TYPE, SPEED_MODEL, SPEED_BATCH, SPEED_GPUS, SPEED_VALUE, SPEED_COLUMNS };
static const struct csv_column speed_columns[SPEED_COLUMNS] = {{"gpu_type", false},
                                                               {"model", false},
                                                               {"global_batch_size", false},
                                                               {"num_gpus", false},
                                                               {"iterations_per_s", false}};

static int speed_read(struct itp *t, struct csv *c, struct error *err)
{
    int64_t batch, gpus, speed;
    int status = csv_number(c, SPEED_BATCH, (struct csv_range){1, 1, INT32_MAX}, &batch, err);
    status = status ? status
                    : csv_number(c, SPEED_GPUS, (struct csv_range){1, 1, 1 << (ITP_SIZES - 1)},
                                 &gpus, err);
    /* 10^9 iterations a second and 10^6 a ms are the same number */
    status = status ? status
                    : csv_number(c, SPEED_VALUE,
                                 (struct csv_range){WORK_SCALE / 1000, 0, WORK_SCALE * 1000},
                                 &speed, err);
    if (status)
        return status;
    uint32_t size = exponent(gpus);
    if (size == ITP_SIZES)
        return csv_fail(c, err, "num_gpus: %lld is not a power of two", (long long)gpus);
    struct itp_speed *s = speed_find(t, c->fields[SPEED_MODEL], batch);
    if (!s && t->speed_count == SPEEDS_MAX)
        return csv_fail(c, err, "more than %d models", SPEEDS_MAX);
    if (!s) {
        ARRAY_RESERVE(t->speeds, t->speed_count, t->speed_capacity);
        s = &t->speeds[t->speed_count++];
        *s = (struct itp_speed){.model = c->fields[SPEED_MODEL], .batch = batch};
    }
    s->speed[size] = speed;
    return 0;
}

int itp_parse_speeds(struct itp *t, const char *file, const char *gpu_type, struct error *err)
{
    struct csv c;
    struct csv_form form = {.columns = speed_columns, .count = SPEED_COLUMNS};
    int status = csv_open(&c, file, &t->speed_text, &form, err);
    while (status == 0 && (status = csv_next(&c, err)) > 0)
        status = str_is(c.fields[SPEED_TYPE], gpu_type) ? speed_read(t, &c, err) : 0;
    return status;
}

int itp_read_speeds(struct itp *t, const char *path, const char *gpu_type, struct error *err)
{
    t->speed_text = BUF_INIT(INPUT_LIMIT);
    int status = input_read(path, &t->speed_text, err);
    return status ? status : itp_parse_speeds(t, path, gpu_type, err);
}

enum { JOB_SUBMIT, JOB_WORK, JOB_MODEL, JOB_DEADLINE, JOB_BATCH, JOB_GPUS, JOB_COLUMNS };
static const struct csv_column job_columns[JOB_COLUMNS] = {{"submission_time|submit_time", false},
                                                           {"num_iteration|iteration", false},
                                                           {"model_name", false},
                                                           {"deadline|ddl", false},
                                                           {"batch_size", false},
                                                           {"num_gpu", false}};

/* More GPUs than are of use are left idle: the speed never falls. */
static void job_speeds(struct itp_job *j, const struct itp_speed *s)
{
    int64_t best = 0;
    for (uint32_t i = 0; i < ITP_SIZES; i++) {
        best = MAX(best, s->speed[i]);
        j->speed[i] = best;
        if (s->speed[i])
            j->sizes = i + 1;
    }
}

static int job_read(const struct itp *t, struct csv *c, struct itp_job *ret, struct error *err)
{
    int64_t batch, gpus;
    struct csv_range span = {1000, 0, SECONDS_MAX * 1000};
    int status = csv_number(c, JOB_SUBMIT, span, &ret->submit, err);
    status = status ? status : csv_number(c, JOB_DEADLINE, span, &ret->deadline, err);
    status = status ? status
                    : csv_number(c, JOB_WORK, (struct csv_range){WORK_SCALE, 0, INT64_MAX / 2},
                                 &ret->work, err);
    status = status ? status
                    : csv_number(c, JOB_BATCH, (struct csv_range){1, 1, INT32_MAX}, &batch, err);
    status = status ? status
                    : csv_number(c, JOB_GPUS, (struct csv_range){1, 1, 1 << (ITP_SIZES - 1)}, &gpus,
                                 err);
    if (status)
        return status;
    const struct itp_speed *s = speed_find(t, c->fields[JOB_MODEL], batch);
    if (!s)
        return csv_fail(c, err, "no speed of %.*s with batch %lld", STR_ARGS(c->fields[JOB_MODEL]),
                        (long long)batch);
    job_speeds(ret, s);
    if (ret->speed[ret->sizes - 1] == 0)
        return csv_fail(c, err, "%.*s has no speed at all", STR_ARGS(c->fields[JOB_MODEL]));
    while ((int64_t)1 << ret->requested < gpus)
        ret->requested++;
    return 0;
}

static int job_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    return COMPARE(((const struct itp_job *)x)->submit, ((const struct itp_job *)y)->submit);
}

int itp_parse_jobs(struct itp *t, const char *file, struct buf *text, struct error *err)
{
    struct csv c;
    struct csv_form form = {.columns = job_columns, .count = JOB_COLUMNS};
    int status = csv_open(&c, file, text, &form, err);
    while (status == 0 && (status = csv_next(&c, err)) > 0) {
        struct itp_job job = {0};
        status = t->count == JOBS_MAX ? csv_fail(&c, err, "more than %d jobs", JOBS_MAX)
                                      : job_read(t, &c, &job, err);
        if (status)
            break;
        ARRAY_RESERVE(t->jobs, t->count, t->capacity);
        t->jobs[t->count++] = job;
    }
    sort(t->jobs, t->count, sizeof *t->jobs, job_compare, NULL);
    return status;
}

int itp_read_jobs(struct itp *t, const char *path, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(INPUT_LIMIT);
    int status = input_read(path, &text, err);
    return status ? status : itp_parse_jobs(t, path, &text, err);
}
