/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/memory.h"

#include <stdalign.h>

struct arena_block {
    struct arena_block *older;
    size_t capacity;
    alignas(max_align_t) char data[];
};

#define BLOCK_MIN ((size_t)4096 - sizeof(struct arena_block))

void *arena_alloc(struct arena *a, size_t size)
{
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (a->limit && (size > a->limit || a->total > a->limit - size))
        return NULL;
    if (a->block == NULL || a->block->capacity - a->used < size) {
        size_t grown = a->block ? a->block->capacity * 2 : BLOCK_MIN;
        size_t capacity = grown > size ? grown : size;
        struct arena_block *block = xmalloc(sizeof *block + capacity);
        *block = (struct arena_block){.older = a->block, .capacity = capacity};
        a->block = block;
        a->used = 0;
    }
    void *data = a->block->data + a->used;
    a->used += size;
    a->total += size;
    memset(data, 0, size);
    return data;
}

struct str arena_str(struct arena *a, struct str text)
{
    char *copy = arena_alloc(a, text.size + 1);
    if (copy == NULL)
        return (struct str){0};
    if (text.size)
        memcpy(copy, text.data, text.size);
    return (struct str){copy, text.size};
}

static void free_blocks(struct arena_block *block)
{
    while (block) {
        struct arena_block *older = block->older;
        xfree(block);
        block = older;
    }
}

void arena_clear(struct arena *a)
{
    if (a->block) {
        free_blocks(a->block->older);
        a->block->older = NULL;
    }
    a->used = a->total = 0;
}

void arena_fini(struct arena *a)
{
    free_blocks(a->block);
    *a = (struct arena){.limit = a->limit};
}
