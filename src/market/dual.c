/* SPDX-License-Identifier: Apache-2.0 */
#include "market/dual.h"

#include "base/hash.h"
#include "base/sort.h"

/* ---- groups: pools that every curve treats alike -------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    return hash_u64(a * 0x9e3779b97f4a7c15u + b);
}

/* What the curves say of a pool: sums, so that their order is nothing. Pools that ask differently do
 * not post the same price. */
static uint64_t pool_sign(const struct dual *d, uint32_t pool)
{
    const struct market *m = d->m;
    const struct pool *p = &m->pools[pool];
    uint64_t sign = p->use_count ? mix((uint64_t)p->lowest_ask, (uint64_t)p->highest_ask) + dual_owners_sign(d, pool) : 0;
    for (uint32_t i = 0; i < p->use_count; i++) {
        const struct curve *c = &m->curves[p->uses[i].curve];
        const struct curve_line *l = &c->lines[p->uses[i].line];
        if (c->bid_count)
            sign += mix(mix(mix(p->uses[i].curve, (uint64_t)l->ratio), (uint64_t)l->transfer), (uint64_t)l->scale);
    }
    return sign;
}

struct signed_pool {
    uint64_t sign;
    uint32_t pool;
};

static int signed_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct signed_pool *a = x, *b = y;
    int c = COMPARE(a->sign, b->sign);
    return c ? c : COMPARE(a->pool, b->pool);
}

static int by_first_pool(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct dual_group *a = x, *b = y;
    return COMPARE(a->units, b->units);
}

static void groups_find(struct dual *d)
{
    const struct market *m = d->m;
    struct signed_pool *signs = xcalloc(m->pool_count, sizeof *signs);
    for (uint32_t i = 1; i < m->pool_count; i++)
        signs[i - 1] = (struct signed_pool){pool_sign(d, i), i};
    sort(signs, m->pool_count - 1, sizeof *signs, signed_compare, NULL);
    d->pools = xcalloc(m->pool_count, sizeof *d->pools);
    d->group_of = xcalloc(m->pool_count, sizeof *d->group_of);
    d->groups = xcalloc(m->pool_count, sizeof *d->groups);
    for (uint32_t i = 0; i + 1 < m->pool_count; i++) {
        d->pools[i] = signs[i].pool;
        if (i == 0 || signs[i].sign == 0 || signs[i].sign != signs[i - 1].sign)
            d->groups[d->group_count++] = (struct dual_group){.first_pool = i, .units = signs[i].pool};
        d->groups[d->group_count - 1].pool_count++;
    }
    /* in order of their first pool */
    sort(d->groups, d->group_count, sizeof *d->groups, by_first_pool, NULL);
    for (uint32_t i = 0; i < d->group_count; i++)
        for (uint32_t j = 0; j < d->groups[i].pool_count; j++)
            d->group_of[d->pools[d->groups[i].first_pool + j]] = i;
    xfree(signs);
}

static void step_add(struct dual *d, udollar ask, int64_t units, int64_t firm)
{
    ARRAY_RESERVE(d->asks, d->ask_count, d->ask_capacity);
    d->asks[d->ask_count++] = (struct ask_step){ask, units - firm, units};
}

static int step_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    return COMPARE(((const struct ask_step *)x)->ask, ((const struct ask_step *)y)->ask);
}

static void pool_supply(struct dual *d, const struct pool *p)
{
    if (p->lowest_ask == p->highest_ask && p->firm_milli == 0 && p->holds == 0) {
        if (p->units_milli)
            step_add(d, p->lowest_ask, p->units_milli, 0);
        return;
    }
    for (uint32_t i = 0; i < p->node_count; i++) {
        const struct node *n = &d->m->nodes[p->nodes[i]];
        if (node_usable(n))
            step_add(d, n->spec.ask, node_units(n) - MIN(n->held_milli, MAX(n->room.units, 0)), n->firm_milli);
    }
}

