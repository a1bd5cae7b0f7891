/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Hash maps with open addressing. Iteration order depends on the history of the map: no walk over
 * one may reach a decision, an event or a digest. */

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From integers (0 is not a key) to integers. */
struct map_entry {
    uint64_t key, value;
};
struct map {
    struct map_entry *entries;
    size_t count, capacity;
};

/* Borrowed until the next change of the map; NULL where absent. */
uint64_t *map_find(const struct map *m, uint64_t key);
/* Value or 0. */
uint64_t map_get(const struct map *m, uint64_t key);
/* Adds or replaces. */
void map_set(struct map *m, uint64_t key, uint64_t value);
bool map_remove(struct map *m, uint64_t key);
void map_fini(struct map *m);

/* From byte strings (copied, empty allowed) to integers. */
struct str_map_entry {
    char *key; /* heap; NULL = free slot */
    size_t size;
    uint64_t value;
};
struct str_map {
    struct str_map_entry *entries;
    size_t count, capacity;
};

uint64_t *str_map_find(const struct str_map *m, struct str key);
uint64_t str_map_get(const struct str_map *m, struct str key);
void str_map_set(struct str_map *m, struct str key, uint64_t value);
bool str_map_remove(struct str_map *m, struct str key);
void str_map_fini(struct str_map *m);
