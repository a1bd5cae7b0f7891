/* SPDX-License-Identifier: Apache-2.0 */
/* Claims on nodes to come: finding nodes for them, keeping what is protected off them, and having the
 * rest leave in time. */
#include "market/calendar.h"

static time_ms leave_time(const struct market *m, const struct lease *l)
{
    return m->bids[l->bid].notice + m->settings[SETTING_KILL_MS];
}

/* Until those who were told to go have left it. */
static time_ms node_wait(const struct market *m, uint32_t node)
{
    const struct node *n = &m->nodes[node];
    time_ms wait = 0;
    for (uint32_t i = 0; n->vacating && i < n->lease_count; i++)
        if (m->leases[n->leases[i]].state == LEASE_VACATING)
            wait = MAX(wait, m->leases[n->leases[i]].vacate_by - m->now);
    return wait;
}

/* Price cannot have it gone by `at`. Those that run in a claim are counted by that. */
static bool lease_stays(const struct market *m, const struct lease *l, time_ms at)
{
    if ((l->state != LEASE_ASSIGNED && l->state != LEASE_RUNNING) || l->claim)
        return false;
    time_ms until = l->firm ? l->term_until : l->protected_until;
    return until > m->now && add_checked(until, leave_time(m, l)) > at;
}

/* Even told now it would not be gone by then, or it was told and is not. */
static bool lease_lingers(const struct market *m, const struct lease *l, time_ms at)
{
    return l->state == LEASE_VACATING ? l->vacate_by > at : m->now + leave_time(m, l) > at;
}

static bool room_holds(const struct room *r, const struct market_placement *p)
{
    const struct market_amounts *a = &p->amounts;
    if (r->free.gpu_milli < a->gpu_milli || r->free.core_milli < a->core_milli || r->free.memory_mib < a->memory_mib ||
        r->free.disk_mib < a->disk_mib || r->units < p->units_milli)
        return false;
    int64_t each = MIN(a->gpu_milli, 1000);
    for (uint64_t rest = p->gpus; rest; rest &= rest - 1)
        if (r->share[__builtin_ctzll(rest)] < each)
            return false;
    return true;
}

static void room_fill(struct room *r)
{
    *r = (struct room){0};
}

/* lease_stays, and whoever could not be gone by then even if told now: nobody new may count on its place. */
static bool lease_remains(const struct market *m, const struct lease *l, time_ms at)
{
    bool there = (l->state == LEASE_ASSIGNED || l->state == LEASE_RUNNING) && !l->claim;
    return lease_stays(m, l, at) || (there && at > m->now && lease_lingers(m, l, at));
}

struct instant {
    time_ms at;
    uint32_t except; /* a lease that does not count */
};
/* Anybody who was not told to go: the dearest of them are kept, and who comes last may be told at once. */
static bool lease_is_there(const struct market *m, const struct lease *l, time_ms at)
{
    return ((l->state == LEASE_ASSIGNED || l->state == LEASE_RUNNING) && !l->claim) || lease_remains(m, l, at);
}

typedef bool lease_counts(const struct market *m, const struct lease *l, time_ms at);

/* Takes those of the node that count then, one lease left out; false where they overlap. */
static bool take_those(const struct market *m, uint32_t node, struct instant w, lease_counts *counts, struct room *r)
{
    const struct node *n = &m->nodes[node];
    for (uint32_t i = 0; i < n->lease_count; i++) {
        const struct lease *l = &m->leases[n->leases[i]];
        if (n->leases[i] == w.except || !counts(m, l, w.at))
            continue;
        for (uint32_t j = 0; j < l->placement_count; j++) {
            if (l->nodes[j] != node || l->gone[j])
                continue;
            if (!room_holds(r, &l->placements[j]))
                return false;
            room_take(r, &l->placements[j]);
        }
    }
    return true;
}

/* Takes what stays on the node at that time, one lease left out; false where it overlaps. */
static bool take_staying(const struct market *m, uint32_t node, time_ms at, uint32_t except, struct room *r)
{
    return take_those(m, node, (struct instant){at, except}, lease_stays, r);
}

static const struct node_claims *claims_on(const struct market *m, uint32_t node)
{
    static const struct node_claims none;
    return node < m->calendar->node_capacity ? &m->calendar->by_node[node] : &none;
}

bool claims_stand_on(const struct market *m, uint32_t node)
{
    return claims_on(m, node)->count > 0;
}

static bool take_claim(struct room *r, const struct claim *c)
{
    struct market_placement p = {.amounts = c->amounts, .units_milli = c->replica_milli};
    if (!room_fits(r, &p, &p.gpus))
        return false;
    room_take(r, &p);
    return true;
}

