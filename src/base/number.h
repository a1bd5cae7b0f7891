/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Checked integer arithmetic. Money is int64 micro-dollars, time int64 milliseconds, amounts of
 * a unit int64 thousandths; products are formed in 128 bits and an overflow is a bug. */

#include "base/check.h"

#include <stdint.h>

typedef int64_t udollar;  /* micro-dollars */
typedef int64_t time_ms;  /* milliseconds since 1970, UTC; or a span */
typedef __int128 int128;

#define TIME_NEVER INT64_MAX
#define HOUR_MS ((time_ms)3600000)

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define CLAMP(x, low, high) MIN(MAX(x, low), high)
/* -1, 0 or 1: the shape of every comparator, which ends in an id. */
#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static inline int64_t add_checked(int64_t a, int64_t b)
{
    int64_t sum;
    CHECK(!__builtin_add_overflow(a, b, &sum));
    return sum;
}

static inline int64_t sub_checked(int64_t a, int64_t b)
{
    int64_t difference;
    CHECK(!__builtin_sub_overflow(a, b, &difference));
    return difference;
}

static inline int64_t mul_checked(int64_t a, int64_t b)
{
    int64_t product;
    CHECK(!__builtin_mul_overflow(a, b, &product));
    return product;
}

static inline int64_t narrow_checked(int128 value)
{
    CHECK(value >= INT64_MIN && value <= INT64_MAX);
    return (int64_t)value;
}

/* a * b / divisor, rounded towards minus (floor) or plus (ceil) infinity; divisor > 0. */
static inline int64_t mul_div_floor(int64_t a, int64_t b, int64_t divisor)
{
    CHECK(divisor > 0);
    int128 product = (int128)a * b;
    int128 quotient = product / divisor;
    return narrow_checked(quotient - (product % divisor < 0));
}

static inline int64_t mul_div_ceil(int64_t a, int64_t b, int64_t divisor)
{
    CHECK(divisor > 0);
    int128 product = (int128)a * b;
    int128 quotient = product / divisor;
    return narrow_checked(quotient + (product % divisor > 0));
}

static inline int64_t div_ceil(int64_t a, int64_t divisor)
{
    return mul_div_ceil(a, 1, divisor);
}

static inline int64_t div_floor(int64_t a, int64_t divisor)
{
    return mul_div_floor(a, 1, divisor);
}
