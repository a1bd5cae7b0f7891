/* SPDX-License-Identifier: Apache-2.0 */
/* What a lease owes: by the menu, for its data, and to those that it displaced. It keeps the exact sums
 * of rate × time; whole µ$ are booked as each sum passes them, rounded down, so that promises hold for
 * the sums at every moment (MARKET.md sections 7 and 8). */
#include "base/sort.h"
#include "market/market_internal.h"

#define LINE_MS 60000 /* a bill line at least so often */

static struct market_account tenant_account(const struct market *m, const struct lease *l)
{
    return (struct market_account){ACCOUNT_TENANT, m->tenants[m->bids[l->bid].tenant].id, l->currency};
}

static struct market_account pool_account(const struct market *m, const struct lease *l)
{
    return (struct market_account){ACCOUNT_POOL, m->pools[l->pool].id, l->currency};
}

static struct purse *lease_purse(struct market *m, const struct lease *l)
{
    return &m->tenants[m->bids[l->bid].tenant].purses[l->currency];
}

/* Whole µ of the lease's currency that an exact sum makes. */
static udollar whole_of(const struct lease *l, int128 sum)
{
    if (l->currency == CURRENCY_MONEY)
        return narrow_checked(sum / RATE_SCALE);
    return narrow_checked(sum / 1000 * l->exchange / RATE_SCALE);
}

/* ---- spans: the sum as it was at any time of late ------------------------------------------------------- */

static void span_begin(struct lease *l, time_ms from)
{
    if (l->span_count && l->spans[l->span_count - 1].from == from)
        return;
    if (l->span_count == SPANS_MAX) { /* the oldest two become one: their total stays exact */
        memmove(l->spans + 1, l->spans + 2, (l->span_count - 2) * sizeof *l->spans);
        l->span_count--;
    }
    ARRAY_RESERVE(l->spans, l->span_count, l->span_capacity);
    l->spans[l->span_count++] = (struct span){from, l->charge_sum, l->displacement_sum};
}

/* The span in which a time lies, and what had been charged at its end. */
static const struct span *span_of(const struct lease *l, time_ms at, struct span *ret_end)
{
    uint32_t i = l->span_count - 1;
    while (i > 0 && l->spans[i].from > at)
        i--;
    *ret_end = i + 1 < l->span_count ? l->spans[i + 1] : (struct span){l->accrued_to, l->charge_sum, l->displacement_sum};
    return &l->spans[i];
}

static int128 sum_at(const struct lease *l, time_ms at)
{
    struct span end;
    if (l->span_count == 0 || at >= l->accrued_to)
        return l->charge_sum;
    const struct span *s = span_of(l, at, &end);
    return at <= s->from ? s->sum : s->sum + (end.sum - s->sum) / (end.from - s->from) * (at - s->from);
}

/* The same of what went to victims, which is paid at most until the end of the minimum run. */
static int128 displaced_at(const struct lease *l, time_ms at)
{
    struct span end;
    if (l->span_count == 0 || at >= l->accrued_to)
        return l->displacement_sum;
    const struct span *s = span_of(l, at, &end);
    time_ms until = MIN(end.from, l->displacement_until);
    if (at <= s->from || at >= until)
        return at <= s->from ? s->displaced : end.displaced;
    return s->displaced + (end.displaced - s->displaced) / (until - s->from) * (at - s->from);
}

void charge_begin(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    l->charging = true;
    l->accrued_to = l->line_from = m->now;
    span_begin(l, m->now);
}

void charge_rate(struct market *m, uint32_t lease, int64_t rate)
{
    struct lease *l = &m->leases[lease];
    if (rate == l->rate)
        return;
    if (l->charging) {
        ledger_charge(m, lease, m->now);
        ledger_line(m, lease);
        span_begin(l, m->now);
    }
    l->rate = rate;
}

udollar charge_refundable(const struct market *m, const struct lease *l)
{
    if (!l->charging)
        return 0;
    int128 kept = MAX(l->kept_sum, sum_at(l, m->now - m->settings[SETTING_CHECKPOINT_MS]));
    int128 sum = l->charge_sum + (int128)l->rate * MAX(m->now - l->accrued_to, 0);
    if (m->bids[l->bid].promise)
        sum = MIN(sum, promise_room(m, l));
    return MAX(whole_of(l, sum) - whole_of(l, kept), 0);
}

/* ---- accruing ------------------------------------------------------------------------------------------------ */

static void purse_pay(struct market *m, struct lease *l, udollar due)
{
    struct purse *p = lease_purse(m, l);
    p->spent += due;
    udollar from_escrow = CLAMP(due, 0, l->escrow);
    l->escrow -= from_escrow;
    p->held -= from_escrow;
}