static void group_supply_find(struct dual *d, struct dual_group *g)
{
    g->first_step = d->ask_count;
    g->units = g->firm = 0;
    for (uint32_t i = 0; i < g->pool_count; i++)
        pool_supply(d, &d->m->pools[d->pools[g->first_pool + i]]);
    uint32_t count = d->ask_count - g->first_step, kept = 0;
    struct ask_step *steps = count ? d->asks + g->first_step : NULL;
    sort(steps, count, sizeof *steps, step_compare, NULL);
    for (uint32_t i = 0; i < count; i++) {
        g->units += steps[i].units;
        g->firm += steps[i].all - steps[i].units;
        if (kept == 0 || steps[kept - 1].ask != steps[i].ask) {
            steps[kept++] = steps[i];
            continue;
        }
        steps[kept - 1].units += steps[i].units;
        steps[kept - 1].all += steps[i].all;
    }
    g->step_count = kept;
    d->ask_count = g->first_step + kept;
    g->lowest_ask = kept ? steps[0].ask : 0;
}

int64_t group_supply(const struct dual *d, const struct dual_group *g, int64_t price)
{
    int64_t units = 0;
    for (uint32_t i = 0; i < g->step_count && d->asks[g->first_step + i].ask <= price; i++)
        units += d->asks[g->first_step + i].units;
    return MAX(units, 0);
}

/* ---- curves ------------------------------------------------------------------------------------------------- */

static int slope_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct slope *a = x, *b = y;
    int c = COMPARE(b->a, a->a);
    if (c == 0)
        c = COMPARE(a->group, b->group);
    return c ? c : COMPARE(a->transfer, b->transfer);
}

void dual_curve_add(struct dual *d, uint32_t curve, const struct curve *book, market_id owner)
{
    const struct curve *c = &d->m->curves[curve];
    struct dual_curve dc = {.curve = curve, .first = d->slope_count, .book = book, .owner = owner};
    for (uint32_t i = 0; i < c->line_count; i++) {
        const struct curve_line *l = &c->lines[i];
        if (dual_leaves_out(d, l->pool, owner))
            continue;
        int64_t unit = l->scale * (SLOPE_ONE / 1000000);
        ARRAY_RESERVE(d->slopes, d->slope_count, d->slope_capacity);
        d->slopes[d->slope_count++] = (struct slope){.group = d->group_of[l->pool], .unit = unit,
            .a = mul_div_ceil(l->ratio, unit, RATIO_ONE), .transfer = l->transfer, .scale = l->scale};
    }
    uint32_t count = d->slope_count - dc.first;
    struct slope *s = count ? d->slopes + dc.first : NULL;
    sort(s, count, sizeof *s, slope_compare, NULL);
    for (uint32_t i = 0; i < count; i++)
        if (dc.count == 0 || s[dc.count - 1].a != s[i].a || s[dc.count - 1].group != s[i].group)
            s[dc.count++] = s[i];
    d->slope_count = dc.first + dc.count;
    ARRAY_RESERVE(d->curves, d->curve_count, d->curve_capacity);
    if (owner == 0)
        d->curve_at[curve] = d->curve_count + 1;
    d->curves[d->curve_count++] = dc;
    d->bid_count += book->bid_count;
}

/* By group, the curves that have a line there. */
static void uses_find(struct dual *d)
{
    d->uses = xcalloc(d->slope_count + 1, sizeof *d->uses);
    uint32_t *last = xcalloc(d->group_count + 1, sizeof *last);
    for (int pass = 0; pass < 2; pass++) {
        memset(last, 0, d->group_count * sizeof *last);
        for (uint32_t i = 0; i < d->curve_count; i++)
            for (uint32_t j = 0; j < d->curves[i].count; j++) {
                uint32_t group = d->slopes[d->curves[i].first + j].group;
                struct dual_group *g = &d->groups[group];
                if (last[group] == i + 1)
                    continue;
                last[group] = i + 1;
                if (pass)
                    d->uses[g->first_use + g->use_count] = i;
                g->use_count++;
            }
        uint32_t first = 0;
        for (uint32_t i = 0; i < d->group_count && pass == 0; i++) {
            d->groups[i].first_use = first;
            first += TAKE(d->groups[i].use_count);
        }
    }
    xfree(last);
}

