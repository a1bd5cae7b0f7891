/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions to tiers: what they say, what they pay, and their bytes. */
#include "market/headroom.h"

#define RATIO_BITS 20

bool subscription_matches(const struct subscription *s, const struct pool *p)
{
    return choice_matches(&s->choice, p);
}

/* ---- the command -------------------------------------------------------------------------------------------- */

static bool choices_equal(const struct market_choice *a, const struct market_choice *b)
{
    return a->sku == b->sku && a->accelerator == b->accelerator && a->provider == b->provider && a->region == b->region &&
           a->zone == b->zone && memcmp(a->labels, b->labels, sizeof a->labels) == 0;
}

static uint32_t subscription_find(const struct headroom *h, uint32_t tenant, const struct market_choice *choice, uint32_t tier)
{
    for (uint32_t i = 1; i < h->subscription_count; i++)
        if (h->subscriptions[i].tenant == tenant && h->subscriptions[i].tier == tier && choices_equal(&h->subscriptions[i].choice, choice))
            return i;
    return 0;
}

static uint32_t subscription_slot(struct headroom *h)
{
    for (uint32_t i = 1; i < h->subscription_count; i++)
        if (h->subscriptions[i].tenant == 0)
            return i;
    ARRAY_RESERVE(h->subscriptions, h->subscription_count, h->subscription_capacity);
    return h->subscription_count++;
}

/* Units of all pools that it may stand in, down or not. */
static int64_t units_there(const struct market *m, const struct market_choice *choice)
{
    int64_t units = 0;
    for (uint32_t i = 1; i < m->pool_count; i++)
        for (uint32_t j = 0; choice_matches(choice, &m->pools[i]) && j < m->pools[i].node_count; j++)
            units += node_units(&m->nodes[m->pools[i].nodes[j]]);
    return units;
}

/* Puts another tick of all of it in escrow; where its project cannot, nothing is held. */
static void subscription_cover(struct market *m, struct subscription *s)
{
    struct purse *p = &m->tenants[s->tenant].purses[CURRENCY_MONEY];
    int128 tick = (int128)s->rate * s->units_milli * m->settings[SETTING_TICK_MS] / RATE_SCALE + 1;
    s->unpaid = s->rate && p->limited && !purse_covers(p, tick + tenant_run_out(m, s->tenant));
    s->escrow = s->rate && p->limited && !s->unpaid ? narrow_checked(tick) : 0;
    p->held += s->escrow;
}

static void tell_subscription(struct market *m, const struct subscription *s)
{
    struct market_event *e = event_add(m, EVENT_SUBSCRIPTION, 0);
    e->subscription.tenant = m->tenants[s->tenant].id;
    e->subscription.tier = s->tier;
    e->subscription.units_milli = s->units_milli;
    e->subscription.rate = s->rate;
    e->subscription.unpaid = s->unpaid;
}

static void subscription_end(struct market *m, uint32_t slot)
{
    struct headroom *h = m->headroom;
    for (uint32_t i = 1; i < m->lease_count; i++)
        if (m->leases[i].subscription == slot) { /* from here on an ordinary lease */
            m->leases[i].subscription = 0;
            seats_update(m, i);
        }
    uint32_t tenant = h->subscriptions[slot].tenant;
    h->subscriptions[slot].units_milli = 0;
    tell_subscription(m, &h->subscriptions[slot]);
    CHECK(tenant);
    h->subscriptions[slot] = (struct subscription){0};
    h->live--;
}

static struct refusal subscription_refusal(const struct market *m, const struct market_command *c)
{
    int64_t units = c->subscription.units_milli, there;
    if (c->subscription.tier < 1 || c->subscription.tier > MARKET_TIERS)
        return refuse_bound("tier", c->subscription.tier, 1, MARKET_TIERS);
    if (units < 0 || units > MARKET_UNITS_MAX * 1000 || units % 1000)
        return refuse_bound("units", units / 1000, 0, MARKET_UNITS_MAX);
    if (c->subscription.rate < 0 || c->subscription.rate > MARKET_RATE_MAX)
        return refuse_bound("rate", c->subscription.rate, 0, MARKET_RATE_MAX);
    if ((there = units_there(m, &c->subscription.choice)) < units)
        return (struct refusal){REFUSED_IMPOSSIBLE, "units", {units / 1000, there / 1000, 0}};
    return accept();
}

