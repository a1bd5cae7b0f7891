/* SPDX-License-Identifier: Apache-2.0 */
/* What keeps the journal short: snapshots by a forked child, truncation behind the oldest one kept,
 * and a thread that moves SQLite's log into its file. */

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "records/journal_codec.h"
#include "server/core_internal.h"
#include "server/file.h"
#include "server/recover.h"
#include "store/snapshot.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SNAPSHOTS_KEPT 2
/* A snapshot is due after so much was journaled, or after a while where anything was. */
#define SNAPSHOT_COMMANDS 400000
#define SNAPSHOT_BYTES ((uint64_t)512 << 20)
#define SNAPSHOT_INTERVAL_MS ((time_ms)30 * 60 * 1000)
#define SNAPSHOT_REST 10 /* between two, in spans of what the last one took: they take a tenth of the time at most */
#define CHILD_POLL_MS 200
/* Events stay longer than commands, for streams that resume. */
#define EVENTS_KEPT 100000
#define CHECKPOINT_INTERVAL_MS 250

static struct snapshot_header header_now(const struct core *c)
{
    return (struct snapshot_header){.format = ENGINE_FORMAT, .engine_version = ENGINE_VERSION, .seq = atomic_load(&c->durable),
                                    .digest = c->digest, .time = engine_now(c->engine)};
}

static int snapshot_make(const struct core *c, struct error *err)
{
    _cleanup_free_ char *dir = data_path(c->data, SNAPSHOTS_NAME);
    _cleanup_buf_ struct buf body = BUF_INIT(SNAPSHOT_SIZE_MAX);
    const struct snapshot_header header = header_now(c);
    engine_snapshot(c->engine, &body);
    if (body.overflow)
        return error_set(err, -EFBIG, "%s: the state is larger than a snapshot may be (%llu MiB)", dir,
                         (unsigned long long)SNAPSHOT_SIZE_MAX >> 20);
    return snapshot_write(dir, &header, buf_str(&body), err);
}

int snapshot_now(struct core *c, struct error *err)
{
    /* Reading a state into bytes may touch it: nobody looks meanwhile. A child has a copy of its own. */
    pthread_rwlock_wrlock(&c->state);
    int r = snapshot_make(c, err);
    pthread_rwlock_unlock(&c->state);
    if (r == 0) {
        c->snapshots.last_seq = atomic_load(&c->durable);
        atomic_store(&c->snapshot_seq, c->snapshots.last_seq);
    }
    return r;
}

/* ---- the child ------------------------------------------------------------------------------------------ */

/* Holds nothing of the server's (its lock, its sockets), dies with it, and yields to it. */
static void child_run(const struct core *c)
{
    struct error err = {};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_range(3, ~0U, 0);
    setpriority(PRIO_PROCESS, 0, 15);
    int r = snapshot_make(c, &err);
    if (r < 0) /* no log here: another thread may have held one of libc's locks at the fork */
        dprintf(STDERR_FILENO, "no snapshot: %s\n", err.text);
    _exit(r < 0 ? 1 : 0);
}

static void child_start(struct core *c)
{
    struct snapshotter *s = &c->snapshots;
    s->last = clock_monotonic_ms();
    s->bytes = 0;
    s->child_seq = atomic_load(&c->durable);
    s->child = fork();
    if (s->child == 0)
        child_run(c);
    if (s->child < 0) {
        log_warning("no snapshot: fork: %s", strerror(errno));
        s->child = 0;
    }
}

static void child_done(struct core *c, int status)
{
    struct snapshotter *s = &c->snapshots;
    s->child = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        if (WIFSIGNALED(status))
            log_warning("no snapshot: its process was ended by signal %d", WTERMSIG(status));
        return;
    }
    s->took = clock_monotonic_ms() - s->last;
    log_debug("snapshot of %llu after %lld ms", (unsigned long long)s->child_seq, (long long)s->took);
    s->last_seq = s->child_seq;
    atomic_store(&c->snapshot_seq, s->last_seq);
    s->truncating = true;
}

