/* SPDX-License-Identifier: Apache-2.0 */
/* Who owes whom, double entry: buyers pay the clearing account of the pool as work runs, sellers are
 * paid from it at the tick (MARKET.md section 8). A lease keeps the exact sum of rate × time; whole µ$
 * are booked as it passes them, rounded down, so that promises hold for the sums at every moment. */
#include "base/sort.h"
#include "market/market_internal.h"

#define LINE_MS 60000 /* a bill line at least so often */

uint32_t account_find(struct market *m, struct market_account name)
{
    struct map *by = &m->accounts_by[(uint32_t)name.kind * 2 + (uint32_t)name.currency];
    uint32_t slot = (uint32_t)map_get(by, name.id + 1);
    if (slot)
        return slot;
    ARRAY_RESERVE(m->accounts, m->account_count, m->account_capacity);
    slot = m->account_count++;
    m->accounts[slot] = (struct account){.name = name};
    map_set(by, name.id + 1, slot);
    return slot;
}

struct account *account_get(struct market *m, struct market_account name)
{
    uint32_t slot = account_find(m, name); /* may move the array */
    return &m->accounts[slot];
}

void ledger_move(struct market *m, struct market_account from, struct market_account to, udollar amount, uint32_t pool)
{
    CHECK(amount >= 0);
    if (amount == 0)
        return;
    struct account *account = account_get(m, from);
    account->balance = sub_checked(account->balance, amount);
    account = account_get(m, to);
    account->balance = add_checked(account->balance, amount);
    struct market_event *e = event_add(m, EVENT_ENTRY, 0);
    e->entry.debit = from;
    e->entry.credit = to;
    e->entry.amount = amount;
    e->entry.pool = m->pools[pool].id;
}

uint32_t tenant_find(struct market *m, market_id id)
{
    uint32_t slot = (uint32_t)map_get(&m->tenant_by_id, id);
    if (slot)
        return slot;
    ARRAY_RESERVE(m->tenants, m->tenant_count, m->tenant_capacity);
    slot = m->tenant_count++;
    m->tenants[slot] = (struct tenant){.id = id};
    map_set(&m->tenant_by_id, id, slot);
    return slot;
}

bool tenant_can_start(const struct market *m, uint32_t tenant, int64_t limit_rate, time_ms span)
{
    const struct tenant *t = &m->tenants[tenant];
    if (!t->limited)
        return true;
    int128 needed = ((int128)limit_rate * span + RATE_SCALE - 1) / RATE_SCALE;
    return needed <= (int128)t->budget - t->spent - t->held;
}

static struct market_account tenant_account(const struct market *m, const struct lease *l)
{
    return (struct market_account){.kind = ACCOUNT_TENANT, .id = m->tenants[m->bids[l->bid].tenant].id};
}

static struct market_account pool_account(const struct market *m, const struct lease *l)
{
    return (struct market_account){.kind = ACCOUNT_POOL, .id = m->pools[l->pool].id};
}

/* What the sellers of its nodes are due for `span` ms; negative takes it back. */
static void sellers_use(struct market *m, const struct lease *l, time_ms span)
{
    struct pool *p = &m->pools[l->pool];
    for (uint32_t i = 0; i < l->placement_count; i++) {
        const struct node *n = &m->nodes[l->nodes[i]];
        int128 used = (int128)l->placements[i].units_milli * span;
        struct seller *s = pool_seller(p, n->spec.seller);
        s->used += used;
        s->ask_sum += used * n->spec.ask;
        s->rent_weight += used * MAX(p->post - n->spec.ask, 0);
    }
}

udollar ledger_accrue(struct market *m, uint32_t lease, time_ms to)
{
    struct lease *l = &m->leases[lease];
    if (!l->charging || to <= l->accrued_to)
        return 0;
    time_ms span = to - l->accrued_to;
    l->charge_sum += (int128)l->rate * span;
    l->accrued_to = to;
    sellers_use(m, l, span);
    udollar whole = narrow_checked(l->charge_sum / RATE_SCALE), due = whole - l->booked;
    l->booked = whole;
    struct bid *b = &m->bids[l->bid];
    b->charged += due;
    struct tenant *t = &m->tenants[b->tenant];
    t->spent += due;
    udollar from_escrow = MIN(due, l->escrow);
    l->escrow -= from_escrow;
    t->held -= from_escrow;
    return due;
}

