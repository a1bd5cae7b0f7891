/* SPDX-License-Identifier: Apache-2.0 */
/* The forward curve of a pool: what a unit-hour costs in each slot of the week to come. It is the
 * highest of
 *
 *     the ask of the next unit once what is sold for that slot is taken, cheapest first, doubled
 *         four times over between half sold and sold out: a thin book is not bought up cheaply
 *     the guide, for slots that begin within H (present demand does not end at once) and for hours
 *         of the week that were never seen
 *     the mean guide of that hour of the week over the last four weeks
 *
 * and is refreshed at a tick every five minutes, so that a batch meets one menu. */
#include "base/sort.h"
#include "market/calendar.h"
#include "market/headroom.h"

#define QUARTER_MS (HOUR_MS / 4)
#define REFRESH_MS (5 * 60000)
#define WEEKS_KEPT 4
#define THIN_FROM 500      /* permille of the units: from here on the ask rises … */
#define THIN_DOUBLINGS 4   /* … so many times by the last one */

static time_ms slot_start(const struct forward *f, uint32_t slot)
{
    if (slot < FORWARD_QUARTERS)
        return f->base + (time_ms)slot * QUARTER_MS;
    return f->base + 24 * HOUR_MS + (time_ms)(slot - FORWARD_QUARTERS) * HOUR_MS;
}

static uint32_t slot_at(const struct forward *f, time_ms at)
{
    time_ms after = MAX(at - f->base, 0);
    if (after < 24 * HOUR_MS)
        return (uint32_t)(after / QUARTER_MS);
    return (uint32_t)MIN(FORWARD_QUARTERS + (after - 24 * HOUR_MS) / HOUR_MS, (time_ms)FORWARD_SLOTS - 1);
}

static void sold_add(struct forward *f, time_ms from, time_ms to, int64_t units)
{
    if (to <= f->base || from >= slot_start(f, FORWARD_SLOTS))
        return;
    for (uint32_t i = slot_at(f, from); i < FORWARD_SLOTS && slot_start(f, i) < to; i++)
        f->sold[i] += units;
}

/* ---- refreshing ------------------------------------------------------------------------------------------ */

struct step {
    udollar ask;
    int64_t units;
};

static int step_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    return COMPARE(((const struct step *)x)->ask, ((const struct step *)y)->ask);
}

static uint32_t steps_find(const struct market *m, const struct pool *p, struct step *steps)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->node_count; i++) {
        const struct node *n = &m->nodes[p->nodes[i]];
        if (node_usable(n))
            steps[count++] = (struct step){n->spec.ask, node_units(n)};
    }
    sort(steps, count, sizeof *steps, step_compare, NULL);
    return count;
}

static int64_t thin_ask(int64_t ask, int64_t sold, int64_t units)
{
    int64_t permille = units ? MIN(mul_div_floor(sold, 1000, units), 1000) : 0;
    int64_t doublings = MAX(permille - THIN_FROM, 0) * THIN_DOUBLINGS * 1000 / (1000 - THIN_FROM);
    return mul_div_ceil(ask << doublings / 1000, 1000 + doublings % 1000, 1000);
}

static void curve_price(const struct market *m, uint32_t pool, struct forward *f)
{
    const struct pool *p = &m->pools[pool];
    struct step *steps = xcalloc(p->node_count + 1, sizeof *steps);
    uint32_t count = steps_find(m, p, steps);
    for (uint32_t i = 0; i < FORWARD_SLOTS; i++) {
        time_ms from = slot_start(f, i);
        int64_t left = f->sold[i], ask = count ? steps[0].ask : p->lowest_ask;
        for (uint32_t j = 0; j < count && left >= 0; left -= steps[j++].units)
            ask = steps[j].ask;
        int64_t price = thin_ask(ask, f->sold[i], p->units_milli);
        uint32_t hour = (uint32_t)(from / HOUR_MS % FORWARD_HOURS);
        if (from < m->now + m->settings[SETTING_HORIZON_MS] || f->weeks[hour] == 0)
            price = MAX(price, p->guide);
        price = MAX(price, f->hours[hour]);
        f->price[i] = MIN(price, MARKET_RATE_MAX);
    }
    xfree(steps);
}

/* The mean guide of the hour that has ended counts for its hour of the week. */
static void history_add(struct forward *f, time_ms now, time_ms since, int64_t guide)
{
    int64_t hour = now / HOUR_MS;
    if (f->hour && hour != f->hour && f->hour_span) {
        uint32_t at = (uint32_t)(f->hour % FORWARD_HOURS);
        int64_t mean = narrow_checked(f->hour_sum / f->hour_span);
        f->weeks[at] = MIN(f->weeks[at] + 1, WEEKS_KEPT);
        f->hours[at] += (mean - f->hours[at]) / (int64_t)f->weeks[at];
        f->hour_sum = f->hour_span = 0;
    }
    f->hour = hour;
    if (since == 0 || since >= now)
        return;
    f->hour_sum += (int128)guide * (now - since);
    f->hour_span += now - since;
}

static void curves_sell(struct market *m)
{
    struct calendar *k = m->calendar;
    for (uint32_t i = 1; i < k->claim_count; i++) {
        const struct claim *c = &k->claims[i];
        if (c->kind && c->kind != CLAIM_STARVING)
            sold_add(&k->pools[c->pool], c->from, c->to, mul_checked(c->replica_milli, c->count));
    }
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        if (l->firm && !l->claim && (l->state == LEASE_ASSIGNED || l->state == LEASE_RUNNING))
            sold_add(&k->pools[l->pool], m->now, l->term_until, l->units_milli);
    }
}

