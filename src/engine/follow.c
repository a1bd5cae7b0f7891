/* SPDX-License-Identifier: Apache-2.0 */
/* What the market decided: in the state, as events, and what has to follow from it. */
#include "base/sort.h"
#include "engine/engine_internal.h"

#define RETRY_LEAST_MS ((time_ms)1000)
#define RETRY_MOST_MS ((time_ms)5 * 60000)

/* ---- allocated ------------------------------------------------------------------------------------------------- */

/* Ended here while the market gave its bid a place, or put it back in the book. */
static void stray_add(struct engine *e, engine_id id)
{
    struct batch *b = &e->batch;
    ARRAY_RESERVE(b->strays, b->stray_count, b->stray_capacity);
    b->strays[b->stray_count++] = id;
}

/* Its node is told, and everybody. */
static void replica_tell(struct engine *e, const struct workload *w, const struct engine_replica *r)
{
    ref_add(e, w, r);
    struct engine_event *event = engine_event_add(e, ENGINE_EVENT_REPLICA_PLACED);
    event->project = w->view.project;
    event->workload = w->view.id;
    event->node = r->node;
    event->pool = w->view.pool;
    event->attempt = w->view.attempt;
    event->role = r->role;
    event->rank = r->rank;
    event->gpus = (int64_t)r->gpus;
}

static void attempt_begin(struct workload *w, const struct market_event *event)
{
    struct engine_workload *v = &w->view;
    v->attempt = event->attempt;
    v->pool = event->allocated.pool;
    v->units_milli = event->allocated.units_milli;
    v->nodes = (uint32_t)event->allocated.placement_count;
    v->started = v->deadline = 0;
    v->exited = v->oom = false;
    v->exit_code = v->exit_signal = v->exit_rank = 0;
    workload_lines_set(w, (struct str){0});
    w->begun = 0;
    w->noticed = 0;
    w->next = WORKLOAD_WAITING;
    w->next_reason = w->lost_reason = REASON_NONE;
}

static void replica_fill(struct engine_replica *r, const struct market_placement *p)
{
    r->node = p->node;
    r->gpus = p->gpus;
    r->amounts = p->amounts;
}

static int replica_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct engine_replica *a = x, *b = y;
    int c = COMPARE(a->role, b->role);
    return c ? c : COMPARE(a->rank, b->rank);
}

/* All of a new attempt, by (role, rank) however the market lists them. */
static void replicas_place(struct engine *e, struct workload *w, size_t first, size_t count)
{
    const struct market_placement *p = e->batch.events.placements + first;
    workload_replicas_set(w, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        w->replicas[i].role = p[i].role;
        w->replicas[i].rank = p[i].rank;
        replica_fill(&w->replicas[i], &p[i]);
    }
    if (count > 1)
        sort(w->replicas, count, sizeof *w->replicas, replica_compare, NULL);
    w->live = (uint32_t)count;
}

static void allocated(struct engine *e, struct workload *w, const struct market_event *event)
{
    if (workload_state_ended(w->view.state)) {
        stray_add(e, w->view.id);
        return;
    }
    CHECK(w->view.state == WORKLOAD_WAITING);
    attempt_begin(w, event);
    w->assigned = e->now;
    replicas_place(e, w, event->allocated.placement_first, event->allocated.placement_count);
    workload_state_set(e, w, WORKLOAD_ASSIGNED, REASON_NONE);
    port_draw(e, w, 0);
    struct engine_event *told = workload_event(e, ENGINE_EVENT_WORKLOAD_ASSIGNED, w);
    told->rate = event->allocated.rate;
    for (size_t i = 0; i < w->view.replica_count; i++) {
        w->replicas[i].ready = event->allocated.ready;
        replica_tell(e, w, &w->replicas[i]);
    }
}

static void ready(struct engine *e, struct workload *w)
{
    if (!workload_has_lease(w))
        return;
    for (size_t i = 0; i < w->view.replica_count; i++)
        w->replicas[i].ready = true;
    workload_touch(e, w);
    workload_event(e, ENGINE_EVENT_WORKLOAD_READY, w);
}

/* Elastic: some come, and may start, or some go, and the rest goes on. */
static void resized(struct engine *e, struct workload *w, const struct market_event *event)
{
    if (!workload_has_lease(w) || w->leaving)
        return;
    const struct market_placement *p = e->batch.events.placements + event->resized.placement_first;
    for (size_t i = 0; i < event->resized.placement_count; i++) {
        struct engine_replica *r = event->resized.grows ? workload_replica_add(w, p[i].role, p[i].rank)
                                                        : workload_replica_find(w, p[i].role, p[i].rank);
        CHECK(r != NULL);
        if (event->resized.grows) {
            replica_fill(r, &p[i]);
            r->ready = true;
            replica_tell(e, w, r);
        } else if (r->state != REPLICA_ENDED) {
            r->state = REPLICA_STOPPING;
            r->deadline = event->resized.deadline;
            engine_node_touch(e, engine_node_find(e, r->node));
        }
        r->dropped = !event->resized.grows;
    }
    w->view.nodes = 0;
    for (size_t i = 0; i < w->view.replica_count; i++)
        w->view.nodes += !w->replicas[i].dropped;
    w->view.units_milli = event->resized.units_milli;
    workload_event(e, ENGINE_EVENT_WORKLOAD_CHANGED, w)->rate = event->resized.rate;
}

