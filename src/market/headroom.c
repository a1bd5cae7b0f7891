/* SPDX-License-Identifier: Apache-2.0 */
/* Holds: where they stand, who may stand beside them, and what they are worth. */
#include "market/headroom.h"

#include "base/sort.h"

#define DISPLACED_SHARE 20 /* of a pool's units, one part a tick is made free for headroom at most, and a node at least */

struct headroom *headroom_new(void)
{
    struct headroom *h = xcalloc(1, sizeof *h);
    ARRAY_RESERVE(h->subscriptions, h->subscription_count, h->subscription_capacity);
    h->subscriptions[0] = (struct subscription){0};
    h->subscription_count = 1;
    return h;
}

void headroom_free(struct headroom *h)
{
    xfree(h->subscriptions);
    xfree(h->holds);
    xfree(h->prices);
    xfree(h);
}

time_ms headroom_start(const struct market *m, uint32_t tier)
{
    time_ms start = TIME_NEVER;
    for (uint32_t i = tier; i <= MARKET_TIERS; i++)
        start = MIN(start, m->settings[SETTING_TIER1_START_MS + i - 1]);
    return start;
}

static udollar tier_loss(const struct market *m, uint32_t tier)
{
    return m->settings[SETTING_TIER1_LOSS + tier - 1];
}

static bool may_leave(const struct market *m, const struct bid *b)
{
    return class_form(m, &m->classes[b->class])->kind == BID_PREEMPTIBLE;
}

bool headroom_recalls(const struct market *m, const struct lease *l, time_ms start)
{
    const struct bid *b = &m->bids[l->bid];
    return (l->state == LEASE_ASSIGNED || l->state == LEASE_RUNNING) && !l->firm && l->claim == 0 && l->subscription == 0 &&
           may_leave(m, b) && b->notice + m->settings[SETTING_KILL_MS] <= start;
}

time_ms headroom_time(const struct market *m, uint32_t subscription)
{
    return headroom_start(m, m->headroom->subscriptions[subscription].tier);
}

static int entitled_compare(const struct headroom *h, uint32_t a, uint32_t b)
{
    int c = COMPARE(h->subscriptions[a].tier, h->subscriptions[b].tier);
    return c ? c : COMPARE(a, b);
}

uint32_t headroom_entitles(const struct market *m, const struct candidate *c, const struct line *line, uint32_t after)
{
    const struct headroom *h = m->headroom;
    int64_t units = c->tier ? candidate_units(c, line) : 0;
    uint32_t best = 0;
    for (uint32_t i = 1; c->tier && i < h->subscription_count; i++) {
        const struct subscription *s = &h->subscriptions[i];
        if ((after && entitled_compare(h, i, after) <= 0) || s->tenant == 0 || s->tenant != c->tenant_slot || s->tier < c->tier || s->unpaid ||
            s->used_milli + units > s->units_milli || !subscription_matches(s, &m->pools[line->pool]))
            continue;
        if (best == 0 || entitled_compare(h, i, best) < 0)
            best = i;
    }
    return best;
}

int64_t headroom_worth(const struct market *m, const struct lease *l)
{
    int128 loss = (int128)tier_loss(m, m->headroom->subscriptions[l->subscription].tier) * l->units_milli;
    return narrow_checked(MAX(loss - l->limit_rate, (int128)0));
}

void headroom_use(struct market *m, uint32_t lease, int64_t sign)
{
    const struct lease *l = &m->leases[lease];
    m->headroom->subscriptions[l->subscription].used_milli += sign * l->units_milli;
}

/* ---- what fits beside what is held ---------------------------------------------------------------------------- */

/* A node as it would be: who has been lifted out of it, and whose holds do not count. */
struct look {
    const struct market *m;
    uint32_t node;
    const struct lift *lift;
    uint32_t except; /* a subscription */
    time_ms leaves;  /* holds whose tier waits as long do not count, */
    int64_t worth;   /* nor those worth less */
};

