/* SPDX-License-Identifier: Apache-2.0 */
/* The projector: follows the journal's groups by the position that stands in the tables, and fills
 * them. It may lag, and yields to everybody else. */

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "records/journal_codec.h"
#include "server/core_internal.h"
#include "server/file.h"
#include "server/projection.h"
#include "server/recover.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define TRANSACTION_EVENTS 4000
#define TRANSACTION_MS 500 /* a transaction is not longer than this */
#define RETRY_MS 2000      /* after an error: a full disk may get room */
/* Where the others take so much of the machine, history waits: until they rest, or until it is so
 * many commands behind that the journal would grow too long. */
#define BUSY_PERMILLE 100
#define BUSY_LOOK_MS 200
#define LAG_MAX 500000
#define TRIM_INTERVAL_MS ((time_ms)60 * 1000)
#define PRICES_KEPT_MS ((time_ms)14 * 24 * HOUR_MS)
#define EVENTS_KEPT_MS ((time_ms)3 * 24 * HOUR_MS)
#define ARENA_KEPT ((size_t)1 << 20)

struct projector {
    struct core *core;
    struct tables *tables;
    struct journal_reader *reader;
    struct arena arena; /* of a group */
    struct arena names; /* for good: pools and projects never change theirs */
    struct map projects, pools; /* id to index in texts + 1 */
    struct str *texts;
    size_t text_count, text_capacity;
    time_ms trimmed;
    int64_t looked_us, others_us; /* wall and what the other threads had used, at the last look */
};

/* ---- names: the state's lock is taken only for what is new ------------------------------------------------ */

static struct str name_cached(struct projector *p, const struct map *map, uint64_t id)
{
    uint64_t place = map_get(map, id);
    return place ? p->texts[place - 1] : (struct str){0};
}

static void name_cache(struct projector *p, struct map *map, uint64_t id, struct str text)
{
    if (id == 0 || text.size == 0 || map_get(map, id))
        return;
    ARRAY_RESERVE(p->texts, p->text_count, p->text_capacity);
    p->texts[p->text_count++] = arena_str(&p->names, text);
    map_set(map, id, p->text_count);
}

/* Everything that a submit's event and a price speak of is known without the state. */
static bool names_known(struct projector *p, const struct engine_event *event, struct event_names *ret)
{
    if (event->type != ENGINE_EVENT_WORKLOAD_SUBMITTED && event->type != ENGINE_EVENT_PRICE_POSTED)
        return false;
    *ret = (struct event_names){.project = name_cached(p, &p->projects, event->project), .pool = name_cached(p, &p->pools, event->pool)};
    return (event->project == 0 || ret->project.size > 0) && (event->pool == 0 || ret->pool.size > 0);
}

static struct str kept(struct projector *p, struct str text)
{
    return text.size > 0 ? arena_str(&p->arena, text) : STR("");
}

static void names_look_up(struct projector *p, const struct engine_event *event, struct event_names *names, struct table_node *node)
{
    pthread_rwlock_rdlock(&p->core->state);
    event_names_find(p->core->engine, p->core->installation.key, event, &p->arena, names);
    names->project = kept(p, names->project);
    names->workload = kept(p, names->workload);
    names->node = kept(p, names->node);
    names->key = kept(p, names->key);
    *node = node_row(p->core->engine, event->node, &p->arena);
    pthread_rwlock_unlock(&p->core->state);
    name_cache(p, &p->projects, event->project, names->project);
    name_cache(p, &p->pools, event->pool, names->pool);
}

/* ---- groups ----------------------------------------------------------------------------------------------------- */

struct group {
    struct engine_command *commands;
    size_t command_count;
    struct engine_event *events;
    size_t event_count;
};

static int group_decode(struct projector *p, const struct journal_group *group, struct group *ret, struct error *err)
{
    *ret = (struct group){0};
    int r = journal_events_unpack(group->events, &p->arena, &ret->events, &ret->event_count, err);
    bool submits = false;
    for (size_t i = 0; r == 0 && i < ret->event_count; i++)
        submits |= ret->events[i].type == ENGINE_EVENT_WORKLOAD_SUBMITTED;
    if (r == 0 && submits && group->commands.size > 0)
        r = journal_commands_unpack(group->commands, &p->arena, &ret->commands, &ret->command_count, err);
    if (r < 0)
        error_prefix(err, "commands %llu to %llu of the journal", (unsigned long long)group->seq_first, (unsigned long long)group->seq_last);
    return r;
}

