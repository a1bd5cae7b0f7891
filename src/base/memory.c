/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

void *xmalloc(size_t size)
{
    void *data = malloc(size ? size : 1);
    CHECK(data != NULL);
    return data;
}

void *xcalloc(size_t count, size_t size)
{
    void *data = calloc(count ? count : 1, size ? size : 1);
    CHECK(data != NULL);
    return data;
}

void *xrealloc(void *data, size_t count, size_t size)
{
    size_t bytes;
    CHECK(!__builtin_mul_overflow(count, size, &bytes));
    void *moved = realloc(data, bytes ? bytes : 1);
    CHECK(moved != NULL);
    return moved;
}

char *xstrdup(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(xmalloc(size), text, size);
}

void xfree(void *data)
{
    free(data);
}
