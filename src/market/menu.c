/* SPDX-License-Identifier: Apache-2.0 */
/* The menu: a price per pool, posted at each tick (MARKET.md section 7). Pools that share a dual post
 * the same price. Any prices give a bound on what could be had; the tick reports it. */
#include "market/dual.h"


int64_t menu_best(const struct market *m, const struct candidate *c, const struct line **ret_at)
{
    int64_t best = 0;
    *ret_at = NULL;
    for (uint32_t i = 0; i < c->form->line_count; i++) {
        const struct line *line = &c->form->lines[i];
        int64_t price = candidate_price(m, c, line);
        int64_t unit = candidate_net(c, line) - price;
        if (unit < 0)
            continue;
        int64_t net = unit * candidate_units(c, line);
        if ((net > best || (net == best && *ret_at == NULL)) && candidate_fits(m, c, line)) {
            best = net;
            *ret_at = line;
        }
    }
    return best;
}

int64_t menu_best_common(const struct market *m, const struct candidate *c, const struct line **ret_at)
{
    struct candidate common = *c;
    common.tenant_slot = 0;
    return menu_best(m, &common, ret_at);
}

/* Rounded down to three significant digits. */
int64_t menu_round(int64_t scarcity)
{
    int64_t unit = 1;
    while (scarcity / unit >= 1000)
        unit *= 10;
    return scarcity / unit * unit;
}

/* The largest ask that serving the demand uses, cheapest first; the lowest where nothing is wanted. */
static udollar marginal_ask(const struct dual *d, const struct dual_group *g)
{
    udollar marginal = g->lowest_ask;
    int128 wanted = (int128)g->demand + g->firm;
    for (uint32_t i = 0; i < g->step_count && wanted > 0; i++) {
        const struct ask_step *s = &d->asks[g->first_step + i];
        if (s->ask > g->price)
            break;
        marginal = s->ask;
        wanted -= s->all;
    }
    return marginal;
}

/* The scarcity that may be posted after `dt` (section 7): a ramp up, free to fall. Before the first
 * post there is nothing to ramp from. */
static int64_t scarcity_ramp(const struct market *m, const struct pool *p, time_ms dt)
{
    if (dt == TIME_NEVER)
        return MARKET_RATE_MAX;
    int64_t tick = MAX(m->settings[SETTING_TICK_MS], 1), span = CLAMP(dt, 0, tick);
    int64_t base = p->lowest_ask ? p->lowest_ask : 10000;
    int64_t grown = p->scarcity + mul_div_floor(p->scarcity, m->settings[SETTING_RAMP_PERMILLE] * span, 60000 * 1000);
    return grown + mul_div_floor(MAX(base / 100, 1), span, tick);
}

static void group_post(struct market *m, const struct dual *d, const struct dual_group *g, time_ms dt)
{
    udollar marginal = MIN(marginal_ask(d, g), g->price), noted = 0;
    int64_t target = g->price - marginal, scarcity = target;
    for (uint32_t i = 0; i < g->pool_count; i++) {
        const struct pool *p = &m->pools[d->pools[g->first_pool + i]];
        scarcity = MIN(scarcity, scarcity_ramp(m, p, dt));
        noted = MAX(noted, p->noted);
    }
    if (noted)
        scarcity = MAX(scarcity, MIN(noted - marginal, target));
    scarcity = MAX(scarcity, 0);
    /* a noted price admits only when it is posted whole */
    int64_t rounded = menu_round(scarcity);
    int64_t posted = noted && marginal + rounded < noted ? scarcity : rounded;
    for (uint32_t i = 0; i < g->pool_count; i++) {
        struct pool *p = &m->pools[d->pools[g->first_pool + i]];
        p->guide = g->price;
        p->marginal = marginal;
        p->scarcity = scarcity;
        p->post = marginal + posted;
        p->noted = 0;
        p->group = (uint32_t)(g - d->groups);
    }
}

/* Waiting units of a curve on this line at or above the post. */
static int64_t line_wants(const struct curve *c, const struct curve_line *l, udollar post)
{
    int64_t value = mul_div_ceil(post + l->transfer, RATIO_ONE, MAX(l->ratio, 1));
    uint32_t tick = tick_of(MIN(value, MARKET_RATE_MAX * RATIO_ONE));
    uint32_t index = tick <= c->base ? 0 : tick - c->base;
    return index < c->rung_count ? mul_div_floor(c->waiting_above[index], l->scale, 1000000) : 0;
}

static void pool_wants(struct market *m, struct pool *p)
{
    int128 wanted = 0;
    p->waiting = 0;
    for (uint32_t i = 0; i < p->use_count; i++) {
        const struct curve *c = &m->curves[p->uses[i].curve];
        if (c->waiting == 0 || (i && p->uses[i - 1].curve == p->uses[i].curve))
            continue;
        p->waiting += c->waiting;
        wanted += line_wants(c, &c->lines[p->uses[i].line], p->post);
    }
    p->wanted_milli = narrow_checked(wanted);
}

static void pool_tell(struct market *m, uint32_t pool)
{
    struct pool *p = &m->pools[pool];
    pool_wants(m, p);
    struct market_event *e = event_add(m, EVENT_PRICE_POSTED, 0);
    e->posted.pool = p->id;
    e->posted.marginal = p->marginal;
    e->posted.scarcity = p->post - p->marginal;
    e->posted.guide = p->guide;
    e->posted.lowest_ask = p->lowest_ask;
    e->posted.units_milli = p->units_milli;
    e->posted.free_milli = p->free_milli;
    e->posted.wanted_milli = p->wanted_milli;
    e->posted.running = p->running;
    e->posted.waiting = p->waiting;
}

static void guide_find(struct market *m, struct dual *d, uint32_t rounds)
{
    dual_init(d, m, (struct dual_scope){.affiliates = true});
    /* a small book can afford more */
    uint32_t afford = (uint32_t)CLAMP(40000 / (d->slope_count + 1), rounds, COLD_ROUNDS);
    if (dual_is_joined(d))
        dual_solve(d, afford);
    dual_settle(d);
    for (uint32_t i = 0; i < d->group_count; i++)
        d->groups[i].demand = 0;
    for (uint32_t i = 0; i < d->curve_count; i++)
        curve_demand(d, &d->curves[i], d->bid_count <= EXACT_BIDS);
}

void menu_post(struct market *m, time_ms since)
{
    struct dual *d = xcalloc(1, sizeof *d);
    guide_find(m, d, m->cold ? COLD_ROUNDS : WARM_ROUNDS);
    for (uint32_t i = 0; i < d->group_count; i++)
        group_post(m, d, &d->groups[i], since ? m->now - since : TIME_NEVER);
    for (uint32_t i = 1; i < m->pool_count; i++)
        pool_tell(m, i);
    large_post(m);
    m->dual = d;
}

/* D at the guides over what price decides, and what runs of it. */
void menu_gap(struct market *m)
{
    struct dual d;
    dual_init(&d, m, (struct dual_scope){0});
    int128 bound = dual_bound(&d);
    dual_fini(&d);
    m->surplus = narrow_checked(m->surplus_sum / 1000);
    m->bound = MAX(narrow_checked((bound + 999) / 1000), m->surplus);
    struct market_event *e = event_add(m, EVENT_GAP, 0);
    e->gap.surplus = m->surplus;
    e->gap.bound = m->bound;
    e->gap.friction_bound = m->bound;
}
