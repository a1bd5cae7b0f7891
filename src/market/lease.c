/* SPDX-License-Identifier: Apache-2.0 */
/* Leases in time: assigned (told, nothing paid) -> running -> vacating (told to go) -> ended. A
 * vacating lease no longer counts on its nodes; whoever was put in its place waits until it left. */
#include "market/calendar.h"

#define TAKE_BACK_MS (10 * 60000) /* a contact that was lost longer ago takes no refund back */

int64_t lease_surplus(const struct lease *l)
{
    return l->limit_rate - l->ask_rate;
}

bool lease_evictable(const struct market *m, const struct lease *l)
{
    if (l->fresh)
        return !l->firm;
    return (l->state == LEASE_ASSIGNED || l->state == LEASE_RUNNING) && !l->firm && l->protected_until <= m->now;
}

/* After four price preemptions in a day its bonus doubles. */
static bool lease_backs_off(const struct market *m, const struct bid *b)
{
    return b->preemptions >= ARRAY_COUNT(b->displaced_at) &&
           b->displaced_at[b->preemptions % ARRAY_COUNT(b->displaced_at)] > m->now - 24 * HOUR_MS;
}

/* The restart cost, as far as it was measured, spread over H; it decays to 0 over H while the lease is
 * out of the money, and is forfeited for H after its limit was cut. */
int64_t lease_bonus(const struct market *m, const struct lease *l)
{
    const struct bid *b = &m->bids[l->bid];
    time_ms horizon = MAX(m->settings[SETTING_HORIZON_MS], 1);
    if (l->fresh || (b->cut_at && b->cut_at > m->now - horizon))
        return 0;
    udollar cost = b->restart_measured ? MIN(b->restart_cost, b->restart_measured) : b->restart_cost;
    if (lease_backs_off(m, b))
        cost = MIN(2 * cost, b->restart_cost);
    int64_t bonus = horizon == HOUR_MS ? cost * 1000 : mul_div_floor(cost, 1000 * HOUR_MS, horizon);
    if (l->out_since == TIME_NEVER)
        return bonus;
    return mul_div_floor(bonus, MAX(horizon - (m->now - l->out_since), 0), horizon);
}

static uint32_t lease_new(struct market *m)
{
    uint32_t slot;
    if (m->free_lease_count) {
        slot = m->free_leases[--m->free_lease_count];
    } else {
        ARRAY_RESERVE(m->leases, m->lease_count, m->lease_capacity);
        slot = m->lease_count++;
    }
    m->leases[slot] = (struct lease){0};
    return slot;
}

static void lease_free(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    if (l->subscription)
        headroom_use(m, lease, -1);
    xfree(l->placements);
    xfree(l->nodes);
    xfree(l->gone);
    xfree(l->spans);
    xfree(l->asks);
    xfree(l->owed);
    *l = (struct lease){0};
    ARRAY_RESERVE(m->free_leases, m->free_lease_count, m->free_lease_capacity);
    m->free_leases[m->free_lease_count++] = lease;
}

static bool lease_is_blocked(const struct market *m, const struct lease *l)
{
    for (uint32_t i = 0; i < l->placement_count; i++)
        if (!l->gone[i] && m->nodes[l->nodes[i]].vacating)
            return true;
    return false;
}

/* Counts what price may move into Φ and the lists that displacement walks, or out of them. */
static void lease_stake(struct market *m, uint32_t lease, bool in)
{
    struct lease *l = &m->leases[lease];
    if (l->firm)
        return;
    if (in)
        seats_add(m, lease);
    else
        seats_remove(m, lease);
    m->surplus_sum += in ? lease_surplus(l) : -lease_surplus(l);
}

static void lease_firm_count(struct market *m, const struct lease *l, int64_t sign)
{
    m->pools[l->pool].firm_milli += sign * l->units_milli;
    for (uint32_t i = 0; i < l->placement_count; i++)
        m->nodes[l->nodes[i]].firm_milli += sign * l->placements[i].units_milli;
}

static void lease_seat(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    for (uint32_t i = 0; i < l->placement_count; i++) {
        struct market_placement *p = &l->placements[i];
        CHECK(room_fits(&m->nodes[l->nodes[i]].room, p, &p->gpus));
        node_take(m, l->nodes[i], lease, p);
    }
    struct pool *pool = &m->pools[l->pool];
    pool->used_milli += l->units_milli;
    pool->running++;
    if (l->firm)
        lease_firm_count(m, l, 1);
    lease_stake(m, lease, true);
}