static udollar accrue_menu(struct market *m, struct lease *l, time_ms span)
{
    int128 sum = l->charge_sum + (int128)l->rate * span;
    l->charge_sum = m->bids[l->bid].promise ? MAX(l->charge_sum, MIN(sum, promise_room(m, l))) : sum;
    udollar whole = whole_of(l, l->charge_sum), due = whole - l->booked;
    l->booked = whole;
    m->bids[l->bid].charged += due;
    return due;
}

/* Data is billed at cost until the cost is reached. */
static udollar accrue_transfer(struct lease *l, time_ms span)
{
    if (l->transfer_rate == 0 || l->transfer_sum >= l->transfer_most)
        return 0;
    l->transfer_sum = MIN(l->transfer_sum + (int128)l->transfer_rate * span, l->transfer_most);
    udollar whole = whole_of(l, l->transfer_sum), due = whole - l->transfer_booked;
    l->transfer_booked = whole;
    return due;
}

static udollar owed_sum(const struct lease *l)
{
    udollar all = 0;
    for (uint32_t i = 0; i < l->owed_count; i++)
        all += l->owed[i].amount;
    return all;
}

/* Evenly over the minimum run, at most what the limit leaves above the menu. */
static udollar accrue_displacement(const struct market *m, struct lease *l, time_ms to)
{
    time_ms until = MIN(to, l->displacement_until);
    if (l->owed_count == 0 || until <= l->accrued_to)
        return 0;
    int64_t rate = CLAMP(l->displacement_rate, 0, MAX(l->limit_rate - l->rate, 0));
    l->displacement_sum += (int128)rate * (until - l->accrued_to);
    udollar whole = MIN(whole_of(l, l->displacement_sum), owed_sum(l));
    if (m->bids[l->bid].promise)
        whole = MIN(whole, l->displacement_booked + promise_left(m, l));
    udollar due = whole - l->displacement_booked;
    l->displacement_booked = whole;
    return due;
}

/* A victim gets `due`, or gives it back: until that is past it may not be spent. */
static void owed_pay(struct market *m, const struct lease *l, struct owed *o, udollar due)
{
    struct purse *p = &m->tenants[o->tenant].purses[l->currency];
    struct market_account victim = {ACCOUNT_TENANT, m->tenants[o->tenant].id, l->currency};
    uint32_t bid = (uint32_t)map_get(&m->bid_by_id, o->bid);
    o->paid += due;
    p->spent -= due;
    p->pledged += due;
    if (bid)
        m->bids[bid].refunded += due;
    struct market_event *e = event_add(m, EVENT_CHARGED, 0);
    e->bid = o->bid;
    e->attempt = o->attempt;
    e->charged.kind = CHARGE_COMPENSATION;
    e->charged.tenant = victim.id;
    e->charged.pool = m->pools[l->pool].id;
    e->charged.from = e->charged.to = m->now;
    e->charged.amount = -due;
    if (due > 0)
        ledger_move(m, pool_account(m, l), victim, due, l->pool);
    else
        ledger_move(m, victim, pool_account(m, l), -due, l->pool);
}

/* Each victim has its part of what has been paid by now. */
static void displacement_pass(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    udollar all = owed_sum(l), left = l->displacement_booked;
    for (uint32_t i = 0; i < l->owed_count; i++) {
        struct owed *o = &l->owed[i];
        udollar part = i + 1 == l->owed_count ? left : mul_div_floor(l->displacement_booked, o->amount, all);
        part = MIN(part, o->amount);
        left -= part;
        if (part != o->paid)
            owed_pay(m, l, o, part - o->paid);
    }
}

void charge_owed_cut(struct market *m, uint32_t lease)
{
    const struct lease *victim = &m->leases[lease];
    const struct bid *b = &m->bids[victim->bid];
    udollar most = MAX(victim->booked - whole_of(victim, victim->kept_sum), 0);
    for (uint32_t i = 1; i < m->lease_count && victim->state == LEASE_VACATING; i++)
        for (uint32_t j = 0; j < m->leases[i].owed_count; j++) {
            struct owed *o = &m->leases[i].owed[j];
            if (o->bid == b->id && o->attempt == b->attempt)
                o->amount = MAX(MIN(o->amount, most), o->paid);
        }
}

void charge_displaced_end(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    for (uint32_t i = 0; i < l->owed_count; i++)
        m->tenants[l->owed[i].tenant].purses[l->currency].pledged -= l->owed[i].paid;
    xfree(TAKE(l->owed));
    l->owed_count = 0;
}

