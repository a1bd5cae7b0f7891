/* SPDX-License-Identifier: Apache-2.0 */
/* At a tick: sellers are paid from the pools' clearing accounts, early ends of terms go on owing,
 * credits come in, and who cannot pay on gets its notice (MARKET.md section 8). */
#include "market/calendar.h"
#include "market/headroom.h"

/* ---- sellers ------------------------------------------------------------------------------------------------ */

#define SELLERS_DIFFER UINT32_MAX

static uint32_t node_seller(struct market *m, struct node *n, enum market_currency currency)
{
    if (n->sellers[currency] == 0)
        n->sellers[currency] = 1 + pool_seller(&m->pools[n->pool], n->spec.seller, currency);
    return n->sellers[currency];
}

/* 1 + the place in its pool's sellers of the one whose nodes it has, all at one ask. A node whose replica is gone
 * may have another seller by now. */
static uint32_t lease_seller(struct market *m, const struct lease *l)
{
    uint32_t first = 0;
    int64_t units = 0;
    bool same = true;
    for (uint32_t i = 0; i < l->placement_count; i++) {
        uint32_t seller = node_seller(m, &m->nodes[l->nodes[i]], l->currency);
        first = i ? first : seller;
        same = same && seller == first && l->asks[i] == l->asks[0] && !l->gone[i];
        units += l->placements[i].units_milli;
    }
    return same && first && units == l->units_milli ? first : SELLERS_DIFFER;
}

static void seller_use(const struct lease *l, struct seller *s, int128 used, udollar lease_ask, udollar post)
{
    udollar ask = l->currency == CURRENCY_MONEY ? lease_ask : mul_div_floor(lease_ask, l->exchange, 1000);
    s->used += used;
    s->ask_sum += used * ask;
    s->rent_weight += used * MAX(post - lease_ask, 0);
}

void sellers_use(struct market *m, struct lease *l, time_ms span)
{
    udollar post = m->pools[l->pool].post;
    if (l->seller == 0) {
        l->seller = lease_seller(m, l);
        l->seller_ask = l->asks[0];
    }
    if (l->seller != SELLERS_DIFFER) {
        seller_use(l, &m->pools[l->pool].sellers[l->seller - 1], (int128)l->units_milli * span, l->seller_ask, post);
        return;
    }
    for (uint32_t i = 0; i < l->placement_count; i++) {
        struct node *n = &m->nodes[l->nodes[i]];
        uint32_t seller = node_seller(m, n, l->currency);
        seller_use(l, &m->pools[n->pool].sellers[seller - 1], (int128)l->placements[i].units_milli * span, l->asks[i], post);
    }
}

void seller_hold(struct market *m, uint32_t node, int128 asks)
{
    struct node *n = &m->nodes[node];
    uint32_t seller = node_seller(m, n, CURRENCY_MONEY);
    m->pools[n->pool].sellers[seller - 1].ask_sum += asks;
}

/* Each gets its asks first. */
static udollar pay_asks(struct market *m, uint32_t pool, enum market_currency currency, udollar left)
{
    struct pool *p = &m->pools[pool];
    struct market_account from = {ACCOUNT_POOL, p->id, currency};
    for (uint32_t i = 0; i < p->seller_count; i++) {
        struct seller *s = &p->sellers[i];
        if (s->currency != currency)
            continue;
        udollar due = CLAMP(narrow_checked(s->ask_sum / RATE_SCALE) - s->ask_paid, 0, left);
        ledger_move(m, from, (struct market_account){ACCOUNT_SELLER, s->id, currency}, due, pool);
        s->ask_paid += due;
        left -= due;
    }
    return left;
}

static udollar share_of(udollar rent, int128 part, int128 whole)
{
    while (whole >> 60) { /* the product stays within 128 bits */
        whole >>= 1;
        part >>= 1;
    }
    return whole ? narrow_checked((int128)rent * part / whole) : 0;
}

/* The rest, less the fee, in proportion to what the post left each above its ask. */
static void pay_rent(struct market *m, uint32_t pool, enum market_currency currency, udollar gross)
{
    struct pool *p = &m->pools[pool];
    struct market_account from = {ACCOUNT_POOL, p->id, currency};
    udollar fee = mul_div_floor(gross, m->settings[SETTING_FEE_PERMILLE], 1000);
    ledger_move(m, from, (struct market_account){ACCOUNT_FEE, 0, currency}, fee, pool);
    int128 weights = 0, used = 0;
    for (uint32_t i = 0; i < p->seller_count; i++) {
        const struct seller *s = &p->sellers[i];
        weights += s->currency == currency ? MAX(s->rent_weight, 0) : 0;
        used += s->currency == currency ? MAX(s->used, 0) : 0;
    }
    for (uint32_t i = 0; i < p->seller_count; i++) {
        struct seller *s = &p->sellers[i];
        if (s->currency != currency)
            continue;
        int128 part = weights ? MAX(s->rent_weight, 0) : MAX(s->used, 0);
        udollar share = share_of(gross - fee, part, weights ? weights : used);
        ledger_move(m, from, (struct market_account){ACCOUNT_SELLER, s->id, currency}, share, pool);
        s->rent_weight = s->used = 0;
    }
}