/* Its place is free for others from here on, though it may still stand there. */
static void lease_unseat(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    lease_stake(m, lease, false);
    for (uint32_t i = 0; i < l->placement_count; i++)
        node_give(m, l->nodes[i], &l->placements[i]);
    struct pool *pool = &m->pools[l->pool];
    pool->used_milli -= l->units_milli;
    pool->running--;
    if (l->firm)
        lease_firm_count(m, l, -1);
}

static void tell_allocated(struct market *m, uint32_t lease)
{
    const struct lease *l = &m->leases[lease];
    struct market_events *events = m->events;
    size_t first = events->placement_count;
    for (uint32_t i = 0; i < l->placement_count; i++) {
        ARRAY_RESERVE(events->placements, events->placement_count, events->placement_capacity);
        events->placements[events->placement_count++] = l->placements[i];
    }
    struct market_event *e = event_add(m, EVENT_ALLOCATED, l->bid);
    e->allocated.alternative = l->alternative;
    e->allocated.placement_first = first;
    e->allocated.placement_count = l->placement_count;
    e->allocated.pool = m->pools[l->pool].id;
    e->allocated.units_milli = l->units_milli;
    e->allocated.limit = l->limit_rate / 1000;
    e->allocated.asks = l->ask_rate / 1000;
    e->allocated.rate = l->rate / 1000;
    e->allocated.ready = !l->blocked;
}

static void lease_money(struct market *m, uint32_t lease, const struct site *site)
{
    struct lease *l = &m->leases[lease];
    const struct bid *b = &m->bids[l->bid];
    const struct market_alternative *a = &class_form(m, &m->classes[b->class])->alternatives[l->alternative];
    const struct pool *p = &m->pools[l->pool];
    l->currency = b->credits ? CURRENCY_CREDITS : CURRENCY_MONEY;
    l->exchange = b->credits ? p->sample.credit_permille : 1000;
    l->locked_scarcity = l->firm ? MAX(l->rate - mul_checked(p->marginal, l->units_milli), 0) : 0;
    l->transfer_rate = site->transfer_rate;
    l->transfer_most = a->transfer_cost ? (int128)MAX(a->transfer_cost - b->transfer_paid, 0) * RATE_SCALE : (int128)INT64_MAX * RATE_SCALE;
    struct purse *purse = &m->tenants[b->tenant].purses[l->currency];
    if (purse->limited) {
        l->escrow = narrow_checked(bid_escrow(m, b, site));
        purse->held += l->escrow;
    }
}

static void lease_fill(struct market *m, uint32_t lease, uint32_t bid, struct site *site)
{
    struct bid *b = &m->bids[bid];
    struct lease *l = &m->leases[lease];
    time_ms term = b->term ? b->term : m->settings[SETTING_TERM_MS];
    bool firm = class_form(m, &m->classes[b->class])->kind == BID_FIRM || site->claim;
    *l = (struct lease){.bid = bid, .state = LEASE_ASSIGNED, .alternative = site->alternative,
        .pool = site->pool, .placements = TAKE(site->placements), .nodes = TAKE(site->nodes),
        .placement_count = site->count, .gone = xcalloc(site->count, sizeof *l->gone),
        .units_milli = site->units_milli, .limit_rate = site->limit_rate, .ask_rate = site->ask_rate,
        .rate = site->rate, .locked_rate = firm ? site->rate : 0, .firm = firm, .fresh = true,
        .protected_until = m->now + bid_minimum_run(m, b), .term_until = firm ? m->now + term : 0,
        .out_since = TIME_NEVER, .claim = site->claim, .subscription = site->subscription};
    if (site->subscription)
        headroom_use(m, lease, 1);
    if (site->claim)
        l->term_until = m->calendar->claims[site->claim].to;
    l->asks = xcalloc(site->count, sizeof *l->asks);
    for (uint32_t i = 0; i < l->placement_count; i++)
        l->asks[i] = m->nodes[l->nodes[i]].spec.ask;
    l->asks_seen = m->pools[l->pool].asks_moved;
    lease_money(m, lease, site);
}

/* Takes back what this batch had opened and nobody was told of. */
static void lease_withdraw(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    uint32_t bid = l->bid;
    struct bid *b = &m->bids[bid];
    lease_unseat(m, lease);
    for (uint32_t i = 0; i < l->placement_count; i++)
        node_lease_remove(&m->nodes[l->nodes[i]], lease);
    if (b->promise)
        promise_close(m, lease);
    m->tenants[b->tenant].purses[l->currency].held -= l->escrow;
    if (l->firm && !b->on_curve)
        ladder_add(m, bid);
    lease_free(m, lease);
    b->lease = 0;
    b->attempt--;
    bid_wait(m, bid);
}

