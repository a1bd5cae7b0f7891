/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A growing byte buffer with a limit that somebody chose. Appending past the limit changes
 * nothing but the sticky flag `overflow`, which the owner looks at once, at the end.
 * `data` is always terminated by a zero byte that `size` does not count. */

#include "base/memory.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data;
    size_t size, capacity, limit;
    bool overflow;
};

#define BUF_INIT(limit_bytes) ((struct buf){.limit = (limit_bytes)})
#define BUF_LIMIT_DEFAULT ((size_t)1 << 30)

void buf_fini(struct buf *b);
/* Empties it and keeps the memory. */
void buf_clear(struct buf *b);
void buf_append(struct buf *b, const void *data, size_t size);
void buf_append_str(struct buf *b, struct str text);
void buf_append_text(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* In decimal, with zeros in front up to `width` digits (at most 20). */
void buf_append_number(struct buf *b, uint64_t value, unsigned width);
/* Room for `size` more bytes at data + this buffer's size, NULL at the limit; the caller writes
 * there and then adds to `size`. */
char *buf_reserve(struct buf *b, size_t size);

static inline void buf_append_byte(struct buf *b, char byte)
{
    if (b->overflow || b->size >= b->limit || b->size + 1 >= b->capacity) {
        buf_append(b, &byte, 1);
        return;
    }
    b->data[b->size++] = byte;
    b->data[b->size] = '\0';
}

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->data, b->size};
}
/* The terminated text, never NULL. */
const char *buf_text(const struct buf *b);
#define _cleanup_buf_ _cleanup_(buf_fini)
