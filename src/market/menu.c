/* SPDX-License-Identifier: Apache-2.0 */
/* The menu: a price per pool, posted at each tick (MARKET.md sections 4 and 7).
 *
 * The guide is the price at which demand fits supply. All pools move together first, up where more is
 * wanted than there is and down where less, in shrinking steps from the last guide; then, twice over
 * the pools in order, each goes exactly to the least whole µ$ at which its demand, the others' prices
 * fixed, fits the units with an ask at or below it. Demand comes from the classes: a bid takes the
 * pool with the best margin, nothing where no margin is above zero; pools that are alike in it share
 * its demand by size. Any prices give a bound on what could be had; the tick reports it. */
#include "base/sort.h"
#include "market/market_internal.h"

#define DESCENT_ROUNDS 40

int64_t menu_best(const struct market *m, const struct candidate *c, const struct class_pool **ret_at)
{
    int64_t best = 0;
    *ret_at = NULL;
    for (uint32_t i = 0; i < c->class->pool_count; i++) {
        const struct class_pool *cp = &c->class->pools[i];
        if (!cp->fits)
            continue;
        int64_t net = mul_checked(candidate_limit(c, cp) - m->pools[cp->pool].post, cp->units_milli);
        if (net > best || (net == best && *ret_at == NULL)) {
            best = net;
            *ret_at = cp;
        }
    }
    return best;
}

/* Rounded down to three significant digits. */
int64_t menu_round(int64_t scarcity)
{
    int64_t unit = 1;
    while (scarcity / unit >= 1000)
        unit *= 10;
    return scarcity / unit * unit;
}

struct demand {
    const struct market *m;
    int64_t *prices; /* one a pool */
    int128 *wanted;  /* milli-units, one a pool */
    int128 value;    /* sum of the margins, milli-rate */
};

static int128 margin_at(const struct demand *d, const struct class_pool *cp, int64_t limit)
{
    return (int128)(ratio_apply(limit, cp->ratio) - d->prices[cp->pool]) * cp->units_milli;
}

/* The pool entry that a bid of this limit takes; NULL where no margin is above zero. */
static const struct class_pool *best_at(const struct demand *d, const struct class *c, int64_t limit)
{
    const struct class_pool *best = NULL;
    int128 most = 0;
    for (uint32_t i = 0; i < c->pool_count; i++) {
        int128 margin = c->pools[i].fits ? margin_at(d, &c->pools[i], limit) : 0;
        if (margin > most) {
            most = margin;
            best = &c->pools[i];
        }
    }
    return best;
}

/* The least limit down to which `cp` stays the best, given that it is at `high`: margins are lines in
 * the limit, and where one line is the highest at two points it is so between them. */
static int64_t segment_low(const struct demand *d, const struct class *c, const struct class_pool *cp, int64_t high)
{
    int64_t low = 0;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        const struct class_pool *best = best_at(d, c, middle);
        if (best && margin_at(d, cp, middle) >= margin_at(d, best, middle))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Demand for `units` at `cp` and at every pool that is alike to the class, by size. */
static void share(struct demand *d, const struct class *c, const struct class_pool *cp, int128 units)
{
    int128 size = 0;
    for (uint32_t pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < c->pool_count; i++) {
            const struct class_pool *other = &c->pools[i];
            if (!other->fits || other->ratio != cp->ratio || other->units_milli != cp->units_milli ||
                d->prices[other->pool] != d->prices[cp->pool] || other->alternative != cp->alternative)
                continue;
            int128 here = MAX(d->m->pools[other->pool].units_milli, 1);
            if (pass == 0)
                size += here;
            else
                d->wanted[other->pool] += units * here / size;
        }
}

static int64_t tree_top(const struct market *m, const struct class *c)
{
    uint32_t waiting = tree_first(m, c->waiting), running = tree_first(m, c->running);
    return MAX(waiting ? m->bids[waiting].limit : 0, running ? m->bids[running].limit : 0);
}

static void above(const struct market *m, const struct class *c, int64_t limit, uint64_t *ret_count, int128 *ret_limits)
{
    uint64_t count;
    int128 limits;
    tree_above(m, c->waiting, limit, ret_count, ret_limits);
    tree_above(m, c->running, limit, &count, &limits);
    *ret_count += count;
    *ret_limits += limits;
}

static void class_demand(struct demand *d, const struct class *c)
{
    int64_t high = tree_top(d->m, c);
    uint64_t seen = 0, count;
    int128 seen_limits = 0, limits;
    while (high > 0) {
        const struct class_pool *cp = best_at(d, c, high);
        if (cp == NULL)
            return;
        int64_t low = segment_low(d, c, cp, high);
        above(d->m, c, low - 1, &count, &limits);
        share(d, c, cp, (int128)(count - seen) * cp->units_milli);
        /* rounded up: the sum is part of a bound */
        int128 value = (limits - seen_limits) * cp->ratio;
        d->value += ((value + RATIO_ONE - 1) / RATIO_ONE - (int128)(count - seen) * d->prices[cp->pool]) * cp->units_milli;
        seen = count;
        seen_limits = limits;
        high = low - 1;
    }
}

static void demand_all(struct demand *d)
{
    memset(d->wanted, 0, d->m->pool_count * sizeof *d->wanted);
    d->value = 0;
    for (uint32_t i = 1; i < d->m->class_count; i++)
        if (d->m->classes[i].waiting || d->m->classes[i].running)
            class_demand(d, &d->m->classes[i]);
}

static bool class_uses(const struct class *c, uint32_t pool)
{
    for (uint32_t i = 0; i < c->pool_count; i++)
        if (c->pools[i].pool == pool)
            return true;
    return false;
}

static int128 demand_at(struct demand *d, uint32_t pool, int64_t price)
{
    d->prices[pool] = price;
    memset(d->wanted, 0, d->m->pool_count * sizeof *d->wanted);
    for (uint32_t i = 1; i < d->m->class_count; i++) {
        const struct class *c = &d->m->classes[i];
        if ((c->waiting || c->running) && class_uses(c, pool))
            class_demand(d, c);
    }
    return d->wanted[pool];
}

/* Units that price decides about, with an ask at or below `price`. */
static int128 supply_at(const struct market *m, const struct pool *p, int64_t price)
{
    int128 units = -(int128)p->firm_milli;
    for (uint32_t i = 0; i < p->node_count; i++) {
        const struct node *n = &m->nodes[p->nodes[i]];
        if (node_usable(n) && n->spec.ask <= price)
            units += node_units(n);
    }
    return units;
}

static void guide_exact(struct demand *d, uint32_t pool)
{
    const struct pool *p = &d->m->pools[pool];
    int64_t low = p->lowest_ask, high = MARKET_RATE_MAX + 1;
    int128 all = supply_at(d->m, p, high);
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int128 supply = p->node_count ? supply_at(d->m, p, middle) : all;
        if (demand_at(d, pool, middle) <= MAX(supply, 0))
            high = middle;
        else
            low = middle + 1;
    }
    d->prices[pool] = low;
}