/* Those who are still to leave its nodes hold it up: what it is promised counts from then. */
static void lease_await(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    l->crowded = lease_is_blocked(m, l);
    time_ms wait = 0;
    for (uint32_t i = 0; l->crowded && i < l->placement_count; i++) {
        const struct node *n = &m->nodes[l->nodes[i]];
        for (uint32_t j = 0; j < n->lease_count; j++)
            if (m->leases[n->leases[j]].state == LEASE_VACATING)
                wait = MAX(wait, m->leases[n->leases[j]].vacate_by - m->now);
    }
    l->protected_until = add_checked(l->protected_until, wait);
    if (l->firm && !l->claim)
        l->term_until = add_checked(l->term_until, wait);
}

void lease_open(struct market *m, uint32_t bid, struct plan *plan)
{
    starve_end(m, bid);
    m->classes[m->bids[bid].class].starved = 0;
    for (uint32_t i = 0; i < plan->site.victim_count; i++)
        if (m->leases[plan->site.victims[i]].fresh)
            lease_withdraw(m, plan->site.victims[i]);
        else
            lease_preempt(m, plan->site.victims[i], RELEASE_PREEMPTED, &plan->site);
    uint32_t lease = lease_new(m);
    bid_dequeue(m, bid);
    lease_fill(m, lease, bid, &plan->site);
    if (plan->site.victim_count)
        charge_displaced(m, lease, &plan->site);
    struct bid *b = &m->bids[bid];
    b->lease = lease;
    b->attempt++;
    if (b->promise)
        promise_open(m, lease);
    if (m->leases[lease].firm && b->on_curve)
        ladder_remove(m, bid);
    lease_seat(m, lease);
    lease_await(m, lease);
    if (m->pools[plan->site.pool].claims)
        m->leases[lease].protected_until = MIN(m->leases[lease].protected_until, claim_bound(m, &m->leases[lease]));
    ARRAY_RESERVE(m->fresh, m->fresh_count, m->fresh_capacity);
    m->fresh[m->fresh_count++] = lease;
    if (m->leases[lease].subscription)
        headroom_used(m, lease);
}

void leases_tell(struct market *m)
{
    for (uint32_t i = 0; i < m->fresh_count; i++) {
        uint32_t lease = m->fresh[i];
        struct lease *l = &m->leases[lease];
        if (!l->fresh)
            continue;
        l->fresh = false;
        l->blocked = l->crowded && lease_is_blocked(m, l);
        seats_update(m, lease); /* it has a stay bonus from here on */
        tell_allocated(m, lease);
    }
    m->fresh_count = 0;
}

void lease_start(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    if (l->charging || l->state == LEASE_VACATING) /* told to go before it began: nothing is paid */
        return;
    const struct bid *b = &m->bids[l->bid];
    if (l->state == LEASE_ASSIGNED) {
        l->state = LEASE_RUNNING;
        time_ms bound = m->pools[l->pool].claims ? claim_bound(m, l) : TIME_NEVER;
        l->protected_until = MIN(m->now + bid_minimum_run(m, b), bound);
        if (l->firm && !l->claim)
            l->term_until = MIN(m->now + bid_term(m, b), bound);
    }
    if (l->owed_count)
        l->displacement_until = l->protected_until;
    charge_begin(m, lease);
}

static void vacate(struct market *m, uint32_t lease, enum market_release reason, bool waits)
{
    struct lease *l = &m->leases[lease];
    struct bid *b = &m->bids[l->bid];
    lease_unseat(m, lease);
    if (b->on_curve)
        ladder_remove(m, l->bid);
    l->state = LEASE_VACATING;
    l->reason = reason;
    l->waits = waits;
    l->blocked = false;
    l->vacate_by = add_checked(m->now, b->notice + m->settings[SETTING_KILL_MS]);
    for (uint32_t i = 0; i < l->placement_count; i++)
        if (!l->gone[i])
            m->nodes[l->nodes[i]].vacating++;
        else
            node_lease_remove(&m->nodes[l->nodes[i]], lease);
    ARRAY_RESERVE(m->vacating, m->vacating_count, m->vacating_capacity);
    l->vacating_at = m->vacating_count;
    m->vacating[m->vacating_count++] = lease;
}