static void child_look(struct core *c, bool wait)
{
    int status;
    pid_t done = waitpid(c->snapshots.child, &status, wait ? 0 : WNOHANG);
    if (done == c->snapshots.child)
        child_done(c, status);
}

/* ---- truncation ------------------------------------------------------------------------------------------- */

/* What the projector has not seen stays, whatever the snapshots say. */
static int truncate_some(struct core *c, struct error *err)
{
    _cleanup_free_ char *dir = data_path(c->data, SNAPSHOTS_NAME);
    uint64_t oldest = 0, projected = atomic_load(&c->projected);
    int r = snapshot_prune(dir, SNAPSHOTS_KEPT, &oldest, err);
    if (r < 0)
        return r;
    uint64_t commands = MIN(oldest, projected) + 1;
    uint64_t events = commands > EVENTS_KEPT ? commands - EVENTS_KEPT : 0;
    r = journal_truncate(c->journal, commands, events, err);
    atomic_store(&c->stat_journal_start, journal_start(c->journal));
    return r;
}

static void truncate_step(struct core *c)
{
    struct error err = {};
    int r = truncate_some(c, &err);
    if (r < 0)
        log_warning("the journal was not shortened: %s", err.text);
    /* Where the projector lags, it goes on after the next snapshot. */
    c->snapshots.truncating = r > 0;
}

/* ---- when ---------------------------------------------------------------------------------------------------- */

static bool snapshot_due(const struct core *c, time_ms monotonic)
{
    const struct snapshotter *s = &c->snapshots;
    uint64_t commands = atomic_load(&c->durable) - MAX(s->last_seq, s->child_seq);
    if (s->child > 0 || commands == 0 || monotonic - s->last < s->took * SNAPSHOT_REST)
        return false;
    return commands >= (c->options.snapshot_every ? c->options.snapshot_every : SNAPSHOT_COMMANDS) || s->bytes >= SNAPSHOT_BYTES || monotonic - s->last >= SNAPSHOT_INTERVAL_MS;
}

void snapshots_step(struct core *c)
{
    if (c->snapshots.child > 0)
        child_look(c, false);
    else if (c->snapshots.truncating)
        truncate_step(c);
    else if (snapshot_due(c, clock_monotonic_ms()))
        child_start(c);
}

time_ms snapshots_deadline(const struct core *c)
{
    const struct snapshotter *s = &c->snapshots;
    if (s->child > 0 || s->truncating)
        return clock_monotonic_ms() + CHILD_POLL_MS;
    return atomic_load(&c->durable) > s->last_seq ? s->last + SNAPSHOT_INTERVAL_MS : TIME_NEVER;
}

int snapshots_finish(struct core *c, bool write, struct error *err)
{
    if (c->snapshots.child > 0)
        child_look(c, true);
    if (!write || c->snapshots.last_seq == atomic_load(&c->durable))
        return 0;
    int r = snapshot_now(c, err);
    if (r == 0)
        truncate_step(c);
    else
        error_prefix(err, "all is in the journal and the next start finds it, but no snapshot could be written");
    return r;
}

/* ---- SQLite's log ------------------------------------------------------------------------------------------------ */

void *checkpoint_main(void *core)
{
    struct core *c = core;
    const struct journal_options options = journal_options_of(c);
    if (c->memory)
        return NULL;
    struct journal_checkpointer *checkpointer = NULL;
    struct error err = {};
    if (journal_checkpoint_open(&checkpointer, &options, &err) < 0) {
        log_warning("the journal's log is not checkpointed: %s", err.text);
        return NULL;
    }
    uint64_t seen = 0;
    while (projector_pause(c, CHECKPOINT_INTERVAL_MS)) {
        uint64_t durable = atomic_load(&c->durable);
        if (durable != seen && journal_checkpoint_passive(checkpointer, &err) < 0)
            log_warning("the journal's log is not checkpointed: %s", err.text);
        seen = durable;
    }
    journal_checkpoint_close(checkpointer);
    return NULL;
}
