/* SPDX-License-Identifier: Apache-2.0 */
/* The book: per class two trees of bids in rank order (limit descending, batch of arrival, tie key,
 * id). They are treaps (Seidel and Aragon, "Randomized search trees", 1996) whose priorities are a
 * hash of the id, so that the same bids give the same shape whatever came before, with counts and
 * sums of limits below every vertex. */
#include "base/hash.h"
#include "market/market_internal.h"

int bid_compare(const struct bid *a, const struct bid *b)
{
    int c = COMPARE(b->limit, a->limit);
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
    b->tree_limits = (int128)b->limit + left->tree_limits + right->tree_limits;
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
    tree_sum(m, at);
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
    tree_sum(m, at);
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

void tree_above(const struct market *m, uint32_t root, int64_t limit, uint64_t *ret_count, int128 *ret_limits)
{
    uint64_t count = 0;
    int128 limits = 0;
    while (root) {
        const struct bid *b = &m->bids[root];
        if (b->limit > limit) {
            count += 1 + m->bids[b->left].tree_count;
            limits += b->limit + m->bids[b->left].tree_limits;
            root = b->right;
        } else {
            root = b->left;
        }
    }
    *ret_count = count;
    *ret_limits = limits;
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

void bid_enqueue(struct market *m, uint32_t bid)
{
    struct bid *b = &m->bids[bid];
    CHECK(!b->running && !b->waiting);
    if (b->parked) {
        park(m, bid);
        return;
    }
    b->waiting = true;
    tree_insert(m, &m->classes[b->class].waiting, bid);
    class_touch(m, b->class);
}

void bid_dequeue(struct market *m, uint32_t bid)
{
    struct bid *b = &m->bids[bid];
    struct class *c = &m->classes[b->class];
    if (b->running)
        tree_remove(m, &c->running, bid);
    if (b->parked)
        unpark(m, bid);
    if (b->waiting)
        tree_remove(m, &c->waiting, bid);
    b->parked = b->running = b->waiting = false;
}

void bid_drop(struct market *m, uint32_t bid)
{
    map_remove(&m->bid_by_id, m->bids[bid].id);
    m->bids[bid] = (struct bid){0};
    ARRAY_RESERVE(m->free_bids, m->free_bid_count, m->free_bid_capacity);
    m->free_bids[m->free_bid_count++] = bid;
}

void bid_set_limit(struct market *m, uint32_t bid, int64_t limit)
{
    struct bid *b = &m->bids[bid];
    struct class *c = &m->classes[b->class];
    uint32_t *root = b->running ? &c->running : b->waiting ? &c->waiting : NULL;
    if (root)
        tree_remove(m, root, bid);
    b->limit = limit;
    if (root)
        tree_insert(m, root, bid);
}
