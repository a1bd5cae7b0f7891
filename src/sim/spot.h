/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One job with a deadline on spot and on-demand instances, in ticks: the rules of "Can't Be Late"
 * (Wu et al., NSDI 2024) in the form of the ADRS leaderboard. */

#include "base/buf.h"
#include "base/error.h"
#include "base/number.h"
#include "market/deadline.h"

#define SPOT_TICK_MS ((time_ms)600000)
#define SPOT_WORK_MS (48 * HOUR_MS)
#define SPOT_PRICE ((udollar)973100) /* µ$ an hour */
#define ON_DEMAND_PRICE ((udollar)3060000)

/* A series of availability. */
struct spot_trace {
    struct str name;
    int64_t ticks;
    bool *available;
};

struct spot_window {
    uint32_t trace;
    time_ms restart;
    int64_t first, end; /* ticks of the trace */
};

struct spot_traces {
    struct spot_trace *traces;
    size_t trace_count, trace_capacity;
    struct spot_window *windows;
    size_t window_count, window_capacity;
    struct buf *texts; /* what names borrow from */
    size_t text_count, text_capacity;
};

/* Reads DIR/traces.csv and every DIR/changes_*.csv. Only series with ticks of 600 s are kept. */
int spot_read_availability(struct spot_traces *s, const char *folder, struct error *err);
int spot_read_windows(struct spot_traces *s, const char *path, struct error *err);
/* The same from bytes; `text` is taken over. */
int spot_parse_series(struct spot_traces *s, const char *file, struct buf *text, struct error *err);
int spot_parse_changes(struct spot_traces *s, const char *file, struct buf *text,
                       struct error *err);
int spot_parse_windows(struct spot_traces *s, const char *file, struct buf *text,
                       struct error *err);
void spot_fini(struct spot_traces *s);

/* Decides at the start of a tick; what it may see is in `d` alone. */
struct spot_policy {
    const char *name;
    enum deadline_action (*decide)(const struct deadline *d, time_ms elapsed);
};
extern const struct spot_policy spot_greedy, spot_uniform_progress, spot_deadline;

struct spot_result {
    int64_t spot_ticks, on_demand_ticks, starts;
    bool late;
};
struct spot_result spot_run(const struct spot_trace *trace, const struct spot_window *w,
                            int64_t deadline_ticks, const struct spot_policy *policy);
/* µ$ an hour x ticks: whole, so that nothing is rounded. */
int128 spot_cost(const struct spot_result *r);