static const struct engine_submit *submit_of(const struct group *group, const struct engine_event *event)
{
    bool there = event->type == ENGINE_EVENT_WORKLOAD_SUBMITTED && event->command >= 0 && (size_t)event->command < group->command_count &&
                 group->commands[event->command].type == ENGINE_SUBMIT;
    return there ? &group->commands[event->command].submit : NULL;
}

static int event_project(struct projector *p, const struct group *group, struct table_position position, struct error *err)
{
    const struct engine_event *event = &group->events[position.position];
    struct event_names names;
    struct table_node node = {0};
    const struct engine_submit *submit = submit_of(group, event);
    if (!names_known(p, event, &names))
        names_look_up(p, event, &names, &node);
    if (submit)
        names.workload = submit->name;
    const struct projection projection = {.key = p->core->installation.key, .position = position, .event = event, .names = &names,
                                          .submit = submit, .node = &node, .arena = &p->arena};
    return projection_put(p->tables, &projection, err);
}

static int group_project(struct projector *p, const struct journal_group *journaled, struct error *err)
{
    struct group group;
    arena_clear(&p->arena);
    int r = group_decode(p, journaled, &group, err);
    for (size_t i = 0; r == 0 && i < group.event_count; i++)
        r = event_project(p, &group, (struct table_position){journaled->seq_last, i}, err);
    return r < 0 ? r : (int)MIN(group.event_count, (size_t)INT32_MAX);
}

/* Where commands were dropped already (tables made anew), events alone have to do. */
static int group_next(struct projector *p, uint64_t seq, struct journal_group *ret, struct error *err)
{
    int r = journal_read_next(p->reader, seq, ret, err);
    return r == -EBADMSG ? journal_read_events(p->reader, seq, ret, err) : r;
}

/* One transaction: 1 where something was done, 0 at the end of the journal. */
static int transaction_fill(struct projector *p, struct table_position *at, struct error *err)
{
    struct journal_group group;
    time_ms begin = clock_monotonic_ms();
    int done = 0, r = 1;
    while (done < TRANSACTION_EVENTS && clock_monotonic_ms() - begin < TRANSACTION_MS) {
        r = group_next(p, at->seq, &group, err);
        if (r <= 0)
            break;
        r = group_project(p, &group, err);
        if (r < 0)
            break;
        done += r;
        *at = (struct table_position){group.seq_last, r > 0 ? (uint64_t)r - 1 : 0};
    }
    return r < 0 ? r : done;
}

static int transaction_run(struct projector *p, struct error *err)
{
    struct table_position start = tables_position(p->tables), at = start;
    if (start.seq == atomic_load(&p->core->durable))
        return 0;
    int r = tables_begin(p->tables, err);
    if (r == 0)
        r = transaction_fill(p, &at, err);
    if (r >= 0 && at.seq > start.seq)
        r = tables_commit(p->tables, at, err);
    if (r < 0 || at.seq == start.seq) {
        tables_rollback(p->tables);
        return r < 0 ? r : 0;
    }
    atomic_store(&p->core->projected, at.seq);
    reads_advance(p->core);
    return 1;
}

/* ---- yielding --------------------------------------------------------------------------------------------------- */

static int64_t cpu_us(clockid_t clock)
{
    struct timespec used;
    return clock_gettime(clock, &used) < 0 ? 0 : (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

static int cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) < 0 ? 1 : MAX(CPU_COUNT(&set), 1);
}

/* Whether the server's other threads used much of the machine since the last look. */
static bool others_busy(struct projector *p)
{
    int64_t now = clock_monotonic_us(), others = cpu_us(CLOCK_PROCESS_CPUTIME_ID) - cpu_us(CLOCK_THREAD_CPUTIME_ID);
    int64_t span = now - p->looked_us, used = others - p->others_us;
    p->looked_us = now;
    p->others_us = others;
    return span > 0 && used * 1000 > span * cores() * BUSY_PERMILLE;
}

