/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a run has to say: named numbers, printed as a table for people or as one JSON object in
 * which nothing is rounded. Wall-clock figures do not belong here: equal runs print equal bytes. */

#include "base/buf.h"

#include <stdint.h>

#define REPORT_ITEMS_MAX 128

struct report_item {
    const char *key;
    char json[40]; /* the value as JSON; of a text: see `text` */
    const char *text;
};

struct report {
    struct report_item items[REPORT_ITEMS_MAX];
    size_t count;
    struct buf whole; /* printed instead, where it is not empty: of a run that is many */
};

/* `key` and `value` must outlive the report. */
void report_integer(struct report *r, const char *key, int64_t value);
void report_real(struct report *r, const char *key, double value);
/* Sixteen digits, as a text. */
void report_hex(struct report *r, const char *key, uint64_t value);
void report_text(struct report *r, const char *key, const char *value);
/* As a number; NaN where it is a text. */
double report_value(const struct report_item *item);
void report_json(const struct report *r, struct buf *out);
void report_table(const struct report *r, struct buf *out);
/* The shortest decimal that reads back as the same number. */
void real_print(struct buf *out, double value);