bool claim_is_lent(const struct claim *c, uint32_t node, time_ms at)
{
    if (c->lent_from > at || c->lent_until <= at)
        return false;
    for (uint32_t i = c->count - MIN(c->lent, c->count); i < c->count; i++)
        if (c->nodes[i] == node)
            return true;
    return false;
}

/* A moment on a node, and whom the claims there are to leave room for. */
struct moment {
    time_ms at;
    bool lends; /* lent claims stand aside … */
    udollar most; /* … up to this floor */
    uint32_t except; /* a claim that does not count */
    bool beside_all; /* who stands there now goes on doing so */
};

/* Takes what was sold of the node for that time; false where it does not fit. */
static bool take_claims(const struct market *m, uint32_t node, struct moment w, struct room *r)
{
    const struct node_claims *here = claims_on(m, node);
    for (uint32_t i = 0; i < here->count; i++) {
        const struct claim *c = &m->calendar->claims[here->items[i]];
        if (c->from > w.at || c->to <= w.at || c->pool != m->nodes[node].pool || here->items[i] == w.except)
            continue;
        if (w.lends && c->floor <= w.most && claim_is_lent(c, node, w.at))
            continue;
        if (!take_claim(r, c))
            return false;
    }
    return true;
}

void claim_room(const struct market *m, uint32_t node, const struct window *w, struct room *ret)
{
    const struct node_claims *here = claims_on(m, node);
    const struct node *n = &m->nodes[node];
    *ret = room_empty(&n->spec.amounts);
    if (n->first_hold) { /* held for tight starts: it may be at any time */
        room_fill(ret);
        return;
    }
    for (uint32_t i = 0; i < n->lease_count; i++)
        if (lease_lingers(m, &m->leases[n->leases[i]], w->from) && (w->except == 0 || m->leases[n->leases[i]].claim != w->except)) {
            room_fill(ret);
            return;
        }
    if (!take_staying(m, node, w->from, 0, ret)) {
        room_fill(ret);
        return;
    }
    for (uint32_t i = 0; i < here->count; i++) {
        const struct claim *c = &m->calendar->claims[here->items[i]];
        if (here->items[i] == w->except || c->from >= w->to || c->to <= w->from)
            continue;
        if (!take_claim(ret, c)) {
            room_fill(ret);
            return;
        }
    }
}

/* The candidate's replicas, where they would stand now, and then what was sold. */
static bool fits_beside(const struct market *m, uint32_t node, const struct stand *s, struct moment w)
{
    struct room now = *s->room, then = room_empty(&m->nodes[node].spec.amounts);
    struct market_placement p = *s->replica;
    if (!take_those(m, node, (struct instant){w.at, s->c->lease}, w.beside_all ? lease_is_there : lease_remains, &then))
        return false;
    for (int64_t i = 0; i < s->count; i++) {
        if (!room_fits(&now, &p, &p.gpus) || !room_holds(&then, &p))
            return false;
        room_take(&now, &p);
        room_take(&then, &p);
    }
    return take_claims(m, node, w, &then);
}

bool claim_allows(const struct market *m, uint32_t node, const struct stand *s)
{
    const struct node_claims *here = claims_on(m, node);
    time_ms span = s->c->term ? s->c->term + m->settings[SETTING_GUARD_MS] : s->c->minimum_run;
    time_ms wait = MAX(s->wait, here->count ? node_wait(m, node) : 0);
    time_ms leave = s->c->notice + m->settings[SETTING_KILL_MS];
    time_ms least = m->now + wait + 1 + leave; /* nobody starts to be told to go in the same moment */
    time_ms until = MAX(m->now + wait + span + leave, least);
    struct moment w = {.lends = s->c->term == 0, .most = s->floor, .except = s->c->placeholder};
    for (uint32_t i = 0; i < here->count; i++) {
        const struct claim *c = &m->calendar->claims[here->items[i]];
        if (here->items[i] == w.except)
            continue;
        w.at = MAX(c->from, m->now);
        w.beside_all = span == 0; /* it would be told in the same moment where others are kept */
        if (c->to > m->now && c->from < until && !fits_beside(m, node, s, w))
            return false;
        w.beside_all = false;
        w.at = c->lent_until; /* who borrows it has no minimum run, and is to be gone by then */
        if (c->lent && w.at > m->now && w.at < MIN(c->to, least) && !fits_beside(m, node, s, w))
            return false;
    }
    return true;
}

