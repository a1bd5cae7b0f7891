/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/record.h"

#include "base/memory.h"
#include "wire/base64.h"
#include "wire/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MOST_DEFAULT (64 * 1024)
#define ITEMS_MOST_DEFAULT 1000

/* Where the decoder stands, for the path in an error message. */
struct path {
    const struct path *parent;
    const char *name; /* NULL: an element */
    size_t index;
};

struct decode {
    struct json_scan scan;
    struct error *err;
    bool loose; /* unknown members are skipped */
};

static void path_write(const struct path *path, struct buf *out)
{
    if (path == NULL)
        return;
    path_write(path->parent, out);
    if (path->name == NULL)
        buf_printf(out, "[%zu]", path->index);
    else
        buf_printf(out, "%s%s", out->size ? "." : "", path->name);
}

static int refuse(struct decode *d, const struct path *path, const char *what)
{
    _cleanup_buf_ struct buf where = BUF_INIT(256);
    path_write(path, &where);
    return error_set(d->err, -EINVAL, "%s%s%s", buf_text(&where), where.size ? ": " : "", what);
}

static int refuse_scan(struct decode *d, const struct path *path)
{
    return refuse(d, path, d->scan.problem ? d->scan.problem : "not JSON");
}

static int decode_record(struct decode *d, const struct record *record, const struct path *path,
                         void *ret, unsigned depth);

static int decode_integer(struct decode *d, const struct field *f, const struct path *path, int64_t *ret)
{
    char text[160];
    if (!json_scan_integer(&d->scan, ret))
        return refuse_scan(d, path);
    if ((f->least || f->most) && (*ret < f->least || *ret > f->most)) {
        snprintf(text, sizeof text, "%lld is out of range, allowed is %lld to %lld", (long long)*ret,
                 (long long)f->least, (long long)f->most);
        return refuse(d, path, text);
    }
    return 0;
}

static int check_length(struct decode *d, const struct field *f, const struct path *path, size_t size,
                        int64_t fallback)
{
    char text[96];
    int64_t most = f->most ? f->most : fallback;
    if (size <= (size_t)most)
        return 0;
    snprintf(text, sizeof text, "too long, at most %lld are allowed", (long long)most);
    return refuse(d, path, text);
}

static int decode_string(struct decode *d, const struct field *f, const struct path *path, struct str *ret)
{
    if (!json_scan_string(&d->scan, ret))
        return refuse_scan(d, path);
    return check_length(d, f, path, ret->size, TEXT_MOST_DEFAULT);
}

static int decode_bytes(struct decode *d, const struct field *f, const struct path *path, struct str *ret)
{
    struct str text;
    if (!json_scan_string(&d->scan, &text))
        return refuse_scan(d, path);
    if (!base64_decode(text, d->scan.arena, ret))
        return refuse(d, path, "not base64");
    return check_length(d, f, path, ret->size, TEXT_MOST_DEFAULT);
}

static int decode_enum(struct decode *d, const struct field *f, const struct path *path, int32_t *ret)
{
    struct str text;
    if (!json_scan_string(&d->scan, &text))
        return refuse_scan(d, path);
    for (int32_t i = 0; f->names[i]; i++)
        if (str_is(text, f->names[i])) {
            *ret = i;
            return 0;
        }
    _cleanup_buf_ struct buf what = BUF_INIT(400);
    buf_printf(&what, "\"%.*s\" is unknown, allowed is", (int)MIN(text.size, 40), text.data);
    for (int32_t i = 0; f->names[i]; i++)
        buf_printf(&what, "%s %s", i ? "," : "", f->names[i]);
    return refuse(d, path, buf_text(&what));
}

