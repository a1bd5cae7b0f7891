/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/book.h"

#include "base/memory.h"
#include "wire/json.h"

#include <errno.h>
#include <string.h>

#define FORMAT 1

void book_fini(struct book *b)
{
    for (size_t i = 0; i < b->count; i++) {
        explicit_bzero(b->providers[i]->key, sizeof b->providers[i]->key);
        xfree(b->providers[i]);
    }
    b->count = 0;
}

struct provider *book_find(const struct book *b, struct str name)
{
    for (size_t i = 0; i < b->count; i++)
        if (str_is(name, b->providers[i]->name))
            return b->providers[i];
    return NULL;
}

void order_remove(struct provider *p, size_t index)
{
    p->order_count--;
    memmove(&p->orders[index], &p->orders[index + 1], (p->order_count - index) * sizeof *p->orders);
}

/* ---- written ---- */

static void text_write(struct buf *out, const char *key, const char *value)
{
    json_key(out, key);
    json_text(out, value);
}

static void number_write(struct buf *out, const char *key, int64_t value)
{
    json_key(out, key);
    json_integer(out, value);
}

static void flag_write(struct buf *out, const char *key, bool value)
{
    json_key(out, key);
    json_bool(out, value);
}

static void order_write(struct buf *out, const struct order *o)
{
    json_open(out, '{');
    text_write(out, "name", o->name);
    text_write(out, "type", o->type);
    text_write(out, "sku", o->sku);
    text_write(out, "region", o->region);
    text_write(out, "bid", o->bid);
    number_write(out, "state", o->state);
    number_write(out, "limit", o->limit);
    number_write(out, "price", o->price);
    number_write(out, "units_milli", o->units_milli);
    number_write(out, "cores", o->cores);
    number_write(out, "gpus", o->gpus);
    number_write(out, "memory_mib", o->memory_mib);
    number_write(out, "disk_mib", o->disk_mib);
    number_write(out, "created", o->created);
    flag_write(out, "used", o->used);
    flag_write(out, "drained", o->drained);
    json_close(out, '}');
}

static void provider_write(struct buf *out, const struct provider *p)
{
    json_open(out, '{');
    text_write(out, "name", p->name);
    text_write(out, "url", p->url);
    text_write(out, "key", p->key);
    text_write(out, "pin", p->pin);
    text_write(out, "project_wanted", p->project_wanted);
    text_write(out, "project", p->project);
    text_write(out, "ssh_key", p->ssh_key);
    flag_write(out, "insecure", p->insecure);
    flag_write(out, "leaving", p->leaving);
    number_write(out, "margin_permille", p->margin_permille);
    number_write(out, "most", p->most);
    number_write(out, "idle_ms", p->idle_ms);
    number_write(out, "poll_ms", p->poll_ms);
    json_key(out, "orders");
    json_open(out, '[');
    for (size_t i = 0; i < p->order_count; i++)
        order_write(out, &p->orders[i]);
    json_close(out, ']');
    json_close(out, '}');
}

void book_write(const struct book *b, struct buf *out)
{
    json_open(out, '{');
    number_write(out, "format", FORMAT);
    json_key(out, "providers");
    json_open(out, '[');
    for (size_t i = 0; i < b->count; i++)
        provider_write(out, b->providers[i]);
    json_close(out, ']');
    json_close(out, '}');
    buf_append_byte(out, '\n');
}

/* ---- read ---- */

struct reading {
    const struct json_value *object;
    const char *problem; /* the first member that is not there, or not as it was written */
};

static void text_read(struct reading *r, const char *key, char *ret, size_t size)
{
    const struct json_value *value = json_get(r->object, key);
    if (value && value->type == JSON_STRING && value->text.size < size) {
        if (value->text.size)
            memcpy(ret, value->text.data, value->text.size);
        ret[value->text.size] = '\0';
    } else if (r->problem == NULL) {
        r->problem = key;
    }
}