void ledger_charge(struct market *m, uint32_t lease, time_ms to)
{
    udollar due = ledger_accrue(m, lease, to);
    const struct lease *l = &m->leases[lease];
    ledger_move(m, tenant_account(m, l), pool_account(m, l), due, l->pool);
}

static void tell_charged(struct market *m, uint32_t lease, enum market_charge kind, time_ms from, udollar amount)
{
    const struct lease *l = &m->leases[lease];
    struct market_event *e = event_add(m, EVENT_CHARGED, l->bid);
    e->charged.kind = kind;
    e->charged.tenant = m->tenants[m->bids[l->bid].tenant].id;
    e->charged.pool = m->pools[l->pool].id;
    e->charged.from = from;
    e->charged.to = l->accrued_to;
    e->charged.units_milli = l->units_milli;
    e->charged.rate = l->rate / 1000;
    e->charged.amount = amount;
}

void ledger_line(struct market *m, uint32_t lease)
{
    struct lease *l = &m->leases[lease];
    if (!l->charging || l->accrued_to <= l->line_from)
        return;
    tell_charged(m, lease, CHARGE_MENU, l->line_from, l->booked - l->line_booked);
    l->line_from = l->accrued_to;
    l->line_booked = l->booked;
}

void ledger_uncharge(struct market *m, uint32_t lease, time_ms from)
{
    struct lease *l = &m->leases[lease];
    ledger_line(m, lease);
    time_ms end = l->accrued_to;
    for (uint32_t i = l->span_count; i-- > 0 && end > from;) {
        time_ms start = MAX(l->spans[i].from, from);
        if (start < end) {
            l->charge_sum -= (int128)l->spans[i].rate * (end - start);
            end = start;
        }
    }
    sellers_use(m, l, end - l->accrued_to);
    udollar whole = narrow_checked(l->charge_sum / RATE_SCALE), back = l->booked - whole;
    tell_charged(m, lease, CHARGE_REFUND, end, -back);
    l->booked = l->line_booked = whole;
    l->accrued_to = l->line_from = end;
    m->bids[l->bid].charged -= back;
    m->tenants[m->bids[l->bid].tenant].spent -= back;
    ledger_move(m, pool_account(m, l), tenant_account(m, l), back, l->pool);
}

struct due {
    market_id tenant;
    uint32_t pool;
    udollar amount;
};

static int due_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct due *a = x, *b = y;
    int c = COMPARE(a->tenant, b->tenant);
    return c ? c : COMPARE(a->pool, b->pool);
}

void ledger_book_all(struct market *m)
{
    struct due *dues = xcalloc(m->lease_count, sizeof *dues);
    uint32_t count = 0;
    for (uint32_t i = 1; i < m->lease_count; i++) {
        struct lease *l = &m->leases[i];
        if (l->state == LEASE_NONE || !l->charging)
            continue;
        dues[count++] = (struct due){m->tenants[m->bids[l->bid].tenant].id, l->pool, ledger_accrue(m, i, m->now)};
        if (l->accrued_to - l->line_from >= LINE_MS)
            ledger_line(m, i);
    }
    sort(dues, count, sizeof *dues, due_compare, NULL);
    for (uint32_t i = 0, next; i < count; i = next) {
        udollar sum = 0;
        for (next = i; next < count && due_compare(&dues[i], &dues[next], NULL) == 0; next++)
            sum += dues[next].amount;
        ledger_move(m, (struct market_account){.kind = ACCOUNT_TENANT, .id = dues[i].tenant},
                    (struct market_account){.kind = ACCOUNT_POOL, .id = m->pools[dues[i].pool].id}, sum, dues[i].pool);
    }
    xfree(dues);
}

