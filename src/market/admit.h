/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Whether a promise is worth the capacity that it holds: the value of what it is expected to
 * displace.
 *
 * What was asked for of late stands in line by value for each unit-hour; served in that order it
 * fills the capacity up to some value, which is the price of the last unit. A promise of n units
 * for a time takes the n units that are left last, at the value of what would have stood there. */

#include "market/market.h"

#define ADMIT_HISTORY 100 /* of the last so many that asked */

struct admit_asked {
    time_ms at;
    int64_t work;  /* milli-unit x ms */
    udollar value; /* of all of it, done in time */
};

struct admit {
    struct admit_asked asked[ADMIT_HISTORY];
    uint32_t count, next;
};

/* Everybody who asks is noted, whether taken or not. */
void admit_note(struct admit *a, const struct admit_asked *asked);

struct admit_promise {
    int64_t units_milli; /* for all of the span */
    time_ms span;
    int64_t free_milli; /* capacity in that span that nobody has a promise on, its mean */
    udollar value;
};
/* Value that is expected to find no place; 0 while little is known. */
udollar admit_displaced(const struct admit *a, time_ms now, const struct admit_promise *p);
/* Takes it where that is worth it. What finds no place can often go elsewhere in time, so it counts
 * a quarter. */
bool admit_takes(const struct admit *a, time_ms now, const struct admit_promise *p);
