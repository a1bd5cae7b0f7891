/* SPDX-License-Identifier: Apache-2.0 */
/* The one writer: whatever waits becomes one batch, is applied, committed, and only then answered. */

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "records/journal_codec.h"
#include "server/core_internal.h"
#include "server/recover.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONTACT_INTERVAL_MS 1000
/* A gap of half the timeout between two looks at contact, within these bounds: the server itself was away. */
#define CONTACT_GAP_LEAST_MS 1500
#define CONTACT_GAP_MOST_MS 3000
#define FREEZE_MARGIN_MS 10000 /* a holder that freezes at the timeout has frozen by then */
#define TICK_LEAST_MS 1000
#define LOST_MAX 64 /* at a look; the others come at the next */
#define TIME_COMMANDS_MAX (LOST_MAX + 2)
#define FULL_TRIES 6
#define SLICE_NS 200000
#define FULL_PAUSE_US 500000

struct batch {
    struct core_call *calls; /* in their order */
    size_t count;            /* commands in c->commands */
    time_ms now;
};

/* ---- gathering --------------------------------------------------------------------------------- */

/* Takes calls off the queue's head while they fit; the first one always does. */
static struct core_call *queue_take(struct core_queue *q, size_t most)
{
    struct core_call *taken = q->first, *last = NULL;
    size_t count = 0;
    for (struct core_call *call = q->first; call && (last == NULL || count + call->count <= most); call = call->next) {
        count += call->count;
        last = call;
    }
    if (last == NULL)
        return NULL;
    q->first = last->next;
    if (q->first == NULL)
        q->end = &q->first;
    last->next = NULL;
    return taken;
}

static struct timespec timespec_of(time_ms monotonic)
{
    return (struct timespec){.tv_sec = monotonic / 1000, .tv_nsec = monotonic % 1000 * 1000000};
}

/* When the engine wants to be called, on the monotonic clock. */
static time_ms wake_due(struct core *c)
{
    time_ms deadline = engine_deadline(c->engine);
    if (deadline == TIME_NEVER)
        return TIME_NEVER;
    /* Never twice in the same millisecond, whatever the engine says. */
    return MAX(deadline, engine_now(c->engine) + 1) - atomic_load(&c->clock_offset);
}

static time_ms writer_deadline(struct core *c)
{
    time_ms due = MIN(MIN(c->timers.tick, c->timers.contact), wake_due(c));
    return MIN(due, snapshots_deadline(c));
}

/* Waits for calls or a timer. NULL: nothing but time has come. */
static struct core_call *writer_wait(struct core *c)
{
    struct core_queue *q = &c->queue;
    pthread_mutex_lock(&q->lock);
    bool late = false;
    while (q->first == NULL && !q->stopping && !late) {
        struct timespec due = timespec_of(writer_deadline(c));
        late = pthread_cond_timedwait(&q->wake, &q->lock, &due) == ETIMEDOUT;
    }
    struct core_call *calls = queue_take(q, BATCH_MAX);
    pthread_mutex_unlock(&q->lock);
    return calls;
}

/* ---- what time brings ---------------------------------------------------------------------------- */

static bool carries_freeze(const struct engine *e, engine_id node)
{
    const struct engine_node *found = engine_node(e, node);
    for (size_t i = 0; found && i < found->replica_count; i++) {
        const struct engine_workload *workload = engine_workload(e, found->replicas[i].workload);
        if (workload && workload->freeze)
            return true;
    }
    return false;
}

static void command_add(struct core *c, struct batch *b, struct engine_command command)
{
    c->commands[b->count++] = command;
}

