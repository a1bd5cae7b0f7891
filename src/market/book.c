/* SPDX-License-Identifier: Apache-2.0 */
/* The book: per class a tree of the bids that wait, in rank order (value descending, batch of arrival,
 * tie key, id). It is a treap (Seidel and Aragon, "Randomized search trees", 1996) whose priorities
 * are a hash of the id, so that the same bids give the same shape whatever came before, with the
 * count below every vertex. */
#include "base/hash.h"
#include "market/market_internal.h"

int bid_compare(const struct bid *a, const struct bid *b)
{
    int c = COMPARE(b->value, a->value);
    if (c == 0)
        c = COMPARE(a->batch, b->batch);
    if (c == 0)
        c = COMPARE(a->tie_key, b->tie_key);
    return c ? c : COMPARE(a->id, b->id);
}

static void tree_sum(struct market *m, uint32_t at)
{
    struct bid *b = &m->bids[at];
    const struct bid *left = &m->bids[b->left], *right = &m->bids[b->right];
    b->tree_count = 1 + left->tree_count + right->tree_count;
}

static bool is_above(const struct market *m, uint32_t a, uint32_t b)
{
    uint64_t x = hash_u64(m->bids[a].id), y = hash_u64(m->bids[b].id);
    return x != y ? x > y : m->bids[a].id > m->bids[b].id;
}

/* Splits into what stands before `bid` and what stands after it. */
static void tree_split(struct market *m, uint32_t at, uint32_t bid, uint32_t *ret_before, uint32_t *ret_after)
{
    if (at == 0) {
        *ret_before = *ret_after = 0;
        return;
    }
    uint32_t part;
    if (bid_compare(&m->bids[at], &m->bids[bid]) < 0) {
        tree_split(m, m->bids[at].right, bid, &part, ret_after);
        m->bids[at].right = part;
        *ret_before = at;
    } else {
        tree_split(m, m->bids[at].left, bid, ret_before, &part);
        m->bids[at].left = part;
        *ret_after = at;
    }
    tree_sum(m, at);
}

static uint32_t tree_join(struct market *m, uint32_t before, uint32_t after)
{
    if (before == 0 || after == 0)
        return before + after;
    if (is_above(m, before, after)) {
        m->bids[before].right = tree_join(m, m->bids[before].right, after);
        tree_sum(m, before);
        return before;
    }
    m->bids[after].left = tree_join(m, before, m->bids[after].left);
    tree_sum(m, after);
    return after;
}

static uint32_t insert_below(struct market *m, uint32_t at, uint32_t bid)
{
    if (at == 0 || is_above(m, bid, at)) {
        uint32_t before, after;
        tree_split(m, at, bid, &before, &after);
        m->bids[bid].left = before;
        m->bids[bid].right = after;
        tree_sum(m, bid);
        return bid;
    }
    if (bid_compare(&m->bids[bid], &m->bids[at]) < 0)
        m->bids[at].left = insert_below(m, m->bids[at].left, bid);
    else
        m->bids[at].right = insert_below(m, m->bids[at].right, bid);
    m->bids[at].tree_count++; /* not a sum: what hangs beside the path stays out of the cache */
    return at;
}

static uint32_t remove_below(struct market *m, uint32_t at, uint32_t bid)
{
    CHECK(at != 0);
    if (at == bid)
        return tree_join(m, m->bids[at].left, m->bids[at].right);
    if (bid_compare(&m->bids[bid], &m->bids[at]) < 0)
        m->bids[at].left = remove_below(m, m->bids[at].left, bid);
    else
        m->bids[at].right = remove_below(m, m->bids[at].right, bid);
    m->bids[at].tree_count--;
    return at;
}

void tree_insert(struct market *m, uint32_t *root, uint32_t bid)
{
    m->bids[bid].left = m->bids[bid].right = 0;
    *root = insert_below(m, *root, bid);
}

void tree_remove(struct market *m, uint32_t *root, uint32_t bid)
{
    *root = remove_below(m, *root, bid);
    m->bids[bid].left = m->bids[bid].right = 0;
}

uint32_t tree_first(const struct market *m, uint32_t root)
{
    while (root && m->bids[root].left)
        root = m->bids[root].left;
    return root;
}

uint32_t tree_first_but(const struct market *m, uint32_t root, const struct bid *bid)
{
    uint32_t before = 0;
    while (root && m->bids[root].left) {
        before = root;
        root = m->bids[root].left;
    }
    if (&m->bids[root] != bid)
        return root;
    return bid->right ? tree_first(m, bid->right) : before;
}

uint32_t tree_at(const struct market *m, uint32_t root, uint32_t index)
{
    while (root) {
        uint32_t left = m->bids[m->bids[root].left].tree_count;
        if (index == left)
            return root;
        bool before = index < left;
        root = before ? m->bids[root].left : m->bids[root].right;
        index -= before ? 0 : left + 1;
    }
    return 0;
}

uint64_t tree_above(const struct market *m, uint32_t root, int64_t value)
{
    uint64_t count = 0;
    while (root) {
        const struct bid *b = &m->bids[root];
        if (b->value > value) {
            count += 1 + m->bids[b->left].tree_count;
            root = b->right;
        } else {
            root = b->left;
        }
    }
    return count;
}