void dual_init(struct dual *d, struct market *m, struct dual_scope scope)
{
    *d = (struct dual){.m = m, .scope = scope};
    dual_sellers_find(d);
    groups_find(d);
    for (uint32_t i = 0; i < d->group_count; i++) {
        struct dual_group *g = &d->groups[i];
        group_supply_find(d, g);
        const struct pool *p = &m->pools[d->pools[g->first_pool]];
        g->price = CLAMP(p->guide, g->lowest_ask, MARKET_RATE_MAX + 1);
    }
    d->curve_at = xcalloc(m->curve_count, sizeof *d->curve_at);
    dual_books_find(d, m);
    uses_find(d);
}

void dual_fini(struct dual *d)
{
    dual_books_fini(d);
    void *arrays[] = {d->groups, d->group_of, d->pools, d->asks, d->curves, d->curve_at, d->slopes, d->uses};
    for (size_t i = 0; i < ARRAY_COUNT(arrays); i++)
        xfree(arrays[i]);
    *d = (struct dual){0};
}

/* ---- the envelope of a curve ---------------------------------------------------------------------------------- */

/* Lines of one steepness: the cheapest of them, and those nearly as cheap, share what goes there. */
struct bundle {
    int64_t a, b;          /* y = value × a − b */
    uint32_t first, count; /* slopes */
};
#define BUNDLES_MAX 64

/* A stretch of values, highest first, and the bundle that is best on it: [from, the last one's from). */
struct stretch {
    int64_t from;
    uint32_t bundle;
};

struct envelope {
    struct bundle bundles[BUNDLES_MAX];
    uint32_t bundle_count;
    struct stretch stretches[BUNDLES_MAX];
    uint32_t count;
};

static int64_t slope_cost(const struct dual *d, const struct slope *s)
{
    return (s->transfer + d->groups[s->group].price) * s->unit;
}

static void bundles_find(const struct dual *d, const struct dual_curve *c, struct envelope *e)
{
    e->bundle_count = 0;
    for (uint32_t i = c->first; i < c->first + c->count && e->bundle_count < BUNDLES_MAX; i++) {
        const struct slope *s = &d->slopes[i];
        int64_t b = slope_cost(d, s);
        struct bundle *last = e->bundle_count ? &e->bundles[e->bundle_count - 1] : NULL;
        if (last && last->a == s->a) {
            last->b = MIN(last->b, b);
            last->count++;
        } else {
            e->bundles[e->bundle_count++] = (struct bundle){s->a, b, i, 1};
        }
    }
}

/* The least value at or above which the steep line is no worse than the flat one. */
static int64_t crossing(const struct bundle *steep, const struct bundle *flat)
{
    int64_t over = steep->b - flat->b, rise = steep->a - flat->a;
    return over <= 0 ? 0 : (over + rise - 1) / rise;
}

static void envelope_find(const struct dual *d, const struct dual_curve *c, struct envelope *e)
{
    bundles_find(d, c, e);
    e->count = 0;
    uint32_t at = 0;
    while (at < e->bundle_count) {
        const struct bundle *here = &e->bundles[at];
        int64_t from = here->b <= 0 || here->a == 0 ? 0 : here->b / here->a + 1; /* above zero margin */
        uint32_t next = e->bundle_count;
        for (uint32_t i = at + 1; i < e->bundle_count; i++) {
            int64_t here_from = crossing(here, &e->bundles[i]);
            if (here_from > from || (here_from == from && next < e->bundle_count && e->bundles[i].a < e->bundles[next].a)) {
                from = here_from;
                next = i;
            }
        }
        e->stretches[e->count++] = (struct stretch){from, at};
        at = next;
    }
}

/* ---- demand ----------------------------------------------------------------------------------------------------- */

/* Units at or above a value; within a rung, in proportion. */
static int64_t units_from(const struct curve *c, int64_t value)
{
    uint32_t tick = tick_of(value);
    if (c->rung_count == 0 || tick < c->base)
        return c->rung_count ? c->units_above[0] : 0;
    uint32_t i = tick - c->base;
    if (i >= c->rung_count)
        return 0;
    int64_t low = tick_least(tick), high = tick_least(tick + 1);
    int64_t part = c->rungs[i].units;
    if (part && value > low)
        part = (int64_t)((int128)part * (high - value) / (high - low));
    return c->units_above[i + 1] + part;
}