static void subscription_accrue(struct market *m, uint32_t slot);

struct refusal subscription_set(struct market *m, const struct market_command *c)
{
    struct headroom *h = m->headroom;
    struct refusal r = subscription_refusal(m, c);
    if (r.reason)
        return r;
    uint32_t tenant = tenant_find(m, c->subscription.tenant);
    uint32_t slot = subscription_find(h, tenant, &c->subscription.choice, c->subscription.tier);
    if (slot == 0 && c->subscription.units_milli == 0)
        return refuse(REFUSED_UNKNOWN, "subscription");
    if (slot)
        subscription_accrue(m, slot);
    if (c->subscription.units_milli == 0) {
        subscription_end(m, slot);
        return accept();
    }
    if (slot == 0) {
        slot = subscription_slot(h);
        h->live++;
        h->subscriptions[slot] = (struct subscription){.tenant = tenant, .tier = c->subscription.tier, .accrued_to = m->now};
        struct market_choice *choice = &h->subscriptions[slot].choice;
        *choice = c->subscription.choice;
        choice->amounts = (struct market_amounts){0};
        choice->speed_milli = 0;
    }
    struct subscription *s = &h->subscriptions[slot];
    s->units_milli = c->subscription.units_milli;
    s->rate = c->subscription.rate;
    subscription_cover(m, s);
    tell_subscription(m, s);
    return accept();
}

/* ---- money ------------------------------------------------------------------------------------------------------ */

/* What is due of a subscription, to one pool. */
struct due {
    uint32_t slot, pool;
    int64_t units_milli;
    time_ms from;
};

static void due_charge(struct market *m, const struct due *d, udollar amount)
{
    struct subscription *s = &m->headroom->subscriptions[d->slot];
    if (amount == 0)
        return;
    m->tenants[s->tenant].purses[CURRENCY_MONEY].spent += amount;
    struct market_event *e = event_add(m, EVENT_CHARGED, 0);
    e->charged.kind = CHARGE_SUBSCRIPTION;
    e->charged.tenant = m->tenants[s->tenant].id;
    e->charged.pool = m->pools[d->pool].id;
    e->charged.from = d->from;
    e->charged.to = m->now;
    e->charged.units_milli = d->units_milli;
    e->charged.rate = mul_div_floor(s->rate, d->units_milli, 1000);
    e->charged.amount = amount;
    ledger_move(m, (struct market_account){ACCOUNT_TENANT, m->tenants[s->tenant].id, CURRENCY_MONEY},
                (struct market_account){ACCOUNT_POOL, m->pools[d->pool].id, CURRENCY_MONEY}, amount, d->pool);
}

/* The free nodes that were held for it have their asks, as far as what came in goes. */
static void asks_pay(struct market *m, const struct due *d, udollar amount)
{
    const struct headroom *h = m->headroom;
    time_ms span = m->now - d->from;
    int128 asks = 0;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < h->hold_count; i++) {
            const struct node *n = &m->nodes[h->holds[i].node];
            int128 here = (int128)MIN(h->holds[i].units_milli, MAX(n->room.units, 0)) * n->spec.ask * span;
            if (h->holds[i].subscription != d->slot || n->pool != d->pool)
                continue;
            if (pass == 0)
                asks += here;
            else if (asks > 0)
                seller_hold(m, h->holds[i].node, (here * MIN((int128)1 << RATIO_BITS, ((int128)amount * RATE_SCALE << RATIO_BITS) / asks)) >> RATIO_BITS);
        }
}