void lease_preempt(struct market *m, uint32_t lease, enum market_release reason, const struct site *by)
{
    struct lease *l = &m->leases[lease];
    if (l->state == LEASE_VACATING) {
        if (reason == RELEASE_CANCELLED) {
            l->waits = false;
            l->reason = reason;
        }
        return;
    }
    vacate(m, lease, reason, reason != RELEASE_CANCELLED);
    if (reason == RELEASE_PREEMPTED) {
        struct bid *b = &m->bids[l->bid];
        b->displaced_at[b->preemptions++ % ARRAY_COUNT(b->displaced_at)] = m->now;
    }
    struct market_event *e = event_add(m, EVENT_PREEMPTING, l->bid);
    e->preempting.deadline = m->now + m->bids[l->bid].notice;
    e->preempting.reason = reason;
    e->preempting.pool = m->pools[l->pool].id;
    if (by) {
        e->preempting.by_units_milli = by->units_milli;
        e->preempting.by_limit = by->limit_rate / by->units_milli;
    }
}

/* A place was left: whoever waits for it may be ready now. */
static void node_unblock(struct market *m, uint32_t node)
{
    struct node *n = &m->nodes[node];
    if (n->vacating)
        return;
    for (uint32_t i = 0; i < n->lease_count; i++) {
        struct lease *l = &m->leases[n->leases[i]];
        if (!l->blocked || lease_is_blocked(m, l))
            continue;
        l->blocked = false;
        event_add(m, EVENT_READY, l->bid);
    }
}

static void placement_gone(struct market *m, uint32_t lease, uint32_t i)
{
    struct lease *l = &m->leases[lease];
    if (l->gone[i])
        return;
    l->gone[i] = true;
    l->seller = 0;
    if (l->state != LEASE_VACATING)
        return;
    node_lease_remove(&m->nodes[l->nodes[i]], lease);
    m->nodes[l->nodes[i]].vacating--;
    struct pool *p = &m->pools[l->pool];
    p->dirty |= p->claims || p->holds; /* gone early: who would have been late beside what is sold of it may start now */
    node_unblock(m, l->nodes[i]);
}

static bool all_gone(const struct lease *l)
{
    for (uint32_t i = 0; i < l->placement_count; i++)
        if (!l->gone[i])
            return false;
    return true;
}

void lease_kept(struct market *m, uint32_t lease)
{
    ledger_charge(m, lease, m->now);
    m->leases[lease].kept_sum = m->leases[lease].charge_sum;
}

void lease_replica_ended(struct market *m, uint32_t lease, uint32_t role, uint32_t rank)
{
    struct lease *l = &m->leases[lease];
    if (role == 0 && rank < l->placement_count)
        placement_gone(m, lease, rank);
    if (l->state == LEASE_VACATING && all_gone(l))
        lease_close(m, lease, l->reason, m->now, l->waits);
}

static void vacating_remove(struct market *m, uint32_t lease)
{
    uint32_t at = m->leases[lease].vacating_at, last = m->vacating[--m->vacating_count];
    m->vacating[at] = last;
    m->leases[last].vacating_at = at;
}

static void lease_leave(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    if (l->state == LEASE_VACATING) {
        for (uint32_t i = 0; i < l->placement_count; i++)
            placement_gone(m, lease, i);
        vacating_remove(m, lease);
        return;
    }
    lease_unseat(m, lease);
    for (uint32_t i = 0; i < l->placement_count; i++)
        node_lease_remove(&m->nodes[l->nodes[i]], lease);
}

void lease_close(struct market *m, uint32_t lease, enum market_release reason, time_ms at, bool waits)
{
    struct lease *l = &m->leases[lease];
    uint32_t bid = l->bid;
    struct bid *b = &m->bids[bid];
    if (l->charging) {
        if (at < l->accrued_to)
            ledger_uncharge(m, lease, at);
        ledger_charge(m, lease, MIN(at, m->now));
        ledger_line(m, lease);
        if (at < m->now)
            charge_owed_cut(m, lease);
    }
    charge_displaced_end(m, lease);
    if (b->promise && waits)
        promise_close(m, lease);
    m->tenants[b->tenant].purses[l->currency].held -= l->escrow;
    if (reason == RELEASE_ENDED || reason == RELEASE_CANCELLED || reason == RELEASE_PAUSED)
        term_owe(m, l);
    l->escrow = 0;
    lease_leave(m, lease);
    if (b->on_curve)
        ladder_remove(m, bid);
    b->lease = 0;
    struct market_event *e = event_add(m, EVENT_RELEASED, bid);
    e->released.reason = reason;
    e->released.waits = waits;
    e->released.at = at;
    lease_free(m, lease);
    if (waits) {
        if (b->pending_limit >= 0)
            bid_set_limit(m, bid, b->pending_limit);
        b->pending_limit = -1;
        b->parked = reason == RELEASE_BUDGET;
        bid_enqueue(m, bid);
    } else {
        bid_drop(m, bid);
    }
}

