/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* JSON (RFC 8259) by hand: a scanner that the record codec drives, a writer over a buf, and a small
 * tree for clients that look at answers. Numbers are integers unless a tree is read, which keeps the
 * text of others. Depth, sizes and UTF-8 are checked; trailing text is an error. */

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 32

/* ---- scanner ------------------------------------------------------------------------------------ */

struct json_scan {
    const char *at, *end;
    struct arena *arena; /* for strings that hold escapes */
    const char *problem; /* static text of the first error */
};

void json_skip_space(struct json_scan *s);
/* Takes `byte` after white space; false (and no move) where something else stands there. */
bool json_take(struct json_scan *s, char byte);
/* A string; borrowed from the input where it has no escapes. False: s->problem says why. */
bool json_scan_string(struct json_scan *s, struct str *ret);
/* An integer within int64; fractions, exponents and overflow are problems. */
bool json_scan_integer(struct json_scan *s, int64_t *ret);
bool json_scan_bool(struct json_scan *s, bool *ret);
bool json_scan_null(struct json_scan *s);
/* Any value, skipped; its text is returned. */
bool json_scan_any(struct json_scan *s, struct str *ret, unsigned depth);
/* Valid UTF-8 without NUL, no surrogates, no overlong forms. */
bool utf8_valid(struct str text);

/* ---- writer: commas are put where they belong ----------------------------------------------------- */

void json_open(struct buf *out, char bracket);  /* '{' or '[' */
void json_close(struct buf *out, char bracket); /* '}' or ']' */
void json_key(struct buf *out, const char *key);
void json_string(struct buf *out, struct str text);
void json_text(struct buf *out, const char *text);
void json_integer(struct buf *out, int64_t value);
void json_bool(struct buf *out, bool value);
void json_null(struct buf *out);
/* A value that is JSON already. */
void json_raw(struct buf *out, struct str json);

/* ---- tree ----------------------------------------------------------------------------------------- */

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_value {
    enum json_type type;
    bool boolean, is_integer;
    int64_t integer;
    struct str text;          /* of a string, or the digits of a number */
    unsigned line;            /* of a YAML document, else 0 */
    size_t count;
    struct json_value *items; /* ARRAY: count items; OBJECT: count values */
    struct str *keys;         /* OBJECT: in the order of the text */
};

int json_parse(struct str text, struct arena *arena, struct json_value *ret, struct error *err);
/* Member or NULL; `value` may be NULL. */
const struct json_value *json_get(const struct json_value *value, const char *key);
/* Conveniences for members: the fallback where absent or of another type. */
struct str json_get_str(const struct json_value *value, const char *key);
int64_t json_get_i64(const struct json_value *value, const char *key, int64_t fallback);
bool json_get_bool(const struct json_value *value, const char *key);
