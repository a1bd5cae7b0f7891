/* SPDX-License-Identifier: Apache-2.0 */
/* Whose demand a dual counts. Who sells in a pool may not raise its price by bidding there: the bids of
 * a seller's affiliates are counted everywhere but in the pools that it sells in. And what a block costs
 * the others is asked of a book without the tenant that wants it. Mostly neither happens, and the dual
 * looks at the ladders as they stand; else it has copies of those that differ. */
#include "base/sort.h"
#include "market/dual.h"

market_id tenant_owner(const struct market *m, uint32_t tenant)
{
    market_id owner = m->tenants[tenant].owner;
    for (size_t i = 0; owner && i < m->seller_owners.capacity; i++)
        if (m->seller_owners.entries[i].key && m->seller_owners.entries[i].value == owner)
            return owner;
    return 0;
}

bool pool_sold_by(const struct market *m, uint32_t pool, market_id owner)
{
    const struct pool *p = &m->pools[pool];
    for (uint32_t i = 0; owner && i < p->node_count; i++)
        if (map_get(&m->seller_owners, m->nodes[p->nodes[i]].spec.seller + 1) == owner)
            return true;
    return false;
}

/* ---- fates: by tenant -------------------------------------------------------------------------------------- */

static void fates_find(struct dual *d)
{
    const struct market *m = d->m;
    bool any = false;
    struct fate *fates = xcalloc(m->tenant_count, sizeof *fates);
    for (uint32_t i = 1; i < m->tenant_count; i++) {
        fates[i].out = d->scope.without && tenants_related(m, d->scope.without, i);
        fates[i].owner = d->scope.affiliates && m->seller_owners.count ? tenant_owner(m, i) : 0;
        any |= fates[i].out || fates[i].owner;
    }
    if (any)
        d->fates = fates;
    else
        xfree(fates);
}

static void sold_add(struct dual *d, uint32_t pool, market_id owner)
{
    for (uint32_t i = d->sold_count; i-- > 0 && d->sold[i].pool == pool;)
        if (d->sold[i].owner == owner)
            return;
    ARRAY_RESERVE(d->sold, d->sold_count, d->sold_capacity);
    d->sold[d->sold_count++] = (struct sold){pool, owner};
}

/* Which owners sell in which pools, by pool. */
static void sold_find(struct dual *d)
{
    const struct market *m = d->m;
    for (uint32_t i = 1; i < m->pool_count && d->scope.affiliates && m->seller_owners.count; i++)
        for (uint32_t j = 0; j < m->pools[i].node_count; j++) {
            market_id owner = map_get(&m->seller_owners, m->nodes[m->pools[i].nodes[j]].spec.seller + 1);
            if (owner)
                sold_add(d, i, owner);
        }
}

bool dual_leaves_out(const struct dual *d, uint32_t pool, market_id owner)
{
    for (uint32_t i = 0; owner && i < d->sold_count; i++)
        if (d->sold[i].pool == pool && d->sold[i].owner == owner)
            return true;
    return false;
}

uint64_t dual_owners_sign(const struct dual *d, uint32_t pool)
{
    uint64_t sign = 0;
    for (uint32_t i = 0; i < d->sold_count; i++)
        if (d->sold[i].pool == pool)
            sign += d->sold[i].owner;
    return sign;
}

/* ---- copies of ladders ---------------------------------------------------------------------------------------- */

struct moved { /* a bid that does not count with the rest of its curve */
    uint32_t curve, bid;
    struct fate fate;
};

static int moved_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct moved *a = x, *b = y;
    int c = COMPARE(a->curve, b->curve);
    if (c == 0)
        c = COMPARE(a->fate.owner, b->fate.owner);
    return c ? c : COMPARE(a->bid, b->bid);
}

static struct curve *book_new(struct dual *d, const struct curve *of, bool full)
{
    struct curve *c = xcalloc(1, sizeof *c);
    ARRAY_RESERVE(d->books, d->book_count, d->book_capacity);
    d->books[d->book_count++] = c;
    *c = (struct curve){.base = of->base, .rung_count = of->rung_count, .stale = true, .bid_count = full ? of->bid_count : 0};
    c->rungs = xcalloc(of->rung_count + 1, sizeof *c->rungs);
    c->units_above = xcalloc(of->rung_count + 1, sizeof *c->units_above);
    c->waiting_above = xcalloc(of->rung_count + 1, sizeof *c->waiting_above);
    c->value_above = xcalloc(of->rung_count + 1, sizeof *c->value_above);
    for (uint32_t i = 0; i < of->rung_count; i++)
        c->rungs[i] = full ? of->rungs[i] : (struct rung){.first = of->rungs[i].first};
    return c;
}