/* ---- notices --------------------------------------------------------------------------------------------------------- */

static enum engine_reason reason_of(const struct workload *w, enum market_release release)
{
    switch (release) {
    case RELEASE_ENDED:
        return REASON_COMPLETED;
    case RELEASE_CANCELLED: /* the engine asks for it at the end of the longest run, too */
        return w->view.cancelled ? REASON_CANCELLED : REASON_MAX_RUN;
    case RELEASE_PREEMPTED:
        return REASON_PREEMPTED;
    case RELEASE_NODE_LOST:
        return w->lost_reason ? w->lost_reason : REASON_NODE_LOST;
    case RELEASE_DRAINED:
        return REASON_DRAINED;
    case RELEASE_BUDGET:
        return REASON_BUDGET;
    case RELEASE_PAUSED:
        return REASON_PAUSED;
    }
    return REASON_NONE;
}

/* The server does not hear all of it any more: what is left is not asked to go, it must not be there. */
static void survivors_drop(struct engine *e, struct workload *w)
{
    w->noticed = e->now;
    w->view.deadline = e->now;
    for (size_t i = 0; i < w->view.replica_count; i++) {
        struct engine_replica *r = &w->replicas[i];
        if (r->state == REPLICA_ENDED)
            continue;
        r->state = REPLICA_STOPPING;
        r->deadline = e->now;
        ref_remove(e, w, r);
    }
}

static void preempting(struct engine *e, struct workload *w, enum engine_reason reason, time_ms deadline)
{
    if (!workload_has_lease(w) || w->leaving)
        return;
    bool first = w->view.state != WORKLOAD_PREEMPTING;
    if (first) {
        workload_timer_clear(e, w);
        workload_state_set(e, w, WORKLOAD_PREEMPTING, reason);
    }
    if (first && !w->failing) {
        bool over = reason == REASON_CANCELLED || reason == REASON_MAX_RUN;
        w->next = over ? WORKLOAD_CANCELLED : WORKLOAD_WAITING;
        w->next_reason = reason;
    }
    if (w->live && reason == REASON_NODE_LOST)
        survivors_drop(e, w);
    else if (w->live && first)
        workload_replicas_stop(e, w, deadline);
    if (w->live && first)
        workload_event(e, ENGINE_EVENT_WORKLOAD_PREEMPTING, w);
}

/* ---- the end of a lease ----------------------------------------------------------------------------------------------- */

static void workload_end(struct engine *e, struct workload *w, enum engine_workload_state state, enum engine_reason reason)
{
    static const enum engine_event_type types[] = {
        [WORKLOAD_FINISHED] = ENGINE_EVENT_WORKLOAD_FINISHED,
        [WORKLOAD_FAILED] = ENGINE_EVENT_WORKLOAD_FAILED,
        [WORKLOAD_CANCELLED] = ENGINE_EVENT_WORKLOAD_CANCELLED,
    };
    w->view.exited |= state == WORKLOAD_FINISHED;
    workload_state_set(e, w, state, reason);
    struct engine_event *event = workload_event(e, types[state], w);
    event->from = w->view.started;
    event->to = w->view.ended;
    event->text = text_keep(e, w->view.last_lines);
}

/* A machine that cannot be made is not tried as fast as it fails: each time twice as long is waited. */
static void instance_hold_back(struct engine *e, struct workload *w, bool ran)
{
    w->failures = ran ? 1 : w->failures + 1;
    time_ms wait = RETRY_LEAST_MS << MIN(w->failures - 1, 10u);
    workload_timer_set(e, w, TIMER_RETRY, e->now + MIN(wait, RETRY_MOST_MS));
}

static void workload_wait(struct engine *e, struct workload *w, enum engine_reason reason)
{
    if (reason == REASON_RETRY)
        w->view.retries_left--;
    if (reason == REASON_RETRY && w->view.instance && !w->view.paused)
        instance_hold_back(e, w, w->view.started && e->now - w->view.started > RETRY_MOST_MS);
    bool paused = w->view.paused;
    workload_state_set(e, w, paused ? WORKLOAD_PAUSED : WORKLOAD_WAITING, paused ? REASON_PAUSED : reason);
    w->view.started = 0;
    workload_event(e, ENGINE_EVENT_WORKLOAD_WAITING, w)->text = text_keep(e, w->view.last_lines);
}

static void lease_over(struct engine *e, struct workload *w)
{
    for (size_t i = 0; i < w->view.replica_count; i++)
        if (w->replicas[i].state != REPLICA_ENDED)
            workload_replica_end(e, w, &w->replicas[i], e->now);
    port_release(e, w);
    workload_timer_clear(e, w);
    w->view.deadline = 0;
    w->failing = w->leaving = false;
    w->lost_reason = REASON_NONE;
}

