/* SPDX-License-Identifier: Apache-2.0 */
/* Bids with a deadline. Admission quotes what the work costs at the forward curve where there is room for
 * it in time; within the limit it is promised: a placeholder holds the last block of nodes in which it
 * can be done, and the price is locked. Until that block begins the bid competes like a preemptible one at
 * the locked price, so it starts early only where that costs no more; then it runs in its placeholder,
 * and price cannot move it. What it pays in all stays within the quote. */
#include "market/calendar.h"
#include "market/refusal.h"

static struct promise *promise_at(const struct market *m, uint32_t bid)
{
    return &m->calendar->promises[m->bids[bid].promise];
}

bool bid_is_promised(const struct market *m, const struct bid *b)
{
    return b->promise && m->calendar->promises[b->promise].committed;
}

uint32_t promise_claim(const struct market *m, const struct bid *b)
{
    return bid_is_promised(m, b) ? m->calendar->promises[b->promise].claim : 0;
}

static time_ms leave_time(const struct market *m, const struct bid *b)
{
    return b->notice + m->settings[SETTING_KILL_MS];
}

/* ---- admission ------------------------------------------------------------------------------------------------ */

static void tell(struct market *m, uint32_t bid, time_ms deadline, const struct offer *o)
{
    struct market_event *e = event_add(m, EVENT_QUOTED, bid);
    e->quoted.most = o->most;
    e->quoted.latest = o->from;
    e->quoted.deadline = deadline;
    e->quoted.pool = o->line ? m->pools[o->line->pool].id : 0;
    e->quoted.committed = bid_is_promised(m, &m->bids[bid]);
}

/* The limit at which it competes until its placeholder: done anywhere, its work costs no more than the quote. */
static int64_t early_limit(const struct market *m, const struct promise *p, const struct offer *o)
{
    const struct bid *b = &m->bids[p->bid];
    const struct class *k = &m->classes[b->class];
    const struct form *f = class_form(m, k);
    time_ms work = promise_work(f, o->line, k->replicas, p);
    int64_t limit = p->limit;
    for (uint32_t i = 0; i < f->line_count && (b->limits == NULL || b->limits[0]); i++) {
        const struct line *line = &f->lines[i];
        int128 units = mul_checked(line->replica_milli, k->replicas);
        int128 here = (int128)o->rate * work / (units * MAX(promise_work(f, line, k->replicas, p), 1));
        if (b->limits && b->limits[line->alternative])
            here = here * b->limits[0] / b->limits[line->alternative];
        limit = narrow_checked(MIN(here, (int128)limit));
    }
    return limit;
}

static void promise_commit(struct market *m, struct promise *p, const struct offer *o)
{
    struct purse *purse = &m->tenants[m->bids[p->bid].tenant].purses[CURRENCY_MONEY];
    struct claim claim = {.kind = CLAIM_DEADLINE, .of = p->bid, .from = o->from, .to = o->to};
    p->claim = claim_add(m, &claim, &o->site);
    p->committed = true;
    p->alternative = o->line->alternative;
    p->rate = o->rate;
    p->most = o->most;
    p->locked_scarcity = MAX(o->rate - mul_checked(m->pools[o->line->pool].marginal, o->site.units_milli), 0);
    p->escrow = purse->limited ? o->most : 0;
    purse->held += p->escrow;
    m->calendar->changed++;
    bid_set_limit(m, p->bid, early_limit(m, p, o));
}

static bool offer_holds(const struct market *m, const struct promise *p, const struct offer *o)
{
    return o->line && !o->above_limit && purse_covers(&m->tenants[m->bids[p->bid].tenant].purses[CURRENCY_MONEY], o->most);
}

enum promise_start promise_start_at(const struct market *m, const struct bid *b, int64_t *limit)
{
    struct bid at = *b;
    struct promise p = m->calendar->promises[b->promise];
    struct offer o;
    enum promise_start start = START_COMPETES;
    at.limit = p.limit = *limit;
    struct candidate c = bid_candidate(m, &at);
    offer_find(m, &c, &p, &o);
    if (offer_holds(m, &p, &o)) {
        *limit = early_limit(m, &p, &o);
        bool late = o.from - leave_time(m, b) <= m->now;
        bool idle = late && m->now >= p.earliest && !b->held && claim_is_idle(m, &o.site, 0, m->now + (o.to - o.from));
        start = idle || (o.from <= m->now && !b->held) ? START_NOW : late ? START_LATER : START_COMPETES;
    }
    offer_fini(&o);
    return start;
}