static void tell_charged(struct market *m, uint32_t lease, enum market_charge kind, int64_t rate, udollar amount)
{
    const struct lease *l = &m->leases[lease];
    struct market_event *e = event_add(m, EVENT_CHARGED, l->bid);
    e->charged.kind = kind;
    e->charged.tenant = m->tenants[m->bids[l->bid].tenant].id;
    e->charged.pool = m->pools[l->pool].id;
    e->charged.from = l->line_from;
    e->charged.to = l->accrued_to;
    e->charged.units_milli = l->units_milli;
    e->charged.rate = rate / 1000;
    e->charged.amount = amount;
}

/* Brings all sums up to `to`; what is to be booked to the pool (menu and displacement). */
udollar ledger_accrue(struct market *m, uint32_t lease, time_ms to)
{
    struct lease *l = &m->leases[lease];
    if (!l->charging || to <= l->accrued_to)
        return 0;
    time_ms span = to - l->accrued_to;
    struct bid *b = &m->bids[l->bid];
    udollar displaced = accrue_displacement(m, l, to), transfer = accrue_transfer(l, span);
    b->displaced += displaced;
    udollar due = accrue_menu(m, l, span) + displaced;
    sellers_use(m, l, span);
    l->accrued_to = to;
    purse_pay(m, l, due + transfer);
    b->transfer_paid += transfer;
    if (transfer)
        ledger_move(m, tenant_account(m, l), (struct market_account){ACCOUNT_EXTERNAL, 0, l->currency}, transfer, l->pool);
    return due;
}

void ledger_charge(struct market *m, uint32_t lease, time_ms to)
{
    udollar due = ledger_accrue(m, lease, to);
    const struct lease *l = &m->leases[lease];
    ledger_move(m, tenant_account(m, l), pool_account(m, l), due, l->pool);
    if (l->owed_count)
        displacement_pass(m, lease);
}

void ledger_line(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    if (!l->charging || l->accrued_to <= l->line_from)
        return;
    tell_charged(m, lease, CHARGE_MENU, l->rate, l->booked - l->line_booked);
    if (l->transfer_booked != l->transfer_line)
        tell_charged(m, lease, CHARGE_TRANSFER, l->transfer_rate, l->transfer_booked - l->transfer_line);
    if (l->displacement_booked != l->displacement_line)
        tell_charged(m, lease, CHARGE_DISPLACEMENT, l->displacement_rate, l->displacement_booked - l->displacement_line);
    l->line_from = l->accrued_to;
    l->line_booked = l->booked;
    l->transfer_line = l->transfer_booked;
    l->displacement_line = l->displacement_booked;
}

static void menu_uncharge(struct market *m, uint32_t lease, time_ms from)
{
    struct lease *l = &m->leases[lease];
    l->charge_sum = sum_at(l, from);
    sellers_use(m, l, from - l->accrued_to);
    udollar whole = whole_of(l, l->charge_sum), back = l->booked - whole;
    tell_charged(m, lease, CHARGE_REFUND, 0, -back);
    l->booked = l->line_booked = whole;
    m->bids[l->bid].charged -= back;
    lease_purse(m, l)->spent -= back;
    ledger_move(m, pool_account(m, l), tenant_account(m, l), back, l->pool);
}

static void transfer_uncharge(struct market *m, uint32_t lease, time_ms from)
{
    struct lease *l = &m->leases[lease];
    if (l->transfer_sum == 0)
        return;
    l->transfer_sum = MIN((int128)l->transfer_rate * (from - l->spans[0].from), l->transfer_sum);
    udollar whole = whole_of(l, l->transfer_sum), back = l->transfer_booked - whole;
    if (back == 0)
        return;
    tell_charged(m, lease, CHARGE_TRANSFER, l->transfer_rate, -back);
    l->transfer_booked = l->transfer_line = whole;
    m->bids[l->bid].transfer_paid -= back;
    lease_purse(m, l)->spent -= back;
    ledger_move(m, (struct market_account){ACCOUNT_EXTERNAL, 0, l->currency}, tenant_account(m, l), back, l->pool);
}

/* Victims give back what they got of it. */
static void displacement_uncharge(struct market *m, uint32_t lease, time_ms from)
{
    struct lease *l = &m->leases[lease];
    if (l->owed_count == 0)
        return;
    l->displacement_sum = displaced_at(l, from);
    udollar whole = MIN(whole_of(l, l->displacement_sum), owed_sum(l)), back = l->displacement_booked - whole;
    if (back == 0)
        return;
    tell_charged(m, lease, CHARGE_DISPLACEMENT, l->displacement_rate, -back);
    l->displacement_booked = l->displacement_line = whole;
    m->bids[l->bid].displaced -= back;
    lease_purse(m, l)->spent -= back;
    ledger_move(m, pool_account(m, l), tenant_account(m, l), back, l->pool);
    displacement_pass(m, lease);
}

