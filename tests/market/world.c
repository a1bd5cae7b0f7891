/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include "base/hash.h"

#include <stdarg.h>
#include <stdlib.h>

/* ---- names
 * ---------------------------------------------------------------------------------------- */

market_id name_intern(struct names *n, struct str text)
{
    uint64_t id = str_map_get(&n->by_text, text);
    if (id)
        return id;
    if (n->count == 0) {
        ARRAY_RESERVE(n->texts, n->count, n->capacity);
        n->texts[n->count++] = NULL;
    }
    ARRAY_RESERVE(n->texts, n->count, n->capacity);
    n->texts[n->count] = str_dup(text);
    str_map_set(&n->by_text, text, n->count);
    return n->count++;
}

market_id name_find(const struct names *n, struct str text)
{
    return str_map_get(&n->by_text, text);
}

const char *name_text(const struct names *n, market_id id)
{
    return id && id < n->count ? n->texts[id] : "-";
}

void names_fini(struct names *n)
{
    for (size_t i = 1; i < n->count; i++)
        xfree(n->texts[i]);
    xfree(n->texts);
    str_map_fini(&n->by_text);
    *n = (struct names){0};
}

/* ---- birth and death
 * -------------------------------------------------------------------------------- */

struct world *world_new(uint64_t seed, void (*failed)(struct world *, const char *), void *context)
{
    struct world *w = xcalloc(1, sizeof *w);
    *w = (struct world){.m = market_new(seed),
                        .seed = seed,
                        .now = 1000000000000,
                        .started = 1000000000000,
                        .auto_start = true,
                        .auto_tick = true,
                        .auto_finish = true,
                        .auto_compute = true,
                        .leave = LEAVE_AT_ONCE,
                        .check_every = 1,
                        .watch_rates = true,
                        .laws = true,
                        .asks_known = true,
                        .failed = failed,
                        .context = context};
    return w;
}

static void track_fini(struct track *t)
{
    xfree(t->roles);
    xfree(t->alternatives);
    xfree(t->choices);
    xfree(t->placements);
    xfree(t->gone);
    xfree(t->spans);
}

void world_free(struct world *w)
{
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->track_count; i++)
        track_fini(&w->tracks[i]);
    void *arrays[] = {w->tracks, w->plots,  w->tags,    w->sums,   w->active,
                      w->batch,  w->ground, w->limited, w->replies, w->blocks, w->credits, w->pledges};
    for (size_t i = 0; i < ARRAY_COUNT(arrays); i++)
        xfree(arrays[i]);
    map_fini(&w->track_by_id);
    map_fini(&w->plot_by_id);
    names_fini(&w->names);
    market_events_fini(&w->events);
    market_free(w->m);
    xfree(w);
}

void world_fail(struct world *w, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    w->failed(w, text);
    abort();
}

/* ---- what is followed
 * --------------------------------------------------------------------------------- */

struct track *world_track(const struct world *w, market_id id)
{
    uint64_t at = map_get(&w->track_by_id, id);
    return at ? &w->tracks[at - 1] : NULL;
}

struct plot *world_plot(const struct world *w, market_id id)
{
    uint64_t at = map_get(&w->plot_by_id, id);
    return at ? &w->plots[at - 1] : NULL;
}

struct tag *world_tag(const struct world *w, market_id pool)
{
    for (size_t i = 0; i < w->tag_count; i++)
        if (w->tags[i].pool == pool)
            return &w->tags[i];
    return NULL;
}

udollar world_balance(const struct world *w, struct market_account account)
{
    for (size_t i = 0; i < w->sum_count; i++)
        if (w->sums[i].name.kind == account.kind && w->sums[i].name.id == account.id)
            return w->sums[i].balance;
    return 0;
}

