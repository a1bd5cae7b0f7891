/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Runs of a trace of jobs on a fleet, and what is printed of them. */

#include "sim/market_arm.h"
#include "sim/options.h"
#include "sim/report.h"

/* What a run is made of, the options read. */
struct experiment {
    struct jobs jobs;
    struct cluster cluster;
    struct world_options world;
    struct market_setting_value settings[SIM_LIST_MAX];
    size_t setting_count;
    struct world_failure *failures;
    size_t failure_count, failure_capacity;
    struct sim_reservation *reservations;
    size_t reservation_count, reservation_capacity;
};

/* A scheduler by name; NULL: none. */
const struct scheduler *experiment_scheduler(struct str name);
#define EXPERIMENT_POLICIES "market fifo backfill sjf static-quota priority tiresias"

/* "key=value": a setting of the market (docs/commands.md, settings) or one of
 *   ask, on_demand       dollars per unit-hour, of every node
 *   add_nodes            so many more like the first
 *   load                 arrivals so many times as fast
 *   preemptible_percent  of all workloads, drawn
 *   start, restart, checkpoint, checkpoint_every   spans */
int experiment_set(struct experiment *x, const char *pair, struct error *err);
/* "mtbf=…,repair=…" or a file with the columns node, down and back. */
int experiment_failures(struct experiment *x, const char *text, struct error *err);
/* Columns tenant, name, nodes, gpus (of each), to; and cpus, from, limit, keep_idle. Times in seconds
 * from the trace's start. The texts are kept. */
int experiment_reservations(struct experiment *x, const struct sim_options *o, struct error *err);
int experiment_parse_reservations(struct experiment *x, const char *file, struct buf *text,
                                  struct error *err);
void experiment_fini(struct experiment *x);

/* What a server was told, as a trace: its workloads, its nodes and when they were away. `ret_live`:
 * what the live server charged, µ$; `ret_digest`: of all that it decided; both are recomputed from
 * its journal and compared with it. */
struct journal_past {
    struct experiment experiment;
    udollar charged;
    uint64_t digest, seq, groups;
    time_ms from, to;
};
int journal_past_read(struct journal_past *ret, const char *data, uint64_t seed, struct error *err);

/* Trace, fleet and settings as the options say, `set` (NULL: none) over them. */
int experiment_read(struct experiment *x, const struct sim_options *o, const char *set,
                    struct error *err);
/* One run. `w` and `record` are filled, for what else is made of them; world_fini and
 * market_record_fini end them. */
void experiment_run(const struct experiment *x, const struct scheduler *scheduler, uint64_t seed,
                    struct world *w, struct market_record *record);
/* Counts, times, use and money of a run. Texts live as long as the scheduler. */
void experiment_report(const struct experiment *x, const struct scheduler *scheduler,
                       const struct world *w, const struct market_record *record,
                       struct report *ret);
