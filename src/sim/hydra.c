/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/hydra.h"

#include "base/memory.h"
#include "sim/csv.h"
#include "sim/input.h"

#include <errno.h>

#define PLACES_MAX 100000

static const char *const pool_names[HYDRA_POOLS] = {"a100", "v100", "2080ti"};

void hydra_fini(struct hydra *h)
{
    xfree(h->jobs);
    *h = (struct hydra){0};
}

enum { COLUMN_SUBMIT, COLUMN_DEADLINE, COLUMN_RUN, COLUMN_COUNT = COLUMN_RUN + HYDRA_POOLS };
static const struct csv_column columns[COLUMN_COUNT] = {{"norm_job_submit_time|submit_time", false},
                                                        {"ddl|deadline", false},
                                                        {"A100|a100", false},
                                                        {"V100|v100", false},
                                                        {"GTX2080Ti|2080ti", false}};

static int job_read(struct csv *c, struct hydra_job *ret, struct error *err)
{
    int64_t submit;
    struct csv_range span = {1000, 1, SCHEDULE_RUN_MAX};
    int status = csv_number(c, COLUMN_SUBMIT, (struct csv_range){1000, 0, INT64_MAX}, &submit, err);
    for (size_t i = 0; i < HYDRA_POOLS && status == 0; i++)
        status = csv_number(c, COLUMN_RUN + i, span, &ret->run[i], err);
    if (status)
        return status;
    if (submit > 0)
        return csv_fail(c, err, "this job comes later; all must be there at 0: --limit %zu",
                        c->line - 2);
    ret->deadline = TIME_NEVER;
    struct str deadline = c->fields[COLUMN_DEADLINE];
    if (deadline.size == 0 || str_is(deadline, "inf"))
        return 0;
    return csv_number(c, COLUMN_DEADLINE, (struct csv_range){1000, 0, SCHEDULE_RUN_MAX},
                      &ret->deadline, err);
}

int hydra_parse(struct hydra *h, const char *file, struct buf *text, int64_t limit,
                struct error *err)
{
    struct csv c;
    struct csv_form form = {.columns = columns, .count = COLUMN_COUNT};
    int status = csv_open(&c, file, text, &form, err);
    if (status)
        return status;
    while ((int64_t)h->count < limit && (status = csv_next(&c, err)) > 0) {
        struct hydra_job job;
        if (h->count == SCHEDULE_JOBS_MAX)
            return csv_fail(&c, err, "more than %d jobs", SCHEDULE_JOBS_MAX);
        status = job_read(&c, &job, err);
        if (status)
            return status;
        ARRAY_RESERVE(h->jobs, h->count, h->capacity);
        h->jobs[h->count++] = job;
    }
    if (status == 0 && h->count == 0)
        return error_set(err, -EINVAL, "%s: no jobs", file);
    return status < 0 ? status : 0;
}

int hydra_read(struct hydra *h, const char *path, int64_t limit, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(INPUT_LIMIT);
    int status = input_read(path, &text, err);
    return status ? status : hydra_parse(h, path, &text, limit, err);
}

static int pool_read(struct hydra *h, struct str name, struct str number, struct error *err)
{
    int64_t places;
    for (size_t i = 0; i < HYDRA_POOLS; i++) {
        if (!str_is(name, pool_names[i]))
            continue;
        if (!str_to_i64(number, &places) || places < 0 || places > PLACES_MAX)
            return error_set(err, -EINVAL, "--fleet: %s: allowed is 0 to %d", pool_names[i],
                             PLACES_MAX);
        h->places[i] = (uint32_t)places;
        return 0;
    }
    return error_set(err, -EINVAL, "--fleet: %.*s: known are a100, v100 and 2080ti",
                     (int)MIN(name.size, 40), name.data);
}

int hydra_fleet(struct hydra *h, const char *text, struct error *err)
{
    struct str rest = str_from(text);
    while (rest.size) {
        struct str number = str_cut(&rest, ',');
        struct str name = str_cut(&number, '=');
        int status = pool_read(h, name, number, err);
        if (status)
            return status;
    }
    if (h->places[0] + h->places[1] + h->places[2] == 0)
        return error_set(err, -EINVAL, "--fleet: no GPUs: a100=15,v100=15,2080ti=15");
    return 0;
}
