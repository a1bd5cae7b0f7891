/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How commands write things for people: money with at least four significant digits, times as
 * "3m 12s" and "14:05:09" of the local clock. Each appends. */

#include "base/buf.h"
#include "base/number.h"
#include "base/str.h"

/* "$0.04000", "-$1.250", "$0" */
void format_money(struct buf *out, udollar amount);
/* As a command line takes it, to the last millionth: "0.61", "2.500001". */
void format_limit(struct buf *out, udollar amount);
/* How long it is from `from` to `to`: "12s"; "now" below a second. */
void format_age(struct buf *out, time_ms from, time_ms to);
/* "14:05:09" today, "Nov 25 14:05" on another day, with the year in another year. */
void format_time(struct buf *out, time_ms at, time_ms now);
/* "1.5 GiB", "512 MiB" */
void format_mib(struct buf *out, int64_t mib);
/* A gang: "2 × 0.5 cores", "1 × 8 GPUs" from the replicas and the amount of all of them. */
void format_size(struct buf *out, int64_t nodes, int64_t units_milli, const char *unit);
/* Text of others, without what would move the cursor: control characters become spaces. */
void format_clean(struct buf *out, struct str text);
/* "core" or "GPU"; plural where the amount is not one. */
const char *format_unit(struct str unit, int64_t milli);