static void lost_add(struct core *c, struct batch *b, time_ms monotonic)
{
    struct contact_lost lost[LOST_MAX];
    time_ms timeout = engine_setting(c->engine, SETTING_CONTACT_TIMEOUT_MS);
    size_t count = contacts_overdue(c->contacts, monotonic, timeout, lost, ARRAY_COUNT(lost));
    for (size_t i = 0; i < count; i++) {
        time_ms least = timeout + (carries_freeze(c->engine, lost[i].node) ? FREEZE_MARGIN_MS : 0);
        if (!contacts_give_up(c->contacts, lost[i].node, monotonic, least))
            continue;
        log_warning("node %llu is out of contact for %lld ms: given up", (unsigned long long)lost[i].node, (long long)least);
        command_add(c, b, (struct engine_command){.type = ENGINE_NODE_LOST_SET,
                                                  .on_node = {.node = lost[i].node, .last_contact = lost[i].last}});
    }
}

/* A server that was stopped or slept could answer nobody: all nodes count as just renewed. */
static void contact_look(struct core *c, struct batch *b, time_ms monotonic)
{
    time_ms half = engine_setting(c->engine, SETTING_CONTACT_TIMEOUT_MS) / 2;
    bool away = monotonic - c->timers.contact_last > CLAMP(half, CONTACT_GAP_LEAST_MS, CONTACT_GAP_MOST_MS);
    c->timers.contact_last = monotonic;
    c->timers.contact = monotonic + CONTACT_INTERVAL_MS;
    if (away) {
        log_warning("the server itself was away for a while: every node counts as just renewed");
        contacts_renew_all(c->contacts, core_contact_time(c));
        return;
    }
    lost_add(c, b, monotonic);
}

static void timers_add(struct core *c, struct batch *b)
{
    time_ms monotonic = clock_monotonic_ms();
    if (monotonic >= c->timers.contact)
        contact_look(c, b, monotonic);
    if (monotonic >= c->timers.tick) {
        command_add(c, b, (struct engine_command){.type = ENGINE_TICK});
        c->timers.tick_last = monotonic;
        c->timers.tick = TIME_NEVER; /* set anew when it has been applied */
    }
    if (b->count == 0 && monotonic >= wake_due(c))
        command_add(c, b, (struct engine_command){.type = ENGINE_WAKE});
}

static void tick_plan(struct core *c)
{
    time_ms span = engine_setting(c->engine, SETTING_TICK_MS);
    if (c->result.tick_wanted)
        span = MIN(span, TICK_LEAST_MS);
    c->timers.tick = MIN(c->timers.tick, c->timers.tick_last + span);
    /* A longer setting counts from the next tick on, a shorter one at once. */
}

/* ---- apply, commit ------------------------------------------------------------------------------- */

static void commands_reserve(struct core *c, size_t count)
{
    if (count <= c->command_capacity)
        return;
    c->command_capacity = MAX(count, 2 * c->command_capacity);
    c->commands = xrealloc(c->commands, c->command_capacity, sizeof *c->commands);
}

static void batch_fill(struct core *c, struct batch *b)
{
    size_t count = 0;
    for (const struct core_call *call = b->calls; call; call = call->next)
        count += call->count;
    commands_reserve(c, count + TIME_COMMANDS_MAX);
    for (const struct core_call *call = b->calls; call; call = call->next) {
        memcpy(c->commands + b->count, call->commands, call->count * sizeof *call->commands);
        b->count += call->count;
    }
}

static void batch_apply(struct core *c, struct batch *b)
{
    int64_t begin = clock_monotonic_us();
    pthread_rwlock_wrlock(&c->state);
    b->now = MAX(core_now(c), engine_now(c->engine));
    engine_apply(c->engine, b->now, c->commands, b->count, &c->result);
    atomic_fetch_add(&c->applied, b->count);
    pthread_rwlock_unlock(&c->state);
    atomic_fetch_add(&c->stat_apply_us, (uint64_t)(clock_monotonic_us() - begin));
}

