/* SPDX-License-Identifier: Apache-2.0 */
/* Names of SKUs, accelerators, labels and places as small integers, in the order in which nodes
 * brought them. A place is named below the place that it lies in, so an id stands for a whole path. */
#include "engine/engine_internal.h"

static struct str path_key(struct buf *out, market_id parent, struct str text)
{
    buf_clear(out);
    for (int shift = 0; shift < 32; shift += 8)
        buf_append_byte(out, (char)(parent >> shift));
    buf_append_str(out, text);
    return buf_str(out);
}

market_id name_find(const struct engine *e, int kind, market_id parent, struct str text)
{
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_LIMIT_DEFAULT);
    return str_map_get(&e->names[kind].by_path, path_key(&key, parent, text));
}

static void alike_append(struct names *names, struct str text, uint32_t id)
{
    uint32_t last = (uint32_t)str_map_get(&names->last_alike, text);
    if (last)
        names->items[last - 1].next_alike = id;
    else
        str_map_set(&names->first_alike, text, id);
    str_map_set(&names->last_alike, text, id);
}

market_id name_make(struct engine *e, int kind, market_id parent, struct str text)
{
    struct names *names = &e->names[kind];
    market_id found = name_find(e, kind, parent, text);
    if (found)
        return found;
    ARRAY_RESERVE(names->items, names->count, names->capacity);
    names->items[names->count] = (struct name){.text = str_dup(text), .size = (uint32_t)text.size, .parent = (uint32_t)parent};
    uint32_t id = ++names->count;
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_LIMIT_DEFAULT);
    str_map_set(&names->by_path, path_key(&key, parent, text), id);
    alike_append(names, text, id);
    return id;
}

market_id name_first(const struct engine *e, int kind, struct str text)
{
    return str_map_get(&e->names[kind].first_alike, text);
}

market_id name_next(const struct engine *e, int kind, market_id id)
{
    return e->names[kind].items[id - 1].next_alike;
}

market_id name_parent(const struct engine *e, int kind, market_id id)
{
    return e->names[kind].items[id - 1].parent;
}

struct str name_text(const struct engine *e, int kind, market_id id)
{
    const struct names *names = &e->names[kind];
    if (id == 0 || id > names->count)
        return (struct str){0};
    return (struct str){names->items[id - 1].text, names->items[id - 1].size};
}

void names_fini(struct engine *e)
{
    for (int kind = 0; kind < NAME_KINDS; kind++) {
        struct names *names = &e->names[kind];
        for (uint32_t i = 0; i < names->count; i++)
            xfree(names->items[i].text);
        xfree(names->items);
        str_map_fini(&names->by_path);
        str_map_fini(&names->first_alike);
        str_map_fini(&names->last_alike);
    }
}