/* Copies everything that the bid points to. */
static void track_own(struct track *t, const struct market_bid *bid)
{
    t->spec = *bid;
    t->roles = xcalloc(bid->role_count, sizeof *t->roles);
    t->alternatives = xcalloc(bid->alternative_count, sizeof *t->alternatives);
    t->choices = xcalloc(bid->alternative_count * bid->role_count, sizeof *t->choices);
    memcpy(t->roles, bid->roles, bid->role_count * sizeof *t->roles);
    for (size_t i = 0; i < bid->alternative_count; i++) {
        struct market_choice *choices = t->choices + i * bid->role_count;
        memcpy(choices, bid->alternatives[i].choices, bid->role_count * sizeof *choices);
        t->alternatives[i] = bid->alternatives[i];
        t->alternatives[i].choices = choices;
    }
    t->spec.roles = t->roles;
    t->spec.alternatives = t->alternatives;
}

static void say_bid(struct world *w, struct market_command *c)
{
    if (world_track(w, c->bid.id))
        return; /* it will be refused; what it points to lives until the batch is applied */
    ARRAY_RESERVE(w->tracks, w->track_count, w->track_capacity);
    struct track *t = &w->tracks[w->track_count++];
    *t =
        (struct track){.id = c->bid.id, .first_limit = c->bid.alternatives[0].limit, .pending = -1};
    track_own(t, &c->bid);
    map_set(&w->track_by_id, t->id, w->track_count);
    c->bid = t->spec;
}

static void say_node(struct world *w, const struct market_node *spec)
{
    struct plot *p = world_plot(w, spec->id);
    if (p == NULL) {
        ARRAY_RESERVE(w->plots, w->plot_count, w->plot_capacity);
        p = &w->plots[w->plot_count++];
        *p = (struct plot){0};
        map_set(&w->plot_by_id, spec->id, w->plot_count);
    }
}

void world_say(struct world *w, struct market_command c)
{
    if (c.type == MARKET_BID_ADD)
        say_bid(w, &c);
    else if (c.type == MARKET_NODE_UP)
        say_node(w, &c.node);
    ARRAY_RESERVE(w->batch, w->batch_count, w->batch_capacity);
    w->batch[w->batch_count++] = c;
}

/* ---- batches
 * ---------------------------------------------------------------------------------------------- */

static void trace_events(struct world *w)
{
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LIMIT_DEFAULT);
    for (size_t i = 0; i < w->events.count; i++)
        event_text(&w->events, &w->events.items[i], &text);
    w->digest = digest_add(w->digest, text.data, text.size);
    if (w->trace && text.size)
        fprintf(w->trace, "%+.3f s\n%s", (double)(w->now - w->started) / 1000, buf_text(&text));
}

static void apply_batch(struct world *w)
{
    market_events_clear(&w->events);
    w->last_refused = (struct market_event){.refused.index = SIZE_MAX};
    model_before(w);
    market_apply(w->m, w->now, w->batch, w->batch_count, &w->events);
    if (w->trace_digest)
        trace_events(w);
    model_commands(w);
    for (size_t i = 0; i < w->batch_count; i++)
        if (w->batch[i].type == MARKET_TICK)
            w->block_count = w->credit_count = 0;
    for (size_t i = 0; i < w->events.count; i++)
        model_event(w, &w->events.items[i]);
    model_after(w);
    w->just_ticked = false;
    for (size_t i = 0; i < w->batch_count; i++)
        if (w->batch[i].type == MARKET_TICK) {
            w->just_ticked = true;
            w->last_tick = w->now;
            w->tick_wanted = false;
            w->count.ticks++;
        }
    w->batch_count = 0;
    w->count.batches++;
    if (w->check_every && w->count.batches % w->check_every == 0) {
        market_check(w->m);
        model_check(w);
    }
}

static void leave_now(struct world *w, struct track *t)
{
    for (size_t i = 0; i < t->placement_count; i++)
        if (!t->gone[i])
            world_say(w, (struct market_command){.type = MARKET_REPLICA_ENDED,
                                                 .lease = {.bid = t->id,
                                                           .attempt = t->attempt,
                                                           .role = t->placements[i].role,
                                                           .rank = t->placements[i].rank,
                                                           .at = w->now}});
}

static bool must_leave(const struct world *w, const struct track *t)
{
    if (t->state != TRACK_VACATING || w->leave == LEAVE_BY_HAND)
        return false;
    return w->leave == LEAVE_AT_ONCE || t->leave_by <= w->now;
}

