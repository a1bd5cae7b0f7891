/* SPDX-License-Identifier: Apache-2.0 */
/* Reservations: the market has their slots, this file their names and owners. */
#include "engine/engine_internal.h"

static struct reservation_record *record_find(const struct engine *e, engine_id id)
{
    return id && id <= e->reservation_count ? e->reservations[id - 1] : NULL;
}

struct reservation_record *reservation_insert(struct engine *e, const struct engine_reservation *view)
{
    struct reservation_record *r = xcalloc(1, sizeof *r);
    r->view = *view;
    r->text = texts_own((struct str *const[]){&r->view.name, &r->view.body}, 2);
    ARRAY_RESERVE(e->reservations, e->reservation_count, e->reservation_capacity);
    e->reservations[e->reservation_count++] = r;
    return r;
}

static void reservation_event(struct engine *e, const struct reservation_record *r, const struct market_event *m)
{
    struct engine_event *event = engine_event_add(e, ENGINE_EVENT_RESERVATION);
    event->project = r->view.project;
    event->value = (int64_t)r->view.id;
    event->nodes = r->view.nodes;
    event->from = r->view.from;
    event->to = r->view.to;
    event->limit = r->view.limit;
    event->text = text_keep(e, r->view.name);
    if (m == NULL)
        return;
    event->state = m->reserved.state;
    event->pool = m->reserved.pool;
    event->rate = m->reserved.rate;
    event->amount = m->reserved.amount;
}

/* ---- a new one ------------------------------------------------------------------------------------------------ */

/* The same names and bounds as of a bid for that many nodes. */
static struct engine_outcome shape_make(const struct engine *e, const struct engine_reserve *s, struct arena *arena, struct market_reservation *ret)
{
    struct engine_submit submit = {.project = s->project, .request_key = s->request_key, .nodes = s->nodes, .choices = &s->choice,
        .choice_count = 1, .limit_present = true, .limit = s->limit_present ? s->limit : MARKET_RATE_MAX, .level = s->level, .racks = s->racks};
    struct market_bid bid;
    const uint16_t *origins;
    struct engine_outcome outcome = bid_make(e, &submit, arena, &bid, &origins);
    if (outcome.code == ENGINE_OK && bid.alternative_count != 1)
        return outcome_of(ENGINE_INVALID, "choice.zone");
    if (outcome.code == ENGINE_OK)
        *ret = (struct market_reservation){.tenant = s->project, .request_key = s->request_key, .choice = bid.alternatives[0].choices[0],
            .replicas = s->nodes, .level = s->level, .racks = s->racks, .from = MAX(s->from, e->now), .to = s->to,
            .limit = bid.alternatives[0].limit, .keep_idle = s->keep_idle};
    return outcome;
}

struct engine_outcome engine_reserve(struct engine *e, const struct engine_command *c)
{
    const struct engine_reserve *s = &c->reserve;
    struct market_command made = {.type = MARKET_RESERVATION_ADD};
    if (s->project == 0 || s->project > e->project_count)
        return outcome_of(ENGINE_NOT_FOUND, "project");
    if (s->name.size == 0)
        return outcome_of(ENGINE_INVALID, "name");
    if (engine_reservation_named(e, s->project, s->name))
        return outcome_of(ENGINE_CONFLICT, "name");
    struct engine_outcome outcome = shape_make(e, s, &e->batch.arena, &made.reservation);
    if (outcome.code == ENGINE_OK)
        outcome = quota_reservation_check(e, s->project, &made.reservation);
    if (outcome.code == ENGINE_QUOTA && e->batch.count) { /* what the market refuses is in nobody's way */
        batch_flush(e);
        outcome = quota_reservation_check(e, s->project, &made.reservation);
    }
    if (outcome.code != ENGINE_OK)
        return outcome;
    const struct key *key = engine_key_find(e, s->key);
    const struct market_reservation *shape = &made.reservation;
    struct reservation_record *r = reservation_insert(e, &(struct engine_reservation){.id = e->reservation_count + 1, .project = s->project,
        .principal = key ? key->view.principal : 0, .name = s->name, .body = s->body, .nodes = s->nodes, .choice = shape->choice,
        .from = shape->from, .to = s->to, .created = e->now, .limit = shape->limit});
    r->provisional = true;
    made.reservation.id = r->view.id;
    struct pending *p = batch_add(e, &made);
    p->kind = PENDING_RESERVE;
    p->id = r->view.id;
    return outcome_ok(r->view.id);
}

void reservation_accepted(struct engine *e, const struct pending *p)
{
    struct reservation_record *r = record_find(e, p->id);
    if (p->kind == PENDING_RESERVATION) {
        r->view.to = p->value ? p->value : r->view.to;
        return;
    }
    r->provisional = false;
    reservation_event(e, r, NULL);
}