void settle_sellers(struct market *m)
{
    for (uint32_t i = 1; i < m->pool_count; i++)
        for (int c = CURRENCY_MONEY; c <= CURRENCY_CREDITS; c++) {
            struct market_account name = {ACCOUNT_POOL, m->pools[i].id, (enum market_currency)c};
            udollar balance = account_get(m, name)->balance;
            if (balance <= 0)
                continue;
            /* what the asks are about to be due stays: rates are booked rounded down */
            udollar left = pay_asks(m, i, (enum market_currency)c, balance);
            pay_rent(m, i, (enum market_currency)c, left);
        }
}

/* ---- firm terms that ended early ------------------------------------------------------------------------------ */

void term_owe(struct market *m, const struct lease *l)
{
    const struct bid *b = &m->bids[l->bid];
    if (!l->firm || l->locked_scarcity <= 0 || l->term_until <= m->now)
        return;
    struct purse *p = &m->tenants[b->tenant].purses[l->currency];
    int128 most = (int128)l->locked_scarcity * (l->term_until - m->now) / RATE_SCALE + 1;
    udollar held = p->limited ? narrow_checked(MIN(most, (int128)l->escrow)) : 0;
    p->held += held;
    ARRAY_RESERVE(m->terms, m->term_count, m->term_capacity);
    m->terms[m->term_count++] = (struct term){.bid = b->id, .attempt = b->attempt, .tenant = b->tenant, .pool = l->pool,
        .units_milli = l->units_milli, .locked_scarcity = l->locked_scarcity, .from = m->now, .until = l->term_until,
        .held = held, .exchange = l->exchange, .currency = l->currency};
}

void slot_owe(struct market *m, const struct slot_owed *s)
{
    const struct bid *b = &m->bids[s->bid];
    if (s->locked_scarcity <= 0 || s->until <= s->from)
        return;
    struct purse *p = &m->tenants[b->tenant].purses[CURRENCY_MONEY];
    int128 most = (int128)s->locked_scarcity * (s->until - s->from) / RATE_SCALE + 1;
    int128 here = (int128)p->budget - p->spent - p->held - p->pledged;
    udollar held = p->limited ? narrow_checked(CLAMP(here, (int128)0, most)) : 0;
    p->held += held;
    ARRAY_RESERVE(m->terms, m->term_count, m->term_capacity);
    m->terms[m->term_count++] = (struct term){.bid = b->id, .attempt = b->attempt, .tenant = b->tenant, .pool = s->pool,
        .units_milli = s->units_milli, .locked_scarcity = s->locked_scarcity, .from = s->from, .until = s->until, .held = held, .exchange = 1000};
}

static void term_charge(struct market *m, struct term *t)
{
    const struct pool *p = &m->pools[t->pool];
    time_ms to = MIN(m->now, t->until);
    if (to <= t->from) /* a slot that has not come */
        return;
    int64_t posted = mul_checked(p->post - p->marginal, t->units_milli);
    int64_t rate = MAX(t->locked_scarcity - posted, 0);
    t->sum += (int128)rate * (to - t->from);
    udollar whole = narrow_checked(t->currency == CURRENCY_MONEY ? t->sum / RATE_SCALE : t->sum / 1000 * t->exchange / RATE_SCALE);
    udollar due = whole - t->booked;
    struct purse *purse = &m->tenants[t->tenant].purses[t->currency];
    if (purse->limited)
        due = MIN(due, t->held);
    t->booked = whole;
    if (due > 0) {
        purse->spent += due;
        udollar back = MIN(due, t->held);
        t->held -= back;
        purse->held -= back;
        struct market_event *e = event_add(m, EVENT_CHARGED, 0);
        e->bid = t->bid;
        e->attempt = t->attempt;
        e->charged.kind = CHARGE_TERM;
        e->charged.tenant = m->tenants[t->tenant].id;
        e->charged.pool = p->id;
        e->charged.from = t->from;
        e->charged.to = to;
        e->charged.units_milli = t->units_milli;
        e->charged.rate = rate / 1000;
        e->charged.amount = due;
        ledger_move(m, (struct market_account){ACCOUNT_TENANT, m->tenants[t->tenant].id, t->currency},
                    (struct market_account){ACCOUNT_POOL, p->id, t->currency}, due, t->pool);
    }
    t->from = to;
}

void settle_terms(struct market *m)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->term_count; i++) {
        struct term *t = &m->terms[i];
        term_charge(m, t);
        if (t->until > m->now)
            m->terms[kept++] = *t;
        else
            m->tenants[t->tenant].purses[t->currency].held -= t->held;
    }
    m->term_count = kept;
}

/* ---- credits ------------------------------------------------------------------------------------------------------ */

