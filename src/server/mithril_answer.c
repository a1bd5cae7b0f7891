/* SPDX-License-Identifier: Apache-2.0 */
/* What all answers and requests of the Mithril API share. */
#include "server/mithril.h"

#include "base/sort.h"
#include "wire/unit.h"

/* ---- members ---- */

void member_text(struct buf *out, const char *key, struct str text)
{
    json_key(out, key);
    json_string(out, text);
}

void member_null(struct buf *out, const char *key)
{
    json_key(out, key);
    json_null(out);
}

void member_text_or_null(struct buf *out, const char *key, struct str text)
{
    if (text.size)
        member_text(out, key, text);
    else
        member_null(out, key);
}

void member_integer(struct buf *out, const char *key, int64_t value)
{
    json_key(out, key);
    json_integer(out, value);
}

void member_bool(struct buf *out, const char *key, bool value)
{
    json_key(out, key);
    json_bool(out, value);
}

void member_time(struct buf *out, const char *key, time_ms time)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    if (time > 0)
        time_print(&text, time);
    member_text_or_null(out, key, buf_str(&text));
}

void member_id(struct buf *out, const struct render *r, const char *key, const char *prefix, uint64_t id)
{
    struct id_text text = id_format(r->ids, prefix, id);
    member_text_or_null(out, key, id ? str_from(text.text) : (struct str){0});
}

int64_t cents_up(udollar amount)
{
    return div_ceil(amount, 10000);
}

/* What is charged or asked is never negative. */
static void money_append_cents(struct buf *out, udollar amount)
{
    uint64_t cents = (uint64_t)MAX(cents_up(amount), 0);
    buf_append_byte(out, '$');
    buf_append_number(out, cents / 100, 1);
    buf_append_byte(out, '.');
    buf_append_number(out, cents % 100, 2);
}

struct str money_text(struct arena *arena, udollar amount)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    money_append_cents(&text, amount);
    return arena_str(arena, buf_str(&text));
}

void member_money(struct buf *out, const char *key, udollar amount)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    money_append_cents(&text, amount);
    member_text(out, key, buf_str(&text));
}

void member_cents(struct buf *out, const char *key, udollar amount)
{
    if (amount < 0)
        member_null(out, key);
    else
        member_integer(out, key, cents_up(amount));
}

void member_texts(struct buf *out, const char *key, const struct record_list *texts)
{
    json_key(out, key);
    json_open(out, '[');
    for (size_t i = 0; i < texts->count; i++)
        json_string(out, ((const struct str *)texts->items)[i]);
    json_close(out, ']');
}

void mithril_answer(struct api_call *call, int status, const struct buf *out)
{
    if (out->overflow) {
        call_refuse(call, 503, NULL, "the answer is too large; ask for less of it");
        return;
    }
    call_respond(call, (struct http_response){.status = status, .content_type = STR("application/json"), .body = buf_str(out)});
}

void mithril_answer_empty(struct api_call *call)
{
    call_respond(call, (struct http_response){.status = 204});
}

/* ---- what a request says ---- */

engine_id mithril_project(struct api_call *call, struct str text)
{
    engine_id project = core_project(call->api->core, text);
    if (project && call_sees(call, project))
        return project;
    call_refuse(call, 404, NULL, "project not found");
    return 0;
}

engine_id mithril_project_needed(struct api_call *call)
{
    struct str text = http_request_query(call->request, "project");
    if (text.size)
        return mithril_project(call, text);
    call_refuse(call, 400, "project", "is missing");
    return 0;
}

bool mithril_project_wanted(struct api_call *call, engine_id *ret)
{
    struct str text = http_request_query(call->request, "project");
    *ret = text.size ? mithril_project(call, text) : call->who.project;
    return !text.size || *ret;
}

/* A plus that was not encoded reads as a space. */
static bool time_of(struct api_call *call, struct str text, time_ms *ret)
{
    char *copy = call_alloc(call, text.size + 1);
    memcpy(copy, text.data, text.size);
    for (size_t i = 11; i < text.size; i++)
        if (copy[i] == ' ')
            copy[i] = '+';
    return time_parse((struct str){copy, text.size}, ret);
}

bool mithril_body_time(struct api_call *call, const char *field, struct str text, time_ms *ret)
{
    if (time_of(call, text, ret))
        return true;
    call_refuse(call, 400, field, "\"%.*s\" is no time, allowed is RFC 3339, as 2026-11-24T17:00:00Z", (int)MIN(text.size, 40), text.data);
    return false;
}

bool mithril_time(struct api_call *call, const char *parameter, bool needed, time_ms *ret)
{
    struct str text = http_request_query(call->request, parameter);
    if (text.size)
        return mithril_body_time(call, parameter, text, ret);
    if (needed)
        call_refuse(call, 400, parameter, "is missing");
    return !needed;
}