static void promise_try(struct market *m, struct promise *p)
{
    struct candidate c = bid_candidate(m, &m->bids[p->bid]);
    struct offer o;
    offer_find(m, &c, p, &o);
    if (offer_holds(m, p, &o))
        promise_commit(m, p, &o);
    tell(m, p->bid, p->deadline, &o);
    offer_fini(&o);
}

void promise_make(struct market *m, uint32_t bid, const struct market_bid *spec)
{
    struct calendar *k = m->calendar;
    uint32_t slot = 1;
    while (slot < k->promise_count && k->promises[slot].bid)
        slot++;
    if (slot == k->promise_count) {
        ARRAY_RESERVE(k->promises, k->promise_count, k->promise_capacity);
        k->promise_count++;
    }
    k->promises[slot] = promise_of(spec);
    k->promises[slot].bid = bid;
    m->bids[bid].promise = slot;
    promise_try(m, &k->promises[slot]);
}

struct refusal promise_limit(struct market *m, uint32_t bid, int64_t limit)
{
    struct promise *p = promise_at(m, bid);
    if (p->committed && limit < m->bids[bid].limit)
        return refuse_bound("limit", limit, m->bids[bid].limit, MARKET_RATE_MAX);
    p->limit = limit;
    if (p->committed || m->bids[bid].lease)
        return accept();
    bid_set_limit(m, bid, limit);
    promise_try(m, p);
    if (m->bids[bid].waiting)
        class_touch(m, m->bids[bid].class);
    return accept();
}

/* ---- its lease ------------------------------------------------------------------------------------------------------ */

static time_ms lease_work(const struct market *m, const struct promise *p, uint32_t alternative, uint32_t pool)
{
    const struct class *k = &m->classes[m->bids[p->bid].class];
    const struct line *line = form_line(class_form(m, k), alternative, pool);
    return line ? promise_work(class_form(m, k), line, k->replicas, p) : p->needs;
}

void promise_open(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    struct promise *p = promise_at(m, l->bid);
    if (!p->committed)
        return;
    p->needs = promise_hold(m, p, lease_work(m, p, l->alternative, l->pool));
    l->locked_scarcity = 0; /* an early end owes nothing */
    l->escrow += p->escrow;
    p->escrow = 0;
}

void promise_close(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    struct promise *p = promise_at(m, l->bid);
    if (!p->committed)
        return;
    p->escrow = l->escrow;
    l->escrow = 0;
}

int64_t promise_rate(const struct market *m, const struct lease *l)
{
    const struct promise *p = promise_at(m, l->bid);
    int64_t menu = mul_checked(tenant_post(m, m->bids[l->bid].tenant, l->pool), l->units_milli);
    return p->committed ? MIN(p->rate, MAX(menu, l->ask_rate)) : l->rate;
}

udollar promise_left(const struct market *m, const struct lease *l)
{
    const struct bid *b = &m->bids[l->bid];
    const struct promise *p = promise_at(m, l->bid);
    return p->committed ? MAX(p->most - b->charged - b->displaced + b->refunded, 0) : INT64_MAX / 4;
}

int128 promise_room(const struct market *m, const struct lease *l)
{
    const struct promise *p = promise_at(m, l->bid);
    return p->committed ? (int128)(l->booked + promise_left(m, l)) * RATE_SCALE : (int128)INT64_MAX * RATE_SCALE;
}

void promise_kept(struct market *m, uint32_t bid, int64_t done_permille)
{
    if (m->bids[bid].promise == 0)
        return;
    struct promise *p = promise_at(m, bid);
    const struct lease *l = &m->leases[m->bids[bid].lease];
    p->done_permille = MAX(p->done_permille, CLAMP(done_permille, 0, 1000));
    if (!p->committed || l->claim)
        return;
    struct claim *c = &m->calendar->claims[p->claim];
    time_ms from = c->to - promise_hold(m, p, lease_work(m, p, l->alternative, l->pool));
    if (c->pool != l->pool || from <= c->from) /* another make may need another time */
        return;
    c->from = from;
    m->calendar->changed++;
}

/* ---- the end of the promise -------------------------------------------------------------------------------------------- */

static void claim_leave(struct market *m, struct promise *p)
{
    struct purse *purse = &m->tenants[m->bids[p->bid].tenant].purses[CURRENCY_MONEY];
    uint32_t claim = p->claim;
    purse->held -= p->escrow;
    p->escrow = 0;
    p->claim = 0;
    p->committed = false;
    claim_remove(m, claim);
    m->calendar->changed++;
}