/* `units` of demand for a bundle: to the cheapest line, or shared with those within `slack` of it. */
static void bundle_share(struct dual *d, const struct bundle *b, int64_t units, int64_t slack)
{
    if (units == 0)
        return;
    struct slope *s = &d->slopes[b->first];
    if (b->count == 1) {
        s->quota += units;
        d->groups[s->group].demand += (int64_t)((int128)units * s->scale / 1000000);
        return;
    }
    int64_t weights[BUNDLES_MAX], all = 0;
    uint32_t count = MIN(b->count, BUNDLES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        int64_t over = slope_cost(d, &s[i]) - b->b, left = slack - over;
        weights[i] = left > 0 ? MAX((int64_t)((int128)d->groups[s[i].group].units * left / slack), 1) : over == 0;
        all += weights[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        if (weights[i] == 0)
            continue;
        int64_t here = (int64_t)((int128)units * weights[i] / all);
        s[i].quota += here;
        d->groups[s[i].group].demand += (int64_t)((int128)here * s[i].scale / 1000000);
    }
}

/* How near to the cheapest still shares: of the price, per million. */
static void curve_response(struct dual *d, const struct dual_curve *dc, int64_t softness)
{
    struct envelope e;
    envelope_find(d, dc, &e);
    const struct curve *c = dc->book;
    int64_t above = 0;
    for (uint32_t i = 0; i < e.count; i++) {
        const struct bundle *b = &e.bundles[e.stretches[i].bundle];
        int64_t units = units_from(c, e.stretches[i].from);
        bundle_share(d, b, units - above, MAX(b->b / 1000000 * softness, 1));
        above = units;
    }
}

static void demand_clear(struct dual *d)
{
    for (uint32_t i = 0; i < d->group_count; i++)
        d->groups[i].demand = 0;
}

/* ---- the volume algorithm ------------------------------------------------------------------------------------------ */

/* Supply near a price: an ask enters over the last half percent below it. */
static int64_t supply_near(const struct dual *d, const struct dual_group *g)
{
    int64_t units = 0;
    for (uint32_t i = 0; i < g->step_count; i++) {
        const struct ask_step *s = &d->asks[g->first_step + i];
        int64_t width = s->ask / 256 + 1, over = g->price - s->ask + width;
        if (over > 0)
            units += over >= width ? s->units : (int64_t)((int128)s->units * over / width);
    }
    return units;
}

#define PULL_ONE 1024

/* Prices go up where more is wanted than there is, down where less; the stride shrinks where the
 * direction turns and grows slowly where it stays. */
static void price_step(struct dual *d, struct dual_group *g)
{
    int64_t supply = MAX(supply_near(d, g), 1), excess = g->demand - supply;
    if (g->units <= 0) {
        g->price = MARKET_RATE_MAX + 1;
        return;
    }
    int64_t pull = (int64_t)CLAMP((int128)excess * PULL_ONE * 16 / MAX(g->units, 1), -PULL_ONE, PULL_ONE);
    if ((pull > 0 && g->pull < 0) || (pull < 0 && g->pull > 0))
        g->stride = MAX(g->stride / 2, 1);
    else if (pull > PULL_ONE / 2 || pull < -PULL_ONE / 2)
        g->stride = MIN(g->stride + g->stride / 4, MAX(g->price / 8, 1000));
    g->pull = pull;
    int64_t move = g->stride * pull / PULL_ONE;
    if (move == 0 && pull)
        move = pull > 0 ? 1 : -1;
    g->price = CLAMP(g->price + move, g->lowest_ask, MARKET_RATE_MAX + 1);
}

void dual_solve(struct dual *d, uint32_t rounds)
{
    for (uint32_t i = 0; i < d->group_count; i++) {
        d->groups[i].stride = MAX(d->groups[i].price / 16, 10000);
        d->groups[i].pull = 0;
    }
    for (uint32_t round = 0; round < rounds; round++) {
        if (round == rounds / 2) /* averages are of the second half */
            for (uint32_t i = 0; i < d->slope_count; i++)
                d->slopes[i].quota = 0;
        demand_clear(d);
        for (uint32_t i = 0; i < d->curve_count; i++)
            curve_response(d, &d->curves[i], 4000);
        for (uint32_t i = 0; i < d->group_count; i++)
            price_step(d, &d->groups[i]);
    }
    for (uint32_t i = 0; i < d->slope_count && rounds; i++)
        d->slopes[i].quota /= rounds - rounds / 2;
}

/* ---- exactly ------------------------------------------------------------------------------------------------------- */

int64_t bid_margin(const struct dual *d, const struct bid *b, uint32_t *ret_group, int64_t *ret_units)
{
    const struct class *k = &d->m->classes[b->class];
    const struct form *f = &d->m->forms[k->form];
    market_id owner = d->fates ? d->fates[b->tenant].owner : 0;
    int64_t best = 0;
    *ret_group = UINT32_MAX;
    *ret_units = 0;
    for (uint32_t i = 0; i < f->used_count; i++) {
        const struct line *l = &f->lines[i];
        if (dual_leaves_out(d, l->pool, owner))
            continue;
        int64_t units = l->replica_milli * k->replicas;
        int64_t net = (bid_value(b, l->alternative) - l->transfer - d->groups[d->group_of[l->pool]].price) * units;
        if (net > best) {
            best = net;
            *ret_group = d->group_of[l->pool];
            *ret_units = units;
        }
    }
    return best;
}

/* A rung's list has all of the curve's bids, whichever copy it stands in. */
static bool bid_counts(const struct dual *d, const struct dual_curve *dc, const struct bid *b)
{
    return d->fates == NULL || (!d->fates[b->tenant].out && d->fates[b->tenant].owner == dc->owner);
}

/* Bids of a rung, one by one. */
static void rung_response(struct dual *d, const struct dual_curve *dc, uint32_t index)
{
    for (uint32_t bid = dc->book->rungs[index].first; bid; bid = d->m->bids[bid].rung_next) {
        uint32_t group;
        int64_t units;
        if (bid_counts(d, dc, &d->m->bids[bid]) && bid_margin(d, &d->m->bids[bid], &group, &units) > 0)
            d->groups[group].demand += units;
    }
}

/* The ticks that a border may cut: its own, and a neighbour within the rounding of ratios. */
static void border_ticks(int64_t value, uint32_t *ret_first, uint32_t *ret_last)
{
    int64_t slack = value / 4096 + 1;
    *ret_first = tick_of(MAX(value - slack, 0));
    *ret_last = tick_of(value + slack);
}

/* Clamps a tick to the ladder: its end where it is above. */
static uint32_t rung_index(const struct curve *c, uint32_t tick)
{
    return tick <= c->base ? 0 : MIN(tick - c->base, c->rung_count);
}

void curve_demand(struct dual *d, const struct dual_curve *dc, bool exact)
{
    if (!exact) {
        curve_response(d, dc, 1);
        return;
    }
    struct envelope e;
    envelope_find(d, dc, &e);
    const struct curve *c = dc->book;
    uint32_t end = c->rung_count; /* rungs from here on are done */
    for (uint32_t i = 0; i < e.count && end > 0; i++) {
        uint32_t first, last;
        border_ticks(e.stretches[i].from, &first, &last);
        uint32_t low = rung_index(c, first), high = MIN(rung_index(c, last + 1), end);
        if (high < end)
            bundle_share(d, &e.bundles[e.stretches[i].bundle], c->units_above[high] - c->units_above[end], 1);
        for (uint32_t j = MIN(low, high); j < high; j++)
            rung_response(d, dc, j);
        end = MIN(end, low);
    }
}

static bool group_fits(struct dual *d, struct dual_group *g, int64_t price, bool exact)
{
    g->price = price;
    g->demand = 0;
    int64_t supply = group_supply(d, g, price);
    for (uint32_t i = 0; i < g->use_count && g->demand <= supply; i++)
        curve_demand(d, &d->curves[d->uses[g->first_use + i]], exact);
    return g->demand <= supply;
}

/* The least price at which the demand fits, found from where it stands. */
void dual_settle_group(struct dual *d, struct dual_group *g)
{
    bool exact = d->bid_count <= EXACT_BIDS;
    int64_t grain = exact ? 0 : g->price / 2048, low = g->lowest_ask - 1, high = g->price, step = g->price / 512 + 1;
    if (group_fits(d, g, high, exact)) {
        for (; high > g->lowest_ask; step *= 4) {
            int64_t below = MAX(high - step, g->lowest_ask);
            if (!group_fits(d, g, below, exact)) {
                low = below;
                break;
            }
            high = below;
        }
    } else {
        do {
            low = high;
            high = MIN(high + step, MARKET_RATE_MAX + 1);
            step *= 4;
        } while (high <= MARKET_RATE_MAX && !group_fits(d, g, high, exact));
    }
    while (high > g->lowest_ask && high - low > 1 + grain) {
        int64_t middle = low + (high - low) / 2;
        if (group_fits(d, g, middle, exact))
            high = middle;
        else
            low = middle;
    }
    g->price = high;
}

void dual_settle(struct dual *d)
{
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < d->group_count; i++)
            if (d->groups[i].use_count || round == 0)
                dual_settle_group(d, &d->groups[i]);
}