static int batch_encode(struct core *c, const struct batch *b, struct journal_group *ret, struct error *err)
{
    buf_clear(&c->command_bytes);
    buf_clear(&c->event_bytes);
    for (size_t i = 0; i < b->count; i++)
        journal_command_pack(&c->commands[i], &c->command_bytes);
    journal_events_pack(&c->result, &c->event_bytes);
    if (c->command_bytes.overflow || c->event_bytes.overflow)
        return error_set(err, -EFBIG, "a group of commands and events is larger than the journal takes");
    uint64_t applied = atomic_load(&c->applied);
    *ret = (struct journal_group){
        .seq_first = applied - b->count + 1,
        .seq_last = applied,
        .digest = journal_digest(c->digest, &c->result, buf_str(&c->event_bytes)),
        .time = b->now,
        .engine_version = ENGINE_VERSION,
        .commands = buf_str(&c->command_bytes),
        .events = buf_str(&c->event_bytes),
    };
    return 0;
}

/* The state is ahead of the disk now. A full disk may get room again within moments; if it does not,
 * the program ends, and what stands in memory alone is forgotten with it. */
static int batch_append(struct core *c, const struct journal_group *group, struct error *err)
{
    int r = -ENOSPC;
    for (int i = 0; i < FULL_TRIES && r == -ENOSPC; i++) {
        if (i > 0)
            usleep(FULL_PAUSE_US);
        r = journal_append(c->journal, group, err);
    }
    return r;
}

static int batch_commit(struct core *c, const struct batch *b, struct error *err)
{
    int64_t begin = clock_monotonic_us();
    struct journal_group group;
    int r = batch_encode(c, b, &group, err);
    if (r == 0)
        r = batch_append(c, &group, err);
    if (r < 0)
        return r;
    c->digest = group.digest;
    c->snapshots.bytes += group.commands.size;
    atomic_store(&c->durable, group.seq_last);
    atomic_fetch_add(&c->stat_commands, b->count);
    atomic_fetch_add(&c->stat_groups, 1);
    atomic_fetch_add(&c->stat_commit_us, (uint64_t)(clock_monotonic_us() - begin));
    return 0;
}

/* ---- answers --------------------------------------------------------------------------------------- */

static void batch_publish(struct core *c)
{
    identities_follow(c->identities, c->engine, c->result.events, c->result.event_count);
    contacts_follow(c->contacts, c->result.events, c->result.event_count, core_contact_time(c));
}

static void batch_answer(struct core *c, const struct batch *b)
{
    struct http_batch answers = {0};
    uint64_t seq = atomic_load(&c->durable);
    struct core_commit commit = {.engine = c->engine, .commands = c->commands, .count = b->count, .result = &c->result,
                                 .seq_first = seq - b->count + 1, .seq_last = seq, .now = b->now, .batch = &answers};
    if (c->options.committed)
        c->options.committed(c->options.context, &commit);
    struct core_answer answer = {.outcomes = c->result.outcomes, .engine = c->engine, .seq = seq, .now = b->now, .batch = &answers};
    for (struct core_call *call = b->calls, *next; call; call = next) {
        next = call->next; /* `done` may give the call away */
        size_t count = call->count;
        call->done(call, &answer);
        answer.outcomes += count;
    }
    held_release(c, &answers);
    http_batch_send(&answers);
}

static void calls_refuse(struct core *c, struct core_call *calls, bool unknown)
{
    struct http_batch answers = {0};
    const struct core_answer answer = {.engine = c->engine, .seq = atomic_load(&c->durable), .now = core_now(c), .failed = true,
                                       .unknown = unknown, .batch = &answers};
    for (struct core_call *call = calls, *next; call; call = next) {
        next = call->next;
        call->done(call, &answer);
    }
    held_refuse(c, &answers);
    http_batch_send(&answers);
}

/* ---- the thread -------------------------------------------------------------------------------------- */

static void batch_fail(struct core *c, struct batch *b, int r, const struct error *err)
{
    bool full = r == -ENOSPC;
    struct error text = *err;
    if (full)
        error_set(&text, r, "%s; the disk is full: nothing of the last commands was kept and nobody was told otherwise. "
                            "Make room under %s and start again", err->text, c->data);
    core_fail(c, text.text);
    calls_refuse(c, b->calls, !full);
}

