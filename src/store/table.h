/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The query tables: history that outlives the journal's truncation. The projector (one thread)
 * fills them from the journal's events in transactions, each of which also moves its position;
 * readers page through them on connections of their own. They stand in a file of their own, so that
 * a long transaction of the projector never holds SQLite's write lock against the journal.
 *
 * Ids are the engine's integers, names are text; money in µ$, rates in µ$ per hour, times in ms since
 * 1970, amounts in thousandths of a unit. What is absent is 0 or empty. docs/tables.md describes
 * every column. */

#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum table {
    TABLE_WORKLOAD,  /* struct table_workload, key id */
    TABLE_STEP,      /* struct table_step, key seq and position */
    TABLE_PLACEMENT, /* struct table_placement, key workload, attempt, role, rank */
    TABLE_PRICE,     /* struct table_price, key pool and at_ms */
    TABLE_ENTRY,     /* struct table_entry, key seq and position */
    TABLE_CHARGE,    /* struct table_charge, key seq and position */
    TABLE_NODE,      /* struct table_node, key id */
    TABLE_EVENT,     /* struct table_event, key seq and position */
    TABLE_COUNT,
};

/* An event's place: the last command number of its journal group, and its index in the group. */
struct table_position {
    uint64_t seq, position;
};

struct table_workload {
    uint64_t id;
    struct str name, project, state, kind;
    int64_t attempt, nodes, units_milli;
    struct str pool;
    int64_t limit_udollar_per_hour, rate_udollar_per_hour, cost_udollar;
    int64_t submitted_ms, started_ms, ended_ms, deadline_ms;
    struct str reason;
    bool exited, oom;
    int64_t exit_code, signal, exit_rank;
    struct str last_lines, request;
};
struct table_step {
    uint64_t seq, position, workload;
    int64_t at_ms;
    struct str type;
    int64_t attempt;
    struct str reason, text;
};
struct table_placement {
    uint64_t workload;
    int64_t attempt, role, rank;
    uint64_t node;
    struct str node_name, address, gpus; /* gpus: "0,3" */
    struct str state;
    int64_t started_ms, ended_ms;
    int64_t exit_code, signal;
    bool ended, oom;
};
struct table_price {
    struct str pool;
    int64_t at_ms, price_udollar_per_hour, marginal_udollar_per_hour, scarcity_udollar_per_hour;
    int64_t guide_udollar_per_hour, free_milli, used_milli, wanted_milli;
};
struct table_entry {
    uint64_t seq, position;
    int64_t at_ms;
    struct str project, debit, credit;
    int64_t amount_udollar;
    uint64_t workload;
    struct str pool;
};
struct table_charge {
    uint64_t seq, position, workload;
    struct str project;
    int64_t attempt;
    struct str kind, pool;
    int64_t from_ms, to_ms, units_milli, rate_udollar_per_hour, amount_udollar;
};
struct table_node {
    uint64_t id;
    struct str name, state, sku, pool, address;
    struct str provider, region, zone, rack;
    int64_t ask_udollar_per_hour, registered_ms, changed_ms;
};
struct table_event {
    uint64_t seq, position;
    struct str type;
    uint64_t workload, node;
    struct str project;
    int64_t at_ms;
    struct str json;
};

struct tables_options {
    const char *path;
    const char *vfs; /* NULL = the system's */
    bool create;
};

/* ---- the projector's side ------------------------------------------------------------------------ */

struct tables;
/* Errors as of journal_open. */
int tables_open(struct tables **ret, const struct tables_options *options, struct error *err);
void tables_close(struct tables *t);
/* How far they have followed, durably: the last event that is in them; zero at the start. */
struct table_position tables_position(const struct tables *t);
/* Rows are put between these two; the commit is durable. After any failure call tables_rollback:
 * nothing since tables_begin is kept, and the position is the one before. */
int tables_begin(struct tables *t, struct error *err);
int tables_commit(struct tables *t, struct table_position position, struct error *err);
void tables_rollback(struct tables *t);
/* Puts one row of the table's struct. `columns` NULL: whole, in place of an older one. Else a list
 * of names, "state reason +cost_udollar": the row is put whole where it is new; of an older one only
 * these columns change, and one with a plus grows by the value. Texts are borrowed for the call. Give
 * a literal: the statement made of it is kept. */
int tables_put(struct tables *t, enum table table, const void *row, const char *columns, struct error *err);
/* Deletes prices or events from before a time, at most a thousand rows a call, in a transaction of
 * its own: 1 where there may be more. The other tables are kept for good. */
int tables_trim(struct tables *t, enum table table, time_ms before, struct error *err);
/* As journal_checkpoint_passive; between transactions. */
int tables_checkpoint(struct tables *t, struct error *err);

/* ---- readers ------------------------------------------------------------------------------------- */

/* What is zero or empty does not filter. Which fields a table knows: docs/tables.md; another one is
 * a bug. */
struct table_query {
    enum table table;
    uint64_t id;                 /* of the workload or node itself */
    uint64_t workload;
    int64_t attempt;
    struct str project, state, type, pool;
    time_ms from_ms, to_ms;      /* from <= time < to */
    struct table_position after; /* later than this; nodes: id above after.seq */
    uint64_t before;             /* workloads, newest first: id below this */
    int64_t step_ms;             /* prices: the last one of each span of this length */
    bool sums;                   /* ledger: one row for all that went from one account to another,
                                    ordered by the two, with the time of the last; no position, no
                                    workload */
    size_t limit;                /* rows at most; 0 = 1000 */
};
struct table_page {
    void *rows; /* array of the table's struct, in the arena with its texts */
    size_t count;
    bool more; /* the limit cut it: ask again from the last row's key */
};

struct tables_reader;
int tables_read_open(struct tables_reader **ret, const struct tables_options *options, struct error *err);
void tables_read_close(struct tables_reader *r);
/* Workloads come newest first, everything else oldest first. -EFBIG where the arena's limit is
 * reached. */
int tables_read(struct tables_reader *r, const struct table_query *query, struct arena *arena,
                struct table_page *ret, struct error *err);
/* How far what a reader sees follows the journal. */
int tables_read_position(struct tables_reader *r, struct table_position *ret, struct error *err);

static inline void tables_closep(struct tables **t)
{
    tables_close(*t);
}
static inline void tables_read_closep(struct tables_reader **r)
{
    tables_read_close(*r);
}
#define _cleanup_tables_ _cleanup_(tables_closep)
#define _cleanup_tables_reader_ _cleanup_(tables_read_closep)
