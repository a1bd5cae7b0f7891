/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What happened to a workload, from the event table. */

#include "server/api_internal.h"

struct history_event {
    time_ms at;
    struct str type, state, reason; /* as the event stream names them */
    int64_t attempt, rank;
    udollar limit, rate, amount;    /* limit: per unit-hour */
    time_ms from, to;
    int64_t units_milli, value;
    struct table_position position;
};
struct history {
    struct history_event *events; /* oldest first, in the request's arena */
    size_t count, capacity;
};

/* `which`: workload or type. False: the call was refused. */
bool history_read(struct api_call *call, const struct core_view *view, const struct table_query *which, struct history *ret);