/* Whoever can leave within `start` and not within `before` goes. */
static void give_back(const struct look *k, time_ms before, time_ms start, struct room *r)
{
    const struct node *n = &k->m->nodes[k->node];
    for (uint32_t i = 0; i < n->lease_count; i++) {
        const struct lease *l = &k->m->leases[n->leases[i]];
        if (!headroom_recalls(k->m, l, start) || headroom_recalls(k->m, l, before) || lift_has(k->lift, n->leases[i]) ||
            (i && n->leases[i] == n->leases[i - 1]))
            continue;
        for (uint32_t j = 0; j < l->placement_count; j++)
            if (l->nodes[j] == k->node)
                room_give(r, &l->placements[j]);
    }
}

static bool take_hold(struct room *r, const struct hold *h)
{
    struct market_placement p = {.amounts = h->amounts, .units_milli = h->units_milli};
    if (!room_fits(r, &p, &p.gpus))
        return false;
    room_take(r, &p);
    return true;
}

/* Takes the holds of the node, tier by tier up to `last`, as those leave that do so in time for each. */
static bool take_holds(const struct look *k, uint32_t last, struct room *r)
{
    const struct headroom *h = k->m->headroom;
    time_ms before = -1;
    for (uint32_t tier = 1; tier <= last; tier++) {
        time_ms start = headroom_start(k->m, tier);
        if (start >= k->leaves)
            return true;
        give_back(k, before, start, r);
        before = start;
        for (uint32_t i = k->m->nodes[k->node].first_hold; i; i = h->holds[i - 1].next) {
            const struct hold *hold = &h->holds[i - 1];
            if (h->subscriptions[hold->subscription].tier != tier || hold->subscription == k->except || tier_loss(k->m, tier) < k->worth)
                continue;
            if (!take_hold(r, hold))
                return false;
        }
    }
    return true;
}

static bool waits_too_long(const struct market *m, uint32_t node, time_ms start)
{
    const struct node *n = &m->nodes[node];
    for (uint32_t i = 0; n->vacating && i < n->lease_count; i++) {
        const struct lease *l = &m->leases[n->leases[i]];
        if (l->state == LEASE_VACATING && l->vacate_by - m->now > start)
            return true;
    }
    return false;
}

bool headroom_allows(const struct market *m, uint32_t node, const struct lift *lift, const struct stand *s)
{
    const struct candidate *c = s->c;
    if (c->subscription && waits_too_long(m, node, headroom_time(m, c->subscription)))
        return false;
    if (m->nodes[node].first_hold == 0)
        return true;
    struct look k = {.m = m, .node = node, .lift = lift, .except = c->subscription, .leaves = TIME_NEVER,
        .worth = c->subscription ? 0 : s->net};
    if (c->form->kind == BID_PREEMPTIBLE && c->subscription == 0)
        k.leaves = c->notice + m->settings[SETTING_KILL_MS];
    struct room r = *s->room;
    struct market_placement p = *s->replica;
    for (int64_t i = 0; i < s->count; i++) {
        if (!room_fits(&r, &p, &p.gpus))
            return false;
        room_take(&r, &p);
    }
    return take_holds(&k, MARKET_TIERS, &r);
}

/* ---- where holds stand --------------------------------------------------------------------------------------------- */

static struct market_amounts amounts_of(const struct market_amounts *node, int64_t units_milli)
{
    int64_t all = node->gpu_milli ? node->gpu_milli : node->core_milli;
    return (struct market_amounts){node->gpu_milli ? units_milli : 0, mul_div_floor(node->core_milli, units_milli, all),
                                   mul_div_floor(node->memory_mib, units_milli, all), mul_div_floor(node->disk_mib, units_milli, all)};
}

