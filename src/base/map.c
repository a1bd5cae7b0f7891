/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"

static size_t slot_of(uint64_t key, size_t capacity)
{
    return (size_t)hash_u64(key) & (capacity - 1);
}

uint64_t *map_find(const struct map *m, uint64_t key)
{
    if (m->capacity == 0 || key == 0)
        return NULL;
    for (size_t i = slot_of(key, m->capacity);; i = (i + 1) & (m->capacity - 1)) {
        if (m->entries[i].key == key)
            return &m->entries[i].value;
        if (m->entries[i].key == 0)
            return NULL;
    }
}

uint64_t map_get(const struct map *m, uint64_t key)
{
    const uint64_t *value = map_find(m, key);
    return value ? *value : 0;
}

static void map_put(struct map *m, uint64_t key, uint64_t value)
{
    size_t i = slot_of(key, m->capacity);
    while (m->entries[i].key != 0)
        i = (i + 1) & (m->capacity - 1);
    m->entries[i] = (struct map_entry){key, value};
}

static void map_grow(struct map *m)
{
    struct map old = *m;
    m->capacity = old.capacity ? old.capacity * 2 : 16;
    m->entries = xcalloc(m->capacity, sizeof *m->entries);
    for (size_t i = 0; i < old.capacity; i++)
        if (old.entries[i].key != 0)
            map_put(m, old.entries[i].key, old.entries[i].value);
    xfree(old.entries);
}

void map_set(struct map *m, uint64_t key, uint64_t value)
{
    CHECK(key != 0);
    uint64_t *found = map_find(m, key);
    if (found) {
        *found = value;
        return;
    }
    if ((m->count + 1) * 4 > m->capacity * 3)
        map_grow(m);
    map_put(m, key, value);
    m->count++;
}

/* Backward-shift deletion: no tombstones, so long-lived maps do not slow down. */
bool map_remove(struct map *m, uint64_t key)
{
    uint64_t *found = map_find(m, key);
    if (found == NULL)
        return false;
    struct map_entry *entry = (struct map_entry *)(void *)((char *)found -
                                                           offsetof(struct map_entry, value));
    size_t mask = m->capacity - 1, hole = (size_t)(entry - m->entries);
    for (size_t i = (hole + 1) & mask; m->entries[i].key != 0; i = (i + 1) & mask) {
        size_t home = slot_of(m->entries[i].key, m->capacity);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->entries[hole] = m->entries[i];
            hole = i;
        }
    }
    m->entries[hole] = (struct map_entry){0};
    m->count--;
    return true;
}

void map_fini(struct map *m)
{
    xfree(m->entries);
    *m = (struct map){0};
}

static size_t str_slot(struct str key, size_t capacity)
{
    return (size_t)hash_bytes(key.data, key.size) & (capacity - 1);
}

static struct str_map_entry *str_map_entry(const struct str_map *m, struct str key)
{
    if (m->capacity == 0)
        return NULL;
    for (size_t i = str_slot(key, m->capacity);; i = (i + 1) & (m->capacity - 1)) {
        struct str_map_entry *entry = &m->entries[i];
        if (entry->key == NULL)
            return NULL;
        if (str_equal((struct str){entry->key, entry->size}, key))
            return entry;
    }
}

uint64_t *str_map_find(const struct str_map *m, struct str key)
{
    struct str_map_entry *entry = str_map_entry(m, key);
    return entry ? &entry->value : NULL;
}

uint64_t str_map_get(const struct str_map *m, struct str key)
{
    const uint64_t *value = str_map_find(m, key);
    return value ? *value : 0;
}

static void str_map_put(struct str_map *m, struct str_map_entry entry)
{
    size_t i = str_slot((struct str){entry.key, entry.size}, m->capacity);
    while (m->entries[i].key != NULL)
        i = (i + 1) & (m->capacity - 1);
    m->entries[i] = entry;
}

static void str_map_grow(struct str_map *m)
{
    struct str_map old = *m;
    m->capacity = old.capacity ? old.capacity * 2 : 16;
    m->entries = xcalloc(m->capacity, sizeof *m->entries);
    for (size_t i = 0; i < old.capacity; i++)
        if (old.entries[i].key != NULL)
            str_map_put(m, old.entries[i]);
    xfree(old.entries);
}

void str_map_set(struct str_map *m, struct str key, uint64_t value)
{
    struct str_map_entry *found = str_map_entry(m, key);
    if (found) {
        found->value = value;
        return;
    }
    if ((m->count + 1) * 4 > m->capacity * 3)
        str_map_grow(m);
    str_map_put(m, (struct str_map_entry){str_dup(key), key.size, value});
    m->count++;
}

bool str_map_remove(struct str_map *m, struct str key)
{
    struct str_map_entry *entry = str_map_entry(m, key);
    if (entry == NULL)
        return false;
    xfree(entry->key);
    size_t mask = m->capacity - 1, hole = (size_t)(entry - m->entries);
    for (size_t i = (hole + 1) & mask; m->entries[i].key != NULL; i = (i + 1) & mask) {
        struct str_map_entry *next = &m->entries[i];
        size_t home = str_slot((struct str){next->key, next->size}, m->capacity);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->entries[hole] = *next;
            hole = i;
        }
    }
    m->entries[hole] = (struct str_map_entry){0};
    m->count--;
    return true;
}

void str_map_fini(struct str_map *m)
{
    for (size_t i = 0; i < m->capacity; i++)
        xfree(m->entries[i].key);
    xfree(m->entries);
    *m = (struct str_map){0};
}