bool mithril_flag(struct api_call *call, const char *field, struct str text, int *ret)
{
    *ret = str_is(text, "true") ? 1 : str_is(text, "false") ? 0 : -1;
    if (*ret >= 0 || text.size == 0 || str_is(text, "null"))
        return true;
    call_refuse(call, 400, field, "allowed are true and false");
    return false;
}

bool filter_passes(const struct api_call *call, const char *parameter, struct str text)
{
    bool any = false;
    for (size_t i = 0; i < call->request->query_count; i++) {
        struct str rest = call->request->query[i].value;
        if (!str_is(call->request->query[i].name, parameter))
            continue;
        while (rest.size) {
            any = true;
            if (str_equal(str_trim(str_cut(&rest, ',')), text))
                return true;
        }
    }
    return !any;
}

uint64_t mithril_path_id(struct api_call *call, const char *prefix, const char *what)
{
    uint64_t id;
    if (id_parse(call->api->ids, prefix, call->name, &id) && id)
        return id;
    call_refuse(call, 404, NULL, "%s not found", what);
    return 0;
}

bool mithril_admin(const struct api_call *call)
{
    return call->who.role == ROLE_ADMIN || call->who.role == ROLE_OPERATOR;
}

/* ---- pages ---- */

bool page_open(struct api_call *call, const char *prefix, struct page *ret)
{
    struct str direction = http_request_query(call->request, "sort_dir"), cursor = http_request_query(call->request, "next_cursor");
    *ret = (struct page){.limit = PAGE_MOST, .ascending = str_is(direction, "asc")};
    if (direction.size && !ret->ascending && !str_is(direction, "desc")) {
        call_refuse(call, 400, "sort_dir", "allowed are asc and desc");
        return false;
    }
    if (cursor.size && !id_parse(call->api->ids, prefix, cursor, &ret->cursor)) {
        call_refuse(call, 400, "next_cursor", "not one that an answer gave");
        return false;
    }
    return call_number(call, "limit", &ret->limit, 1, PAGE_MOST);
}

static bool page_shown(const struct page *p, uint64_t id)
{
    return p->by_id && p->cursor && (p->ascending ? id <= p->cursor : id >= p->cursor);
}

bool page_full(const struct page *p)
{
    return p->by_id && !p->ascending && p->count > (size_t)p->limit;
}

void page_add(struct page *p, struct arena *arena, uint64_t id, int64_t rank)
{
    if (page_shown(p, id))
        return;
    if (p->count == p->capacity) {
        size_t capacity = p->capacity ? p->capacity * 2 : 64;
        uint64_t *ids = arena_alloc(arena, capacity * sizeof *ids);
        int64_t *ranks = arena_alloc(arena, capacity * sizeof *ranks);
        CHECK(ids && ranks);
        if (p->count) {
            memcpy(ids, p->ids, p->count * sizeof *ids);
            memcpy(ranks, p->ranks, p->count * sizeof *ranks);
        }
        p->ids = ids;
        p->ranks = ranks;
        p->capacity = capacity;
    }
    p->ids[p->count] = id;
    p->ranks[p->count++] = rank;
}

struct row {
    int64_t rank;
    uint64_t id;
};

static int row_compare(const void *x, const void *y, const void *context)
{
    const struct row *a = x, *b = y;
    const struct page *p = context;
    int c = COMPARE(a->rank, b->rank);
    c = c ? c : COMPARE(a->id, b->id);
    return p->ascending ? c : -c;
}

/* Behind the cursor; where that one has left the list, behind the place that it had by its id. */
static size_t page_first(const struct page *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->ids[i] == p->cursor)
            return i + 1;
    size_t at = 0;
    while (at < p->count && (p->ascending ? p->ids[at] < p->cursor : p->ids[at] > p->cursor))
        at++;
    return at;
}

uint64_t page_cut(struct page *p, size_t *first, size_t *end)
{
    struct row *rows = xcalloc(p->count + 1, sizeof *rows);
    for (size_t i = 0; i < p->count; i++)
        rows[i] = (struct row){p->ranks[i], p->ids[i]};
    sort(rows, p->count, sizeof *rows, row_compare, p);
    for (size_t i = 0; i < p->count; i++) {
        p->ids[i] = rows[i].id;
        p->ranks[i] = rows[i].rank;
    }
    xfree(rows);
    *first = p->cursor ? page_first(p) : 0;
    *end = MIN(p->count, *first + (size_t)p->limit);
    return *end < p->count && *end ? p->ids[*end - 1] : 0;
}

void member_cursor(struct buf *out, const struct render *r, const char *prefix, uint64_t cursor)
{
    member_id(out, r, "next_cursor", prefix, cursor);
}
