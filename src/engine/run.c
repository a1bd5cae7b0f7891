/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts as their nodes report them. A workload moves
 *
 *     waiting -> assigned -> running -> (preempting) -> waiting | finished | failed | cancelled
 *
 * and from any state with a lease to preempting. What it becomes when its lease is over is decided
 * when the first cause arises and stands in `next`; the market says when the lease is over. */
#include "engine/engine_internal.h"

struct engine_replica *workload_replica_find(const struct workload *w, uint32_t role, uint32_t rank)
{
    size_t low = 0, high = w->view.replica_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        struct engine_replica *r = &w->replicas[middle];
        if (r->role == role && r->rank == rank)
            return r;
        if (r->role < role || (r->role == role && r->rank < rank))
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static struct engine_event *replica_event(struct engine *e, enum engine_event_type type, const struct workload *w,
                                          const struct engine_replica *r)
{
    struct engine_event *event = engine_event_add(e, type);
    event->project = w->view.project;
    event->workload = w->view.id;
    event->node = r->node;
    event->attempt = w->view.attempt;
    event->role = r->role;
    event->rank = r->rank;
    event->from = r->started;
    return event;
}

void workload_replica_end(struct engine *e, struct workload *w, struct engine_replica *r, time_ms at)
{
    ref_remove(e, w, r);
    r->state = REPLICA_ENDED;
    r->ended = at;
    w->live--;
    struct engine_event *event = replica_event(e, ENGINE_EVENT_REPLICA_ENDED, w, r);
    event->to = at;
    event->exit_code = r->exit_code;
    event->signal = r->signal;
    event->oom = r->oom;
}

void workload_replicas_stop(struct engine *e, struct workload *w, time_ms deadline)
{
    w->view.deadline = deadline;
    w->noticed = e->now;
    for (size_t i = 0; i < w->view.replica_count; i++) {
        struct engine_replica *r = &w->replicas[i];
        if (r->state == REPLICA_ENDED)
            continue;
        r->state = REPLICA_STOPPING;
        r->deadline = deadline;
    }
    workload_touch(e, w);
}

/* ---- over ------------------------------------------------------------------------------------------------------ */

static bool replica_clean(const struct engine_replica *r)
{
    return r->exit_code == 0 && r->signal == 0 && !r->oom && r->started;
}

/* All came to their own good end before anybody told them to stop. */
static bool ended_first(const struct workload *w)
{
    for (size_t i = 0; i < w->view.replica_count; i++)
        if (!w->replicas[i].dropped && (!replica_clean(&w->replicas[i]) || w->replicas[i].ended >= w->noticed))
            return false;
    return w->lost_reason == REASON_NONE;
}

/* None of it runs any more: the market hears of it, and what it says then is followed. It is charged
 * up to here, the command that reports its end, whenever that was. */
static void replicas_over(struct engine *e, struct workload *w)
{
    if (!w->failing && (w->view.state != WORKLOAD_PREEMPTING || ended_first(w))) {
        w->next = WORKLOAD_FINISHED;
        w->next_reason = REASON_COMPLETED;
    }
    w->leaving = true;
    workload_timer_clear(e, w);
    if (w->next == WORKLOAD_WAITING && w->next_reason == REASON_RETRY && w->view.instance && !w->view.paused) /* workload_wait sets when that ends */
        batch_add(e, &(struct market_command){.type = MARKET_BID_PAUSE, .change = {.bid = w->view.id, .held = true}});
    struct market_command c = {.type = MARKET_LEASE_ENDED, .lease = {.bid = w->view.id, .attempt = w->view.attempt,
        .at = e->now, .requeue = w->next == WORKLOAD_WAITING}};
    batch_add(e, &c);
}

/* The first failure: it stands in the record, the others are told to stop. */
static void workload_fail(struct engine *e, struct workload *w, const struct engine_replica *r, const struct engine_command *c)
{
    struct engine_workload *v = &w->view;
    bool prepare = r->started == 0 && c->report.text.size;
    v->exited = true;
    v->oom = r->oom;
    v->exit_code = r->exit_code;
    v->exit_signal = r->signal;
    v->exit_rank = r->rank;
    struct str lines = prepare ? c->report.text : c->report.last_lines;
    workload_lines_set(w, (struct str){lines.data, MIN(lines.size, (size_t)ENGINE_LAST_LINES_MAX)});
    enum engine_reason reason = prepare ? REASON_PREPARE : r->oom ? REASON_OOM : REASON_EXITED;
    bool again = v->retries_left > 0 && !v->cancelled;
    w->failing = true;
    w->next = again ? WORKLOAD_WAITING : WORKLOAD_FAILED;
    w->next_reason = again ? REASON_RETRY : reason;
    if (w->live == 0)
        return;
    workload_state_set(e, w, WORKLOAD_PREEMPTING, reason);
    workload_replicas_stop(e, w, e->now + v->notice);
    workload_timer_set(e, w, TIMER_STOP, v->deadline + market_setting(e->market, SETTING_KILL_MS));
    workload_event(e, ENGINE_EVENT_WORKLOAD_PREEMPTING, w);
}

/* ---- reports ------------------------------------------------------------------------------------------------------ */

static void workload_running(struct engine *e, struct workload *w)
{
    struct engine_workload *v = &w->view;
    workload_state_set(e, w, WORKLOAD_RUNNING, REASON_NONE);
    v->started = 0;
    for (size_t i = 0; i < v->replica_count; i++)
        v->started = MAX(v->started, w->replicas[i].started);
    struct market_command c = {.type = MARKET_LEASE_STARTED, .lease = {.bid = v->id, .attempt = v->attempt, .at = v->started}};
    batch_add(e, &c);
    if (v->max_run)
        workload_timer_set(e, w, TIMER_MAX_RUN, v->started + v->max_run);
    workload_event(e, ENGINE_EVENT_WORKLOAD_STARTED, w)->from = v->started;
}

static bool all_begun(const struct workload *w)
{
    for (size_t i = 0; i < w->view.replica_count && w->begun < w->view.replica_count; i++)
        if (w->replicas[i].started == 0 && !w->replicas[i].dropped)
            return false;
    return true;
}

static void replica_started(struct engine *e, struct workload *w, struct engine_replica *r, time_ms at)
{
    if (r->started)
        return; /* told twice: the answer to the first was lost */
    r->started = MAX(at, 1);
    if (r->state == REPLICA_ASSIGNED)
        r->state = REPLICA_RUNNING;
    w->begun++;
    replica_event(e, ENGINE_EVENT_REPLICA_STARTED, w, r);
    if (w->view.state == WORKLOAD_ASSIGNED && all_begun(w))
        workload_running(e, w);
}

static void replica_ended(struct engine *e, struct workload *w, struct engine_replica *r, const struct engine_command *c)
{
    time_ms at = CLAMP(c->report.at, w->assigned, e->now);
    bool clean = c->report.exit_code == 0 && c->report.signal == 0 && !c->report.oom && c->report.text.size == 0;
    if (clean)
        replica_started(e, w, r, at);
    r->exit_code = c->report.exit_code;
    r->signal = c->report.signal;
    r->oom = c->report.oom;
    workload_replica_end(e, w, r, at);
    struct engine_event *event = &e->result->events[e->result->event_count - 1];
    event->exited = true;
    event->text = c->report.text.size ? c->report.text : c->report.last_lines;
    if ((!clean || w->view.instance) && !r->dropped && w->view.state != WORKLOAD_PREEMPTING)
        workload_fail(e, w, r, c);
    if (w->live == 0) {
        replicas_over(e, w);
        return;
    }
    struct market_command m = {.type = MARKET_REPLICA_ENDED, .lease = {.bid = w->view.id, .attempt = w->view.attempt,
        .role = r->role, .rank = r->rank, .at = at}};
    batch_add(e, &m);
}

static struct str address_keep(struct engine *e, struct str text)
{
    return text.size ? name_text(e, NAME_ADDRESS, name_make(e, NAME_ADDRESS, 0, text)) : text;
}

static void replica_phase(struct engine *e, struct workload *w, struct engine_replica *r, const struct engine_command *c)
{
    if (c->report.phase == r->phase && str_equal(c->report.address, r->address))
        return; /* told twice: the answer to the first was lost */
    r->phase = c->report.phase;
    r->address = address_keep(e, c->report.address);
    r->private_address = address_keep(e, c->report.private_address);
    struct engine_event *event = replica_event(e, ENGINE_EVENT_REPLICA_PHASE, w, r);
    event->state = r->phase;
    event->text = r->address;
}

struct engine_outcome engine_report_apply(struct engine *e, const struct engine_command *c)
{
    struct workload *w = workload_find(e, c->report.workload);
    if (w == NULL || !workload_has_lease(w) || c->report.attempt != w->view.attempt)
        return outcome_of(ENGINE_STALE, "attempt");
    struct engine_replica *r = workload_replica_find(w, c->report.role, c->report.rank);
    if (r == NULL)
        return outcome_of(ENGINE_STALE, "rank");
    if (r->node != c->report.node)
        return outcome_of(ENGINE_FORBIDDEN, "node");
    if (r->state == REPLICA_ENDED)
        return outcome_of(ENGINE_STALE, "state");
    switch (c->report.kind) {
    case ENGINE_PHASE:
        replica_phase(e, w, r, c);
        return outcome_ok(w->view.id);
    case ENGINE_STARTED:
        replica_started(e, w, r, CLAMP(c->report.at, w->assigned, e->now));
        return outcome_ok(w->view.id);
    case ENGINE_ENDED:
        replica_ended(e, w, r, c);
        return outcome_ok(w->view.id);
    case ENGINE_PORT_BUSY:
        if (c->report.port && c->report.port == w->view.master_port) {
            port_draw(e, w, c->report.port);
            workload_touch(e, w);
        }
        return outcome_ok(w->view.id);
    }
    return outcome_of(ENGINE_INVALID, "kind");
}

/* ---- cancels, changes, time ------------------------------------------------------------------------------------------ */

/* A workload that a person may still act on; the market has its bid. */
static struct engine_outcome workload_open(struct engine *e, engine_id id, struct workload **ret)
{
    struct workload *w = workload_find(e, id);
    if (w && w->provisional)
        batch_flush(e);
    *ret = w = workload_find(e, id);
    if (w == NULL)
        return outcome_of(ENGINE_NOT_FOUND, "workload");
    if (workload_state_ended(w->view.state) || w->leaving)
        return outcome_of(ENGINE_CONFLICT, "state");
    return outcome_ok(id);
}

static void bid_cancel(struct engine *e, const struct workload *w)
{
    batch_add(e, &(struct market_command){.type = MARKET_BID_CANCEL, .change.bid = w->view.id});
}

struct engine_outcome workload_cancel(struct engine *e, engine_id id)
{
    struct workload *w;
    struct engine_outcome outcome = workload_open(e, id, &w);
    if (outcome.code != ENGINE_OK || w->view.cancelled)
        return outcome;
    w->view.cancelled = true;
    if (w->timer == TIMER_RETRY)
        workload_timer_clear(e, w);
    if (w->view.state == WORKLOAD_PREEMPTING && w->next != WORKLOAD_FAILED) {
        w->next = WORKLOAD_CANCELLED;
        w->next_reason = w->view.reason = REASON_CANCELLED;
        workload_touch(e, w); /* a machine need not stay to the end of its notice */
    }
    bid_cancel(e, w);
    return outcome;
}

struct engine_outcome workload_change(struct engine *e, engine_id id, udollar limit)
{
    struct workload *w;
    struct engine_outcome outcome = workload_open(e, id, &w);
    if (outcome.code != ENGINE_OK)
        return outcome;
    if (w->view.cancelled)
        return outcome_of(ENGINE_CONFLICT, "state");
    struct market_command c = {.type = MARKET_BID_CHANGE, .change = {id, limit}};
    struct pending *p = batch_add(e, &c);
    p->kind = PENDING_CHANGE;
    p->id = id;
    p->value = limit;
    return outcome;
}

struct engine_outcome workload_pause(struct engine *e, engine_id id, bool paused)
{
    struct workload *w = workload_find(e, id);
    if (w && w->leaving) /* what it does next is known after that */
        batch_flush(e);
    struct engine_outcome outcome = workload_open(e, id, &w);
    if (outcome.code == ENGINE_OK && w->view.cancelled)
        return outcome_of(ENGINE_CONFLICT, "state");
    if (outcome.code != ENGINE_OK || w->view.paused == paused)
        return outcome;
    w->view.paused = paused;
    if (w->timer == TIMER_RETRY)
        workload_timer_clear(e, w);
    w->failures = 0;
    batch_add(e, &(struct market_command){.type = MARKET_BID_PAUSE, .change = {.bid = id, .held = paused}});
    if (workload_has_lease(w)) {
        workload_touch(e, w);
        return outcome;
    }
    workload_state_set(e, w, paused ? WORKLOAD_PAUSED : WORKLOAD_WAITING, paused ? REASON_PAUSED : REASON_RESUMED);
    workload_event(e, ENGINE_EVENT_WORKLOAD_WAITING, w);
    return outcome;
}

struct engine_outcome workload_request_set(struct engine *e, const struct engine_command *c)
{
    struct workload *w;
    struct engine_outcome outcome = workload_open(e, c->workload.workload, &w);
    struct engine_submit used = {.objects = c->workload.objects, .object_count = c->workload.object_count};
    if (outcome.code == ENGINE_OK) {
        used.project = w->view.project;
        outcome = objects_check(e, w, &used);
    }
    if (outcome.code == ENGINE_OK && w->view.state != WORKLOAD_PAUSED && !objects_same(w, used.objects, used.object_count))
        return outcome_of(ENGINE_CONFLICT, "state");
    if (outcome.code != ENGINE_OK)
        return outcome;
    workload_texts_set(w, w->view.name, c->workload.request);
    objects_use(e, w, used.objects, used.object_count);
    workload_event(e, ENGINE_EVENT_WORKLOAD_REQUEST, w);
    return outcome_ok(w->view.id);
}

/* Told to stop and not heard of since. */
static void stop_overdue(struct engine *e, struct workload *w)
{
    for (size_t i = 0; i < w->view.replica_count; i++)
        if (w->replicas[i].state != REPLICA_ENDED)
            workload_replica_end(e, w, &w->replicas[i], e->now);
    replicas_over(e, w);
}

void workload_timers_run(struct engine *e)
{
    while (e->heap_count && e->heap[0].due <= e->now) {
        struct workload *w = workload_at(e, e->heap[0].slot);
        enum timer timer = w->timer;
        workload_timer_clear(e, w);
        if (timer == TIMER_MAX_RUN)
            bid_cancel(e, w);
        else if (timer == TIMER_RETRY)
            batch_add(e, &(struct market_command){.type = MARKET_BID_PAUSE, .change.bid = w->view.id});
        else
            stop_overdue(e, w);
    }
}
