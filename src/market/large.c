/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants that are large in a pool pay what their block costs the others, not what its last unit does
 * (MARKET.md section 7, "Large tenants"):
 *
 *     [W(0) − W(q)] / q
 *
 * W(x): the dual optimum of the others, the asks of x units, cheapest first, paid by the tenant. So the
 * entry does not depend on what the tenant bids. The prices of other pools are held while q units are
 * taken away: two optima worked out apart differ by more than a block is worth. A block is what runs
 * and what the guide lets in, so that no more can be large than share a pool: with all that stands in a
 * long book a thousand tenants were. Worked
 * out outside the writer; what comes back is in force from the next post on. */
#include "base/sort.h"
#include "market/dual.h"

#define FRESH_TICKS 8    /* entries that nobody renewed for so long lapse */
#define WITHOUT_ROUNDS 40

/* ---- who is large ---------------------------------------------------------------------------------------- */

struct large {
    const struct market *m;
    struct dual all;
    uint32_t *heads; /* by tenant: the first one of its owner, or itself */
    int64_t *units;  /* by head and group: milli */
    uint32_t *bids, *firsts; /* of heads that are large, by head: [firsts[h], firsts[h + 1]) */
    struct block *blocks; /* tenant: a head; pool: a group */
    uint32_t block_count, block_capacity;
};

static void heads_find(struct large *l)
{
    struct map first = {0};
    const struct market *m = l->m;
    l->heads = xcalloc(m->tenant_count, sizeof *l->heads);
    for (uint32_t i = 1; i < m->tenant_count; i++) {
        market_id owner = m->tenants[i].owner;
        l->heads[i] = owner ? (uint32_t)map_get(&first, owner) : i;
        if (l->heads[i])
            continue;
        l->heads[i] = i;
        map_set(&first, owner, i);
    }
    map_fini(&first);
}

/* The group that the guides send a waiting bid to; UINT32_MAX where they do not let it in. */
static uint32_t bid_group(const struct large *l, const struct bid *b, int64_t *ret_units)
{
    const struct class *k = &l->m->classes[b->class];
    const struct form *f = class_form(l->m, k);
    int64_t best = 0;
    uint32_t group = UINT32_MAX;
    for (uint32_t i = 0; i < f->used_count; i++) {
        const struct line *line = &f->lines[i];
        uint32_t here = l->all.group_of[line->pool];
        int64_t units = line->replica_milli * k->replicas;
        int64_t net = (bid_value(b, line->alternative) - line->transfer - l->all.groups[here].price) * units;
        if (net > best) {
            best = net;
            group = here;
            *ret_units = units;
        }
    }
    return group;
}

static void units_find(struct large *l)
{
    const struct market *m = l->m;
    l->units = xcalloc((size_t)m->tenant_count * l->all.group_count + 1, sizeof *l->units);
    for (uint32_t i = 1; i < m->bid_count; i++) {
        const struct bid *b = &m->bids[i];
        if (!b->on_curve)
            continue;
        const struct lease *lease = &m->leases[b->lease];
        int64_t units = lease->units_milli;
        uint32_t group = b->lease ? l->all.group_of[lease->pool] : bid_group(l, b, &units);
        if (group < l->all.group_count)
            l->units[(size_t)l->heads[b->tenant] * l->all.group_count + group] += units;
    }
}

static void blocks_find(struct large *l)
{
    int64_t permille = l->m->settings[SETTING_LARGE_TENANT_PERMILLE];
    for (uint32_t i = 1; i < l->m->tenant_count; i++)
        for (uint32_t j = 0; j < l->all.group_count; j++) {
            const struct dual_group *g = &l->all.groups[j];
            int64_t units = l->units[(size_t)i * l->all.group_count + j];
            if (g->units <= 0 || (int128)units * 1000 <= (int128)permille * (g->units + g->firm))
                continue;
            ARRAY_RESERVE(l->blocks, l->block_count, l->block_capacity);
            l->blocks[l->block_count++] = (struct block){.tenant = i, .pool = j, .units = MIN(units, g->units)};
        }
}

/* The bids of large heads, head by head: the book is walked once, not once a head. */
static void bids_gather(struct large *l)
{
    const struct market *m = l->m;
    bool *is_large = xcalloc(m->tenant_count, sizeof *is_large);
    for (uint32_t i = 0; i < l->block_count; i++)
        is_large[l->blocks[i].tenant] = true;
    l->firsts = xcalloc(m->tenant_count + 2, sizeof *l->firsts);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 1; i < m->bid_count; i++) {
            uint32_t head = m->bids[i].on_curve ? l->heads[m->bids[i].tenant] : 0;
            if (!is_large[head])
                continue;
            if (pass)
                l->bids[l->firsts[head + 1]] = i;
            l->firsts[head + (pass ? 1 : 2)]++;
        }
        for (uint32_t i = 2; i < m->tenant_count + 2 && pass == 0; i++)
            l->firsts[i] += l->firsts[i - 1];
        if (pass == 0)
            l->bids = xcalloc(l->firsts[m->tenant_count + 1] + 1, sizeof *l->bids);
    }
    xfree(is_large);
}

