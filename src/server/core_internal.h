/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the parts of the core share. Who may touch what:
 *   engine            the writer alone changes it, holding `state` for writing; others read under it
 *   applied           moves with the engine; durable follows when the group is on the disk
 *   journal           the writer's
 *   queue, reads, held   each behind its own lock, held for a few instructions */

#include "server/contact.h"
#include "server/core.h"
#include "server/identity.h"
#include "server/installation.h"
#include "store/journal.h"
#include "store/journal_memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define READER_COUNT 2
#define BATCH_MAX 4096

struct held_answer { /* waits until what it saw is durable */
    struct held_answer *next;
    uint64_t seq;
    struct http_request *request;
    struct http_response response; /* with copies behind this struct */
};

struct core_queue { /* calls on their way to the writer */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct core_call *first, **end;
    bool stopping; /* finish what is there, then refuse */
    bool stopped;  /* refusing */
    bool closing;  /* end the thread */
    pthread_cond_t changed; /* stopped has become true */
};

struct core_reads {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct core_read *first, **end;
    struct core_read *parked; /* ask for a number that is not there yet */
    bool closing;
};

struct core_timers { /* of the writer, monotonic ms */
    time_ms tick, tick_last, contact, contact_last;
    time_ms journal_last; /* contact_last when the journal's file was last looked for */
};

struct snapshotter { /* the writer's */
    pid_t child;
    uint64_t child_seq, last_seq;    /* under way; newest that is whole */
    time_ms last, took;              /* monotonic: when it was begun, how long that one took */
    uint64_t truncate;               /* the journal before this number may go */
    bool truncating;
    uint64_t bytes;                  /* journaled since the newest snapshot */
};

struct core {
    struct core_options options;
    char *data;
    int lock;
    struct installation installation;

    struct engine *engine;
    pthread_rwlock_t state;
    _Atomic uint64_t applied, durable;
    _Atomic int64_t clock_offset; /* server's time − monotonic; only grows */

    struct journal *journal;
    struct journal_memory *memory; /* that it stands in, where options.memory */
    char *journal_path;
    uint64_t journal_inode;
    uint64_t digest;
    struct engine_command *commands; /* of the batch under way */
    size_t command_capacity;
    struct buf command_bytes, event_bytes;
    struct engine_result result;

    struct identities *identities;
    struct contacts *contacts;
    struct http_server *http;

    struct core_queue queue;
    struct core_reads reads;
    pthread_mutex_t held_lock;
    struct held_answer *held;
    struct core_timers timers;
    struct snapshotter snapshots;
    pthread_t writer, readers[READER_COUNT], projector, checkpointer;
    unsigned started; /* threads, in the order above */

    pthread_mutex_t projector_lock;
    pthread_cond_t projector_wake;  /* a new group, or the end: for a projector with nothing to do */
    pthread_cond_t projector_close; /* the end alone: for pauses, which no group shall cut short */
    bool projector_closing;
    struct tables *tables;
    _Atomic uint64_t projected, snapshot_seq;

    pthread_mutex_t failure_lock;
    char failure[ERROR_TEXT_MAX];
    _Atomic bool has_failed;
    _Atomic uint64_t stat_commands, stat_groups, stat_commit_us, stat_apply_us, stat_reads, stat_journal_start;
};

/* The server's clock: never back, never standing still. */
time_ms core_now(struct core *c);
struct contact_time core_contact_time(struct core *c);
void core_fail(struct core *c, const char *text);
bool journal_in_place(const struct core *c);

/* How everybody opens the journal. */
struct journal_options journal_options_of(const struct core *c);

/* core_memory.c: whether the folder belongs to journals in memory; -EEXIST: it holds what is kept. Removes what an earlier
 * run left. */
bool memory_marked(const char *data);
int memory_begin(const char *data, struct error *err);
/* writer.c */
void *writer_main(void *core);
/* Applies and commits one group outside the thread, before it runs. */
int writer_first(struct core *c, const struct engine_command *commands, size_t count, struct error *err);
/* checkpoint.c: snapshots by a child, truncation behind them; all on the writer's thread. */
void snapshots_step(struct core *c);
/* Waits for a child under way; at a clean stop writes one of the last state. */
int snapshots_finish(struct core *c, bool write, struct error *err);
int snapshot_now(struct core *c, struct error *err);
/* When snapshots_step wants to be called although nothing happens; monotonic. */
time_ms snapshots_deadline(const struct core *c);
void *checkpoint_main(void *core);
/* reader.c */
void *reader_main(void *core);
void reads_advance(struct core *c);                                /* a new number is applied or in the tables */
void held_release(struct core *c, struct http_batch *batch);       /* those that are durable now */
void held_refuse(struct core *c, struct http_batch *batch);        /* those that never will be */
/* projector.c */
void *projector_main(void *core);
void projector_notify(struct core *c, bool close);
/* Sleeps for so long. False: the end has come. */
bool projector_pause(struct core *c, time_ms span);