/* Charges it up to now, for what is held: to each pool for what stands there. */
static void subscription_accrue(struct market *m, uint32_t slot)
{
    struct headroom *h = m->headroom;
    struct subscription *s = &h->subscriptions[slot];
    struct purse *purse = &m->tenants[s->tenant].purses[CURRENCY_MONEY];
    time_ms from = TAKE(s->accrued_to);
    s->accrued_to = m->now;
    s->sum += (int128)s->rate * s->held_milli * (m->now - from);
    udollar accrued = narrow_checked(s->sum / RATE_SCALE) - s->booked;
    udollar due = purse->limited ? MIN(accrued, s->escrow) : accrued;
    s->sum -= (int128)(accrued - due) * RATE_SCALE; /* nothing is there to pay the rest with: it is never owed */
    s->booked += due;
    purse->held -= TAKE(s->escrow);
    int64_t held = s->held_milli;
    for (uint32_t pool = 1; pool < m->pool_count && held > 0; pool++) {
        struct due d = {slot, pool, 0, from};
        for (uint32_t i = 0; i < h->hold_count && m->pools[pool].holds; i++)
            if (h->holds[i].subscription == slot && m->nodes[h->holds[i].node].pool == pool)
                d.units_milli += h->holds[i].units_milli;
        udollar part = d.units_milli ? mul_div_floor(due, d.units_milli, held) : 0;
        due_charge(m, &d, part);
        asks_pay(m, &d, part);
        due -= part;
        held -= d.units_milli;
    }
}

