/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Short forms for tables of fields whose names in JSON are those of the struct's members. OMIT
 * leaves a zero or empty field out; never together with a fallback other than zero. */

#include "base/memory.h"
#include "wire/record.h"

#define OMIT FIELD_OMIT_EMPTY
#define KEEP 0
#define AT(type, member) .offset = offsetof(struct type, member)
#define RECORD(type, text)                                                                         \
    const struct record type##_record = {.name = #type,                                            \
                                         .size = sizeof(struct type),                              \
                                         .fields = type##_fields,                                  \
                                         .count = ARRAY_COUNT(type##_fields),                      \
                                         .doc = (text)}

#define TEXT(type, member, flag, text)                                                             \
    {#member, FIELD_STR, AT(type, member), .flags = (flag), .doc = (text)}
#define SHORT(type, member, flag, longest, text)                                                   \
    {#member, FIELD_STR, AT(type, member), .flags = (flag), .most = (longest), .doc = (text)}
#define FLAG(type, member, flag, text)                                                             \
    {#member, FIELD_BOOL, AT(type, member), .flags = (flag), .doc = (text)}
#define COUNT(type, member, flag, measure, text)                                                   \
    {#member, FIELD_I64, AT(type, member), .flags = (flag), .unit = (measure), .doc = (text)}
#define RANGE(type, member, flag, low, high, measure, text)                                        \
    {#member, FIELD_I64, AT(type, member), .flags = (flag), .least = (low), .most = (high),        \
     .unit = (measure), .doc = (text)}
#define PRESENT(type, member, present, low, high, measure, text)                                   \
    {#member, FIELD_I64, AT(type, member), .flags = FIELD_PRESENT,                                 \
     .present_offset = offsetof(struct type, present), .least = (low), .most = (high),             \
     .unit = (measure), .doc = (text)}
#define TEXTS(type, member, flag, longest, text)                                                   \
    {#member, FIELD_LIST, .item = FIELD_STR, AT(type, member), .flags = (flag),                    \
     .most = (longest), .doc = (text)}
#define NUMBERS(type, member, flag, longest, text)                                                 \
    {#member, FIELD_LIST, .item = FIELD_I64, AT(type, member), .flags = (flag),                    \
     .most = (longest), .doc = (text)}
#define LIST(type, member, flag, of, longest, text)                                                \
    {#member, FIELD_LIST, .item = FIELD_RECORD, AT(type, member), .flags = (flag),                 \
     .most = (longest), .record = &of##_record, .doc = (text)}
#define INLINE(type, member, of, text)                                                             \
    {#member, FIELD_RECORD, AT(type, member), .record = &of##_record, .doc = (text)}

/* Answers are bounded by the server; a client takes any list that it may send. */
#define ANSWER_MOST 2000000
#define NAME_MOST 128
#define RATE_MOST ((int64_t)2147483647)
#define MONEY_MOST ((int64_t)1 << 60)
#define TIME_MOST ((int64_t)253402300799999) /* the end of the year 9999 */
#define SPAN_MOST ((int64_t)366 * 24 * 3600 * 1000)
#define UNIT_RATE "µ$/unit-hour"
#define HOUR_RATE "µ$/hour"
#define TIME_UNIT "ms since 1970"