/* The lease that ran in the placeholder is an ordinary one. */
static void lease_loosen(struct market *m, const struct promise *p, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    bid_set_limit(m, l->bid, p->limit);
    l->limit_rate = mul_checked(bid_value(&m->bids[l->bid], l->alternative), l->units_milli);
    lease_term_end(m, lease);
    lease_reprice(m, lease);
}

void promise_end(struct market *m, uint32_t bid)
{
    struct promise *p = promise_at(m, bid);
    struct bid *b = &m->bids[bid];
    uint32_t lease = b->lease;
    if (!p->committed)
        return;
    claim_leave(m, p);
    if (lease == 0) {
        bool parked = b->parked;
        if (parked)
            bid_dequeue(m, bid);
        bid_set_limit(m, bid, p->limit);
        if (parked)
            bid_enqueue(m, bid);
        else
            class_touch(m, b->class);
        return;
    }
    if (m->leases[lease].state != LEASE_VACATING && m->leases[lease].claim) {
        lease_loosen(m, p, lease);
        return;
    }
    m->leases[lease].claim = 0;
    b->pending_limit = p->limit;
    if (m->leases[lease].state != LEASE_VACATING)
        lease_set_limit(m, lease);
}

void promise_cancel(struct market *m, uint32_t bid)
{
    struct promise *p = promise_at(m, bid);
    if (m->bids[bid].promise == 0 || !p->committed)
        return;
    const struct claim *c = &m->calendar->claims[p->claim];
    struct slot_owed owed = {bid, c->pool, mul_checked(c->replica_milli, c->count), p->locked_scarcity, MAX(c->from, m->now), c->to};
    m->leases[m->bids[bid].lease].claim = 0;
    claim_leave(m, p);
    slot_owe(m, &owed);
}

void promise_free(struct market *m, uint32_t bid)
{
    struct promise *p = promise_at(m, bid);
    if (p->committed)
        claim_leave(m, p);
    *p = (struct promise){0};
    m->bids[bid].promise = 0;
}

/* It cannot be met any more: nodes were lost, or its owner paused it for too long. */
static void promise_lose(struct market *m, struct promise *p)
{
    const struct claim *c = &m->calendar->claims[p->claim];
    struct offer o = {.most = p->most, .from = c->from};
    uint32_t bid = p->bid;
    time_ms deadline = p->deadline;
    promise_end(m, bid);
    tell(m, bid, deadline, &o);
}

/* ---- in time ------------------------------------------------------------------------------------------------------------- */

bool bid_awaits(const struct market *m, const struct bid *b)
{
    if (b->earliest > m->now)
        return true;
    return bid_is_promised(m, b) && m->now >= m->calendar->claims[m->calendar->promises[b->promise].claim].from - leave_time(m, b);
}

/* NULL where its pool has gone from its form. */
static const struct line *claim_line(const struct market *m, const struct promise *p)
{
    const struct form *f = class_form(m, &m->classes[m->bids[p->bid].class]);
    return form_line(f, p->alternative, m->calendar->claims[p->claim].pool);
}

bool promise_place(const struct market *m, uint32_t claim, time_ms to, struct site *ret)
{
    const struct claim *c = &m->calendar->claims[claim];
    struct candidate candidate = bid_candidate(m, &m->bids[c->of]);
    struct window window = {MAX(c->from, m->now), to, claim};
    struct area area = {.end = m->pools[c->pool].node_count, .window = &window};
    const struct line *line = claim_line(m, promise_at(m, c->of));
    return line && to > window.from && place_in(m, &candidate, line, area, ret);
}

static bool claim_is_whole(const struct market *m, const struct claim *c)
{
    bool whole = true;
    for (uint32_t i = 0; i < c->count; i++)
        whole &= node_usable(&m->nodes[c->nodes[i]]) && m->nodes[c->nodes[i]].pool == c->pool;
    return whole;
}

/* Its nodes, as a site. */
static void claim_site(const struct market *m, const struct promise *p, const struct line *line, struct site *ret)
{
    const struct claim *c = &m->calendar->claims[p->claim];
    *ret = (struct site){.alternative = line->alternative, .pool = c->pool, .claim = p->claim, .count = c->count,
        .placements = xcalloc(c->count, sizeof *ret->placements), .nodes = xcalloc(c->count, sizeof *ret->nodes),
        .units_milli = mul_checked(c->replica_milli, c->count), .limit_rate = p->rate};
    for (uint32_t i = 0; i < c->count; i++) {
        const struct node *n = &m->nodes[c->nodes[i]];
        ret->placements[i] = (struct market_placement){.rank = i, .node = n->spec.id, .amounts = c->amounts, .units_milli = c->replica_milli};
        ret->ask_rate += n->spec.ask * c->replica_milli;
        ret->nodes[i] = c->nodes[i];
    }
    int64_t menu = mul_checked(tenant_post(m, m->bids[p->bid].tenant, c->pool), ret->units_milli);
    ret->rate = MIN(p->rate, MAX(menu, ret->ask_rate));
}

