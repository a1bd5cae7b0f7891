/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The heart of `tessera serve`: the one writer with its engine and journal, the readers, the
 * projector, contact with nodes. HTTP stands around it (api.h) and meets it only here.
 *
 * A command comes in by core_push from the network loop, is applied with everything else that waits
 * as one batch, committed, and only then answered: `done` is called on the writer's thread. A read
 * runs on a reader's thread under the read lock, and its answer is held back until the journal
 * number that it saw is durable. Nothing here blocks the network loop. */

#include "engine/engine.h"
#include "net/http_server.h"
#include "store/table.h"
#include "wire/id.h"

struct core;

struct core_commit { /* one durable group, as the hook sees it, on the writer's thread */
    const struct engine *engine; /* stands still during the call */
    const struct engine_command *commands;
    size_t count;
    const struct engine_result *result;
    uint64_t seq_first, seq_last;
    time_ms now;
    struct http_batch *batch; /* answers and stream writes go here: one wake-up for all */
};

struct core_options {
    const char *data;   /* folder; must exist */
    const char *vfs;    /* SQLite VFS for tests, NULL = the system's */
    bool memory;        /* the journal stands in memory, and nothing outlives the core: for trials and measurements */
    /* After each durable group, before the callers' `done`. */
    void (*committed)(void *context, const struct core_commit *commit);
    /* Once, on the writer's thread, when core_failure has become something. */
    void (*failed)(void *context);
    void *context;
    uint64_t snapshot_every; /* commands; 0 = some hundred thousand */
    bool rebuild_tables; /* fill lost query tables from what the journal still holds */
};

/* Locks the folder (-EBUSY: another server has it), opens journal, snapshots and tables, restores and
 * replays; makes the first project, the admin key and DATA/client.yaml's key where the journal is
 * empty. Errors name the file and what to do. */
int core_open(struct core **ret, const struct core_options *options, struct error *err);
/* Threads: writer, readers, projector, checkpointer. `http` must outlive core_stop. */
int core_start(struct core *c, struct http_server *http, struct error *err);
/* Stops taking commands (later pushes are answered `failed`), finishes what was taken, writes a
 * snapshot, ends the threads. */
int core_stop(struct core *c, struct error *err);
void core_close(struct core *c);
/* The writer met an error that it cannot live with (disk full for good, journal lost): the text; the
 * program says so and ends with a clean stop. NULL while all is well. */
const char *core_failure(struct core *c);

/* ---- writing ------------------------------------------------------------------------------------------------ */

struct core_answer {
    const struct engine_outcome *outcomes; /* one a command of the call */
    const struct engine *engine;           /* stands still during the call */
    uint64_t seq;                          /* journal number that holds the call */
    time_ms now;
    bool failed;                           /* nothing was done (stopping, disk full): 503; try again */
    bool unknown;                          /* with `failed`: the disk left it open whether it was done */
    struct http_batch *batch;
};
struct core_call {
    struct core_call *next; /* the core's own */
    struct engine_command *commands; /* with everything that they point at: live until done */
    size_t count;                    /* at least 1; all of them in one batch */
    void (*done)(struct core_call *call, const struct core_answer *answer); /* writer's thread */
};
/* From any thread; never blocks. */
void core_push(struct core *c, struct core_call *call);

/* ---- reading ------------------------------------------------------------------------------------------------- */

struct core_view {
    const struct engine *engine;  /* under the read lock */
    struct tables_reader *tables; /* this thread's own */
    uint64_t seq;                 /* journal number that the state includes */
    time_ms now;                  /* the server's clock */
};
struct core_read {
    struct core_read *next;
    uint64_t after; /* wait until this journal number is included; 0 */
    bool tables;    /* wait until the tables have followed what the state includes now: for a moment, and not where they lag far */
    void (*run)(struct core_read *read, const struct core_view *view); /* reader's thread */
    uint64_t tables_after; /* the core's own, as is `due` */
    time_ms due;
};
void core_query(struct core *c, struct core_read *read);
/* Answers now, or when `seq` is durable. Copies the response, adds the header Tessera-Seq. */
void core_respond(struct core *c, uint64_t seq, struct http_request *r, const struct http_response *response);

/* ---- who asks: published apart from the engine, for the network loop ------------------------------------------ */

struct core_identity {
    engine_id key, project, node; /* project 0 = all; node of an agent's key, 0 = not bound yet */
    enum engine_role role;
    bool session;
    char principal[128];
};
/* False: no such key, revoked, expired, or a used token. The text is never kept or logged. */
bool core_identify(struct core *c, struct str secret, struct core_identity *ret);
/* By name or id text; 0 = none. */
engine_id core_project(struct core *c, struct str name);
void core_hash_key(struct core *c, struct str secret, unsigned char ret[ENGINE_HASH_SIZE]);
/* `fkey_` and 32 letters or digits, from the system's randomness. */
#define CORE_KEY_SIZE 38
void core_make_key(char ret[CORE_KEY_SIZE]);

/* ---- contact --------------------------------------------------------------------------------------------------- */

/* Renews a node's contact (network loop, at each poll and renewal). False: not registered or given up. */
bool core_renew(struct core *c, engine_id node);
/* Since its last renewal; -1: not known. */
time_ms core_contact_age(struct core *c, engine_id node);

/* ---- what is fixed while it runs -------------------------------------------------------------------------------- */

struct id_key core_id_key(const struct core *c);
/* 1 to 250: tells installations on one machine apart (addresses 127.0.N.x, cgroups, uids). */
int core_installation(const struct core *c);
const char *core_data(const struct core *c);
uint64_t core_durable_seq(struct core *c);
/* The journal number that the state includes now. */
uint64_t core_applied_seq(struct core *c);
/* For /metrics: counters of the writer. */
struct core_stats {
    uint64_t commands, groups, commit_us_total, apply_us_total, snapshot_seq, projected_seq, reads;
    uint64_t journal_start;
};
struct core_stats core_stats(struct core *c);
