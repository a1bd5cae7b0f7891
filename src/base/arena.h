/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Memory for many things that die together: one request, one step. */

#include "base/str.h"

#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *block; /* newest; older ones hang behind it */
    size_t used;               /* of the newest block */
    size_t total, limit;       /* bytes given out; limit 0 = none. Past it arena_alloc returns NULL */
};

/* Zeroed, aligned for any type; NULL only past the limit. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((warn_unused_result));
/* A terminated copy. */
struct str arena_str(struct arena *a, struct str text);
/* Gives everything back but the newest block, which is kept for the next round. */
void arena_clear(struct arena *a);
void arena_fini(struct arena *a);