/* Its placeholder begins. Where nodes of it are lost, or time was, others are looked for as long as it can be met. */
static void placeholder_start(struct market *m, struct promise *p)
{
    struct claim *c = &m->calendar->claims[p->claim];
    const struct line *line = claim_line(m, p);
    const struct class *k = &m->classes[m->bids[p->bid].class];
    time_ms work = line ? promise_work(class_form(m, k), line, k->replicas, p) : 0;
    if (line == NULL || m->now + work > p->deadline) {
        promise_lose(m, p);
        return;
    }
    struct plan plan = {0};
    if (m->now + work > c->to || !claim_is_whole(m, c)) {
        time_ms to = MIN(m->now + promise_hold(m, p, work), p->deadline);
        if (!promise_place(m, p->claim, to, &plan.site))
            return;
        claim_move(m, p->claim, &(struct ground){c->pool, c->count, plan.site.nodes, c->amounts, c->replica_milli});
        c->to = to;
        site_fini(&plan.site);
    }
    claim_site(m, p, line, &plan.site);
    if (claim_make_room(m, &plan.site))
        lease_open(m, p->bid, &plan);
    plan_fini(&plan);
}

/* So late no other place is worth a start. Where its own stands idle already it does not wait for its slot. */
static bool placeholder_hurry(struct market *m, struct promise *p)
{
    const struct line *line = claim_line(m, p);
    const struct class *k = &m->classes[m->bids[p->bid].class];
    struct claim *c = &m->calendar->claims[p->claim];
    if (line == NULL || m->bids[p->bid].held || m->settings[SETTING_HOLD] || m->now < p->earliest)
        return false;
    struct plan plan = {0};
    time_ms end = m->now + promise_hold(m, p, promise_work(class_form(m, k), line, k->replicas, p));
    claim_site(m, p, line, &plan.site);
    bool idle = claim_is_idle(m, &plan.site, p->claim, end);
    if (idle) {
        c->from = m->now;
        c->to = end;
        lease_open(m, p->bid, &plan);
    }
    plan_fini(&plan);
    return idle;
}

/* It runs somewhere already: there it stays, firm, where nothing else was sold. */
static bool placeholder_take(struct market *m, struct promise *p)
{
    uint32_t lease = m->bids[p->bid].lease;
    struct lease *l = &m->leases[lease];
    time_ms end = MAX((l->charging ? l->spans[0].from : m->now) + p->needs, m->now + 1);
    for (uint32_t i = 0; i < l->placement_count; i++)
        if (l->gone[i] || !node_usable(&m->nodes[l->nodes[i]]))
            return false;
    if (end > p->deadline || !claim_lets_stay(m, lease, p->claim, end))
        return false;
    claim_move(m, p->claim, &(struct ground){l->pool, l->placement_count, l->nodes, l->placements[0].amounts, l->placements[0].units_milli});
    struct claim *c = &m->calendar->claims[p->claim];
    c->from = m->now;
    c->to = end;
    p->rate = MIN(p->rate, l->limit_rate);
    p->alternative = l->alternative;
    m->calendar->changed++;
    lease_hold(m, lease, p->claim);
    return true;
}

/* When those on its nodes must be told at the earliest. */
static time_ms longest_leave(const struct market *m, const struct promise *p)
{
    const struct claim *c = &m->calendar->claims[p->claim];
    time_ms longest = leave_time(m, &m->bids[p->bid]);
    for (uint32_t i = 0; i < c->count; i++) {
        const struct node *n = &m->nodes[c->nodes[i]];
        for (uint32_t j = 0; j < n->lease_count; j++)
            longest = MAX(longest, leave_time(m, &m->bids[m->leases[n->leases[j]].bid]));
    }
    return longest;
}

