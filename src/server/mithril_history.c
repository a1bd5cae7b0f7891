/* SPDX-License-Identifier: Apache-2.0 */
#include "server/mithril_history.h"

#include "wire/json.h"

#define PAGES_MOST 64

static void event_add(struct api_call *call, struct history *h, const struct table_event *row)
{
    struct json_value json;
    if (json_parse(row->json, call_arena(call), &json, NULL) < 0)
        return;
    if (h->count == h->capacity) {
        size_t capacity = h->capacity ? h->capacity * 2 : 64;
        struct history_event *events = call_alloc(call, capacity * sizeof *events);
        if (h->count)
            memcpy(events, h->events, h->count * sizeof *events);
        *h = (struct history){events, h->count, capacity};
    }
    h->events[h->count++] = (struct history_event){
        .at = row->at_ms,
        .type = row->type,
        .state = json_get_str(&json, "state"),
        .reason = json_get_str(&json, "reason"),
        .attempt = json_get_i64(&json, "attempt", 0),
        .rank = json_get_i64(&json, "rank", 0),
        .limit = json_get_i64(&json, "limit_udollar_per_hour", 0),
        .rate = json_get_i64(&json, "rate_udollar_per_hour", 0),
        .amount = json_get_i64(&json, "amount_udollar", 0),
        .from = json_get_i64(&json, "from_ms", 0),
        .to = json_get_i64(&json, "to_ms", 0),
        .units_milli = json_get_i64(&json, "units_milli", 0),
        .value = json_get_i64(&json, "value", 0),
        .position = {row->seq, row->position},
    };
}

bool history_read(struct api_call *call, const struct core_view *view, const struct table_query *which, struct history *ret)
{
    struct table_query query = *which;
    query.table = TABLE_EVENT;
    *ret = (struct history){0};
    for (int pages = 0; pages < PAGES_MOST; pages++) {
        struct table_page page;
        if (!view_read(call, view, &query, &page))
            return false;
        const struct table_event *rows = page.rows;
        for (size_t i = 0; i < page.count; i++)
            event_add(call, ret, &rows[i]);
        if (!page.more || page.count == 0)
            break;
        query.after = (struct table_position){rows[page.count - 1].seq, rows[page.count - 1].position};
    }
    return true;
}