/* Whole units that could be held there for the tier, at most `most`; a node of less than one is held whole. */
static int64_t node_spare(const struct market *m, uint32_t node, uint32_t tier, int64_t most)
{
    const struct node *n = &m->nodes[node];
    int64_t step = MIN(node_units(n), 1000);
    if (!node_usable(n) || claims_stand_on(m, node) || step == 0)
        return 0;
    struct look k = {.m = m, .node = node, .leaves = TIME_NEVER};
    struct room r = n->room;
    if (!take_holds(&k, tier, &r))
        return 0;
    struct hold hold = {.units_milli = MIN(r.units, most) / step * step};
    for (; hold.units_milli > 0; hold.units_milli -= step) {
        struct room with = r;
        hold.amounts = amounts_of(&n->spec.amounts, hold.units_milli);
        if (take_hold(&with, &hold))
            break;
    }
    return MAX(hold.units_milli, 0);
}

struct ground_of_hold { /* a node that could hold something */
    int64_t spare, free;
    udollar ask;
    uint32_t position;
    bool whole, late;
};

/* Those that are free in time first, and whole nodes; of them those that cost nobody anything, then the cheapest. */
static int ground_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct ground_of_hold *a = x, *b = y;
    int c = COMPARE(a->late, b->late);
    if (c == 0)
        c = COMPARE(b->whole, a->whole);
    if (c == 0)
        c = COMPARE(a->free, b->free);
    if (c == 0)
        c = COMPARE(a->ask, b->ask);
    if (c == 0)
        c = COMPARE(b->spare, a->spare);
    return c ? c : COMPARE(a->position, b->position);
}

static void hold_add(struct market *m, uint32_t node, uint32_t subscription, int64_t units)
{
    struct headroom *h = m->headroom;
    struct node *n = &m->nodes[node];
    ARRAY_RESERVE(h->holds, h->hold_count, h->hold_capacity);
    h->holds[h->hold_count++] = (struct hold){node, subscription, n->first_hold, units, amounts_of(&n->spec.amounts, units)};
    n->first_hold = h->hold_count;
    n->held_milli += units;
    m->pools[n->pool].holds++;
    h->subscriptions[subscription].held_milli += units;
}

static int64_t wanted(const struct subscription *s)
{
    return s->tenant && !s->unpaid ? s->units_milli - s->used_milli - s->held_milli : 0;
}

/* As much of what is wanted as the pool's nodes hold. */
static void hold_in_pool(struct market *m, uint32_t pool, uint32_t slot)
{
    const struct pool *p = &m->pools[pool];
    const struct subscription *s = &m->headroom->subscriptions[slot];
    struct ground_of_hold *all = xcalloc(p->node_count + 1, sizeof *all);
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->node_count; i++) {
        const struct node *n = &m->nodes[p->nodes[i]];
        struct ground_of_hold g = {.spare = node_spare(m, p->nodes[i], s->tier, wanted(s)), .ask = n->spec.ask, .position = i};
        g.whole = g.spare >= MIN(node_units(n), wanted(s));
        g.late = waits_too_long(m, p->nodes[i], headroom_start(m, s->tier));
        g.free = MIN(MAX(n->room.units, 0), g.spare);
        if (g.spare > 0)
            all[count++] = g;
    }
    sort(all, count, sizeof *all, ground_compare, NULL);
    for (uint32_t i = 0; i < count && wanted(s) > 0; i++)
        hold_add(m, p->nodes[all[i].position], slot, MIN(all[i].spare, node_spare(m, p->nodes[all[i].position], s->tier, wanted(s))));
    xfree(all);
}

static void holds_clear(struct market *m)
{
    struct headroom *h = m->headroom;
    for (uint32_t i = 0; i < h->hold_count; i++) {
        struct node *n = &m->nodes[h->holds[i].node];
        n->first_hold = 0;
        n->held_milli = 0;
        m->pools[n->pool].holds = 0;
    }
    h->hold_count = 0;
    for (uint32_t i = 1; i < h->subscription_count; i++)
        h->subscriptions[i].held_milli = 0;
}