static void guide_descend(struct demand *d)
{
    int64_t permille = 200;
    for (int round = 0; round < DESCENT_ROUNDS; round++) {
        demand_all(d);
        for (uint32_t i = 1; i < d->m->pool_count; i++) {
            const struct pool *p = &d->m->pools[i];
            int128 supply = p->units_milli - p->firm_milli;
            int64_t step = MAX(mul_div_ceil(d->prices[i], permille, 1000), 1);
            if (d->wanted[i] > supply)
                d->prices[i] = MIN(d->prices[i] + step, MARKET_RATE_MAX);
            else if (d->wanted[i] < supply)
                d->prices[i] = MAX(d->prices[i] - step, p->lowest_ask);
        }
        permille = MAX(permille * 3 / 4, 1);
    }
}

static bool pools_are_joined(const struct market *m)
{
    for (uint32_t i = 1; i < m->class_count; i++)
        if (m->classes[i].pool_count > 1 && (m->classes[i].waiting || m->classes[i].running))
            return true;
    return false;
}

static void guide_find(struct market *m, struct demand *d)
{
    for (uint32_t i = 1; i < m->pool_count; i++)
        d->prices[i] = MAX(m->pools[i].guide, m->pools[i].lowest_ask);
    bool joined = pools_are_joined(m);
    if (joined)
        guide_descend(d);
    for (int round = 0; round < (joined ? 2 : 1); round++)
        for (uint32_t i = 1; i < m->pool_count; i++)
            guide_exact(d, i);
}

static int ask_compare(const void *x, const void *y, const void *context)
{
    const struct market *m = context;
    const struct node *a = &m->nodes[*(const uint32_t *)x], *b = &m->nodes[*(const uint32_t *)y];
    int c = COMPARE(a->spec.ask, b->spec.ask);
    return c ? c : COMPARE(a->spec.id, b->spec.id);
}

/* The largest ask that serving `wanted` uses, cheapest first; the lowest where nothing is wanted. */
static udollar marginal_ask(const struct market *m, const struct pool *p, int128 wanted)
{
    udollar marginal = p->lowest_ask, highest = p->lowest_ask;
    for (uint32_t i = 0; i < p->node_count; i++)
        highest = MAX(highest, m->nodes[p->nodes[i]].spec.ask);
    if (highest == p->lowest_ask)
        return marginal;
    uint32_t *nodes = xcalloc(p->node_count, sizeof *nodes);
    memcpy(nodes, p->nodes, p->node_count * sizeof *nodes);
    sort(nodes, p->node_count, sizeof *nodes, ask_compare, m);
    for (uint32_t i = 0; i < p->node_count && wanted > 0; i++) {
        const struct node *n = &m->nodes[nodes[i]];
        if (!node_usable(n) || n->spec.ask > p->guide)
            continue;
        marginal = n->spec.ask;
        wanted -= node_units(n);
    }
    xfree(nodes);
    return marginal;
}