void forward_tick(struct market *m, time_ms since)
{
    struct calendar *k = m->calendar;
    if (k->pool_count < m->pool_count) {
        k->pools = xrealloc(k->pools, m->pool_count, sizeof *k->pools);
        memset(k->pools + k->pool_count, 0, (m->pool_count - k->pool_count) * sizeof *k->pools);
        for (; k->pool_count < m->pool_count; k->pool_count++)
            k->refreshed = 0;
    }
    for (uint32_t i = 1; i < m->pool_count; i++)
        history_add(&k->pools[i], m->now, since, m->pools[i].guide);
    if (k->refreshed && m->now < k->refreshed + REFRESH_MS && k->changed == k->refreshed_at)
        return;
    k->refreshed = m->now;
    k->refreshed_at = k->changed;
    for (uint32_t i = 1; i < m->pool_count; i++) {
        k->pools[i].base = m->now / QUARTER_MS * QUARTER_MS;
        memset(k->pools[i].sold, 0, sizeof k->pools[i].sold);
    }
    curves_sell(m);
    for (uint32_t i = 1; i < m->pool_count; i++)
        curve_price(m, i, &k->pools[i]);
}

/* ---- asking ------------------------------------------------------------------------------------------------ */

int64_t forward_price(const struct market *m, uint32_t pool, time_ms from, time_ms to)
{
    const struct pool *p = &m->pools[pool];
    if (m->calendar->refreshed == 0 || pool >= m->calendar->pool_count)
        return p->post;
    const struct forward *f = &m->calendar->pools[pool];
    int128 sum = 0;
    uint32_t running = slot_at(f, m->now);
    for (time_ms at = from; at < to;) {
        uint32_t slot = slot_at(f, at);
        time_ms end = slot + 1 < FORWARD_SLOTS ? MIN(slot_start(f, slot + 1), to) : to;
        int64_t price = slot <= running ? MAX(f->price[slot], p->post) : f->price[slot];
        sum += (int128)MAX(price, p->lowest_ask) * (end - at);
        at = end;
    }
    return to > from ? narrow_checked((sum + (to - from) - 1) / (to - from)) : p->post;
}

/* What a unit costs from the start of the curve until then, by slot: prices × ms. */
struct cost {
    const struct forward *f;
    int64_t price[FORWARD_SLOTS];
    int128 until[FORWARD_SLOTS]; /* its start */
};

static void cost_sum(const struct market *m, uint32_t pool, struct cost *ret)
{
    const struct pool *p = &m->pools[pool];
    ret->f = &m->calendar->pools[pool];
    uint32_t running = slot_at(ret->f, m->now);
    int128 sum = 0;
    for (uint32_t i = 0; i < FORWARD_SLOTS; i++) {
        int64_t price = i <= running ? MAX(ret->f->price[i], p->post) : ret->f->price[i];
        ret->price[i] = MAX(price, p->lowest_ask);
        ret->until[i] = sum;
        sum += (int128)ret->price[i] * (slot_start(ret->f, i + 1) - slot_start(ret->f, i));
    }
}

static int128 cost_until(const struct cost *c, time_ms at)
{
    uint32_t slot = slot_at(c->f, at);
    return c->until[slot] + (int128)c->price[slot] * (at - slot_start(c->f, slot));
}

static int64_t cost_mean(const struct cost *c, time_ms from, time_ms span)
{
    return narrow_checked((cost_until(c, from + span) - cost_until(c, from) + span - 1) / span);
}

/* The cost is linear between the moments at which one end of the span meets the start of a slot. */
int64_t forward_least(const struct market *m, uint32_t pool, const struct window *starts, time_ms span)
{
    if (m->calendar->refreshed == 0 || pool >= m->calendar->pool_count)
        return MAX(m->pools[pool].post, m->pools[pool].lowest_ask);
    struct cost c;
    cost_sum(m, pool, &c);
    int64_t least = MIN(cost_mean(&c, starts->from, span), cost_mean(&c, starts->to, span));
    for (uint32_t i = 0; i < FORWARD_SLOTS; i++) {
        time_ms at[] = {slot_start(c.f, i), slot_start(c.f, i) - span};
        for (size_t j = 0; j < ARRAY_COUNT(at); j++)
            if (at[j] > starts->from && at[j] < starts->to)
                least = MIN(least, cost_mean(&c, at[j], span));
    }
    return least;
}

int64_t candidate_price(const struct market *m, const struct candidate *c, const struct line *line)
{
    if (c->term)
        return forward_price(m, line->pool, m->now, m->now + c->term);
    udollar post = tenant_post(m, c->tenant_slot, line->pool);
    return m->headroom->price_pools ? post - headroom_credit(m, c, line->pool) : post; /* asked for each line of each bid */
}

bool candidate_affords(const struct market *m, const struct candidate *c)
{
    for (uint32_t i = 0; i < c->form->used_count && c->term; i++) {
        const struct line *line = &c->form->lines[i];
        if (candidate_net(c, line) >= candidate_price(m, c, line) && candidate_fits(m, c, line))
            return true;
    }
    return c->term == 0;
}

size_t market_forward(const struct market *m, market_id pool, struct market_forward_slot *ret, size_t most)
{
    size_t count = 0;
    if (pool == 0 || pool >= m->calendar->pool_count || m->calendar->refreshed == 0)
        return 0;
    const struct forward *f = &m->calendar->pools[pool];
    for (uint32_t i = slot_at(f, m->now); i < FORWARD_SLOTS && count < most; i++) {
        time_ms from = slot_start(f, i), to = slot_start(f, i + 1);
        ret[count++] = (struct market_forward_slot){from, to, forward_price(m, (uint32_t)pool, from, to), f->sold[i]};
    }
    return count;
}