void headroom_build(struct market *m)
{
    struct headroom *h = m->headroom;
    holds_clear(m);
    for (uint32_t tier = 1; tier <= MARKET_TIERS && h->live; tier++)
        for (uint32_t i = 1; i < h->subscription_count; i++)
            for (uint32_t pool = 1; h->subscriptions[i].tier == tier && pool < m->pool_count && wanted(&h->subscriptions[i]) > 0; pool++)
                if (subscription_matches(&h->subscriptions[i], &m->pools[pool]))
                    hold_in_pool(m, pool, i);
}

bool headroom_settle(struct market *m)
{
    struct headroom *h = m->headroom;
    uint32_t count = h->hold_count;
    struct hold *before = xcalloc(count + 1, sizeof *before);
    if (count)
        memcpy(before, h->holds, count * sizeof *before);
    headroom_build(m);
    bool freed = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct node *n = &m->nodes[before[i].node];
        if (n->first_hold || n->room.units <= 0)
            continue;
        m->pools[n->pool].dirty = true;
        freed = true;
    }
    xfree(before);
    return freed;
}

void headroom_used(struct market *m, uint32_t lease)
{
    const struct subscription *s = &m->headroom->subscriptions[m->leases[lease].subscription];
    headroom_build(m);
    for (uint32_t i = 1; i < m->pool_count; i++)
        m->pools[i].dirty |= subscription_matches(s, &m->pools[i]); /* it may have come free elsewhere */
}

/* ---- displacing for it ------------------------------------------------------------------------------------------------- */

/* What goes when all of the node is made free of what cannot leave in time; false where price may not move it, or
 * where that is worth more than the headroom. */
static bool node_cost(const struct market *m, uint32_t node, const struct subscription *s, int64_t *ret)
{
    const struct node *n = &m->nodes[node];
    int128 cost = 0, worth = (int128)(tier_loss(m, s->tier) - n->spec.ask) * MIN(node_units(n), wanted(s));
    if (!node_usable(n) || n->lease_count == 0 || n->first_hold || claims_stand_on(m, node) || n->vacating)
        return false;
    for (uint32_t i = 0; i < n->lease_count; i++) {
        const struct lease *l = &m->leases[n->leases[i]];
        if (!lease_evictable(m, l) || l->subscription)
            return false;
        cost += lease_loss(m, l);
    }
    *ret = narrow_checked(MIN(cost, (int128)INT64_MAX));
    return cost < worth;
}

static uint32_t node_cheapest(const struct market *m, uint32_t pool, const struct subscription *s)
{
    uint32_t best = 0;
    int64_t least = 0, cost;
    for (uint32_t i = 0; i < m->pools[pool].node_count; i++) {
        uint32_t node = m->pools[pool].nodes[i];
        if (node_cost(m, node, s, &cost) && (best == 0 || cost < least)) {
            best = node;
            least = cost;
        }
    }
    return best;
}

/* Whoever stands there and is worth less goes; the rest of its time the node is held. */
static void pool_displace(struct market *m, uint32_t pool, struct subscription *s)
{
    int64_t left = MAX(m->pools[pool].units_milli / DISPLACED_SHARE, 1), missing = wanted(s);
    for (uint32_t node; left > 0 && missing > 0 && (node = node_cheapest(m, pool, s)) != 0;) {
        for (uint32_t i = m->nodes[node].lease_count; i-- > 0;)
            if (m->leases[m->nodes[node].leases[i]].state != LEASE_VACATING)
                lease_preempt(m, m->nodes[node].leases[i], RELEASE_PREEMPTED, NULL);
        left -= node_units(&m->nodes[node]);
        missing -= node_units(&m->nodes[node]);
    }
}