/* How long to stay away although there is work. */
static time_ms pause_wanted(struct projector *p)
{
    uint64_t lag = atomic_load(&p->core->durable) - atomic_load(&p->core->projected);
    return others_busy(p) && lag < LAG_MAX ? BUSY_LOOK_MS : 0;
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

void projector_notify(struct core *c, bool close)
{
    pthread_mutex_lock(&c->projector_lock);
    c->projector_closing |= close;
    pthread_cond_signal(&c->projector_wake);
    if (close)
        pthread_cond_broadcast(&c->projector_close);
    pthread_mutex_unlock(&c->projector_lock);
}

static struct timespec after(time_ms span)
{
    time_ms due = clock_monotonic_ms() + span;
    return (struct timespec){.tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000};
}

/* Until something is durable beyond `seen`, or the time is over. False: the end. */
static bool projector_wait(struct core *c, uint64_t seen, time_ms most)
{
    struct timespec until = after(most);
    int r = 0;
    pthread_mutex_lock(&c->projector_lock);
    while (!c->projector_closing && r == 0 && atomic_load(&c->durable) == seen)
        r = pthread_cond_timedwait(&c->projector_wake, &c->projector_lock, &until);
    bool closing = c->projector_closing;
    pthread_mutex_unlock(&c->projector_lock);
    return !closing;
}

bool projector_pause(struct core *c, time_ms span)
{
    struct timespec until = after(span);
    int r = 0;
    pthread_mutex_lock(&c->projector_lock);
    while (!c->projector_closing && r == 0)
        r = pthread_cond_timedwait(&c->projector_close, &c->projector_lock, &until);
    bool closing = c->projector_closing;
    pthread_mutex_unlock(&c->projector_lock);
    return !closing;
}

/* Between two transactions. False: the end. */
static bool projector_rest(struct projector *p)
{
    bool more = true;
    for (time_ms pause; more && (pause = pause_wanted(p)) > 0;)
        more = projector_pause(p->core, pause);
    return more && projector_pause(p->core, 0);
}

static int trim(struct projector *p, struct error *err)
{
    time_ms monotonic = clock_monotonic_ms(), now = core_now(p->core);
    if (monotonic - p->trimmed < TRIM_INTERVAL_MS)
        return 0;
    int prices = tables_trim(p->tables, TABLE_PRICE, now - PRICES_KEPT_MS, err);
    int events = prices < 0 ? prices : tables_trim(p->tables, TABLE_EVENT, now - EVENTS_KEPT_MS, err);
    if (prices == 0 && events == 0)
        p->trimmed = monotonic; /* else more at once */
    return MIN(events, 0);
}

static int projector_step(struct projector *p, struct error *err)
{
    int r = transaction_run(p, err);
    if (r >= 0 && tables_checkpoint(p->tables, err) < 0)
        log_debug("tables: %s", err->text);
    int trimmed = r < 0 ? 0 : trim(p, err);
    return trimmed < 0 ? trimmed : r;
}

static void projector_run(struct projector *p)
{
    struct core *c = p->core;
    bool troubled = false, more = true;
    while (more) {
        struct error err = {};
        int r = projector_step(p, &err);
        if (r < 0 && !troubled)
            log_warning("the tables lag: %s", err.text);
        troubled = r < 0;
        if (p->arena.total > ARENA_KEPT)
            arena_fini(&p->arena);
        more = r > 0   ? projector_rest(p)
               : r < 0 ? projector_pause(c, RETRY_MS)
                       : projector_wait(c, atomic_load(&c->projected), TRIM_INTERVAL_MS);
    }
}

void *projector_main(void *core)
{
    struct core *c = core;
    struct projector p = {.core = c, .tables = c->tables, .arena = {.limit = BUF_LIMIT_DEFAULT}, .names = {.limit = BUF_LIMIT_DEFAULT}};
    const struct journal_options journal = journal_options_of(c);
    struct error err = {};
    setpriority(PRIO_PROCESS, (id_t)gettid(), 10);
    if (journal_read_open(&p.reader, &journal, &err) < 0)
        core_fail(c, err.text);
    else
        projector_run(&p);
    journal_read_close(p.reader);
    arena_fini(&p.arena);
    arena_fini(&p.names);
    map_fini(&p.projects);
    map_fini(&p.pools);
    xfree(p.texts);
    return NULL;
}