void lease_node_lost(struct market *m, uint32_t lease, uint32_t node, time_ms last_contact)
{
    struct lease *l = &m->leases[lease];
    time_ms until = MIN(last_contact, m->now);
    if (until < l->accrued_to) /* also where another of its nodes was lost a moment ago */
        ledger_uncharge(m, lease, until);
    else if (l->charging)
        ledger_charge(m, lease, until);
    ledger_line(m, lease);
    if (l->charging && until < m->now)
        charge_owed_cut(m, lease);
    l->charging = false;
    if (l->state != LEASE_VACATING)
        lease_preempt(m, lease, RELEASE_NODE_LOST, NULL);
    for (uint32_t i = 0; i < l->placement_count; i++)
        if (l->nodes[i] == node)
            placement_gone(m, lease, i);
    if (all_gone(l))
        lease_close(m, lease, l->reason, m->now, l->waits);
}

void lease_due(struct market *m)
{
    for (uint32_t i = 0; i < m->vacating_count;) {
        uint32_t lease = m->vacating[i];
        struct lease *l = &m->leases[lease];
        if (l->vacate_by <= m->now)
            lease_close(m, lease, l->reason, m->now, l->waits);
        else
            i++;
    }
}

/* The asks of its nodes as they are now. */
static int64_t asks_now(const struct market *m, const struct lease *l)
{
    int128 asks = 0;
    for (uint32_t i = 0; i < l->placement_count; i++)
        asks += (int128)m->nodes[l->nodes[i]].spec.ask * l->placements[i].units_milli;
    return narrow_checked(asks);
}

static void asks_take(const struct market *m, struct lease *l)
{
    for (uint32_t i = 0; i < l->placement_count; i++)
        l->asks[i] = m->nodes[l->nodes[i]].spec.ask;
    l->seller = 0;
}

/* Its limit or asks move: Φ and the lists with it. */
static void lease_terms(struct market *m, uint32_t lease, int64_t limit_rate, int64_t ask_rate)
{
    struct lease *l = &m->leases[lease];
    if (l->limit_rate == limit_rate && l->ask_rate == ask_rate)
        return;
    lease_stake(m, lease, false);
    l->limit_rate = limit_rate;
    l->ask_rate = ask_rate;
    lease_stake(m, lease, true);
}

static int64_t rate_now(const struct market *m, const struct lease *l)
{
    const struct line *at;
    struct candidate c = bid_candidate(m, &m->bids[l->bid]);
    if (!l->firm)
        c.term = 0;
    return CLAMP(l->limit_rate - menu_best(m, &c, &at), l->ask_rate, MAX(l->limit_rate, l->ask_rate));
}

void lease_set_limit(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    struct bid *b = &m->bids[l->bid];
    if (b->pending_limit < 0 || l->protected_until > m->now || l->firm)
        return;
    lease_stake(m, lease, false); /* its rank moves too */
    bid_set_limit(m, l->bid, b->pending_limit);
    b->pending_limit = -1;
    udollar transfer = class_form(m, &m->classes[b->class])->alternatives[l->alternative].transfer;
    l->limit_rate = mul_checked(bid_value(b, l->alternative) - transfer, l->units_milli);
    lease_stake(m, lease, true);
    charge_rate(m, lease, rate_now(m, l));
}

/* What another term needs in escrow beyond what is there. */
static int128 term_escrow(const struct lease *l, time_ms term)
{
    int128 rate = (int128)(l->limit_rate + l->transfer_rate) * l->exchange / 1000;
    return MAX(rate * term / RATE_SCALE + 1 - l->escrow, (int128)0);
}

static void term_renew(struct market *m, uint32_t lease, time_ms term)
{
    struct lease *l = &m->leases[lease];
    struct purse *purse = &m->tenants[m->bids[l->bid].tenant].purses[l->currency];
    udollar more = purse->limited ? narrow_checked(term_escrow(l, term)) : 0;
    purse->held += more;
    l->escrow += more;
    l->term_until = m->now + term;
    charge_rate(m, lease, rate_now(m, l));
    l->locked_rate = l->rate;
}

