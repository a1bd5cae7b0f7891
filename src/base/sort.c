/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sort.h"

#include "base/memory.h"

#include <string.h>

struct sorting {
    size_t size;
    int (*compare)(const void *a, const void *b, const void *context);
    const void *context;
    char *spare;
};

static void insertion(const struct sorting *s, char *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        size_t j = i;
        while (j > 0 && s->compare(items + (j - 1) * s->size, items + i * s->size, s->context) > 0)
            j--;
        if (j == i)
            continue;
        memcpy(s->spare, items + i * s->size, s->size);
        memmove(items + (j + 1) * s->size, items + j * s->size, (i - j) * s->size);
        memcpy(items + j * s->size, s->spare, s->size);
    }
}

static void merge(const struct sorting *s, char *items, size_t left, size_t count)
{
    memcpy(s->spare, items, left * s->size);
    size_t a = 0, b = left, out = 0;
    while (a < left && b < count) {
        char *right = items + b * s->size;
        if (s->compare(s->spare + a * s->size, right, s->context) <= 0)
            memcpy(items + out++ * s->size, s->spare + a++ * s->size, s->size);
        else
            memmove(items + out++ * s->size, items + b++ * s->size, s->size);
    }
    memcpy(items + out * s->size, s->spare + a * s->size, (left - a) * s->size);
}

static void sort_range(const struct sorting *s, char *items, size_t count)
{
    if (count <= 12) {
        insertion(s, items, count);
        return;
    }
    size_t left = count / 2;
    sort_range(s, items, left);
    sort_range(s, items + left * s->size, count - left);
    if (s->compare(items + (left - 1) * s->size, items + left * s->size, s->context) > 0)
        merge(s, items, left, count);
}

void sort(void *items, size_t count, size_t size,
          int (*compare)(const void *a, const void *b, const void *context), const void *context)
{
    if (count < 2)
        return;
    struct sorting s = {size, compare, context, xmalloc((count / 2 + 1) * size)};
    sort_range(&s, items, count);
    xfree(s.spare);
}
