/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the Mithril v2 API. */
#include "providers/seller.h"

#include "wire/json.h"

#include <errno.h>

#define CENT 10000
#define AMOUNT_MOST ((int64_t)1 << 20) /* of cores, GPUs, GB */
#define CENTS_MOST ((int64_t)1 << 40)

bool seller_name_valid(struct str text)
{
    bool valid = text.size > 0 && text.size <= SELLER_NAME_MOST && text.data[0] != '-' && text.data[0] != '.';
    for (size_t i = 0; valid && i < text.size; i++) {
        char c = text.data[i];
        valid = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    }
    return valid;
}

static int parse(struct str json, struct arena *arena, enum json_type type, struct json_value *ret, struct error *err)
{
    struct error inner = {0};
    if (json.size > SELLER_ANSWER_MOST)
        return error_set(err, -EPROTO, "the answer is too long");
    if (json_parse(json, arena, ret, &inner) < 0)
        return error_set(err, -EPROTO, "the answer is no JSON: %s", inner.text);
    return ret->type == type ? 0 : error_set(err, -EPROTO, "the answer is no %s", type == JSON_ARRAY ? "list" : "object");
}

/* Copied: the answer's own bytes go with the reply. */
static struct str name_of(const struct json_value *value, const char *key, struct arena *arena)
{
    struct str text = json_get_str(value, key);
    return seller_name_valid(text) ? arena_str(arena, text) : (struct str){0};
}

static int64_t amount_of(const struct json_value *value, const char *key, int64_t most)
{
    int64_t amount = json_get_i64(value, key, -1);
    return amount <= most ? amount : -1;
}

static int named_read(const struct json_value *list, struct str wanted, struct arena *arena, struct str *ret)
{
    for (size_t i = 0; i < list->count; i++) {
        struct str fid = name_of(&list->items[i], "fid", arena);
        if (fid.size && (wanted.size == 0 || str_equal(fid, wanted) || str_equal(json_get_str(&list->items[i], "name"), wanted))) {
            *ret = fid;
            return 1;
        }
    }
    *ret = (struct str){0};
    return 0;
}

int seller_project_read(struct str json, struct str wanted, struct arena *arena, struct str *ret, struct error *err)
{
    struct json_value list;
    int rc = parse(json, arena, JSON_ARRAY, &list, err);
    if (rc < 0)
        return rc;
    return named_read(&list, wanted, arena, ret) ? 0 : error_set(err, -ENOENT, "project: it knows none \"%.*s\"", STR_ARGS(wanted));
}

int seller_key_read(struct str json, struct str name, struct arena *arena, struct str *ret, struct error *err)
{
    struct json_value list;
    int rc = parse(json, arena, JSON_ARRAY, &list, err);
    if (rc == 0)
        named_read(&list, name, arena, ret);
    return rc;
}

int seller_fid_read(struct str json, struct arena *arena, struct str *ret, struct error *err)
{
    struct json_value made;
    int rc = parse(json, arena, JSON_OBJECT, &made, err);
    if (rc < 0)
        return rc;
    *ret = name_of(&made, "fid", arena);
    return ret->size ? 0 : error_set(err, -EPROTO, "fid: is missing");
}

static bool type_take(const struct json_value *type, struct arena *arena, struct seller_offer *o)
{
    o->name = name_of(type, "name", arena);
    o->gpu = name_of(type, "gpu_type", arena);
    o->gpus = MAX(amount_of(type, "num_gpus", AMOUNT_MOST), 0);
    o->cores = amount_of(type, "num_cpus", AMOUNT_MOST);
    o->memory_gb = amount_of(type, "ram_gb", AMOUNT_MOST);
    o->disk_gb = MAX(amount_of(type, "local_storage_gb", AMOUNT_MOST), 0);
    return o->name.size && o->cores > 0 && o->memory_gb > 0;
}

int seller_offers_read(struct str types, struct str board, struct arena *arena, struct seller_offers *ret, struct error *err)
{
    struct json_value known, shown;
    int rc = parse(types, arena, JSON_ARRAY, &known, err);
    if (rc == 0)
        rc = parse(board, arena, JSON_ARRAY, &shown, err);
    ret->count = 0;
    for (size_t i = 0; rc == 0 && i < shown.count && ret->count < SELLER_OFFERS_MOST; i++) {
        struct seller_offer o = {.price = -1, .winning = -1};
        const struct json_value *type = NULL;
        o.fid = name_of(&shown.items[i], "instance_type", arena);
        o.region = name_of(&shown.items[i], "region", arena);
        o.free = MAX(amount_of(&shown.items[i], "capacity", AMOUNT_MOST), 0);
        for (size_t k = 0; k < known.count && type == NULL; k++)
            if (o.fid.size && str_equal(json_get_str(&known.items[k], "fid"), o.fid))
                type = &known.items[k];
        if (type && o.region.size && type_take(type, arena, &o))
            ret->items[ret->count++] = o;
    }
    return rc;
}

int seller_price_read(struct str json, struct seller_offer *offer, struct error *err)
{
    _cleanup_(arena_fini) struct arena arena = {0};
    struct json_value price;
    int rc = parse(json, &arena, JSON_OBJECT, &price, err);
    if (rc < 0)
        return rc;
    int64_t posted = amount_of(&price, "spot_price_cents", CENTS_MOST), winning = amount_of(&price, "dynamic_win_price_cents", CENTS_MOST);
    offer->price = posted < 0 ? -1 : posted * CENT;
    offer->winning = winning < 0 ? -1 : winning * CENT;
    return 0;
}

static enum seller_status status_of(struct str text)
{
    static const struct {
        const char *name;
        enum seller_status status;
    } names[] = {{"Open", SELLER_OPEN}, {"Allocated", SELLER_ALLOCATED}, {"Preempting", SELLER_PREEMPTING}, {"Relocating", SELLER_PREEMPTING},
                 {"Paused", SELLER_PAUSED}, {"Terminated", SELLER_ENDED}};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (str_is(text, names[i].name))
            return names[i].status;
    return SELLER_OPEN; /* a word of tomorrow: it is there, and nothing more is known */
}

int seller_bids_read(struct str json, struct str name, struct arena *arena, struct seller_bid *ret, struct error *err)
{
    struct json_value page;
    int rc = parse(json, arena, JSON_OBJECT, &page, err);
    const struct json_value *list = rc == 0 ? json_get(&page, "data") : NULL;
    *ret = (struct seller_bid){0};
    if (rc == 0 && (list == NULL || list->type != JSON_ARRAY))
        return error_set(err, -EPROTO, "data: is missing");
    for (size_t i = 0; rc == 0 && i < list->count; i++) {
        const struct json_value *bid = &list->items[i];
        struct seller_bid found = {name_of(bid, "fid", arena), status_of(json_get_str(bid, "status"))};
        if (!found.fid.size || !str_equal(json_get_str(bid, "name"), name))
            continue;
        if (ret->status == SELLER_NONE || ret->status == SELLER_ENDED)
            *ret = found;
    }
    return rc;
}