static void credits_refill(struct market *m, uint32_t tenant)
{
    struct tenant *t = &m->tenants[tenant];
    struct purse *p = &t->purses[CURRENCY_CREDITS];
    time_ms span = t->refilled_to ? m->now - t->refilled_to : 0;
    t->refilled_to = m->now;
    t->refill_sum += (int128)t->refill * span;
    udollar room = MAX(t->most - (p->budget - p->spent), 0), come = narrow_checked(t->refill_sum / HOUR_MS);
    t->refill_sum -= (int128)come * HOUR_MS;
    come = MIN(come, room);
    p->budget += come;
    ledger_move(m, (struct market_account){ACCOUNT_ISSUE, 0, CURRENCY_CREDITS},
                (struct market_account){ACCOUNT_TENANT, t->id, CURRENCY_CREDITS}, come, 0);
}

void settle_credits(struct market *m)
{
    for (uint32_t i = 1; i < m->tenant_count; i++)
        if (m->tenants[i].refill || m->tenants[i].most)
            credits_refill(m, i);
}

/* ---- budgets -------------------------------------------------------------------------------------------------------- */

/* What it may cost until it is gone: once it was told, or if it is told at the next tick. */
static udollar lease_run_out(const struct market *m, const struct lease *l)
{
    time_ms span = m->settings[SETTING_TICK_MS] + m->bids[l->bid].notice + m->settings[SETTING_KILL_MS];
    if (l->state == LEASE_NONE)
        return 0;
    if (l->state == LEASE_VACATING)
        span = MAX(l->vacate_by - m->now, 0);
    int128 rate = (int128)l->limit_rate + l->transfer_rate;
    if (l->currency == CURRENCY_CREDITS)
        rate = rate * l->exchange / 1000;
    return narrow_checked((rate * span + RATE_SCALE - 1) / RATE_SCALE);
}

int128 tenant_run_out(const struct market *m, uint32_t tenant)
{
    int128 sum = 0;
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        if (l->state != LEASE_NONE && l->currency == CURRENCY_MONEY && m->bids[l->bid].tenant == tenant)
            sum += MAX(lease_run_out(m, l) - MAX(l->escrow, 0), 0);
    }
    return sum;
}

/* It must be told by the next tick if it is to be gone when its term is over. */
static bool term_ends_soon(const struct market *m, const struct lease *l)
{
    time_ms span = m->settings[SETTING_TICK_MS] + m->bids[l->bid].notice + m->settings[SETTING_KILL_MS];
    return l->state == LEASE_RUNNING && l->term_until - m->now <= span;
}

static uint32_t least_valuable(const struct market *m, uint32_t tenant, enum market_currency currency)
{
    uint32_t least = 0;
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        if ((l->state != LEASE_ASSIGNED && l->state != LEASE_RUNNING) || (l->firm && !term_ends_soon(m, l)) ||
            m->bids[l->bid].tenant != tenant || l->currency != currency || bid_is_promised(m, &m->bids[l->bid]))
            continue;
        if (least == 0 || bid_compare(&m->bids[l->bid], &m->bids[m->leases[least].bid]) > 0)
            least = i;
    }
    return least;
}

static void purse_watch(struct market *m, uint32_t tenant, enum market_currency currency, int128 needed)
{
    const struct purse *p = &m->tenants[tenant].purses[currency];
    while (needed > (int128)p->budget - p->spent - p->pledged) {
        uint32_t least = least_valuable(m, tenant, currency);
        if (least == 0)
            return;
        needed -= lease_run_out(m, &m->leases[least]);
        lease_preempt(m, least, RELEASE_BUDGET, NULL);
        needed += lease_run_out(m, &m->leases[least]); /* its notice costs, too */
    }
}

void settle_budgets(struct market *m)
{
    int128 *needed = xcalloc((size_t)m->tenant_count * 2, sizeof *needed);
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        if (l->state == LEASE_NONE || !m->tenants[m->bids[l->bid].tenant].purses[l->currency].limited)
            continue;
        int128 here = l->firm || bid_is_promised(m, &m->bids[l->bid]) ? MAX(l->escrow, 0) : lease_run_out(m, l);
        if (l->firm && term_ends_soon(m, l))
            here = MAX(here, lease_run_out(m, l));
        needed[m->bids[l->bid].tenant * 2 + (uint32_t)l->currency] += here;
    }
    for (uint32_t i = 1; i < m->calendar->promise_count; i++)
        if (m->calendar->promises[i].bid)
            needed[m->bids[m->calendar->promises[i].bid].tenant * 2] += m->calendar->promises[i].escrow;
    for (uint32_t i = 1; i < m->headroom->subscription_count; i++)
        needed[m->headroom->subscriptions[i].tenant * 2] += m->headroom->subscriptions[i].escrow;
    for (uint32_t i = 1; i < m->tenant_count; i++)
        for (int c = CURRENCY_MONEY; c <= CURRENCY_CREDITS; c++)
            if (m->tenants[i].purses[c].limited && needed[i * 2 + (uint32_t)c])
                purse_watch(m, i, (enum market_currency)c, needed[i * 2 + (uint32_t)c]);
    xfree(needed);
}