/* What was refused is gone where it is the last one, and over where another came behind it. */
struct engine_outcome reservation_refused(struct engine *e, const struct pending *p, const struct market_event *event)
{
    struct reservation_record *r = record_find(e, p->id);
    bool state = event->refused.reason == REFUSED_STATE;
    struct engine_outcome outcome = outcome_of(state ? ENGINE_CONFLICT : ENGINE_INVALID, event->refused.field ? event->refused.field : "");
    outcome.refusal = event->refused.reason;
    memcpy(outcome.numbers, event->refused.numbers, sizeof outcome.numbers);
    if (p->kind == PENDING_RESERVATION || !r->provisional)
        return outcome;
    r->provisional = false;
    if (p->id == e->reservation_count) {
        e->reservation_count--;
        xfree(r->text);
        xfree(r);
    } else {
        r->view.cancelled = true;
        r->view.ended = MAX(e->now, 1);
    }
    return outcome;
}

struct engine_outcome engine_reserve_quote(const struct engine *e, const struct engine_reserve *reserve, struct market_reservation_quote *ret)
{
    struct arena arena = {0};
    struct market_reservation shape = {0};
    const char *field = NULL;
    struct engine_outcome outcome = shape_make(e, reserve, &arena, &shape);
    shape.id = e->reservation_count + 1;
    if (outcome.code == ENGINE_OK) {
        enum market_refusal refusal = market_reservation_quote(e->market, &shape, ret, &field, outcome.numbers);
        outcome.refusal = refusal;
        outcome.code = refusal == REFUSED_NONE ? ENGINE_OK : ENGINE_INVALID;
        field_set(&outcome, field ? field : "");
    }
    arena_fini(&arena);
    return outcome;
}

/* ---- changes ---------------------------------------------------------------------------------------------------- */

struct engine_outcome engine_reservation_change(struct engine *e, const struct engine_command *c)
{
    struct reservation_record *r = record_find(e, c->reservation.reservation);
    if (r && r->provisional)
        batch_flush(e);
    r = record_find(e, c->reservation.reservation);
    if (r == NULL)
        return outcome_of(ENGINE_NOT_FOUND, "reservation");
    if (r->view.ended)
        return outcome_of(ENGINE_CONFLICT, "state");
    struct market_command change = {.type = MARKET_RESERVATION_CHANGE, .reservation_change = {.reservation = r->view.id,
        .action = c->reservation.action, .replicas = c->reservation.nodes, .from = c->reservation.from, .to = c->reservation.to,
        .floor = c->reservation.floor, .limit = c->reservation.limit}};
    struct pending *p = batch_add(e, &change);
    p->kind = PENDING_RESERVATION;
    p->id = r->view.id;
    p->value = c->reservation.action == RESERVATION_EXTEND ? c->reservation.to : 0;
    if (c->reservation.action == RESERVATION_CANCEL)
        r->view.cancelled = true;
    return outcome_ok(r->view.id);
}

/* Machines that were handed over for its time are taken back; other work goes on at its own limit. */
static void instances_end(struct engine *e, engine_id reservation)
{
    engine_id id = 0;
    while ((id = id_set_after(&e->live, id)))
        if (workload_find(e, id)->view.reservation == reservation && workload_find(e, id)->view.instance)
            workload_cancel(e, id);
}

void reservation_follow(struct engine *e, const struct market_event *event)
{
    struct reservation_record *r = record_find(e, event->reserved.reservation);
    CHECK(r != NULL);
    reservation_event(e, r, event);
    if (event->reserved.state != RESERVATION_OVER || r->view.ended)
        return;
    r->view.ended = MAX(e->now, 1);
    instances_end(e, r->view.id);
}

/* ---- queries ------------------------------------------------------------------------------------------------------ */

void reservations_free(struct engine *e)
{
    for (size_t i = 0; i < e->reservation_count; i++) {
        xfree(e->reservations[i]->text);
        xfree(e->reservations[i]);
    }
    xfree(e->reservations);
}

const struct engine_reservation *engine_reservation(const struct engine *e, engine_id id)
{
    const struct reservation_record *r = record_find(e, id);
    return r ? &r->view : NULL;
}

const struct engine_reservation *engine_reservation_named(const struct engine *e, engine_id project, struct str name)
{
    for (size_t i = e->reservation_count; i-- > 0;) {
        const struct engine_reservation *r = &e->reservations[i]->view;
        if (r->project == project && r->ended == 0 && !r->cancelled && str_equal(r->name, name))
            return r;
    }
    return NULL;
}

size_t engine_reservation_count(const struct engine *e)
{
    return e->reservation_count;
}

const struct engine_reservation *engine_reservation_at(const struct engine *e, size_t index)
{
    return engine_reservation(e, index + 1);
}
