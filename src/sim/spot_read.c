/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/spot.h"

#include "base/memory.h"
#include "base/sort.h"
#include "sim/csv.h"
#include "sim/input.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#define TRACES_MAX 10000
#define TICKS_MAX 1000000
#define TICKS_IN_ALL 200000000
#define WINDOWS_MAX 1000000

void spot_fini(struct spot_traces *s)
{
    for (size_t i = 0; i < s->trace_count; i++)
        xfree(s->traces[i].available);
    for (size_t i = 0; i < s->text_count; i++)
        buf_fini(&s->texts[i]);
    xfree(s->traces);
    xfree(s->windows);
    xfree(s->texts);
    *s = (struct spot_traces){0};
}

/* Keeps the text, so that names may borrow from it. */
static struct buf *text_keep(struct spot_traces *s, struct buf *text)
{
    ARRAY_RESERVE(s->texts, s->text_count, s->text_capacity);
    s->texts[s->text_count] = TAKE(*text);
    return &s->texts[s->text_count++];
}

static struct spot_trace *trace_find(struct spot_traces *s, struct str name)
{
    for (size_t i = 0; i < s->trace_count; i++)
        if (str_equal(s->traces[i].name, name))
            return &s->traces[i];
    return NULL;
}

enum { SERIES_NAME, SERIES_TICK, SERIES_TICKS, SERIES_COLUMNS };
static const struct csv_column series_columns[SERIES_COLUMNS] = {
    {"trace", false}, {"tick_seconds", false}, {"n_ticks", false}};

static int series_read(struct spot_traces *s, struct csv *c, struct error *err)
{
    int64_t seconds, ticks, all = 0;
    int status = csv_number(c, SERIES_TICK, (struct csv_range){1, 1, INT32_MAX}, &seconds, err);
    status = status ? status
                    : csv_number(c, SERIES_TICKS, (struct csv_range){1, 1, TICKS_MAX}, &ticks, err);
    if (status || seconds * 1000 != SPOT_TICK_MS)
        return status;
    for (size_t i = 0; i < s->trace_count; i++)
        all += s->traces[i].ticks;
    if (s->trace_count == TRACES_MAX || all + ticks > TICKS_IN_ALL)
        return csv_fail(c, err, "more than %d series, or %d ticks in all", TRACES_MAX,
                        TICKS_IN_ALL);
    if (trace_find(s, c->fields[SERIES_NAME]))
        return csv_fail(c, err, "%.*s: stands here twice", STR_ARGS(c->fields[SERIES_NAME]));
    ARRAY_RESERVE(s->traces, s->trace_count, s->trace_capacity);
    s->traces[s->trace_count++] =
        (struct spot_trace){c->fields[SERIES_NAME], ticks, xcalloc((size_t)ticks, sizeof(bool))};
    return 0;
}

int spot_parse_series(struct spot_traces *s, const char *file, struct buf *text, struct error *err)
{
    struct csv c;
    struct csv_form form = {.columns = series_columns, .count = SERIES_COLUMNS};
    int status = csv_open(&c, file, text_keep(s, text), &form, err);
    while (status == 0 && (status = csv_next(&c, err)) > 0)
        status = series_read(s, &c, err);
    return status;
}

enum { CHANGE_NAME, CHANGE_TICK, CHANGE_AVAILABLE, CHANGE_COLUMNS };
static const struct csv_column change_columns[CHANGE_COLUMNS] = {
    {"trace", false}, {"tick", false}, {"available", false}};

/* A row holds until the next of its series, or to the end. */
static int change_read(struct spot_traces *s, struct csv *c, struct error *err)
{
    int64_t tick, available;
    struct spot_trace *trace = trace_find(s, c->fields[CHANGE_NAME]);
    if (!trace)
        return 0; /* of another tick, or left out */
    int status = csv_number(c, CHANGE_TICK, (struct csv_range){1, 0, trace->ticks - 1}, &tick, err);
    status = status ? status
                    : csv_number(c, CHANGE_AVAILABLE, (struct csv_range){1, 0, INT32_MAX},
                                 &available, err);
    for (int64_t i = tick; status == 0 && i < trace->ticks; i++)
        trace->available[i] = available > 0;
    return status;
}

