/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Rows of a trace by the names in its header line. A reader lists the columns that it wants, each
 * with all the names it goes by; the order in the file does not matter and others are skipped. */

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define CSV_COLUMNS_MAX 24
#define CSV_LINE_MAX ((size_t)1 << 20)

struct csv_column {
    const char *names; /* "submit_time|submission_time" */
    bool optional;     /* absent: every field of it is empty */
};

struct csv_form {
    const struct csv_column *columns;
    size_t count;
    char separator;  /* 0: a comma */
    bool no_header;  /* the fields stand in the order of `columns` */
    const char *map; /* other names, "ours=theirs,…"; NULL: none */
};

struct csv {
    const char *file; /* for messages */
    struct buf *text;
    struct str rest;
    size_t line; /* of the row last read; the header is line 1 */
    struct csv_form form;
    size_t place[CSV_COLUMNS_MAX];      /* field number of each column; SIZE_MAX: absent */
    struct str fields[CSV_COLUMNS_MAX]; /* of the row last read, by column */
};

/* Reads the header. An absent column that is not optional is an error that names it. Fields borrow
 * from `text`, in which doubled quotes are made single; it, `file` and what `form` points to must
 * outlive them. */
int csv_open(struct csv *c, const char *file, struct buf *text, const struct csv_form *form,
             struct error *err);

/* 1: a row; 0: the end; negative: a broken row. Empty lines are skipped. */
int csv_next(struct csv *c, struct error *err);
/* An error at the row last read: "FILE:LINE: what". */
int csv_fail(const struct csv *c, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A field as a number times `scale`, from `least` to `most`; digits beyond the scale are dropped
 * (a trace of floats has more than it knows). An empty field is an error. */
struct csv_range {
    int64_t scale, least, most;
};
int csv_number(const struct csv *c, size_t column, struct csv_range range, int64_t *ret,
               struct error *err);
/* The same, but an empty field leaves *ret as it is. */
int csv_number_given(const struct csv *c, size_t column, struct csv_range range, int64_t *ret,
                     struct error *err);
