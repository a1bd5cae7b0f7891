/* SPDX-License-Identifier: Apache-2.0 */
/* Who owes whom, double entry: the sum of all balances of a currency is zero after every move. */
#include "market/market_internal.h"

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
    CHECK(amount >= 0 && from.currency == to.currency);
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
    /* money is without limit until somebody sets one; of credits there are none */
    m->tenants[slot] = (struct tenant){.id = id, .purses = {[CURRENCY_CREDITS] = {.limited = true}}};
    map_set(&m->tenant_by_id, id, slot);
    return slot;
}

bool tenants_related(const struct market *m, uint32_t a, uint32_t b)
{
    return a == b || (m->tenants[a].owner && m->tenants[a].owner == m->tenants[b].owner);
}

bool purse_covers(const struct purse *p, int128 amount)
{
    return !p->limited || amount <= (int128)p->budget - p->spent - p->held - p->pledged;
}
