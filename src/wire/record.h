/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One description of each record. A struct's fields are described once, in a table (name, type,
 * unit, range, default, doc); from it come the JSON and YAML decoders, the JSON encoder, the binary
 * codec of the journal, error messages with the path of the offending field, the OpenAPI schemas
 * and the reference page.
 *
 * A decoded struct lives in the caller's arena; its strings point into that arena or into the input
 * text, which must outlive it. A field of the input that the table does not name is an error: nothing
 * is ever ignored. */

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/number.h"
#include "base/pack.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
    FIELD_BOOL,   /* bool */
    FIELD_I64,    /* int64_t; JSON integer */
    FIELD_STR,    /* struct str; valid UTF-8 without NUL */
    FIELD_BYTES,  /* struct str; any bytes; base64 in JSON, raw in binary */
    FIELD_ENUM,   /* int32_t (or an enum of that size); its name in JSON */
    FIELD_RECORD, /* the struct itself, inline */
    FIELD_LIST,   /* struct record_list of the struct `record`, or of struct str / int64_t */
    FIELD_MAP,    /* struct record_list of struct record_pair: JSON object of strings, order kept */
    FIELD_JSON,   /* struct str: one JSON value kept as text, checked to be well-formed */
};

/* What FIELD_LIST and FIELD_MAP point at. */
struct record_list {
    void *items;
    size_t count;
};
struct record_pair {
    struct str key, value;
};

enum field_flags {
    FIELD_REQUIRED = 1,  /* refused where absent */
    FIELD_OMIT_EMPTY = 2,/* left out of the JSON where zero or empty */
    FIELD_SECRET = 4,    /* never encoded to JSON for people; binary and agent JSON keep it */
    FIELD_OUTPUT = 8,    /* in answers alone: refused in input */
    FIELD_PRESENT = 16,  /* a bool right at `present_offset` says whether the input had it */
};

struct record;
struct field {
    const char *name;
    enum field_type type;
    enum field_type item;          /* of a LIST: STR, I64 or RECORD */
    size_t offset;
    size_t present_offset;         /* with FIELD_PRESENT */
    unsigned flags;
    int64_t least, most;           /* I64: range (0, 0 = any); STR/BYTES/LIST/MAP: most = longest (0 = 64 KiB / 1,000) */
    int64_t fallback;              /* value of an absent I64, BOOL or ENUM */
    const char *const *names;      /* ENUM: NULL-terminated */
    const struct record *record;   /* RECORD, LIST of RECORD */
    const char *unit;              /* "µ$", "ms", "MiB", … */
    const char *doc;               /* one sentence, for the OpenAPI document and the reference */
};

struct record {
    const char *name;
    size_t size;
    const struct field *fields;
    size_t count;
    const char *doc;
};

/* Nesting of values beyond this is refused. */
#define RECORD_DEPTH_MAX 32

/* What an empty object means: zero, and the fallbacks. Records inside are zero. */
void record_defaults(const struct record *record, void *ret);

/* Fills `ret` (record->size bytes, zeroed first). On error nothing of `ret` may be used and err
 * says `path.to[3].field: what is wrong, what is allowed`. One streaming pass; no tree. */
int record_from_json(const struct record *record, struct str text, struct arena *arena, void *ret,
                     struct error *err);

/* As record_from_json, but what the table does not name is skipped: for clients of other makers. */
int record_from_json_loose(const struct record *record, struct str text, struct arena *arena, void *ret,
                           struct error *err);

enum record_audience { AUDIENCE_PEOPLE, AUDIENCE_AGENT }; /* people never see FIELD_SECRET */
/* Appends one JSON object. */
void record_to_json(const struct record *record, const void *value, enum record_audience audience,
                    struct buf *out);

/* Binary: fields in table order; each preceded by nothing but, with FIELD_PRESENT, whether it was
 * there, so a table's order is a format: fields are only ever appended. The count of fields is written first, so that older bytes read as defaults. */
void record_pack(const struct record *record, const void *value, struct buf *out);
int record_unpack(const struct record *record, struct unpack *in, struct arena *arena, void *ret,
                  struct error *err);

/* The JSON schema of a record (OpenAPI 3.0 dialect), records that it uses by $ref. */
void record_schema(const struct record *record, struct buf *out);