static void book_move(const struct dual *d, struct curve *book, uint32_t bid, int sign)
{
    const struct bid *b = &d->m->bids[bid];
    struct rung *r = &book->rungs[tick_of(b->value) - book->base];
    int64_t units = sign * bid_units(d->m, b);
    r->units += units;
    r->value += (int128)b->value * units;
    book->bid_count = sign > 0 ? book->bid_count + 1 : book->bid_count - 1;
}

static void moved_add(const struct dual *d, uint32_t bid, struct moved *all, uint32_t *count)
{
    const struct bid *b = &d->m->bids[bid];
    const struct fate *fate = &d->fates[b->tenant];
    uint32_t curve = b->on_curve && (fate->out || fate->owner) ? class_form(d->m, &d->m->classes[b->class])->curve : 0;
    if (curve)
        all[(*count)++] = (struct moved){curve, bid, *fate};
}

static struct moved *moved_find(const struct dual *d, uint32_t *ret_count)
{
    uint32_t most = d->scope.bids ? d->scope.bid_count : d->m->bid_count, count = 0;
    struct moved *all = d->fates ? xcalloc(most + 1, sizeof *all) : NULL;
    for (uint32_t i = 0; i < d->scope.bid_count && d->fates; i++)
        moved_add(d, d->scope.bids[i], all, &count);
    for (uint32_t i = 1; i < d->m->bid_count && d->fates && d->scope.bids == NULL; i++)
        moved_add(d, i, all, &count);
    sort(all, count, sizeof *all, moved_compare, NULL);
    *ret_count = count;
    return all;
}

/* The copies of one curve: the rest of it, and one for each owner. */
static void books_split(struct dual *d, const struct moved *moved, uint32_t count)
{
    uint32_t curve = moved[0].curve;
    struct curve *rest = book_new(d, &d->m->curves[curve], true), *own = NULL;
    for (uint32_t i = 0; i < count; i++)
        book_move(d, rest, moved[i].bid, -1);
    ladder_sum(rest);
    dual_curve_add(d, curve, rest, 0);
    for (uint32_t i = 0, next; i < count; i = next) {
        market_id owner = moved[i].fate.owner;
        own = owner ? book_new(d, &d->m->curves[curve], false) : NULL;
        for (next = i; next < count && moved[next].fate.owner == owner; next++)
            if (own && !moved[next].fate.out)
                book_move(d, own, moved[next].bid, 1);
        if (own) {
            ladder_sum(own);
            dual_curve_add(d, curve, own, owner);
        }
    }
}

static void books_copy(struct dual *d)
{
    uint32_t count, at = 0;
    struct moved *all = moved_find(d, &count);
    for (uint32_t i = 1; i < d->m->curve_count; i++) {
        const struct curve *c = &d->m->curves[i];
        uint32_t first = at;
        while (at < count && all[at].curve == i)
            at++;
        if (at > first) {
            books_split(d, all + first, at - first);
        } else if (c->bid_count && d->scope.base && d->scope.base->curve_at[i]) {
            dual_curve_add(d, i, d->scope.base->curves[d->scope.base->curve_at[i] - 1].book, 0);
        } else if (c->bid_count) {
            struct curve *same = book_new(d, c, true);
            ladder_sum(same);
            dual_curve_add(d, i, same, 0);
        }
    }
    xfree(all);
}

void dual_books_find(struct dual *d, struct market *m)
{
    fates_find(d);
    for (uint32_t i = 1; i < m->curve_count && !d->scope.apart; i++)
        ladder_sum(&m->curves[i]);
    if (d->fates || d->scope.apart) {
        books_copy(d);
        return;
    }
    for (uint32_t i = 1; i < m->curve_count; i++)
        if (m->curves[i].bid_count)
            dual_curve_add(d, i, &m->curves[i], 0);
}

void dual_sellers_find(struct dual *d)
{
    sold_find(d);
}

void dual_books_fini(struct dual *d)
{
    for (uint32_t i = 0; i < d->book_count; i++) {
        curve_fini(d->books[i]);
        xfree(d->books[i]);
    }
    xfree(d->books);
    xfree(d->fates);
    xfree(d->sold);
}
