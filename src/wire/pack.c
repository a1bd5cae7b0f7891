/* SPDX-License-Identifier: Apache-2.0 */
/* The binary codec of the journal. A record is its number of fields and then each field in table
 * order; a reader takes fewer fields than it knows as defaults, and more as an error. */
#include "wire/record.h"

#include <errno.h>
#include <string.h>

static void pack_field(const struct field *f, const char *at, struct buf *out);

static size_t list_item_size(const struct field *f)
{
    return f->item == FIELD_RECORD ? f->record->size : f->item == FIELD_STR ? sizeof(struct str) : sizeof(int64_t);
}

static void pack_list(const struct field *f, const struct record_list *list, struct buf *out)
{
    const char *items = list->items;
    struct field item = {.type = f->item, .record = f->record};
    pack_u64(out, list->count);
    for (size_t i = 0; i < list->count; i++)
        pack_field(&item, items + i * list_item_size(f), out);
}

static void pack_field(const struct field *f, const char *at, struct buf *out)
{
    switch (f->type) {
    case FIELD_BOOL:
        pack_u64(out, *(const bool *)at);
        break;
    case FIELD_I64:
        pack_i64(out, *(const int64_t *)(const void *)at);
        break;
    case FIELD_ENUM:
        pack_i64(out, *(const int32_t *)(const void *)at);
        break;
    case FIELD_STR:
    case FIELD_BYTES:
    case FIELD_JSON:
        pack_str(out, *(const struct str *)(const void *)at);
        break;
    case FIELD_RECORD:
        record_pack(f->record, at, out);
        break;
    case FIELD_LIST:
        pack_list(f, (const struct record_list *)(const void *)at, out);
        break;
    case FIELD_MAP: {
        const struct record_list *list = (const struct record_list *)(const void *)at;
        const struct record_pair *pairs = list->items;
        pack_u64(out, list->count);
        for (size_t i = 0; i < list->count; i++) {
            pack_str(out, pairs[i].key);
            pack_str(out, pairs[i].value);
        }
        break;
    }
    }
}

void record_pack(const struct record *record, const void *value, struct buf *out)
{
    pack_u64(out, record->count);
    for (size_t i = 0; i < record->count; i++) {
        const struct field *f = &record->fields[i];
        if (f->flags & FIELD_PRESENT)
            pack_u64(out, *((const bool *)value + f->present_offset));
        pack_field(f, (const char *)value + f->offset, out);
    }
}

static int unpack_field(const struct field *f, struct unpack *in, struct arena *arena, char *at,
                        struct error *err);

static int unpack_list(const struct field *f, struct unpack *in, struct arena *arena,
                       struct record_list *ret, struct error *err)
{
    bool map = f->type == FIELD_MAP;
    size_t count = unpack_count(in, map ? 2 : 1);
    size_t size = map ? sizeof(struct record_pair) : list_item_size(f);
    struct field item = {.name = f->name, .type = f->item, .record = f->record};
    if (count == 0)
        return 0;
    char *items = arena_alloc(arena, count * size);
    if (items == NULL)
        return error_set(err, -E2BIG, "%s: too long", f->name);
    *ret = (struct record_list){items, count};
    for (size_t i = 0; i < count; i++) {
        if (map) {
            struct record_pair *pair = (struct record_pair *)(void *)(items + i * size);
            pair->key = unpack_str(in);
            pair->value = unpack_str(in);
            continue;
        }
        int r = unpack_field(&item, in, arena, items + i * size, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int unpack_enum(const struct field *f, struct unpack *in, int32_t *ret)
{
    int64_t value = unpack_i64(in), count = 0;
    while (f->names && f->names[count])
        count++;
    if (value < 0 || (f->names && value >= count))
        in->bad = true;
    else
        *ret = (int32_t)value;
    return 0;
}

static int unpack_field(const struct field *f, struct unpack *in, struct arena *arena, char *at,
                        struct error *err)
{
    switch (f->type) {
    case FIELD_BOOL:
        *(bool *)at = unpack_u64(in) != 0;
        return 0;
    case FIELD_I64:
        *(int64_t *)(void *)at = unpack_i64(in);
        return 0;
    case FIELD_ENUM:
        return unpack_enum(f, in, (int32_t *)(void *)at);
    case FIELD_STR:
    case FIELD_BYTES:
    case FIELD_JSON:
        *(struct str *)(void *)at = unpack_str(in);
        return 0;
    case FIELD_RECORD:
        return record_unpack(f->record, in, arena, at, err);
    case FIELD_LIST:
    case FIELD_MAP:
        return unpack_list(f, in, arena, (struct record_list *)(void *)at, err);
    }
    return -EINVAL;
}

int record_unpack(const struct record *record, struct unpack *in, struct arena *arena, void *ret,
                  struct error *err)
{
    record_defaults(record, ret);
    uint64_t count = unpack_u64(in);
    if (count > record->count)
        return error_set(err, -EINVAL, "%s: written by a newer version", record->name);
    for (size_t i = 0; i < count && !in->bad; i++) {
        const struct field *f = &record->fields[i];
        if (f->flags & FIELD_PRESENT)
            *((bool *)ret + f->present_offset) = unpack_u64(in) != 0;
        int r = unpack_field(f, in, arena, (char *)ret + f->offset, err);
        if (r < 0)
            return r;
    }
    return in->bad ? error_set(err, -EINVAL, "%s: damaged bytes", record->name) : 0;
}