void settle_subscriptions(struct market *m)
{
    struct headroom *h = m->headroom;
    for (uint32_t i = 1; i < h->subscription_count; i++) {
        struct subscription *s = &h->subscriptions[i];
        if (s->tenant == 0)
            continue;
        subscription_accrue(m, i);
        bool unpaid = s->unpaid;
        subscription_cover(m, s);
        if (unpaid != s->unpaid)
            tell_subscription(m, s);
    }
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------ */

static void pack_choice(const struct market_choice *c, struct buf *out)
{
    const market_id ids[] = {c->sku, c->accelerator, c->provider, c->region, c->zone};
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
        pack_u64(out, ids[i]);
    for (size_t i = 0; i < MARKET_LABELS_MAX; i++)
        pack_u64(out, c->labels[i]);
}

static void unpack_choice(struct unpack *in, struct market_choice *c)
{
    market_id *ids[] = {&c->sku, &c->accelerator, &c->provider, &c->region, &c->zone};
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
        *ids[i] = unpack_u64(in);
    for (size_t i = 0; i < MARKET_LABELS_MAX; i++)
        c->labels[i] = unpack_u64(in);
}

static void pack_subscription(const struct subscription *s, struct buf *out)
{
    pack_u64(out, s->tenant);
    pack_choice(&s->choice, out);
    pack_u64(out, s->tier);
    pack_i64(out, s->units_milli);
    pack_i64(out, s->rate);
    pack_u64(out, s->unpaid);
    pack_i64(out, s->accrued_to);
    pack_u64(out, (uint64_t)s->sum);
    pack_i64(out, (int64_t)(s->sum >> 64));
    pack_i64(out, s->booked);
    pack_i64(out, s->escrow);
}

static void unpack_subscription(const struct market *m, struct unpack *in, struct subscription *s)
{
    uint64_t tenant = unpack_u64(in);
    in->bad |= tenant >= m->tenant_count;
    s->tenant = (uint32_t)tenant;
    unpack_choice(in, &s->choice);
    uint64_t tier = unpack_u64(in);
    in->bad |= tier > MARKET_TIERS || (tier == 0) != (tenant == 0);
    s->tier = (uint32_t)tier;
    s->units_milli = unpack_i64(in);
    s->rate = unpack_i64(in);
    in->bad |= s->units_milli < 0 || s->units_milli > MARKET_UNITS_MAX * 1000 || s->rate < 0 || s->rate > MARKET_RATE_MAX;
    s->unpaid = unpack_u64(in) != 0;
    s->accrued_to = unpack_i64(in);
    uint64_t low = unpack_u64(in);
    s->sum = (int128)((unsigned __int128)(uint64_t)unpack_i64(in) << 64 | low);
    s->booked = unpack_i64(in);
    s->escrow = unpack_i64(in);
}

static void pack_prices(const struct headroom *h, struct buf *out)
{
    pack_u64(out, h->price_pools);
    for (size_t i = MARKET_TIERS; i < (size_t)h->price_pools * MARKET_TIERS; i++) {
        const struct headroom_price *p = &h->prices[i];
        const int64_t numbers[] = {p->held_milli, p->free_milli, p->eligible_milli, p->price, p->credit, p->notice};
        for (size_t j = 0; j < ARRAY_COUNT(numbers); j++)
            pack_i64(out, numbers[j]);
    }
}

static void unpack_prices(struct market *m, struct unpack *in)
{
    struct headroom *h = m->headroom;
    uint64_t pools = unpack_u64(in);
    in->bad |= pools > m->pool_count;
    if (in->bad || pools == 0)
        return;
    h->price_pools = (uint32_t)pools;
    h->prices = xcalloc((size_t)pools * MARKET_TIERS, sizeof *h->prices);
    for (size_t i = MARKET_TIERS; i < (size_t)pools * MARKET_TIERS && !in->bad; i++) {
        struct headroom_price *p = &h->prices[i];
        int64_t *numbers[] = {&p->held_milli, &p->free_milli, &p->eligible_milli, &p->price, &p->credit, &p->notice};
        for (size_t j = 0; j < ARRAY_COUNT(numbers); j++)
            *numbers[j] = unpack_i64(in);
        in->bad |= p->credit < 0 || p->credit > MARKET_RATE_MAX;
    }
}

/* What bids and leases say of tiers, for those that do. */
static void pack_tiers(const struct market *m, struct buf *out)
{
    for (uint32_t i = 1; i < m->bid_count; i++)
        if (m->bids[i].tier) {
            pack_u64(out, i);
            pack_u64(out, m->bids[i].tier);
        }
    pack_u64(out, 0);
    for (uint32_t i = 1; i < m->lease_count; i++)
        if (m->leases[i].subscription) {
            pack_u64(out, i);
            pack_u64(out, m->leases[i].subscription);
        }
    pack_u64(out, 0);
}

static void unpack_tiers(struct market *m, struct unpack *in)
{
    for (uint64_t slot; !in->bad && (slot = unpack_u64(in)) != 0;) {
        uint64_t tier = unpack_u64(in);
        if (slot >= m->bid_count || tier < 1 || tier > MARKET_TIERS)
            in->bad = true;
        else
            m->bids[slot].tier = (uint32_t)tier;
    }
    for (uint64_t slot; !in->bad && (slot = unpack_u64(in)) != 0;) {
        uint64_t subscription = unpack_u64(in);
        if (slot >= m->lease_count || subscription < 1 || subscription >= m->headroom->subscription_count || m->leases[slot].subscription) {
            in->bad = true;
            return;
        }
        m->leases[slot].subscription = (uint32_t)subscription;
        headroom_use(m, (uint32_t)slot, 1);
    }
}

void headroom_pack(const struct market *m, struct buf *out)
{
    const struct headroom *h = m->headroom;
    pack_u64(out, h->subscription_count);
    for (uint32_t i = 1; i < h->subscription_count; i++)
        pack_subscription(&h->subscriptions[i], out);
    pack_prices(h, out);
    pack_tiers(m, out);
}

bool headroom_unpack(struct market *m, struct unpack *in)
{
    struct headroom *h = m->headroom;
    uint64_t count = unpack_count(in, 1);
    in->bad |= count == 0;
    for (uint64_t i = 1; i < count && !in->bad; i++) {
        ARRAY_RESERVE(h->subscriptions, h->subscription_count, h->subscription_capacity);
        h->subscriptions[h->subscription_count] = (struct subscription){0};
        unpack_subscription(m, in, &h->subscriptions[h->subscription_count]);
        h->live += h->subscriptions[h->subscription_count++].tenant != 0;
    }
    unpack_prices(m, in);
    unpack_tiers(m, in);
    return !in->bad;
}

/* ---- views ------------------------------------------------------------------------------------------------------------- */

size_t market_subscription_count(const struct market *m)
{
    return m->headroom->live;
}

struct market_subscription_view market_subscription(const struct market *m, size_t index)
{
    const struct headroom *h = m->headroom;
    CHECK(index < h->live);
    uint32_t slot = 1;
    for (size_t at = 0;; slot++) {
        CHECK(slot < h->subscription_count);
        if (h->subscriptions[slot].tenant && at++ == index)
            break;
    }
    const struct subscription *s = &h->subscriptions[slot];
    return (struct market_subscription_view){.tenant = m->tenants[s->tenant].id, .choice = s->choice, .tier = s->tier,
        .units_milli = s->units_milli, .held_milli = s->held_milli, .used_milli = s->used_milli, .ready_milli = headroom_ready(m, slot),
        .rate = s->rate, .charged = s->booked, .unpaid = s->unpaid};
}