static int128 rung_bound(struct dual *d, const struct dual_curve *dc, uint32_t index)
{
    int128 sum = 0;
    uint32_t group;
    int64_t units;
    for (uint32_t bid = dc->book->rungs[index].first; bid; bid = d->m->bids[bid].rung_next)
        if (bid_counts(d, dc, &d->m->bids[bid]))
            sum += bid_margin(d, &d->m->bids[bid], &group, &units);
    return sum;
}

/* Whole rungs by their sums, cut ones bid by bid; ratios are rounded up, so this is never too small. */
static int128 curve_bound(struct dual *d, const struct dual_curve *dc)
{
    struct envelope e;
    envelope_find(d, dc, &e);
    const struct curve *c = dc->book;
    int128 sum = 0;
    uint32_t end = c->rung_count;
    for (uint32_t i = 0; i < e.count && end > 0; i++) {
        const struct bundle *b = &e.bundles[e.stretches[i].bundle];
        uint32_t first, last;
        border_ticks(e.stretches[i].from, &first, &last);
        uint32_t low = rung_index(c, first), high = MIN(rung_index(c, last + 1), end);
        if (high < end) {
            int128 value = (c->value_above[high] - c->value_above[end]) * b->a;
            value -= (int128)(c->units_above[high] - c->units_above[end]) * b->b;
            sum += (value + SLOPE_ONE - 1) / SLOPE_ONE;
        }
        for (uint32_t j = MIN(low, high); j < high; j++)
            sum += rung_bound(d, dc, j);
        end = MIN(end, low);
    }
    return sum;
}

