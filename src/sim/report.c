/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/report.h"

#include "base/check.h"
#include "wire/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct report_item *item_add(struct report *r, const char *key)
{
    CHECK(r->count < REPORT_ITEMS_MAX);
    struct report_item *item = &r->items[r->count++];
    *item = (struct report_item){.key = key};
    return item;
}

static void real_text(char text[40], double value)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, 40, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            return;
    }
}

void real_print(struct buf *out, double value)
{
    char text[40] = "null";
    if (isfinite(value))
        real_text(text, value);
    buf_append_text(out, text);
}

void report_integer(struct report *r, const char *key, int64_t value)
{
    struct report_item *item = item_add(r, key);
    snprintf(item->json, sizeof item->json, "%lld", (long long)value);
}

void report_real(struct report *r, const char *key, double value)
{
    struct report_item *item = item_add(r, key);
    if (isfinite(value))
        real_text(item->json, value);
    else
        snprintf(item->json, sizeof item->json, "null");
}

void report_hex(struct report *r, const char *key, uint64_t value)
{
    struct report_item *item = item_add(r, key);
    snprintf(item->json, sizeof item->json, "\"%016llx\"", (unsigned long long)value);
}

void report_text(struct report *r, const char *key, const char *value)
{
    item_add(r, key)->text = value;
}

double report_value(const struct report_item *item)
{
    return item->text || item->json[0] == '"' || strcmp(item->json, "null") == 0
               ? (double)NAN
               : strtod(item->json, NULL);
}

void report_json(const struct report *r, struct buf *out)
{
    json_open(out, '{');
    for (size_t i = 0; i < r->count; i++) {
        json_key(out, r->items[i].key);
        if (r->items[i].text)
            json_text(out, r->items[i].text);
        else
            json_raw(out, str_from(r->items[i].json));
    }
    json_close(out, '}');
    buf_append_byte(out, '\n');
}

void report_table(const struct report *r, struct buf *out)
{
    for (size_t i = 0; i < r->count; i++)
        buf_printf(out, "%-24s %s\n", r->items[i].key,
                   r->items[i].text ? r->items[i].text : r->items[i].json);
}