void headroom_run(struct market *m)
{
    struct headroom *h = m->headroom;
    if (h->live == 0 && h->hold_count == 0)
        return;
    headroom_settle(m);
    bool displaced = false;
    for (uint32_t i = 1; i < h->subscription_count && m->ticked; i++)
        for (uint32_t pool = 1; pool < m->pool_count && wanted(&h->subscriptions[i]) > 0; pool++)
            if (subscription_matches(&h->subscriptions[i], &m->pools[pool])) {
                pool_displace(m, pool, &h->subscriptions[i]);
                displaced = true;
            }
    if (displaced)
        headroom_build(m);
}

/* ---- what it is worth ------------------------------------------------------------------------------------------------------ */

static struct headroom_price *price_at(const struct market *m, uint32_t pool, uint32_t tier)
{
    return &m->headroom->prices[pool * MARKET_TIERS + tier - 1];
}

struct pot { /* of a tier in a pool: milli-rates */
    int128 paid, asks;
};

/* What is held, what the subscribers pay for it, and what the free nodes of it ask. */
static void holds_add_up(struct market *m, struct pot *pots)
{
    const struct headroom *h = m->headroom;
    for (uint32_t i = 0; i < h->hold_count; i++) {
        const struct hold *hold = &h->holds[i];
        const struct subscription *s = &h->subscriptions[hold->subscription];
        const struct node *n = &m->nodes[hold->node];
        struct headroom_price *p = price_at(m, n->pool, s->tier);
        struct pot *pot = &pots[n->pool * MARKET_TIERS + s->tier - 1];
        int64_t free = MIN(hold->units_milli, MAX(n->room.units, 0));
        p->held_milli += hold->units_milli;
        p->free_milli += free;
        pot->paid += (int128)s->rate * hold->units_milli;
        pot->asks += (int128)n->spec.ask * free;
    }
}

static void eligible_add_up(struct market *m)
{
    for (uint32_t i = 1; i < m->lease_count; i++)
        for (uint32_t tier = 1; tier <= MARKET_TIERS; tier++)
            if (m->leases[i].state != LEASE_NONE && headroom_recalls(m, &m->leases[i], headroom_start(m, tier)))
                price_at(m, m->leases[i].pool, tier)->eligible_milli += m->leases[i].units_milli;
}

static void tell_posted(struct market *m, uint32_t pool, uint32_t tier)
{
    const struct headroom_price *p = price_at(m, pool, tier);
    struct market_event *e = event_add(m, EVENT_HEADROOM_POSTED, 0);
    e->headroom.pool = m->pools[pool].id;
    e->headroom.tier = tier;
    e->headroom.held_milli = p->held_milli;
    e->headroom.free_milli = p->free_milli;
    e->headroom.eligible_milli = p->eligible_milli;
    e->headroom.price = p->price;
    e->headroom.credit = p->credit;
}

/* What the subscribers pay beyond the asks of free nodes goes to those who could leave in time, as far as scarcity
 * goes: shared by all of them where there are more than are held. */
static void price_set(struct market *m, uint32_t pool, uint32_t tier, const struct pot *pot)
{
    struct headroom_price *p = price_at(m, pool, tier);
    int128 left = p->held_milli ? MAX(pot->paid - pot->asks, (int128)0) / p->held_milli : 0;
    p->price = narrow_checked(MIN(left, (int128)(m->pools[pool].post - m->pools[pool].marginal)));
    int64_t all = MAX(p->eligible_milli, p->held_milli);
    p->notice = headroom_start(m, tier) - m->settings[SETTING_KILL_MS];
    p->credit = p->eligible_milli ? mul_div_floor(p->price, p->held_milli, all) : 0;
}