/* Keeps false: the writer cannot go on. */
static bool batch_run(struct core *c, struct batch *b)
{
    struct error err = {};
    batch_apply(c, b);
    reads_advance(c);
    int r = batch_commit(c, b, &err);
    if (r < 0) {
        batch_fail(c, b, r, &err);
        return false;
    }
    tick_plan(c);
    batch_publish(c);
    batch_answer(c, b);
    projector_notify(c, false);
    return true;
}

static bool journal_lost(struct core *c, struct batch *b)
{
    if (c->timers.contact_last == c->timers.journal_last || journal_in_place(c)) {
        c->timers.journal_last = c->timers.contact_last;
        return false;
    }
    struct error err = {};
    error_set(&err, -ENOENT, "%s was deleted, moved or replaced while the server ran: nothing can be kept any more. Put it back "
                             "(or restore the data folder from a backup) and start again", c->journal_path);
    core_fail(c, err.text);
    calls_refuse(c, b->calls, false);
    return true;
}

static bool writer_step(struct core *c)
{
    struct batch b = {.calls = writer_wait(c)};
    if (atomic_load(&c->has_failed)) { /* another thread met what the server cannot live with */
        calls_refuse(c, b.calls, false);
        return false;
    }
    batch_fill(c, &b);
    timers_add(c, &b);
    bool good = !journal_lost(c, &b) && (b.count == 0 || batch_run(c, &b));
    if (good)
        snapshots_step(c);
    return good;
}

static bool queue_done(struct core *c)
{
    pthread_mutex_lock(&c->queue.lock);
    bool done = c->queue.stopping && c->queue.first == NULL;
    pthread_mutex_unlock(&c->queue.lock);
    return done;
}

static void queue_refuse(struct core *c)
{
    struct core_queue *q = &c->queue;
    pthread_mutex_lock(&q->lock);
    q->stopped = true;
    pthread_cond_broadcast(&q->changed);
    while (!q->closing || q->first) {
        while (q->first == NULL && !q->closing)
            pthread_cond_wait(&q->wake, &q->lock);
        struct core_call *calls = queue_take(q, SIZE_MAX);
        pthread_mutex_unlock(&q->lock);
        calls_refuse(c, calls, false);
        pthread_mutex_lock(&q->lock);
    }
    pthread_mutex_unlock(&q->lock);
}

/* The writer sleeps on the disk for each group, and everybody waits for it: on a busy machine it should run
 * at once when the disk is done, instead of after the others' slices. A shorter slice of its own lets it;
 * it costs nobody time. (struct sched_attr of the kernel's headers; kernels before 6.12 ignore it.) */
static void slice_shorten(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline, period;
    } wanted = {.size = sizeof wanted, .runtime_ns = SLICE_NS};
    if (syscall(SYS_sched_setattr, 0, &wanted, 0) < 0)
        log_debug("the writer's slice stays as it is: %s", strerror(errno));
}

void *writer_main(void *core)
{
    struct core *c = core;
    slice_shorten();
    c->timers.tick_last = c->timers.contact_last = clock_monotonic_ms();
    c->timers.contact = c->timers.contact_last + CONTACT_INTERVAL_MS;
    c->timers.tick = TIME_NEVER;
    tick_plan(c);
    while (!queue_done(c) && writer_step(c))
        ;
    queue_refuse(c);
    return NULL;
}

int writer_first(struct core *c, const struct engine_command *commands, size_t count, struct error *err)
{
    struct batch b = {.count = count};
    commands_reserve(c, count);
    memcpy(c->commands, commands, count * sizeof *commands);
    batch_apply(c, &b);
    int r = batch_commit(c, &b, err);
    if (r == 0)
        batch_publish(c);
    return r;
}
