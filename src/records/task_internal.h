/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How the parts of a task file are read: a tree of values against tables of names, with the path of
 * what is being read for messages. */

#include "records/task.h"
#include "wire/json.h"

struct task_reader {
    struct arena *arena;
    struct error *err;
};

/* Where a value stands; lives on the stack. */
struct task_place {
    const struct task_place *parent;
    struct str name; /* data NULL: element `index` of a list */
    size_t index;
};

enum task_kind {
    TASK_TEXT,   /* struct str */
    TASK_BOOL,   /* bool */
    TASK_COUNT,  /* int64_t */
    TASK_MONEY,  /* int64_t, µ$ */
    TASK_SPAN,   /* int64_t, ms */
    TASK_TIME,   /* int64_t, ms since 1970 */
    TASK_NAME,   /* int32_t, place in `names` */
    TASK_VALUE,  /* const struct json_value *: the value itself, read later */
    TASK_CUSTOM, /* by `read` */
};

struct task_key {
    const char *name;
    enum task_kind kind;
    size_t offset;
    int64_t least, most; /* COUNT, MONEY, SPAN */
    const char *const *names;
    int (*read)(struct task_reader *r, const struct task_place *at, const struct json_value *value, void *to);
};

/* Says `path: text`; returns -EINVAL. */
int task_refuse(struct task_reader *r, const struct task_place *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Reads a map into the struct `to`; a name that is not in the table is refused, null is as absent. */
int task_read_map(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                  const struct task_key *keys, void *to);
/* Any scalar as it is written. */
int task_read_text(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                   struct str *ret);
/* A list of scalars, or one alone; at most `most`. */
int task_read_texts(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                    size_t most, struct record_list *ret);

/* `resources:`, NULL where the file has none, to request->choices; use_spot to request->preemptible. */
int task_read_resources(struct task_reader *r, const struct json_value *value, struct workload_request *request);
/* `market:`, NULL where the file has none; after the resources. */
int task_read_market(struct task_reader *r, const struct json_value *value, struct workload_request *request);