static udollar pay_asks(struct market *m, uint32_t pool, udollar left)
{
    struct pool *p = &m->pools[pool];
    struct market_account from = {.kind = ACCOUNT_POOL, .id = p->id};
    for (uint32_t i = 0; i < p->seller_count; i++) {
        struct seller *s = &p->sellers[i];
        udollar due = narrow_checked(s->ask_sum / RATE_SCALE) - s->ask_paid;
        due = CLAMP(due, 0, left);
        ledger_move(m, from, (struct market_account){.kind = ACCOUNT_SELLER, .id = s->id}, due, pool);
        s->ask_paid += due;
        left -= due;
    }
    return left;
}

static void pay_rent(struct market *m, uint32_t pool, udollar rent)
{
    struct pool *p = &m->pools[pool];
    struct market_account from = {.kind = ACCOUNT_POOL, .id = p->id};
    udollar fee = mul_div_floor(rent, m->settings[SETTING_FEE_PERMILLE], 1000);
    ledger_move(m, from, (struct market_account){.kind = ACCOUNT_FEE}, fee, pool);
    int128 weights = 0, used = 0;
    for (uint32_t i = 0; i < p->seller_count; i++) {
        weights += MAX(p->sellers[i].rent_weight, 0);
        used += MAX(p->sellers[i].used, 0);
    }
    for (uint32_t i = 0; i < p->seller_count; i++) {
        struct seller *s = &p->sellers[i];
        int128 part = weights ? MAX(s->rent_weight, 0) : MAX(s->used, 0), whole = weights ? weights : used;
        /* in thousandths of thousandths of the whole: the product stays within 128 bits */
        udollar share = whole ? mul_div_floor(rent - fee, (int64_t)(part * 1000000 / whole), 1000000) : 0;
        ledger_move(m, from, (struct market_account){.kind = ACCOUNT_SELLER, .id = s->id}, share, pool);
        s->rent_weight = s->used = 0;
    }
}

void ledger_settle(struct market *m)
{
    for (uint32_t i = 1; i < m->pool_count; i++) {
        udollar balance = account_get(m, (struct market_account){.kind = ACCOUNT_POOL, .id = m->pools[i].id})->balance;
        if (balance <= 0)
            continue;
        udollar left = pay_asks(m, i, balance);
        /* what the asks are about to be due stays: rates are booked rounded down */
        pay_rent(m, i, left);
    }
}

/* What it may cost until it is gone, if it is told at the next tick. */
static udollar lease_run_out(const struct market *m, const struct lease *l)
{
    time_ms span = m->settings[SETTING_TICK_MS] + m->bids[l->bid].notice + m->settings[SETTING_KILL_MS];
    return narrow_checked(((int128)l->limit_rate * span + RATE_SCALE - 1) / RATE_SCALE);
}

static uint32_t least_valuable(const struct market *m, uint32_t tenant)
{
    uint32_t least = 0;
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        if ((l->state != LEASE_ASSIGNED && l->state != LEASE_RUNNING) || l->firm || m->bids[l->bid].tenant != tenant)
            continue;
        if (least == 0 || bid_compare(&m->bids[l->bid], &m->bids[m->leases[least].bid]) > 0)
            least = i;
    }
    return least;
}

void ledger_budgets(struct market *m)
{
    for (uint32_t t = 1; t < m->tenant_count; t++) {
        if (!m->tenants[t].limited)
            continue;
        int128 needed = 0;
        for (uint32_t i = 1; i < m->lease_count; i++) {
            const struct lease *l = &m->leases[i];
            if (l->state == LEASE_NONE || m->bids[l->bid].tenant != t)
                continue;
            needed += l->firm ? MAX(l->escrow, 0) : lease_run_out(m, l);
        }
        for (uint32_t least; needed > (int128)m->tenants[t].budget - m->tenants[t].spent;) {
            least = least_valuable(m, t);
            if (least == 0)
                break;
            needed -= lease_run_out(m, &m->leases[least]);
            lease_preempt(m, least, RELEASE_BUDGET, NULL);
        }
    }
}