static time_ms site_wait(const struct market *m, const struct site *site)
{
    time_ms wait = 0;
    for (uint32_t i = 0; i < site->victim_count; i++)
        if (!m->leases[site->victims[i]].fresh)
            wait = MAX(wait, leave_time(m, &m->leases[site->victims[i]]));
    for (uint32_t i = 0; i < site->count; i++)
        wait = MAX(wait, node_wait(m, site->nodes[i]));
    return wait;
}

bool claim_allows_site(const struct market *m, const struct candidate *c, const struct lift *lift, const struct site *site)
{
    time_ms wait = m->pools[site->pool].claims ? site_wait(m, site) : 0;
    bool stacked = site->count > 1 && site->nodes[0] == site->nodes[1];
    for (uint32_t i = 0; i < site->count && wait > 0; i++) {
        struct stand stand = {c, lift_room(lift, m, site->nodes[i]), &site->placements[i], stacked ? site->count : 1,
                              MIN(m->pools[site->pool].post, site->limit_rate / site->units_milli), wait};
        if (!claim_allows(m, site->nodes[i], &stand))
            return false;
    }
    return true;
}

bool claim_holds(const struct market *m, uint32_t node, time_ms at)
{
    struct room r = room_empty(&m->nodes[node].spec.amounts);
    struct moment w = {.at = at, .lends = true, .most = MARKET_RATE_MAX};
    return take_staying(m, node, at, 0, &r) && take_claims(m, node, w, &r);
}

time_ms claim_bound(const struct market *m, const struct lease *l)
{
    time_ms bound = TIME_NEVER;
    for (uint32_t i = 0; i < l->placement_count; i++) {
        uint32_t node = l->nodes[i];
        const struct node_claims *here = claims_on(m, node);
        for (uint32_t j = 0; j < here->count; j++) {
            const struct claim *c = &m->calendar->claims[here->items[j]];
            struct room r = room_empty(&m->nodes[node].spec.amounts);
            if (here->items[j] == l->claim || c->to <= m->now)
                continue;
            struct moment w = {.at = MAX(c->from, m->now)};
            bool fits = take_staying(m, node, w.at, m->bids[l->bid].lease, &r) && room_holds(&r, &l->placements[i]);
            if (fits) {
                room_take(&r, &l->placements[i]);
                fits = take_claims(m, node, w, &r);
            }
            if (!fits)
                bound = MIN(bound, MAX(w.at - leave_time(m, l), m->now));
        }
    }
    return bound;
}

/* Replicas where they stand, or would. */
struct standing {
    const struct market_placement *placements;
    const uint32_t *nodes;
    const bool *gone; /* NULL: none is */
    uint32_t count, lease;
};

static bool take_standing(const struct standing *s, uint32_t node, struct room *r)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct market_placement p = s->placements[i];
        if (s->nodes[i] != node || (s->gone && s->gone[i]))
            continue;
        if (p.gpus ? !room_holds(r, &p) : !room_fits(r, &p, &p.gpus))
            return false;
        room_take(r, &p);
    }
    return true;
}

/* Beside everything that was sold of the node for that time. */
static bool stands_beside(const struct market *m, const struct standing *s, uint32_t node, const struct window *during)
{
    const struct node_claims *here = claims_on(m, node);
    for (uint32_t i = 0; i < here->count; i++) {
        const struct claim *c = &m->calendar->claims[here->items[i]];
        struct room r = room_empty(&m->nodes[node].spec.amounts);
        struct moment w = {.at = MAX(c->from, during->from), .except = during->except};
        if (here->items[i] == during->except || c->to <= during->from || c->from >= during->to)
            continue;
        if (!take_those(m, node, (struct instant){w.at, s->lease}, lease_remains, &r) || !take_standing(s, node, &r) || !take_claims(m, node, w, &r))
            return false;
    }
    return true;
}

bool claim_lets_stay(const struct market *m, uint32_t lease, uint32_t except, time_ms until)
{
    const struct lease *l = &m->leases[lease];
    struct standing s = {l->placements, l->nodes, l->gone, l->placement_count, lease};
    bool stays = true;
    for (uint32_t i = 0; i < s.count && stays; i++)
        stays = stands_beside(m, &s, l->nodes[i], &(struct window){m->now, until, except});
    return stays;
}