void ledger_uncharge(struct market *m, uint32_t lease, time_ms from)
{
    struct lease *l = &m->leases[lease];
    ledger_line(m, lease);
    if (l->span_count)
        from = MAX(from, l->spans[0].from);
    from = l->line_from = MIN(from, l->accrued_to); /* the lines say what span they take back */
    displacement_uncharge(m, lease, from);
    transfer_uncharge(m, lease, from);
    menu_uncharge(m, lease, from);
    l->accrued_to = from;
}

/* ---- at a tick --------------------------------------------------------------------------------------------------- */

struct due {
    market_id tenant;
    uint32_t pool, currency;
    udollar amount;
};

/* What is due by the leases of one tenant in one pool and currency, in one sum. */
struct dues {
    struct due *items;
    uint32_t count, capacity;
    struct map by; /* which of them, + 1 */
};

static int due_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct due *a = x, *b = y;
    int c = COMPARE(a->tenant, b->tenant);
    if (c == 0)
        c = COMPARE(a->pool, b->pool);
    return c ? c : COMPARE(a->currency, b->currency);
}

static void due_add(const struct market *m, struct dues *d, const struct lease *l, udollar amount)
{
    uint32_t tenant = m->bids[l->bid].tenant;
    uint64_t key = ((uint64_t)tenant << 32 | l->pool) << 1 | (uint64_t)l->currency;
    const uint64_t *known = map_find(&d->by, key);
    if (known) {
        d->items[*known - 1].amount += amount;
        return;
    }
    ARRAY_RESERVE(d->items, d->count, d->capacity);
    d->items[d->count++] = (struct due){m->tenants[tenant].id, l->pool, l->currency, amount};
    map_set(&d->by, key, d->count);
}

/* What the next rounds touch, on its way into the cache. */
static void ledger_fetch(const struct market *m, uint32_t lease)
{
    for (size_t line = 0; lease + 3 < m->lease_count && line < sizeof *m->leases; line += 64)
        __builtin_prefetch((const char *)&m->leases[lease + 3] + line);
    if (lease < m->lease_count)
        __builtin_prefetch(&m->bids[m->leases[lease].bid]);
}

static void dues_book(struct market *m, struct dues *d)
{
    sort(d->items, d->count, sizeof *d->items, due_compare, NULL);
    for (uint32_t i = 0; i < d->count; i++) {
        const struct due *due = &d->items[i];
        enum market_currency currency = (enum market_currency)due->currency;
        ledger_move(m, (struct market_account){ACCOUNT_TENANT, due->tenant, currency},
                    (struct market_account){ACCOUNT_POOL, m->pools[due->pool].id, currency}, due->amount, due->pool);
    }
    map_fini(&d->by);
    xfree(d->items);
}

void ledger_book_all(struct market *m)
{
    struct dues dues = {0};
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        ledger_fetch(m, i + 3);
        if (l->state == LEASE_NONE || !l->charging)
            continue;
        due_add(m, &dues, l, ledger_accrue(m, i, m->now));
        if (l->accrued_to - l->line_from >= LINE_MS)
            ledger_line(m, i);
    }
    dues_book(m, &dues);
    for (uint32_t i = 1; i < m->lease_count; i++)
        if (m->leases[i].state != LEASE_NONE && m->leases[i].owed_count)
            displacement_pass(m, i);
}

/* ---- displacement ---------------------------------------------------------------------------------------------------- */

void charge_displaced(struct market *m, uint32_t lease, const struct site *site)
{
    struct lease *l = &m->leases[lease];
    uint32_t tenant = m->bids[l->bid].tenant;
    udollar all = 0;
    l->owed = xcalloc(site->victim_count + 1, sizeof *l->owed);
    for (uint32_t i = 0; i < site->victim_count; i++) {
        const struct lease *victim = &m->leases[site->victims[i]];
        const struct bid *b = &m->bids[victim->bid];
        if (victim->state == LEASE_NONE || victim->fresh || victim->currency != l->currency || tenants_related(m, tenant, b->tenant))
            continue;
        udollar amount = charge_refundable(m, victim);
        if (amount == 0)
            continue;
        l->owed[l->owed_count++] = (struct owed){b->id, b->tenant, b->attempt, amount, 0};
        all += amount;
    }
    if (l->owed_count == 0)
        return;
    time_ms span = MAX(bid_minimum_run(m, &m->bids[l->bid]), 1);
    int128 money = (int128)all * RATE_SCALE;
    if (l->currency == CURRENCY_CREDITS)
        money = money / MAX(l->exchange, 1) * 1000;
    l->displacement_rate = narrow_checked((money + span - 1) / span);
}