/* The scarcity that may be posted after `dt` (section 7): a ramp up, free to fall. */
static int64_t scarcity_ramp(const struct market *m, const struct pool *p, int64_t target, time_ms dt)
{
    int64_t tick = MAX(m->settings[SETTING_TICK_MS], 1), span = CLAMP(dt, 0, tick);
    int64_t base = p->lowest_ask ? p->lowest_ask : 10000;
    int64_t grown = p->scarcity + mul_div_floor(p->scarcity, m->settings[SETTING_RAMP_PERMILLE] * span, 60000 * 1000);
    int64_t step = mul_div_floor(MAX(base / 100, 1), span, tick);
    return MIN(target, grown + step);
}

static void pool_post(struct market *m, uint32_t pool, const struct demand *d, time_ms dt)
{
    struct pool *p = &m->pools[pool];
    p->guide = d->prices[pool];
    p->marginal = MIN(marginal_ask(m, p, d->wanted[pool] + p->firm_milli), p->guide);
    int64_t target = p->guide - p->marginal;
    int64_t scarcity = scarcity_ramp(m, p, target, dt);
    if (p->noted)
        scarcity = MAX(scarcity, MIN(p->noted - p->marginal, target));
    p->scarcity = MAX(scarcity, 0);
    /* a noted price admits only when it is posted whole */
    int64_t rounded = menu_round(p->scarcity);
    p->post = p->marginal + (p->noted && p->marginal + rounded < p->noted ? p->scarcity : rounded);
    p->noted = 0;
}

static void pool_wants(struct market *m, uint32_t pool, uint64_t *ret_waiting, int64_t *ret_wanted)
{
    int128 wanted = 0;
    *ret_waiting = 0;
    for (uint32_t i = 1; i < m->class_count; i++) {
        const struct class *c = &m->classes[i];
        for (uint32_t j = 0; j < c->pool_count && c->waiting; j++) {
            if (c->pools[j].pool != pool)
                continue;
            uint64_t count;
            int128 limits;
            int64_t least = mul_div_ceil(m->pools[pool].post, RATIO_ONE, MAX(c->pools[j].ratio, 1));
            tree_above(m, c->waiting, least - 1, &count, &limits);
            wanted += (int128)count * c->pools[j].units_milli;
            *ret_waiting += m->bids[c->waiting].tree_count;
            break;
        }
    }
    *ret_wanted = narrow_checked(wanted);
}

static void pool_tell(struct market *m, uint32_t pool)
{
    struct pool *p = &m->pools[pool];
    pool_wants(m, pool, &p->waiting, &p->wanted_milli);
    struct market_event *e = event_add(m, EVENT_PRICE_POSTED, 0);
    e->posted.pool = p->id;
    e->posted.marginal = p->marginal;
    e->posted.scarcity = p->post - p->marginal;
    e->posted.guide = p->guide;
    e->posted.lowest_ask = p->lowest_ask;
    e->posted.units_milli = p->units_milli;
    e->posted.free_milli = p->units_milli - p->used_milli;
    e->posted.wanted_milli = p->wanted_milli;
    e->posted.running = p->running;
    e->posted.waiting = p->waiting;
}

/* D(π) of section 4 over what price decides, and what runs of it. */
static void gap_tell(struct market *m, const struct demand *d)
{
    int128 bound = d->value, surplus = 0;
    for (uint32_t i = 1; i < m->pool_count; i++) {
        const struct pool *p = &m->pools[i];
        int128 rent = 0;
        for (uint32_t j = 0; j < p->node_count; j++) {
            const struct node *n = &m->nodes[p->nodes[j]];
            if (node_usable(n))
                rent += (int128)node_units(n) * MAX(p->guide - n->spec.ask, 0);
        }
        bound += rent;
    }
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        if (l->state != LEASE_ASSIGNED && l->state != LEASE_RUNNING)
            continue;
        if (!l->firm)
            surplus += l->limit_rate - l->ask_rate;
        else /* its units are out of supply: at the rent that was counted for them */
            bound -= MAX((int128)l->units_milli * m->pools[l->pool].guide - l->ask_rate, 0);
    }
    m->surplus = narrow_checked(surplus / 1000);
    m->bound = MAX(narrow_checked(bound / 1000), m->surplus);
    struct market_event *e = event_add(m, EVENT_GAP, 0);
    e->gap.surplus = m->surplus;
    e->gap.bound = m->bound;
}

void menu_post(struct market *m, time_ms since)
{
    classes_refresh(m);
    struct demand d = {.m = m, .prices = xcalloc(m->pool_count, sizeof *d.prices),
        .wanted = xcalloc(m->pool_count, sizeof *d.wanted)};
    guide_find(m, &d);
    demand_all(&d);
    for (uint32_t i = 1; i < m->pool_count; i++)
        pool_post(m, i, &d, m->now - since);
    for (uint32_t i = 1; i < m->pool_count; i++)
        pool_tell(m, i);
    gap_tell(m, &d);
    xfree(d.prices);
    xfree(d.wanted);
}