static int decode_pairs(struct decode *d, const struct field *f, const struct path *path,
                        struct record_list *ret)
{
    struct record_pair *pairs = NULL;
    size_t count = 0, capacity = 0;
    int r = json_take(&d->scan, '{') ? 0 : refuse(d, path, "expected an object");
    if (r == 0 && !json_take(&d->scan, '}')) {
        do {
            ARRAY_RESERVE(pairs, count, capacity);
            struct record_pair *pair = &pairs[count++];
            if (!json_scan_string(&d->scan, &pair->key) || !json_take(&d->scan, ':'))
                r = refuse(d, path, "expected a name and a value");
            struct path member = {path, NULL, count - 1};
            if (r == 0 && !json_scan_string(&d->scan, &pair->value))
                r = refuse_scan(d, &member);
        } while (r == 0 && json_take(&d->scan, ','));
        if (r == 0 && !json_take(&d->scan, '}'))
            r = refuse(d, path, "expected a comma or the end");
    }
    if (r == 0)
        r = check_length(d, f, path, count, ITEMS_MOST_DEFAULT);
    if (r == 0 && count) {
        *ret = (struct record_list){arena_alloc(d->scan.arena, count * sizeof *pairs), count};
        if (ret->items == NULL)
            r = refuse(d, path, "too much text");
        else
            memcpy(ret->items, pairs, count * sizeof *pairs);
    }
    xfree(pairs);
    return r;
}

static size_t item_size(const struct field *f)
{
    return f->item == FIELD_RECORD ? f->record->size : f->item == FIELD_STR ? sizeof(struct str) : sizeof(int64_t);
}

static int decode_item(struct decode *d, const struct field *f, const struct path *path, void *ret,
                       unsigned depth)
{
    struct field single = {.least = f->item == FIELD_I64 ? f->least : 0};
    if (f->item == FIELD_RECORD)
        return decode_record(d, f->record, path, ret, depth + 1);
    if (f->item == FIELD_STR)
        return decode_string(d, &single, path, ret);
    return decode_integer(d, &single, path, ret);
}

static int decode_list(struct decode *d, const struct field *f, const struct path *path,
                       struct record_list *ret, unsigned depth)
{
    size_t size = item_size(f), count = 0, capacity = 0, most = (size_t)(f->most ? f->most : ITEMS_MOST_DEFAULT);
    char *items = NULL;
    int r = json_take(&d->scan, '[') ? 0 : refuse(d, path, "expected a list");
    if (r == 0 && !json_take(&d->scan, ']')) {
        do {
            if (count == capacity) {
                capacity = capacity ? capacity * 2 : 4;
                items = xrealloc(items, capacity, size);
            }
            struct path element = {path, NULL, count};
            memset(items + count * size, 0, size);
            r = count >= most ? check_length(d, f, path, count + 1, (int64_t)most)
                              : decode_item(d, f, &element, items + count * size, depth);
            count++;
        } while (r == 0 && json_take(&d->scan, ','));
        if (r == 0 && !json_take(&d->scan, ']'))
            r = refuse(d, path, "expected a comma or the end");
    }
    if (r == 0 && count) {
        *ret = (struct record_list){arena_alloc(d->scan.arena, count * size), count};
        if (ret->items == NULL)
            r = refuse(d, path, "too much text");
        else
            memcpy(ret->items, items, count * size);
    }
    xfree(items);
    return r;
}

static int decode_field(struct decode *d, const struct field *f, const struct path *path, char *at,
                        unsigned depth)
{
    switch (f->type) {
    case FIELD_BOOL:
        return json_scan_bool(&d->scan, (bool *)at) ? 0 : refuse_scan(d, path);
    case FIELD_I64:
        return decode_integer(d, f, path, (int64_t *)(void *)at);
    case FIELD_STR:
        return decode_string(d, f, path, (struct str *)(void *)at);
    case FIELD_BYTES:
        return decode_bytes(d, f, path, (struct str *)(void *)at);
    case FIELD_ENUM:
        return decode_enum(d, f, path, (int32_t *)(void *)at);
    case FIELD_RECORD:
        return decode_record(d, f->record, path, at, depth + 1);
    case FIELD_LIST:
        return decode_list(d, f, path, (struct record_list *)(void *)at, depth);
    case FIELD_MAP:
        return decode_pairs(d, f, path, (struct record_list *)(void *)at);
    case FIELD_JSON:
        return json_scan_any(&d->scan, (struct str *)(void *)at, depth) ? 0 : refuse_scan(d, path);
    }
    CHECK(!"field type");
    return -EINVAL;
}

/* Fields mostly come in the order of the table: look at the next one first. */
static const struct field *find_field(const struct record *record, struct str name, size_t *next)
{
    for (size_t i = 0; i < record->count; i++) {
        size_t at = *next + i < record->count ? *next + i : *next + i - record->count;
        const char *known = record->fields[at].name;
        if (strncmp(known, name.data, name.size) == 0 && known[name.size] == '\0') {
            *next = at + 1 < record->count ? at + 1 : 0;
            return &record->fields[at];
        }
    }
    return NULL;
}