static int64_t number_read(struct reading *r, const char *key, int64_t least, int64_t most)
{
    const struct json_value *value = json_get(r->object, key);
    if (value && value->type == JSON_NUMBER && value->is_integer && value->integer >= least && value->integer <= most)
        return value->integer;
    if (r->problem == NULL)
        r->problem = key;
    return least;
}

#define TEXT_READ(reading, to, member) text_read(reading, #member, (to)->member, sizeof(to)->member)
#define MONEY_MOST ((int64_t)1 << 50)
#define AMOUNT_MOST ((int64_t)1 << 40)

static const char *order_read(const struct json_value *value, struct order *o)
{
    struct reading r = {.object = value};
    TEXT_READ(&r, o, name);
    TEXT_READ(&r, o, type);
    TEXT_READ(&r, o, sku);
    TEXT_READ(&r, o, region);
    TEXT_READ(&r, o, bid);
    o->state = (enum order_state)number_read(&r, "state", ORDER_WANTED, ORDER_ENDING);
    o->limit = number_read(&r, "limit", 0, MONEY_MOST);
    o->price = number_read(&r, "price", 0, MONEY_MOST);
    o->units_milli = number_read(&r, "units_milli", 1, AMOUNT_MOST);
    o->cores = number_read(&r, "cores", 1, AMOUNT_MOST);
    o->gpus = number_read(&r, "gpus", 0, AMOUNT_MOST);
    o->memory_mib = number_read(&r, "memory_mib", 1, AMOUNT_MOST);
    o->disk_mib = number_read(&r, "disk_mib", 0, AMOUNT_MOST);
    o->created = number_read(&r, "created", 0, INT64_MAX);
    o->used = json_get_bool(value, "used");
    o->drained = json_get_bool(value, "drained");
    return r.problem;
}

static const char *provider_read(const struct json_value *value, struct provider *p)
{
    struct reading r = {.object = value};
    const struct json_value *orders = json_get(value, "orders");
    TEXT_READ(&r, p, name);
    TEXT_READ(&r, p, url);
    TEXT_READ(&r, p, key);
    TEXT_READ(&r, p, pin);
    TEXT_READ(&r, p, project_wanted);
    TEXT_READ(&r, p, project);
    TEXT_READ(&r, p, ssh_key);
    p->insecure = json_get_bool(value, "insecure");
    p->leaving = json_get_bool(value, "leaving");
    p->margin_permille = number_read(&r, "margin_permille", 0, 1000000);
    p->most = number_read(&r, "most", 1, BOOK_ORDERS_MOST);
    p->idle_ms = number_read(&r, "idle_ms", 0, 24 * HOUR_MS);
    p->poll_ms = number_read(&r, "poll_ms", 1, HOUR_MS);
    if (orders == NULL || orders->type != JSON_ARRAY || orders->count > BOOK_ORDERS_MOST)
        return "orders";
    for (size_t i = 0; r.problem == NULL && i < orders->count; i++)
        r.problem = order_read(&orders->items[i], &p->orders[p->order_count++]);
    return r.problem;
}

int book_read(struct str text, struct book *ret, struct error *err)
{
    _cleanup_(arena_fini) struct arena arena = {0};
    struct json_value whole;
    const char *problem = NULL;
    *ret = (struct book){0};
    int rc = json_parse(text, &arena, &whole, err);
    if (rc < 0)
        return rc;
    const struct json_value *list = json_get(&whole, "providers");
    if (json_get_i64(&whole, "format", 0) != FORMAT)
        problem = "format";
    else if (list == NULL || list->type != JSON_ARRAY || list->count > BOOK_PROVIDERS_MOST)
        problem = "providers";
    for (size_t i = 0; problem == NULL && i < list->count; i++) {
        struct provider *p = ret->providers[ret->count++] = xcalloc(1, sizeof *p);
        problem = provider_read(&list->items[i], p);
    }
    if (problem == NULL)
        return 0;
    book_fini(ret);
    return error_set(err, -EINVAL, "%s: is missing or not as it was written", problem);
}
