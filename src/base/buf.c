/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buf_fini(struct buf *b)
{
    xfree(b->data);
    *b = (struct buf){.limit = b->limit};
}

void buf_clear(struct buf *b)
{
    b->size = 0;
    b->overflow = false;
    if (b->data)
        b->data[0] = '\0';
}

char *buf_reserve(struct buf *b, size_t size)
{
    size_t needed;
    if (__builtin_add_overflow(b->size, size, &needed) || needed > b->limit) {
        b->overflow = true;
        return NULL;
    }
    if (needed + 1 > b->capacity) {
        size_t capacity = b->capacity ? b->capacity : 64;
        while (capacity < needed + 1)
            capacity *= 2;
        b->data = xrealloc(b->data, capacity, 1);
        b->capacity = capacity;
    }
    return b->data + b->size;
}

void buf_append(struct buf *b, const void *data, size_t size)
{
    char *room = b->overflow ? NULL : buf_reserve(b, size);
    if (room == NULL)
        return;
    if (size)
        memcpy(room, data, size);
    room[size] = '\0';
    b->size += size;
}

void buf_append_str(struct buf *b, struct str text)
{
    buf_append(b, text.data, text.size);
}

void buf_append_text(struct buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void buf_append_number(struct buf *b, uint64_t value, unsigned width)
{
    char digits[20];
    size_t at = sizeof digits;
    CHECK(width <= sizeof digits);
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    while (sizeof digits - at < width)
        digits[--at] = '0';
    buf_append(b, digits + at, sizeof digits - at);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(size >= 0);
    char *room = b->overflow ? NULL : buf_reserve(b, (size_t)size);
    if (room != NULL) {
        vsnprintf(room, (size_t)size + 1, format, again);
        b->size += (size_t)size;
    }
    va_end(again);
}

const char *buf_text(const struct buf *b)
{
    return b->data ? b->data : "";
}