static int refuse_unknown(struct decode *d, const struct record *record, const struct path *path,
                          struct str name)
{
    char text[41];
    snprintf(text, sizeof text, "%.*s", (int)MIN(name.size, sizeof text - 1), name.data);
    struct path unknown = {.parent = path, .name = text};
    _cleanup_buf_ struct buf what = BUF_INIT(420);
    buf_append_text(&what, "unknown field, allowed is");
    for (size_t i = 0; i < record->count; i++)
        if (!(record->fields[i].flags & FIELD_OUTPUT))
            buf_printf(&what, " %s", record->fields[i].name);
    return refuse(d, &unknown, buf_text(&what));
}

void record_defaults(const struct record *record, void *ret)
{
    memset(ret, 0, record->size);
    for (size_t i = 0; i < record->count; i++) {
        const struct field *f = &record->fields[i];
        char *at = (char *)ret + f->offset;
        if (f->fallback == 0)
            continue;
        if (f->type == FIELD_I64)
            *(int64_t *)(void *)at = f->fallback;
        else if (f->type == FIELD_ENUM)
            *(int32_t *)(void *)at = (int32_t)f->fallback;
        else if (f->type == FIELD_BOOL)
            *(bool *)at = true;
    }
}

static int check_required(struct decode *d, const struct record *record, const struct path *path,
                          uint64_t seen)
{
    for (size_t i = 0; i < record->count; i++)
        if ((record->fields[i].flags & FIELD_REQUIRED) && !(seen & (uint64_t)1 << i)) {
            struct path member = {path, record->fields[i].name, 0};
            return refuse(d, &member, "is missing");
        }
    return 0;
}

/* Which fields of a record were seen, where the next is expected, how deep it stands. */
struct seen {
    uint64_t mask;
    size_t next;
    unsigned depth;
};

static int decode_member(struct decode *d, const struct record *record, const struct path *path,
                         char *ret, struct seen *seen)
{
    struct str name;
    if (!json_scan_string(&d->scan, &name) || !json_take(&d->scan, ':'))
        return d->scan.problem ? refuse_scan(d, path) : refuse(d, path, "expected a colon");
    const struct field *f = find_field(record, name, &seen->next);
    struct str skipped;
    if (d->loose && f == NULL)
        return json_scan_any(&d->scan, &skipped, seen->depth) ? 0 : refuse_scan(d, path);
    if (f == NULL || (f->flags & FIELD_OUTPUT))
        return refuse_unknown(d, record, path, name);
    uint64_t bit = (uint64_t)1 << (f - record->fields);
    struct path member = {path, f->name, 0};
    if (seen->mask & bit)
        return refuse(d, &member, "stands twice");
    seen->mask |= bit;
    if (json_scan_null(&d->scan))
        return f->flags & FIELD_REQUIRED ? refuse(d, &member, "is missing") : 0;
    if (f->flags & FIELD_PRESENT)
        *(bool *)(ret + f->present_offset) = true;
    return decode_field(d, f, &member, ret + f->offset, seen->depth);
}

static int decode_record(struct decode *d, const struct record *record, const struct path *path,
                         void *ret, unsigned depth)
{
    CHECK(record->count <= 64);
    struct seen seen = {.depth = depth};
    record_defaults(record, ret);
    if (depth > RECORD_DEPTH_MAX)
        return refuse(d, path, "nested too deeply");
    if (!json_take(&d->scan, '{'))
        return refuse(d, path, "expected an object");
    if (!json_take(&d->scan, '}')) {
        do {
            int r = decode_member(d, record, path, ret, &seen);
            if (r < 0)
                return r;
        } while (json_take(&d->scan, ','));
        if (!json_take(&d->scan, '}'))
            return refuse(d, path, "expected a comma or the end");
    }
    return check_required(d, record, path, seen.mask);
}

static int decode_text(struct decode *d, const struct record *record, void *ret)
{
    int r = decode_record(d, record, NULL, ret, 0);
    json_skip_space(&d->scan);
    if (r == 0 && d->scan.at != d->scan.end)
        r = refuse(d, NULL, "text follows the object");
    return r;
}