/* ---- what a block costs ---------------------------------------------------------------------------------------- */

/* Takes that many units off the group, cheapest first; what their asks come to. */
static int128 supply_take(struct dual *d, const struct dual_group *g, int64_t units)
{
    int128 asks = 0;
    for (uint32_t i = 0; i < g->step_count; i++) {
        struct ask_step *s = &d->asks[g->first_step + i];
        int64_t here = MIN(s->units, units);
        s->units -= here;
        units -= here;
        asks += (int128)here * s->ask;
    }
    return asks;
}

static udollar block_price(struct dual *d, uint32_t group, int64_t units)
{
    struct dual_group *g = &d->groups[group], before = *g;
    size_t size = g->step_count * sizeof *d->asks;
    struct ask_step *steps = xcalloc(g->step_count + 1, sizeof *steps);
    if (size)
        memcpy(steps, d->asks + g->first_step, size);
    int128 loss = dual_bound_group(d, g);
    loss += supply_take(d, g, units);
    dual_settle_group(d, g);
    loss -= dual_bound_group(d, g);
    if (size)
        memcpy(d->asks + g->first_step, steps, size);
    *g = before;
    xfree(steps);
    return (udollar)CLAMP(loss / units, 0, MARKET_RATE_MAX);
}

/* All blocks of one head, against the book without it. Groups are the same there: they come of pools and
 * curves alone, whoever bids on them. */
static void blocks_price(struct large *l, uint32_t first, uint32_t end)
{
    struct dual d;
    struct market *m = (struct market *)(uintptr_t)l->m; /* a dual apart leaves it as it is */
    uint32_t head = l->blocks[first].tenant;
    struct dual_scope scope = {.affiliates = true, .apart = true, .without = head};
    if (m->seller_owners.count == 0) {
        scope.base = &l->all;
        scope.bids = l->bids + l->firsts[head];
        scope.bid_count = l->firsts[head + 1] - l->firsts[head];
    }
    dual_init(&d, m, scope);
    CHECK(d.group_count == l->all.group_count);
    if (dual_is_joined(&d))
        dual_solve(&d, WITHOUT_ROUNDS);
    dual_settle(&d);
    for (uint32_t i = first; i < end; i++)
        l->blocks[i].price = block_price(&d, l->blocks[i].pool, l->blocks[i].units);
    dual_fini(&d);
}

static int block_by_size(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct block *a = x, *b = y;
    int c = COMPARE(a->pool, b->pool);
    if (c == 0)
        c = COMPARE(a->units, b->units);
    return c ? c : COMPARE(a->tenant, b->tenant);
}

static int block_by_tenant(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct block *a = x, *b = y;
    int c = COMPARE(a->tenant, b->tenant);
    return c ? c : COMPARE(a->pool, b->pool);
}

/* A larger block never pays more a unit than a smaller one: else it would come as two. */
static void blocks_order(struct large *l)
{
    udollar least = MARKET_RATE_MAX, lowest = MARKET_RATE_MAX; /* of smaller blocks; of those so far */
    sort(l->blocks, l->block_count, sizeof *l->blocks, block_by_size, NULL);
    for (uint32_t i = 0; i < l->block_count; i++) {
        struct block *b = &l->blocks[i];
        if (i == 0 || b[-1].pool != b->pool)
            least = lowest = MARKET_RATE_MAX;
        else if (b[-1].units < b->units)
            least = lowest;
        b->price = MIN(b->price, least);
        lowest = MIN(lowest, b->price);
    }
}

/* ---- as bytes ------------------------------------------------------------------------------------------------------ */

/* Every tenant of the head's owner has the entry, in every pool of the group. */
static void block_spread(const struct large *l, const struct block *b, struct block **all, uint32_t *count, uint32_t *capacity)
{
    const struct dual_group *g = &l->all.groups[b->pool];
    for (uint32_t i = b->tenant; i < l->m->tenant_count; i++)
        for (uint32_t j = 0; j < g->pool_count && l->heads[i] == b->tenant; j++) {
            ARRAY_RESERVE(*all, *count, *capacity);
            (*all)[(*count)++] = (struct block){.tenant = i, .pool = l->all.pools[g->first_pool + j], .units = b->units, .price = b->price};
        }
}

static void blocks_pack(const struct large *l, struct buf *out)
{
    struct block *all = NULL;
    uint32_t count = 0, capacity = 0;
    for (uint32_t i = 0; i < l->block_count; i++)
        block_spread(l, &l->blocks[i], &all, &count, &capacity);
    sort(all, count, sizeof *all, block_by_tenant, NULL);
    pack_u64(out, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_u64(out, l->m->tenants[all[i].tenant].id);
        pack_u64(out, l->m->pools[all[i].pool].id);
        pack_i64(out, all[i].units);
        pack_i64(out, all[i].price);
    }
    xfree(all);
}

