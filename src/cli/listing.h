/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An aligned table for people: cells are gathered row by row, widths are those of the widest. The
 * same on a terminal and in a pipe. */

#include "base/buf.h"
#include "base/number.h"

#include <stdio.h>

#define LISTING_COLUMNS_MAX 16

struct listing {
    size_t columns;
    bool right[LISTING_COLUMNS_MAX];
    char **cells; /* heap, row by row; the headings first where there are any */
    size_t count, capacity;
    const char *indent; /* before each line; NULL: nothing */
};

/* Headings, joined by `|`; `>` in front of one aligns its column to the right: "ID|NAME|>LIMIT".
 * Where all are empty ("|>|") no line of headings is printed. */
void listing_begin(struct listing *listing, const char *headings);
void listing_cell(struct listing *listing, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void listing_str(struct listing *listing, struct str text); /* "-" where empty */
void listing_money(struct listing *listing, udollar amount);
void listing_milli(struct listing *listing, int64_t milli);
void listing_age(struct listing *listing, time_ms from, time_ms to);
/* Prints it and frees it. */
void listing_end(struct listing *listing, FILE *out);