static bool is_done(const struct world *w, const struct track *t)
{
    return w->auto_finish && t->state == TRACK_RUNNING && t->spec.run_time &&
           t->started + t->spec.run_time <= w->now;
}

/* What agents would report of the events just seen. */
static bool agents_react(struct world *w)
{
    for (size_t i = 0; i < w->reply_count; i++)
        world_say(w, w->replies[i]);
    w->reply_count = 0;
    for (size_t i = 0; i < w->active_count; i++) {
        struct track *t = &w->tracks[w->active[i]];
        if (t->state == TRACK_READY && w->auto_start && !t->started_told) {
            t->started_told = true;
            world_say(w, (struct market_command){
                             .type = MARKET_LEASE_STARTED,
                             .lease = {.bid = t->id, .attempt = t->attempt, .at = w->now}});
        } else if (must_leave(w, t)) {
            leave_now(w, t);
        } else if (is_done(w, t)) {
            world_say(w, (struct market_command){
                             .type = MARKET_LEASE_ENDED,
                             .lease = {.bid = t->id, .attempt = t->attempt, .at = w->now}});
        }
    }
    return w->batch_count > 0;
}

void world_apply(struct world *w)
{
    apply_batch(w);
    while (agents_react(w))
        apply_batch(w);
}

static time_ms next_due(const struct world *w)
{
    time_ms next = market_deadline(w->m);
    for (size_t i = 0; i < w->active_count; i++) {
        const struct track *t = &w->tracks[w->active[i]];
        if (t->state == TRACK_VACATING && w->leave == LEAVE_AT_DEADLINE)
            next = MIN(next, MAX(t->leave_by, w->now + 1));
        if (t->state == TRACK_RUNNING && t->spec.run_time && w->auto_finish)
            next = MIN(next, MAX(t->started + t->spec.run_time, w->now + 1));
    }
    if (w->tick_wanted && w->auto_tick)
        next = MIN(next, MAX(w->last_tick + 1000, w->now));
    return next;
}

void world_wait(struct world *w, time_ms span)
{
    time_ms end = w->now + span;
    for (time_ms next; (next = next_due(w)) <= end;) {
        w->now = MAX(next, w->now);
        if (w->tick_wanted && w->auto_tick && w->now >= w->last_tick + 1000)
            world_say(w, (struct market_command){.type = MARKET_TICK});
        world_apply(w);
        if (next_due(w) <= w->now && ++w->stuck > 1000)
            world_fail(w, "the market wants to be woken at %lld again and again",
                       (long long)w->now);
    }
    w->stuck = 0;
    w->now = end;
}

void world_compute(struct world *w)
{
    for (int work = WORK_SHADOW_CLEAR; work <= WORK_LARGE_TENANTS; work++) {
        _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
        market_compute(w->m, (enum market_work)work, &out);
        if (out.size)
            world_do(w,
                     (struct market_command){.type = MARKET_COMPUTED,
                                             .computed = {(enum market_work)work, buf_str(&out)}});
    }
}

void world_tick(struct world *w)
{
    world_wait(w, market_setting(w->m, SETTING_TICK_MS));
    if (w->auto_compute)
        world_compute(w);
    world_do(w, (struct market_command){.type = MARKET_TICK});
}

void world_reload(struct world *w)
{
    _cleanup_buf_ struct buf before = BUF_INIT(BUF_LIMIT_DEFAULT),
                             after = BUF_INIT(BUF_LIMIT_DEFAULT);
    market_snapshot(w->m, &before);
    struct unpack in = unpack_from(buf_str(&before));
    struct market *copy = market_restore(&in);
    if (copy == NULL)
        world_fail(w, "a snapshot is not taken back");
    market_snapshot(copy, &after);
    bool same = str_equal(buf_str(&before), buf_str(&after));
    market_free(w->m);
    w->m = copy;
    if (!same)
        world_fail(w, "a snapshot gives other bytes once it was taken back");
}