static int128 group_supply_bound(const struct dual *d, const struct dual_group *g)
{
    int128 sum = 0;
    for (uint32_t i = 0; i < g->step_count; i++) {
        const struct ask_step *s = &d->asks[g->first_step + i];
        sum += (int128)s->units * MAX(g->price - s->ask, 0);
    }
    return sum;
}

int128 dual_supply_bound(const struct dual *d)
{
    int128 sum = 0;
    for (uint32_t i = 0; i < d->group_count; i++)
        sum += group_supply_bound(d, &d->groups[i]);
    return sum;
}

int128 dual_bound_group(struct dual *d, const struct dual_group *g)
{
    int128 sum = group_supply_bound(d, g);
    for (uint32_t i = 0; i < g->use_count; i++)
        sum += curve_bound(d, &d->curves[d->uses[g->first_use + i]]);
    return sum;
}

bool dual_is_joined(const struct dual *d)
{
    for (uint32_t i = 0; i < d->curve_count; i++)
        if (d->curves[i].count > 1)
            return true;
    return false;
}

int128 dual_bound(struct dual *d)
{
    int128 sum = dual_supply_bound(d);
    for (uint32_t i = 0; i < d->curve_count; i++)
        sum += curve_bound(d, &d->curves[i]);
    return sum;
}
