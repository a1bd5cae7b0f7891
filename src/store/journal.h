/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The journal: what the engine was told, group by group, and what it decided. One writer; a group
 * is on the disk when journal_append returns. Readers have connections of their own and see a group
 * only once it is durable.
 *
 * Commands are numbered from 1 without gaps. The bytes of commands and events are the caller's;
 * the journal keeps a checksum of them. */

#include "base/error.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct journal;
struct journal_reader;
struct journal_memory;

struct journal_options {
    const char *path;
    const char *vfs; /* SQLite VFS, NULL = the system's */
    bool create;     /* makes a file where none is; else its absence is -ENOENT, "lost" */
    struct journal_memory *memory; /* the groups stand there (journal_memory.h) and in no file; NULL = in `path` */
    uint32_t format; /* the newest format of commands and events that the caller reads; writes it */
};

/* One group commit. */
struct journal_group {
    uint64_t seq_first, seq_last; /* numbers of its commands, both included */
    uint64_t digest;              /* running digest of all that was decided up to seq_last */
    time_ms time;
    uint32_t engine_version;
    struct str commands;
    struct str events;
};

/* -ENOENT, -EBADMSG (damaged or not ours), -EPROTO (newer format, named), -EIO, -ENOSPC. */
int journal_open(struct journal **ret, const struct journal_options *options, struct error *err);
/* NULL is allowed. */
void journal_close(struct journal *j);

/* Durable when it returns 0. seq_first must follow the last one. On -ENOSPC nothing of the group was
 * kept and the same group may be tried again. After any other error it is unknown whether the group
 * is on the disk: nobody may be told that it failed for good, and every later append is refused
 * until the journal is opened anew. */
int journal_append(struct journal *j, const struct journal_group *group, struct error *err);
/* The last group without its bytes; all zero in an empty journal. */
struct journal_group journal_last(const struct journal *j);
/* The number before the first command that the journal still holds. */
uint64_t journal_start(const struct journal *j);

/* Drops the commands of groups that end before `commands_before` and the events of those that end
 * before `events_before`, at most some hundred groups a call; the newest group always stays.
 * Returns 1 where more remain to be dropped, so that groups can be appended in between. */
int journal_truncate(struct journal *j, uint64_t commands_before, uint64_t events_before, struct error *err);

/* A read-only connection for another thread. Blocks nobody, and nobody blocks it. */
int journal_read_open(struct journal_reader **ret, const struct journal_options *options, struct error *err);
void journal_read_close(struct journal_reader *r);
/* The first group that holds a command after `seq`, whole, with events where those are kept:
 * 1 with *ret (bytes borrowed until the next call), 0 at the end, -EBADMSG where commands after seq
 * are missing or the bytes are not those that were written. */
int journal_read_next(struct journal_reader *r, uint64_t seq, struct journal_group *ret, struct error *err);
/* The same for events alone, which are kept longer: `commands` stays empty and a gap is not an
 * error (compare seq_first with seq + 1). */
int journal_read_events(struct journal_reader *r, uint64_t seq, struct journal_group *ret, struct error *err);

/* Copies what it can of SQLite's log into the file, on a connection of its own, from any thread but
 * the writer's; waits for nobody and blocks nobody. A few times a second under load. */
struct journal_checkpointer;
int journal_checkpoint_open(struct journal_checkpointer **ret, const struct journal_options *options, struct error *err);
void journal_checkpoint_close(struct journal_checkpointer *c);
int journal_checkpoint_passive(struct journal_checkpointer *c, struct error *err);

static inline void journal_closep(struct journal **j)
{
    journal_close(*j);
}
static inline void journal_read_closep(struct journal_reader **r)
{
    journal_read_close(*r);
}
#define _cleanup_journal_ _cleanup_(journal_closep)
#define _cleanup_journal_reader_ _cleanup_(journal_read_closep)
