/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A stable merge sort that needs nothing of libc, for the pure folders. */

#include <stddef.h>

/* compare returns < 0, 0, > 0; `context` is handed through. */
void sort(void *items, size_t count, size_t size,
          int (*compare)(const void *a, const void *b, const void *context), const void *context);