void headroom_post(struct market *m)
{
    struct headroom *h = m->headroom;
    if (h->live == 0 && h->price_pools == 0)
        return;
    struct headroom_price *before = TAKE(h->prices);
    uint32_t pools = h->price_pools;
    h->prices = xcalloc((size_t)m->pool_count * MARKET_TIERS, sizeof *h->prices);
    h->price_pools = m->pool_count;
    struct pot *pots = xcalloc((size_t)m->pool_count * MARKET_TIERS, sizeof *pots);
    holds_add_up(m, pots);
    eligible_add_up(m);
    for (uint32_t i = 1; i < m->pool_count; i++)
        for (uint32_t tier = 1; tier <= MARKET_TIERS; tier++) {
            price_set(m, i, tier, &pots[i * MARKET_TIERS + tier - 1]);
            bool had = i < pools && before[i * MARKET_TIERS + tier - 1].held_milli;
            if (had || price_at(m, i, tier)->held_milli)
                tell_posted(m, i, tier);
        }
    xfree(pots);
    xfree(before);
    if (h->live == 0) {
        xfree(TAKE(h->prices));
        h->price_pools = 0;
    }
}

int64_t headroom_credit(const struct market *m, const struct candidate *c, uint32_t pool)
{
    const struct headroom *h = m->headroom;
    int64_t credit = 0;
    if (pool >= h->price_pools || c->tier || c->form->kind != BID_PREEMPTIBLE)
        return 0;
    for (uint32_t tier = 1; tier <= MARKET_TIERS; tier++)
        if (c->notice <= price_at(m, pool, tier)->notice)
            credit += price_at(m, pool, tier)->credit;
    const struct pool *p = &m->pools[pool];
    return CLAMP(credit, 0, MAX(tenant_post(m, c->tenant_slot, pool) - p->marginal, 0));
}

/* ---- what must hold ---------------------------------------------------------------------------------------------------------- */

static void check_node(const struct market *m, uint32_t node)
{
    const struct node *n = &m->nodes[node];
    struct room r = n->room;
    struct look k = {.m = m, .node = node, .leaves = TIME_NEVER};
    CHECK(node_usable(n) && take_holds(&k, MARKET_TIERS, &r));
}

void headroom_check(const struct market *m)
{
    const struct headroom *h = m->headroom;
    uint32_t live = 0;
    for (uint32_t i = 0; i < h->hold_count; i++)
        check_node(m, h->holds[i].node);
    for (uint32_t i = 1; i < h->subscription_count; i++) {
        const struct subscription *s = &h->subscriptions[i];
        int64_t used = 0;
        live += s->tenant != 0;
        for (uint32_t j = 1; j < m->lease_count; j++)
            used += m->leases[j].subscription == i ? m->leases[j].units_milli : 0;
        CHECK(used == s->used_milli && s->held_milli <= MAX(s->units_milli - s->used_milli, 0));
    }
    CHECK(live == h->live);
}

/* ---- views --------------------------------------------------------------------------------------------------------------------- */

struct market_headroom_view market_headroom(const struct market *m, market_id pool, uint32_t tier)
{
    CHECK(tier >= 1 && tier <= MARKET_TIERS);
    if (pool >= m->headroom->price_pools)
        return (struct market_headroom_view){0};
    const struct headroom_price *p = price_at(m, (uint32_t)pool, tier);
    return (struct market_headroom_view){p->held_milli, p->free_milli, p->eligible_milli, p->price, p->credit};
}

int64_t market_node_held(const struct market *m, market_id node, uint32_t tier)
{
    const struct headroom *h = m->headroom;
    int64_t held = 0;
    for (uint32_t i = m->nodes[map_get(&m->node_by_id, node)].first_hold; i; i = h->holds[i - 1].next)
        held += h->subscriptions[h->holds[i - 1].subscription].tier == tier ? h->holds[i - 1].units_milli : 0;
    return held;
}

int64_t headroom_ready(const struct market *m, uint32_t subscription)
{
    const struct headroom *h = m->headroom;
    int64_t most = 0;
    for (uint32_t i = 0; i < h->hold_count; i++)
        if (h->holds[i].subscription == subscription && !waits_too_long(m, h->holds[i].node, headroom_time(m, subscription)))
            most = MAX(most, h->holds[i].units_milli);
    return most;
}
