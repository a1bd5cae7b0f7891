/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A slice of bytes that somebody else owns: pointer and length, by value, not terminated. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *data; /* may be NULL where size is 0 */
    size_t size;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
/* For printf: `"%.*s", STR_ARGS(name)`. */
#define STR_ARGS(text) (int)(text).size, (text).data ? (text).data : ""

static inline struct str str_from(const char *text)
{
    return (struct str){text, text ? strlen(text) : 0};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool str_is(struct str a, const char *text)
{
    return str_equal(a, str_from(text));
}

static inline bool str_starts(struct str a, struct str prefix)
{
    return a.size >= prefix.size &&
           (prefix.size == 0 || memcmp(a.data, prefix.data, prefix.size) == 0);
}

/* Bytewise, shorter first where one is the head of the other. */
int str_compare(struct str a, struct str b);
/* A terminated heap copy, owned by the caller. */
char *str_dup(struct str text);
/* The whole text as a decimal integer, sign allowed; false where it is anything else. */
bool str_to_i64(struct str text, int64_t *ret_value);
/* Splits at the first separator: the head is returned, *rest becomes what follows it. */
struct str str_cut(struct str *rest, char separator);
struct str str_trim(struct str text);