int spot_parse_changes(struct spot_traces *s, const char *file, struct buf *text, struct error *err)
{
    struct csv c;
    struct csv_form form = {.columns = change_columns, .count = CHANGE_COLUMNS};
    int status = csv_open(&c, file, text, &form, err);
    while (status == 0 && (status = csv_next(&c, err)) > 0)
        status = change_read(s, &c, err);
    buf_fini(text);
    return status;
}

enum { WINDOW_ENV, WINDOW_RESTART, WINDOW_FIRST, WINDOW_END, WINDOW_COLUMNS };
static const struct csv_column window_columns[WINDOW_COLUMNS] = {
    {"env", false}, {"restart_overhead_h", false}, {"start_tick", false}, {"end_tick", false}};

static int window_read(struct spot_traces *s, struct csv *c, struct error *err)
{
    char name[200];
    snprintf(name, sizeof name, "availability.1n.aws-10-26-2022.%.*s.head",
             STR_ARGS(c->fields[WINDOW_ENV]));
    struct spot_trace *trace = trace_find(s, str_from(name));
    if (!trace)
        return csv_fail(c, err, "env: no availability of %.100s", name);
    struct spot_window w = {.trace = (uint32_t)(trace - s->traces)};
    /* an overhead fits into a tick; ms, exact for the overheads there are */
    int status = csv_number(c, WINDOW_RESTART, (struct csv_range){HOUR_MS, 0, SPOT_TICK_MS},
                            &w.restart, err);
    status =
        status ? status
               : csv_number(c, WINDOW_FIRST, (struct csv_range){1, 0, trace->ticks}, &w.first, err);
    status = status ? status
                    : csv_number(c, WINDOW_END, (struct csv_range){1, w.first, trace->ticks},
                                 &w.end, err);
    if (status == 0 && s->window_count == WINDOWS_MAX)
        return csv_fail(c, err, "more than %d windows", WINDOWS_MAX);
    if (status)
        return status;
    ARRAY_RESERVE(s->windows, s->window_count, s->window_capacity);
    s->windows[s->window_count++] = w;
    return 0;
}

int spot_parse_windows(struct spot_traces *s, const char *file, struct buf *text, struct error *err)
{
    struct csv c;
    struct csv_form form = {.columns = window_columns, .count = WINDOW_COLUMNS};
    int status = csv_open(&c, file, text_keep(s, text), &form, err);
    while (status == 0 && (status = csv_next(&c, err)) > 0)
        status = window_read(s, &c, err);
    return status;
}

typedef int parse_function(struct spot_traces *s, const char *file, struct buf *text,
                           struct error *err);

static int file_parse(struct spot_traces *s, const char *path, parse_function *parse,
                      struct error *err)
{
    struct buf text = BUF_INIT(INPUT_LIMIT);
    int status = input_read(path, &text, err);
    if (status)
        buf_fini(&text);
    return status ? status : parse(s, path, &text, err);
}

int spot_read_windows(struct spot_traces *s, const char *path, struct error *err)
{
    return file_parse(s, path, spot_parse_windows, err);
}

static int is_changes(const struct dirent *entry)
{
    return strncmp(entry->d_name, "changes_", 8) == 0;
}

int spot_read_availability(struct spot_traces *s, const char *folder, struct error *err)
{
    char path[4096];
    struct dirent **entries = NULL;
    snprintf(path, sizeof path, "%s/traces.csv", folder);
    int status = file_parse(s, path, spot_parse_series, err);
    int count = status ? 0 : scandir(folder, &entries, is_changes, alphasort);
    if (status == 0 && count <= 0)
        status = error_set(err, -ENOENT, "%s: no changes_*.csv", folder);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (status == 0)
            status = file_parse(s, path, spot_parse_changes, err);
        xfree(entries[i]);
    }
    xfree(entries);
    return status;
}