bool claim_is_idle(const struct market *m, const struct site *site, uint32_t except, time_ms until)
{
    struct standing s = {site->placements, site->nodes, NULL, site->count, 0};
    bool idle = true;
    for (uint32_t i = 0; i < site->count && idle; i++) {
        const struct node *n = &m->nodes[site->nodes[i]];
        struct room r = n->room;
        idle = node_usable(n) && n->vacating == 0 && take_standing(&s, site->nodes[i], &r) &&
               stands_beside(m, &s, site->nodes[i], &(struct window){m->now, until, except});
    }
    return idle;
}

/* ---- what is sold --------------------------------------------------------------------------------------- */

bool claim_find(const struct market *m, const struct wish *w, struct site *ret)
{
    struct window window = {w->from, w->to, 0};
    struct area area = {.end = m->pools[w->line->pool].node_count, .window = &window};
    return place_in(m, w->c, w->line, area, ret);
}

static void node_claim_add(struct calendar *k, uint32_t node, uint32_t claim)
{
    while (k->node_capacity <= node) {
        uint32_t before = k->node_capacity;
        k->node_capacity = MAX(before * 2, 64);
        k->by_node = xrealloc(k->by_node, k->node_capacity, sizeof *k->by_node);
        memset(k->by_node + before, 0, (k->node_capacity - before) * sizeof *k->by_node);
    }
    struct node_claims *here = &k->by_node[node];
    ARRAY_RESERVE(here->items, here->count, here->capacity);
    here->items[here->count++] = claim;
}

static void node_claim_remove(struct calendar *k, uint32_t node, uint32_t claim)
{
    struct node_claims *here = &k->by_node[node];
    uint32_t i = 0;
    while (here->items[i] != claim)
        i++;
    memmove(here->items + i, here->items + i + 1, (here->count - i - 1) * sizeof *here->items);
    here->count--;
}

void claim_index(struct market *m, uint32_t slot, bool in)
{
    struct calendar *k = m->calendar;
    const struct claim *c = &k->claims[slot];
    for (uint32_t i = 0; i < c->count; i++)
        if (in)
            node_claim_add(k, c->nodes[i], slot);
        else
            node_claim_remove(k, c->nodes[i], slot);
    m->pools[c->pool].claims += in ? 1 : UINT32_MAX;
    k->live += in ? 1 : UINT32_MAX;
}

uint32_t claim_add(struct market *m, const struct claim *claim, const struct site *site)
{
    struct calendar *k = m->calendar;
    uint32_t slot = 1;
    while (slot < k->claim_count && k->claims[slot].kind)
        slot++;
    if (slot == k->claim_count) {
        ARRAY_RESERVE(k->claims, k->claim_count, k->claim_capacity);
        k->claim_count++;
    }
    struct claim *c = &k->claims[slot];
    *c = *claim;
    c->pool = site->pool;
    c->amounts = site->placements[0].amounts;
    c->replica_milli = site->placements[0].units_milli;
    c->count = site->count;
    c->nodes = xcalloc(site->count, sizeof *c->nodes);
    memcpy(c->nodes, site->nodes, site->count * sizeof *c->nodes);
    claim_index(m, slot, true);
    return slot;
}

void claim_remove(struct market *m, uint32_t slot)
{
    claim_index(m, slot, false);
    struct claim *c = &m->calendar->claims[slot];
    m->pools[c->pool].dirty = true;
    xfree(c->nodes);
    *c = (struct claim){0};
}

void claim_move(struct market *m, uint32_t slot, const struct ground *to)
{
    claim_index(m, slot, false);
    struct claim *c = &m->calendar->claims[slot];
    c->pool = to->pool;
    c->amounts = to->amounts;
    c->replica_milli = to->replica_milli;
    c->nodes = xrealloc(c->nodes, to->count, sizeof *c->nodes);
    c->count = to->count;
    memcpy(c->nodes, to->nodes, to->count * sizeof *c->nodes);
    claim_index(m, slot, true);
}

/* ---- who must leave ------------------------------------------------------------------------------------------ */

static bool can_leave(const struct market *m, const struct lease *l, time_ms at)
{
    return (l->state == LEASE_ASSIGNED || l->state == LEASE_RUNNING) && !l->claim && !lease_stays(m, l, at);
}

/* The most valuable per unit that has not been looked at yet; 0 = none. */
static uint32_t dearest(const struct market *m, const struct node *n, const bool *seen, time_ms at)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < n->lease_count; i++) {
        const struct lease *l = &m->leases[n->leases[i]];
        if (seen[i] || !can_leave(m, l, at))
            continue;
        if (best == UINT32_MAX || l->density > m->leases[n->leases[best]].density)
            best = i;
    }
    return best;
}

