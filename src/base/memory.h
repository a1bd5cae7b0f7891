/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The only door to the heap. Out of memory aborts: inputs are bounded and recovery is replay. */

#include <stddef.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));
/* Zeroed; count * size is checked for overflow. */
void *xcalloc(size_t count, size_t size)
    __attribute__((malloc, returns_nonnull, warn_unused_result));
/* Resizes to count * size bytes, checked for overflow; the tail is not zeroed. */
void *xrealloc(void *data, size_t count, size_t size)
    __attribute__((returns_nonnull, warn_unused_result));
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull, warn_unused_result));
/* NULL is allowed. */
void xfree(void *data);

/* For variables that own heap memory: `_cleanup_free_ char *path = …`. */
static inline void xfree_pointer(void *pointer)
{
    void **owner = pointer;
    xfree(*owner);
    *owner = NULL;
}
#define _cleanup_(function) __attribute__((cleanup(function)))
#define _cleanup_free_ _cleanup_(xfree_pointer)

/* Hands a value over and leaves zero behind: `*ret = TAKE(value)`. */
#define TAKE(x)                                                                                    \
    ({                                                                                             \
        __typeof__(x) take_value_ = (x);                                                           \
        (x) = (__typeof__(x)){0};                                                                  \
        take_value_;                                                                               \
    })

/* Makes room for one more element in a heap array with a count and a capacity. */
#define ARRAY_RESERVE(array, count, capacity)                                                      \
    do {                                                                                           \
        if ((count) == (capacity)) {                                                               \
            (capacity) = (capacity) ? (capacity)*2 : 8;                                            \
            (array) = xrealloc((array), (capacity), sizeof *(array));                              \
        }                                                                                          \
    } while (0)

#define ARRAY_COUNT(array) (sizeof(array) / sizeof *(array))