static void released(struct engine *e, struct workload *w, bool waits)
{
    if (workload_state_ended(w->view.state)) {
        if (waits)
            stray_add(e, w->view.id);
        return;
    }
    if (!workload_has_lease(w)) {
        workload_end(e, w, WORKLOAD_CANCELLED, REASON_CANCELLED);
        return;
    }
    lease_over(e, w);
    if (workload_state_ended(w->next)) {
        workload_end(e, w, w->next, w->next_reason);
        if (waits)
            stray_add(e, w->view.id);
    } else if (waits) {
        workload_wait(e, w, w->next_reason);
    } else {
        workload_end(e, w, WORKLOAD_CANCELLED, reason_of(w, RELEASE_CANCELLED));
    }
}

/* ---- money ---------------------------------------------------------------------------------------------------------------- */

static void charged(struct engine *e, const struct market_event *m)
{
    struct engine_event *event = engine_event_add(e, ENGINE_EVENT_CHARGED);
    event->project = m->charged.tenant;
    event->workload = m->bid;
    event->attempt = m->attempt;
    event->pool = m->charged.pool;
    event->charge = m->charged.kind;
    event->from = m->charged.from;
    event->to = m->charged.to;
    event->units_milli = m->charged.units_milli;
    event->rate = m->charged.rate;
    event->amount = m->charged.amount;
    event->value = (int64_t)m->charged.reservation;
}

static void entry(struct engine *e, const struct market_event *m)
{
    struct engine_event *event = engine_event_add(e, ENGINE_EVENT_ENTRY);
    event->workload = m->bid;
    event->attempt = m->attempt;
    event->pool = m->entry.pool;
    event->amount = m->entry.amount;
    event->debit_kind = m->entry.debit.kind;
    event->debit_id = (int64_t)m->entry.debit.id;
    event->credit_kind = m->entry.credit.kind;
    event->credit_id = (int64_t)m->entry.credit.id;
    if (m->entry.debit.kind == ACCOUNT_TENANT)
        event->project = m->entry.debit.id;
    else if (m->entry.credit.kind == ACCOUNT_TENANT)
        event->project = m->entry.credit.id;
}

static void posted(struct engine *e, const struct market_event *m)
{
    struct engine_event *event = engine_event_add(e, ENGINE_EVENT_PRICE_POSTED);
    event->pool = m->posted.pool;
    event->marginal = m->posted.marginal;
    event->scarcity = m->posted.scarcity;
    event->guide = m->posted.guide;
    event->lowest_ask = m->posted.lowest_ask;
    event->units_milli = m->posted.units_milli;
    event->free_milli = m->posted.free_milli;
    event->used_milli = m->posted.units_milli - m->posted.free_milli;
    event->wanted_milli = m->posted.wanted_milli;
    event->running = (int64_t)m->posted.running;
    event->waiting = (int64_t)m->posted.waiting;
}

static void gap(struct engine *e, const struct market_event *m)
{
    struct engine_event *event = engine_event_add(e, ENGINE_EVENT_GAP);
    event->surplus = m->gap.surplus;
    event->bound = m->gap.bound;
}

static void quoted(struct engine *e, const struct workload *w, const struct market_event *m)
{
    if (w == NULL || workload_state_ended(w->view.state))
        return;
    struct engine_event *event = workload_event(e, ENGINE_EVENT_WORKLOAD_QUOTED, w);
    event->pool = m->quoted.pool;
    event->amount = m->quoted.most;
    event->from = m->quoted.latest;
    event->deadline = m->quoted.deadline;
    event->value = m->quoted.committed;
}

void engine_follow(struct engine *e, const struct market_event *m)
{
    struct workload *w = m->bid ? workload_find(e, m->bid) : NULL;
    switch (m->type) {
    case EVENT_ALLOCATED:
        allocated(e, w, m);
        break;
    case EVENT_READY:
        ready(e, w);
        break;
    case EVENT_PREEMPTING:
        preempting(e, w, reason_of(w, m->preempting.reason), m->preempting.deadline);
        break;
    case EVENT_MOVED:
        preempting(e, w, REASON_RELOCATED, m->preempting.deadline);
        break;
    case EVENT_RELEASED:
        released(e, w, m->released.waits);
        break;
    case EVENT_REFUSED: /* answered already */
        break;
    case EVENT_PRICE_POSTED:
        posted(e, m);
        break;
    case EVENT_CHARGED:
        charged(e, m);
        break;
    case EVENT_ENTRY:
        entry(e, m);
        break;
    case EVENT_TICK_WANTED:
        e->result->tick_wanted = true;
        break;
    case EVENT_GAP:
        gap(e, m);
        break;
    case EVENT_RESIZED:
        resized(e, w, m);
        break;
    case EVENT_BLOCK_POSTED: /* a price for one project alone: its quotes and bills say it */
        break;
    case EVENT_SUBSCRIPTION:
        subscription_follow(e, m);
        break;
    case EVENT_HEADROOM_POSTED:
        headroom_follow(e, m);
        break;
    case EVENT_QUOTED:
        quoted(e, w, m);
        break;
    case EVENT_RESERVED:
        reservation_follow(e, m);
        break;
    }
}