int record_from_json(const struct record *record, struct str text, struct arena *arena, void *ret,
                     struct error *err)
{
    struct decode d = {.scan = {text.data, text.data + text.size, arena, NULL}, .err = err};
    return decode_text(&d, record, ret);
}

int record_from_json_loose(const struct record *record, struct str text, struct arena *arena, void *ret,
                           struct error *err)
{
    struct decode d = {.scan = {text.data, text.data + text.size, arena, NULL}, .err = err, .loose = true};
    return decode_text(&d, record, ret);
}

/* ---- to JSON -------------------------------------------------------------------------------------- */

static bool is_empty(const struct field *f, const char *at);

static bool record_is_empty(const struct record *record, const char *value)
{
    for (size_t i = 0; i < record->count; i++)
        if (!is_empty(&record->fields[i], value + record->fields[i].offset))
            return false;
    return true;
}

static bool is_empty(const struct field *f, const char *at)
{
    switch (f->type) {
    case FIELD_BOOL:
        return !*(const bool *)at;
    case FIELD_I64:
        return *(const int64_t *)(const void *)at == 0;
    case FIELD_ENUM:
        return *(const int32_t *)(const void *)at == 0;
    case FIELD_STR:
    case FIELD_BYTES:
    case FIELD_JSON:
        return ((const struct str *)(const void *)at)->size == 0;
    case FIELD_LIST:
    case FIELD_MAP:
        return ((const struct record_list *)(const void *)at)->count == 0;
    case FIELD_RECORD:
        return record_is_empty(f->record, at);
    }
    return false;
}

static void encode_list(const struct field *f, const struct record_list *list,
                        enum record_audience audience, struct buf *out)
{
    const char *items = list->items;
    json_open(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        const char *item = items + i * item_size(f);
        if (f->item == FIELD_RECORD)
            record_to_json(f->record, item, audience, out);
        else if (f->item == FIELD_STR)
            json_string(out, *(const struct str *)(const void *)item);
        else
            json_integer(out, *(const int64_t *)(const void *)item);
    }
    json_close(out, ']');
}

static void encode_pairs(const struct record_list *list, struct buf *out)
{
    const struct record_pair *pairs = list->items;
    json_open(out, '{');
    for (size_t i = 0; i < list->count; i++) {
        json_string(out, pairs[i].key);
        buf_append_byte(out, ':');
        json_string(out, pairs[i].value);
    }
    json_close(out, '}');
}

static void encode_enum(const struct field *f, int32_t value, struct buf *out)
{
    for (int32_t i = 0; i <= value; i++)
        CHECK(value >= 0 && f->names[i] != NULL);
    json_text(out, f->names[value]);
}

static void encode_field(const struct field *f, const char *at, enum record_audience audience,
                         struct buf *out)
{
    const struct str *text = (const struct str *)(const void *)at;
    switch (f->type) {
    case FIELD_BOOL:
        json_bool(out, *(const bool *)at);
        break;
    case FIELD_I64:
        json_integer(out, *(const int64_t *)(const void *)at);
        break;
    case FIELD_STR:
        json_string(out, *text);
        break;
    case FIELD_BYTES:
        base64_encode_json(*text, out);
        break;
    case FIELD_ENUM:
        encode_enum(f, *(const int32_t *)(const void *)at, out);
        break;
    case FIELD_RECORD:
        record_to_json(f->record, at, audience, out);
        break;
    case FIELD_LIST:
        encode_list(f, (const struct record_list *)(const void *)at, audience, out);
        break;
    case FIELD_MAP:
        encode_pairs((const struct record_list *)(const void *)at, out);
        break;
    case FIELD_JSON:
        json_raw(out, text->size ? *text : STR("null"));
        break;
    }
}

void record_to_json(const struct record *record, const void *value, enum record_audience audience,
                    struct buf *out)
{
    json_open(out, '{');
    for (size_t i = 0; i < record->count; i++) {
        const struct field *f = &record->fields[i];
        const char *at = (const char *)value + f->offset;
        if ((f->flags & FIELD_SECRET) && audience == AUDIENCE_PEOPLE)
            continue;
        if ((f->flags & FIELD_OMIT_EMPTY) && is_empty(f, at))
            continue;
        if ((f->flags & FIELD_PRESENT) && !*((const bool *)value + f->present_offset))
            continue;
        json_key(out, f->name);
        encode_field(f, at, audience, out);
    }
    json_close(out, '}');
}