void large_compute(const struct market *m, struct buf *out)
{
    struct large l = {.m = m};
    if (m->settings[SETTING_LARGE_TENANT_PERMILLE] < 1000 && m->last_tick) {
        dual_init(&l.all, (struct market *)(uintptr_t)m, (struct dual_scope){.affiliates = true, .apart = true});
        heads_find(&l);
        units_find(&l);
        blocks_find(&l);
        bids_gather(&l);
        for (uint32_t i = 0, next; i < l.block_count; i = next) {
            for (next = i; next < l.block_count && l.blocks[next].tenant == l.blocks[i].tenant; next++)
                ;
            blocks_price(&l, i, next);
        }
        blocks_order(&l);
    }
    bool had = m->block_count > 0;
    for (uint32_t i = 1; i < m->tenant_count; i++)
        had |= m->tenants[i].block_count > 0;
    if (l.block_count || had)
        blocks_pack(&l, out);
    dual_fini(&l.all);
    void *arrays[] = {l.heads, l.units, l.blocks, l.bids, l.firsts};
    for (size_t i = 0; i < ARRAY_COUNT(arrays); i++)
        xfree(arrays[i]);
}

bool large_take(struct market *m, struct str result)
{
    struct unpack in = unpack_from(result);
    size_t count = unpack_count(&in, 4);
    m->block_count = 0;
    for (size_t i = 0; i < count && !in.bad; i++) {
        uint32_t tenant = (uint32_t)map_get(&m->tenant_by_id, unpack_u64(&in));
        uint64_t pool = unpack_u64(&in);
        struct block b = {.tenant = tenant, .units = unpack_i64(&in), .price = unpack_i64(&in)};
        if (tenant == 0 || pool == 0 || pool >= m->pool_count || b.price < 0 || b.price > MARKET_RATE_MAX || b.units <= 0)
            continue;
        b.pool = (uint32_t)pool;
        ARRAY_RESERVE(m->blocks, m->block_count, m->block_capacity);
        m->blocks[m->block_count++] = b;
    }
    if (in.bad || in.at != in.size)
        m->block_count = 0;
    sort(m->blocks, m->block_count, sizeof *m->blocks, block_by_tenant, NULL);
    m->blocks_came = true;
    m->blocks_at = m->now;
    return !in.bad && in.at == in.size;
}

/* ---- the menu -------------------------------------------------------------------------------------------------------- */

static void blocks_clear(struct market *m)
{
    for (uint32_t i = 1; i < m->tenant_count; i++)
        m->tenants[i].block_count = 0;
}

/* What came since the last post takes the place of what there was. */
static void blocks_renew(struct market *m)
{
    if (!m->blocks_came)
        return;
    blocks_clear(m);
    for (uint32_t i = 0; i < m->block_count; i++) {
        struct tenant *t = &m->tenants[m->blocks[i].tenant];
        ARRAY_RESERVE(t->blocks, t->block_count, t->block_capacity);
        t->blocks[t->block_count++] = m->blocks[i];
    }
    m->block_count = 0;
    m->blocks_came = false;
    large_index(m);
}

static void block_tell(struct market *m, const struct block *b)
{
    struct market_event *e = event_add(m, EVENT_BLOCK_POSTED, 0);
    e->block.tenant = m->tenants[b->tenant].id;
    e->block.pool = m->pools[b->pool].id;
    e->block.units_milli = b->units;
    e->block.post = b->post;
}

void large_post(struct market *m)
{
    blocks_renew(m);
    if (m->now - m->blocks_at > FRESH_TICKS * m->settings[SETTING_TICK_MS])
        blocks_clear(m);
    for (uint32_t i = 1; i < m->tenant_count; i++)
        for (uint32_t j = 0; j < m->tenants[i].block_count; j++) {
            struct block *b = &m->tenants[i].blocks[j];
            const struct pool *p = &m->pools[b->pool];
            b->post = CLAMP(b->price, p->marginal, p->post);
            block_tell(m, b);
        }
}

void large_index(struct market *m)
{
    for (uint32_t i = 1; i < m->tenant_count; i++) {
        struct tenant *t = &m->tenants[i];
        xfree(t->block_at);
        t->block_pools = t->block_count ? m->pool_count : 0;
        t->block_at = t->block_pools ? xcalloc(t->block_pools, sizeof *t->block_at) : NULL;
        for (uint32_t j = 0; j < t->block_count; j++)
            t->block_at[t->blocks[j].pool] = j + 1;
    }
}

void site_large(const struct market *m, const struct candidate *c, struct site *site)
{
    const struct line *at;
    if (m->tenants[c->tenant_slot].block_count)
        site->rate = MAX(site->limit_rate - menu_best(m, c, &at), site->ask_rate);
}