static bool lease_beside(uint32_t node, const struct lease *l, struct room *r)
{
    for (uint32_t j = 0; j < l->placement_count; j++) {
        if (l->nodes[j] != node || l->gone[j])
            continue;
        if (!room_holds(r, &l->placements[j]))
            return false;
        room_take(r, &l->placements[j]);
    }
    return true;
}

/* Keeps the best that fit beside what is sold at that time; gives the notice of the rest when it is
 * due, and says when the next one is. */
static time_ms node_vacate(struct market *m, uint32_t node, time_ms at)
{
    const struct node *n = &m->nodes[node];
    struct room r = room_empty(&n->spec.amounts);
    time_ms due = TIME_NEVER;
    if (n->lease_count == 0 || !take_staying(m, node, at, 0, &r))
        return due;
    bool *seen = xcalloc(n->lease_count, sizeof *seen);
    struct moment w = {.at = at, .lends = true, .most = MARKET_RATE_MAX};
    for (uint32_t i; (i = dearest(m, n, seen, at)) != UINT32_MAX;) {
        uint32_t lease = n->leases[i];
        seen[i] = true;
        struct room with = r, rest;
        bool fits = lease_beside(node, &m->leases[lease], &with);
        rest = with;
        if (fits && take_claims(m, node, w, &rest)) {
            r = with;
            continue;
        }
        time_ms leave = at - leave_time(m, &m->leases[lease]);
        if (leave <= m->now)
            lease_preempt(m, lease, RELEASE_PREEMPTED, NULL);
        else
            due = MIN(due, leave);
    }
    xfree(seen);
    return due;
}

/* Other nodes where some of its own are gone for now. */
static void claim_mend(struct market *m, uint32_t slot)
{
    struct claim *c = &m->calendar->claims[slot];
    bool whole = true;
    for (uint32_t i = 0; i < c->count; i++)
        whole &= node_usable(&m->nodes[c->nodes[i]]) && m->nodes[c->nodes[i]].pool == c->pool;
    for (uint32_t i = 1; i < m->lease_count && !whole; i++)
        whole = m->leases[i].claim == slot;
    struct site site;
    if (whole || !claim_again(m, slot, &site))
        return;
    claim_move(m, slot, &(struct ground){c->pool, c->count, site.nodes, c->amounts, c->replica_milli});
    site_fini(&site);
}

time_ms claims_run(struct market *m)
{
    time_ms due = TIME_NEVER;
    for (uint32_t i = 1; i < m->calendar->claim_count; i++) {
        if (m->calendar->claims[i].kind == CLAIM_NONE || m->calendar->claims[i].kind == CLAIM_STARVING) /* nobody is sent away for it */
            continue;
        claim_mend(m, i);
        const struct claim *c = &m->calendar->claims[i];
        time_ms at = MAX(c->from, m->now);
        for (uint32_t j = 0; j < c->count; j++) {
            due = MIN(due, node_vacate(m, c->nodes[j], at));
            if (c->lent && c->lent_until > at && c->lent_until < c->to) /* who borrowed it must be gone by then */
                due = MIN(due, node_vacate(m, c->nodes[j], c->lent_until));
        }
        due = MIN(due, c->from > m->now ? c->from : c->to > m->now ? c->to : TIME_NEVER);
    }
    return due;
}

static bool evict_worst(struct market *m, uint32_t node)
{
    const struct node *n = &m->nodes[node];
    uint32_t worst = 0;
    for (uint32_t i = 0; i < n->lease_count; i++) {
        const struct lease *l = &m->leases[n->leases[i]];
        bool movable = (l->state == LEASE_ASSIGNED || l->state == LEASE_RUNNING) && !l->firm;
        if (movable && (worst == 0 || l->density < m->leases[worst].density))
            worst = n->leases[i];
    }
    if (worst)
        lease_preempt(m, worst, RELEASE_PREEMPTED, NULL);
    return worst != 0;
}

/* Its placements up to this one, on the node of this one, as that is now. */
static bool fits_now(const struct market *m, const struct site *site, uint32_t last)
{
    struct room r = m->nodes[site->nodes[last]].room;
    for (uint32_t i = 0; i <= last; i++) {
        struct market_placement p = site->placements[i];
        if (site->nodes[i] != site->nodes[last])
            continue;
        if (!room_fits(&r, &p, &p.gpus))
            return false;
        room_take(&r, &p);
    }
    return true;
}

bool claim_make_room(struct market *m, const struct site *site)
{
    for (uint32_t i = 0; i < site->count; i++)
        while (!fits_now(m, site, i))
            if (!evict_worst(m, site->nodes[i]))
                return false;
    return true;
}