static time_ms early_run(struct market *m, struct promise *p)
{
    const struct bid *b = &m->bids[p->bid];
    const struct lease *l = &m->leases[b->lease];
    time_ms from = m->calendar->claims[p->claim].from, told = from - longest_leave(m, p), last = from - leave_time(m, b);
    time_ms done = l->charging ? l->spans[0].from + p->needs : TIME_NEVER;
    if (done <= m->now) { /* more than it had declared */
        promise_end(m, p->bid);
        return TIME_NEVER;
    }
    if (told > m->now)
        return MIN(told, done);
    if (placeholder_take(m, p))
        return m->calendar->claims[p->claim].to;
    if (last > m->now)
        return MIN(last, done);
    lease_preempt(m, b->lease, RELEASE_PREEMPTED, NULL);
    return from;
}

static time_ms promise_run(struct market *m, struct promise *p)
{
    struct bid *b = &m->bids[p->bid];
    const struct lease *l = &m->leases[b->lease];
    const struct claim *c = &m->calendar->claims[p->claim];
    time_ms last = c->from - leave_time(m, b);
    if (b->lease && l->state == LEASE_VACATING)
        return TIME_NEVER;
    if (b->lease && l->claim == 0)
        return early_run(m, p);
    if (b->lease && c->to > m->now)
        return c->to;
    if (b->lease) {
        promise_end(m, p->bid);
        return TIME_NEVER;
    }
    if (b->held && c->from <= m->now) {
        promise_lose(m, p);
        return TIME_NEVER;
    }
    if (c->from <= m->now && m->settings[SETTING_HOLD] == 0)
        placeholder_start(m, p);
    if (c->from <= m->now)
        return TIME_NEVER;
    if (last <= m->now && placeholder_hurry(m, p))
        return m->calendar->claims[p->claim].to;
    if (last <= m->now && !b->parked) {
        bid_dequeue(m, p->bid);
        if (b->on_curve)
            ladder_remove(m, p->bid);
        bid_enqueue(m, p->bid);
    }
    return last > m->now ? last : c->from;
}

/* Bids whose window has come compete from here on. */
static void windows_open(struct market *m)
{
    uint32_t count = 0, *due = xcalloc(m->parked_count + 1, sizeof *due);
    m->calendar->opens = TIME_NEVER;
    for (uint32_t i = 0; i < m->parked_count; i++) {
        const struct bid *b = &m->bids[m->parked[i]];
        if (b->earliest > m->now)
            m->calendar->opens = MIN(m->calendar->opens, b->earliest);
        else if (b->earliest)
            due[count++] = m->parked[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        m->bids[due[i]].earliest = 0;
        bid_dequeue(m, due[i]);
        bid_enqueue(m, due[i]);
    }
    xfree(due);
}

time_ms promises_run(struct market *m)
{
    struct calendar *k = m->calendar;
    if (k->opens <= m->now)
        windows_open(m);
    time_ms due = k->opens;
    for (uint32_t i = 1; i < k->promise_count; i++)
        if (k->promises[i].committed)
            due = MIN(due, promise_run(m, &k->promises[i]));
    return due;
}

bool promise_slots_hold(const struct market *m)
{
    const struct calendar *k = m->calendar;
    bool ok = k->promise_count > 0;
    for (uint32_t i = 1; ok && i < k->promise_count; i++) {
        const struct promise *p = &k->promises[i];
        ok = p->bid < m->bid_count && p->claim < k->claim_count && p->committed == (p->claim != 0) && p->done_permille >= 0 && p->done_permille <= 1000;
        ok = ok && (p->bid == 0 || m->bids[p->bid].promise == i) && (p->claim == 0 || (k->claims[p->claim].kind == CLAIM_DEADLINE && k->claims[p->claim].of == p->bid));
    }
    for (uint32_t i = 1; ok && i < m->bid_count; i++)
        ok = m->bids[i].promise < k->promise_count && (m->bids[i].promise == 0 || k->promises[m->bids[i].promise].bid == i);
    for (uint32_t i = 1; ok && i < k->claim_count; i++)
        ok = k->claims[i].kind != CLAIM_DEADLINE || k->promises[m->bids[k->claims[i].of].promise].claim == i;
    return ok;
}

void promises_check(const struct market *m)
{
    CHECK(promise_slots_hold(m));
    for (uint32_t i = 1; i < m->calendar->promise_count; i++) {
        const struct promise *p = &m->calendar->promises[i];
        const struct bid *b = &m->bids[p->bid];
        if (!p->committed)
            continue;
        CHECK(m->calendar->claims[p->claim].to <= p->deadline);
        CHECK(p->escrow >= 0 && b->charged + b->displaced - b->refunded <= p->most);
    }
}