uint64_t tree_rank(const struct market *m, uint32_t root, const struct bid *bid)
{
    uint64_t count = 0;
    while (root) {
        const struct bid *b = &m->bids[root];
        if (bid_compare(b, bid) < 0) {
            count += 1 + m->bids[b->left].tree_count;
            root = b->right;
        } else {
            root = b->left;
        }
    }
    return count;
}

uint32_t bid_new(struct market *m)
{
    uint32_t slot;
    if (m->free_bid_count) {
        slot = m->free_bids[--m->free_bid_count];
    } else {
        ARRAY_RESERVE(m->bids, m->bid_count, m->bid_capacity);
        slot = m->bid_count++;
    }
    m->bids[slot] = (struct bid){.pending_limit = -1};
    return slot;
}

static void park(struct market *m, uint32_t bid)
{
    ARRAY_RESERVE(m->parked, m->parked_count, m->parked_capacity);
    m->parked[m->parked_count++] = bid;
}

static void unpark(struct market *m, uint32_t bid)
{
    uint32_t i = 0;
    while (m->parked[i] != bid)
        i++;
    memmove(m->parked + i, m->parked + i + 1, (m->parked_count - i - 1) * sizeof *m->parked);
    m->parked_count--;
}

/* A new head is tried whatever the last one met. */
static void class_retry(struct market *m, uint32_t bid)
{
    struct class *c = &m->classes[m->bids[bid].class];
    if (tree_first(m, c->waiting) == bid)
        c->failed = false;
}

void bid_wait(struct market *m, uint32_t bid)
{
    struct bid *b = &m->bids[bid];
    b->waiting = true;
    tree_insert(m, &m->classes[b->class].waiting, bid);
    ladder_wait(m, bid, true);
    class_head_changed(m, b->class);
    class_touch(m, b->class);
    class_retry(m, bid);
}

void bid_enqueue(struct market *m, uint32_t bid)
{
    struct bid *b = &m->bids[bid];
    CHECK(!b->waiting && !b->on_curve);
    b->parked |= b->reserved != 0 || b->held || bid_awaits(m, b); /* until its slot runs, or its owner resumes it */
    if (b->parked) {
        park(m, bid);
        return;
    }
    ladder_add(m, bid);
    bid_wait(m, bid);
}

void bid_unreserve(struct market *m, uint32_t bid)
{
    struct bid *b = &m->bids[bid];
    b->reserved = 0;
    if (!b->parked)
        return;
    bid_dequeue(m, bid);
    bid_enqueue(m, bid);
}

void bid_dequeue(struct market *m, uint32_t bid)
{
    struct bid *b = &m->bids[bid];
    if (b->parked)
        unpark(m, bid);
    if (b->waiting) {
        tree_remove(m, &m->classes[b->class].waiting, bid);
        ladder_wait(m, bid, false);
        class_head_changed(m, b->class);
    }
    b->parked = b->waiting = false;
    starve_end(m, bid);
}

void bid_drop(struct market *m, uint32_t bid)
{
    struct bid *b = &m->bids[bid];
    uint32_t class = b->class;
    if (b->on_curve)
        ladder_remove(m, bid);
    if (b->promise)
        promise_free(m, bid);
    starve_end(m, bid);
    map_remove(&m->bid_by_id, b->id);
    xfree(b->limits);
    *b = (struct bid){0};
    if (bid + 1 == m->bid_count) { /* so that who comes and goes at once leaves no trace */
        m->bid_count--;
    } else {
        ARRAY_RESERVE(m->free_bids, m->free_bid_count, m->free_bid_capacity);
        m->free_bids[m->free_bid_count++] = bid;
    }
    m->classes[class].bids--;
    class_release(m, class);
}

/* The best of its limits, and no less than what its form says of any. */
int64_t value_at(const struct form *f, const uint32_t *limits, int64_t limit)
{
    int64_t value = limits ? 0 : limit;
    for (uint32_t i = 0; limits && i < f->alternative_count; i++) {
        int64_t here = limit_at(limits, i, limit);
        value = MAX(value, limit == limits[0] ? here : mul_div_ceil(here, RATIO_ONE, MAX(f->ratios[i], 1)));
    }
    return MIN(value, MARKET_RATE_MAX * RATIO_ONE);
}

void bid_set_limit(struct market *m, uint32_t bid, int64_t limit)
{
    struct bid *b = &m->bids[bid];
    bool on_curve = b->on_curve, waiting = b->waiting;
    if (waiting)
        ladder_wait(m, bid, false);
    if (on_curve)
        ladder_remove(m, bid);
    if (waiting)
        tree_remove(m, &m->classes[b->class].waiting, bid);
    b->value = value_at(class_form(m, &m->classes[b->class]), b->limits, limit);
    b->limit = limit;
    if (on_curve)
        ladder_add(m, bid);
    if (waiting) {
        ladder_wait(m, bid, true);
        tree_insert(m, &m->classes[b->class].waiting, bid);
        class_head_changed(m, b->class);
        class_retry(m, bid);
    }
}
