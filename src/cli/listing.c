/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/listing.h"

#include "base/memory.h"
#include "cli/format.h"
#include "wire/unit.h"

#include <stdarg.h>
#include <string.h>

#define CELL_MAX 4096
#define GAP 2

static void add(struct listing *listing, struct str text)
{
    struct buf clean = BUF_INIT(CELL_MAX);
    format_clean(&clean, text);
    ARRAY_RESERVE(listing->cells, listing->count, listing->capacity);
    listing->cells[listing->count++] = clean.data ? clean.data : xstrdup("");
}

void listing_begin(struct listing *listing, const char *headings)
{
    struct str rest = str_from(headings);
    const char *indent = listing->indent;
    *listing = (struct listing){.indent = indent};
    bool more = true;
    while (more) {
        size_t before = rest.size;
        struct str heading = str_cut(&rest, '|');
        more = heading.size < before;
        CHECK(listing->columns < LISTING_COLUMNS_MAX);
        if (heading.size && heading.data[0] == '>') {
            listing->right[listing->columns] = true;
            heading = (struct str){heading.data + 1, heading.size - 1};
        }
        listing->columns++;
        add(listing, heading);
    }
}

void listing_cell(struct listing *listing, const char *format, ...)
{
    char text[CELL_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add(listing, str_from(text));
}

void listing_str(struct listing *listing, struct str text)
{
    add(listing, text.size ? text : STR("-"));
}

void listing_money(struct listing *listing, udollar amount)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    format_money(&text, amount);
    add(listing, buf_str(&text));
}

void listing_milli(struct listing *listing, int64_t milli)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    milli_print(&text, milli);
    add(listing, buf_str(&text));
}

void listing_age(struct listing *listing, time_ms from, time_ms to)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    format_age(&text, from, to);
    add(listing, buf_str(&text));
}

/* Columns on a terminal: code points, which is near enough for what we print. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_row(const struct listing *listing, size_t row, const size_t *widths, FILE *out)
{
    size_t owed = 0; /* spaces that no cell has followed yet: lines end without any */
    fputs(listing->indent ? listing->indent : "", out);
    for (size_t c = 0; c < listing->columns; c++) {
        const char *cell = listing->cells[row * listing->columns + c];
        size_t pad = widths[c] - width_of(cell);
        owed += c ? GAP : 0;
        owed += listing->right[c] ? pad : 0;
        if (*cell) {
            fprintf(out, "%*s%s", (int)owed, "", cell);
            owed = 0;
        } else {
            owed += listing->right[c] ? 0 : widths[c];
            continue;
        }
        owed += listing->right[c] ? 0 : pad;
    }
    fputc('\n', out);
}

void listing_end(struct listing *listing, FILE *out)
{
    size_t widths[LISTING_COLUMNS_MAX] = {0}, headings = 0;
    CHECK(listing->count % listing->columns == 0);
    for (size_t i = 0; i < listing->count; i++) {
        size_t width = width_of(listing->cells[i]);
        widths[i % listing->columns] = MAX(widths[i % listing->columns], width);
        headings += i < listing->columns ? width : 0;
    }
    for (size_t row = headings ? 0 : 1; row < listing->count / listing->columns; row++)
        print_row(listing, row, widths, out);
    for (size_t i = 0; i < listing->count; i++)
        xfree(listing->cells[i]);
    xfree(listing->cells);
    *listing = (struct listing){.indent = listing->indent};
}