void lease_reprice(struct market *m, uint32_t lease)
{
    charge_rate(m, lease, rate_now(m, &m->leases[lease]));
}

/* A term is over: another one at the forward menu of now, or an ordinary preemptible lease. */
void lease_term_end(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    struct bid *b = &m->bids[l->bid];
    int64_t asks = asks_now(m, l);
    if (asks <= l->limit_rate) {
        asks_take(m, l);
        l->ask_rate = asks;
    }
    time_ms term = b->term ? b->term : m->settings[SETTING_TERM_MS];
    struct candidate c = bid_candidate(m, b);
    bool goes_on = !l->claim && (m->pools[l->pool].claims == 0 || claim_bound(m, l) >= m->now + term) && candidate_affords(m, &c);
    if (goes_on && b->renew && b->pending_limit < 0 && l->limit_rate >= asks &&
        purse_covers(&m->tenants[b->tenant].purses[l->currency], term_escrow(l, term))) {
        term_renew(m, lease, term);
        return;
    }
    lease_firm_count(m, l, -1);
    l->firm = false;
    l->claim = 0;
    l->protected_until = m->now;
    ladder_add(m, l->bid);
    lease_stake(m, lease, true);
}

void lease_hold(struct market *m, uint32_t lease, uint32_t claim)
{
    struct lease *l = &m->leases[lease];
    lease_stake(m, lease, false);
    if (m->bids[l->bid].on_curve)
        ladder_remove(m, l->bid);
    l->firm = true;
    l->claim = claim;
    l->term_until = m->calendar->claims[claim].to;
    l->protected_until = m->now;
    lease_firm_count(m, l, 1);
    charge_rate(m, lease, promise_rate(m, l));
}

/* Changed asks reach it; false where they are above its limit: then it leaves at those it had. */
static bool lease_reask(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    uint64_t moved = m->pools[l->pool].asks_moved;
    if (l->asks_seen == moved)
        return l->limit_rate >= l->ask_rate;
    int64_t asks = asks_now(m, l);
    if (l->limit_rate < asks)
        return false;
    lease_terms(m, lease, l->limit_rate, asks);
    asks_take(m, l);
    l->asks_seen = moved;
    return true;
}

/* What the next rounds of a walk over all leases touch, on its way into the cache: the walk waits for memory
 * more than it computes. */
static void lease_fetch(const struct market *m, uint32_t lease)
{
    if (lease < m->lease_count)
        __builtin_prefetch(&m->bids[m->leases[lease].bid]);
    if (lease + 4 < m->lease_count)
        __builtin_prefetch(&m->leases[lease + 4]);
}

/* At the price exactly, too: there the guide puts whoever stands in the way of a better bid. The post
 * is rounded down, so the exact price counts. */
static void money_watch(struct market *m, struct lease *l)
{
    const struct pool *p = &m->pools[l->pool];
    bool out = l->limit_rate <= (int128)(p->marginal + p->scarcity) * l->units_milli;
    if (!out)
        l->out_since = TIME_NEVER;
    else if (l->out_since == TIME_NEVER)
        l->out_since = m->now;
}

void lease_tick(struct market *m)
{
    for (uint32_t i = 1; i < m->lease_count; i++) {
        struct lease *l = &m->leases[i];
        lease_fetch(m, i + 4);
        if (l->owed_count && l->charging && l->displacement_until + TAKE_BACK_MS <= m->now)
            charge_displaced_end(m, i);
        if (l->state != LEASE_ASSIGNED && l->state != LEASE_RUNNING)
            continue;
        bool promised = l->firm && m->bids[l->bid].promise;
        if (l->firm && l->state == LEASE_RUNNING && l->term_until <= m->now && promised)
            promise_end(m, l->bid);
        else if (l->firm && l->state == LEASE_RUNNING && l->term_until <= m->now)
            lease_term_end(m, i);
        if (l->firm && promised)
            charge_rate(m, i, promise_rate(m, l));
        if (l->firm)
            continue;
        lease_set_limit(m, i);
        bool leaves = l->protected_until <= m->now && !lease_reask(m, i);
        bool was_out = l->out_since != TIME_NEVER;
        money_watch(m, l);
        if (was_out || l->out_since != TIME_NEVER)
            seats_update(m, i);
        charge_rate(m, i, rate_now(m, l));
        if (leaves)
            lease_preempt(m, i, RELEASE_PREEMPTED, NULL);
    }
}
