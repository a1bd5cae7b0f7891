/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Amounts as people write and read them: money, spans of time, sizes. Parsing is exact: what does
 * not fit the unit (a µ$, a ms) is refused, never rounded. */

#include "base/buf.h"
#include "base/number.h"
#include "base/str.h"

#include <stdbool.h>

/* A decimal number times `scale`: "2.5", 1000 -> 2500. False: not a number, too fine, too large. */
bool decimal_parse(struct str text, int64_t scale, int64_t *ret);
/* "2.50", "$2.50", "2.50$" in dollars -> µ$. */
bool money_parse(struct str text, udollar *ret);
/* "30s", "5m", "4h", "2d", "250ms"; a bare number is seconds. */
bool span_parse(struct str text, time_ms *ret);
/* "2026-11-24T17:00Z", "2026-11-24 17:00:30.25+01:00": ISO 8601 with seconds or without, finer than a
 * millisecond is cut off; without a zone it is UTC. -> ms since 1970. */
bool time_parse(struct str text, time_ms *ret);
/* RFC 3339, "2026-11-24T17:00:30.250Z"; from 1970 to 9999. */
void time_print(struct buf *out, time_ms time);
/* Dollars with at least four significant digits: 0.04000, 2.500, 1234.56. */
void money_print(struct buf *out, udollar amount);
/* "1h 30m", "12s", "340ms". */
void span_print(struct buf *out, time_ms span);
/* Thousandths: "2", "0.5". */
void milli_print(struct buf *out, int64_t milli);
