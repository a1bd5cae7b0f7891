/* SPDX-License-Identifier: Apache-2.0 */
#include "market_eval.h"

#include "base/memory.h"
#include "base/sort.h"

#include <stdio.h>

/* ---- the bound
 * ------------------------------------------------------------------------------------------ */

/* The lowest price of a SKU among the zones of a region. */
static int64_t region_price(const struct gen_shape *s, const udollar *prices, uint32_t region,
                            uint32_t sku)
{
    int64_t least = INT64_MAX;
    for (uint32_t z = 0; z < s->zones; z++)
        least = MIN(least, prices[eval_pool(s, region * s->zones + z, sku)]);
    return least;
}

static int64_t best_margin(const struct gen *g, const struct gen_bid *b,
                           int64_t prices[8][GEN_SKUS])
{
    int64_t best = 0;
    for (uint32_t r = 0; r < g->shape.regions; r++)
        for (uint32_t k = 0; k < g->shape.skus; k++) {
            int64_t net = gen_net(g, b, r, k);
            if (net >= 0)
                best = MAX(best, net - prices[r][k]);
        }
    return best;
}

int64_t eval_bound(const struct gen *g, const struct gen_bid *bids, size_t count,
                   const udollar *prices)
{
    int64_t lowest[8][GEN_SKUS], bound = 0;
    for (uint32_t r = 0; r < g->shape.regions; r++)
        for (uint32_t k = 0; k < g->shape.skus; k++)
            lowest[r][k] = region_price(&g->shape, prices, r, k);
    for (uint32_t i = 0; i < gen_node_count(&g->shape); i++) {
        struct gen_node n = gen_node(&g->shape, i);
        bound += GEN_GPUS * MAX(prices[eval_pool(&g->shape, n.zone, n.sku)] - n.ask, 0);
    }
    for (size_t i = 0; i < count; i++)
        bound += best_margin(g, &bids[i], lowest) * gen_bid_gpus(&bids[i]);
    return bound;
}

/* ---- an allocation
 * ---------------------------------------------------------------------------------------- */

struct check {
    const struct gen *g;
    const struct gen_bid *bids;
    uint8_t *taken; /* GPUs of each node */
    uint8_t *done;  /* bids that were seen */
};

static bool wrong(const char *what, uint32_t bid, uint32_t node)
{
    fprintf(stderr, "market: not an allocation: bid %u, node %u: %s\n", bid, node, what);
    return false;
}

static uint32_t anchor(const struct gen_node *n, uint32_t level)
{
    return level == LEVEL_RACK ? n->rack : level == LEVEL_FABRIC ? n->fabric : n->zone;
}

static bool seat_take(struct check *c, const struct seat *seat)
{
    const struct gen_bid *b = &c->bids[seat->bid];
    uint8_t gpus = (uint8_t)seat->gpus;
    if (seat->gpus >> GEN_GPUS || __builtin_popcountll(seat->gpus) != b->gpus)
        return wrong("another number of GPUs", seat->bid, seat->node);
    if (c->taken[seat->node] & gpus)
        return wrong("a GPU that is taken", seat->bid, seat->node);
    c->taken[seat->node] |= gpus;
    return true;
}

/* All seats of one bid; *surplus grows by what it is worth there. */
static bool gang_check(struct check *c, const struct seat *seats, size_t count, int64_t *surplus)
{
    const struct gen_bid *b = &c->bids[seats->bid];
    struct gen_node first = gen_node(&c->g->shape, seats->node);
    int64_t net = gen_net(c->g, b, first.region, first.sku);
    if (count != b->nodes)
        return wrong("not all of its nodes", seats->bid, seats->node);
    if (net < 0 || c->done[seats->bid]++)
        return wrong("a place it did not name, or twice", seats->bid, seats->node);
    for (size_t i = 0; i < count; i++) {
        struct gen_node n = gen_node(&c->g->shape, seats[i].node);
        if (anchor(&n, b->level) != anchor(&first, b->level) || n.sku != first.sku)
            return wrong("it does not hang together", seats->bid, seats[i].node);
        for (size_t j = 0; j < i && b->nodes > 1; j++)
            if (seats[j].node == seats[i].node)
                return wrong("two replicas on one node", seats->bid, seats[i].node);
        if (!seat_take(c, &seats[i]))
            return false;
        *surplus += (net - n.ask) * b->gpus;
    }
    return true;
}

int64_t eval_surplus(const struct gen *g, const struct gen_bid *bids, size_t count,
                     const struct seat *seats, size_t seat_count)
{
    struct check c = {g, bids, xcalloc(gen_node_count(&g->shape), 1), xcalloc(count, 1)};
    int64_t surplus = 0;
    for (size_t i = 0, end; i < seat_count; i = end) {
        for (end = i; end < seat_count && seats[end].bid == seats[i].bid;)
            end++;
        if (!gang_check(&c, seats + i, end - i, &surplus)) {
            surplus = -1;
            break;
        }
    }
    xfree(c.taken);
    xfree(c.done);
    return surplus;
}

/* ---- greedy
 * ------------------------------------------------------------------------------------------------
 */

/* Counts alone decide: nodes inside a rack are alike, and powers of two pack perfectly. */
struct rack {
    uint16_t by_free[GEN_GPUS + 1];
};
struct pool {
    uint32_t region, sku, count; /* racks */
    uint32_t *racks;             /* by fabric */
    uint32_t by_free[GEN_GPUS + 1];
};
struct greedy {
    const struct gen *g;
    struct rack *racks;
    uint32_t *fabric_free; /* whole nodes */
    struct pool *pools;
    uint32_t pool_count;
};

static void greedy_init(struct greedy *y, const struct gen *g)
{
    const struct gen_shape *s = &g->shape;
    uint32_t fabrics = s->regions * s->zones * s->fabrics;
    *y = (struct greedy){g, xcalloc(fabrics * s->racks, sizeof *y->racks),
                         xcalloc(fabrics, sizeof *y->fabric_free),
                         xcalloc(eval_pool_count(s), sizeof *y->pools), eval_pool_count(s)};
    for (uint32_t f = 0; f < fabrics; f++) {
        struct gen_node n = gen_node(s, f * s->racks * s->nodes);
        struct pool *p = &y->pools[eval_pool(s, n.zone, n.sku)];
        p->region = n.region;
        p->sku = n.sku;
        p->racks = xrealloc(p->racks, p->count + s->racks, sizeof *p->racks);
        for (uint32_t r = 0; r < s->racks; r++) {
            p->racks[p->count++] = f * s->racks + r;
            y->racks[f * s->racks + r].by_free[GEN_GPUS] = (uint16_t)s->nodes;
        }
        y->fabric_free[f] = s->racks * s->nodes;
        p->by_free[GEN_GPUS] += s->racks * s->nodes;
    }
}

static void greedy_fini(struct greedy *y)
{
    for (uint32_t i = 0; i < y->pool_count; i++)
        xfree(y->pools[i].racks);
    xfree(y->pools);
    xfree(y->racks);
    xfree(y->fabric_free);
}

static void greedy_take(struct greedy *y, struct pool *p, uint32_t rack, uint32_t free,
                        uint32_t gpus)
{
    y->racks[rack].by_free[free]--;
    y->racks[rack].by_free[free - gpus]++;
    p->by_free[free]--;
    p->by_free[free - gpus]++;
    if (free == GEN_GPUS)
        y->fabric_free[rack / y->g->shape.racks]--;
}

/* The fullest node that still holds it. */
static bool place_part(struct greedy *y, struct pool *p, uint32_t gpus)
{
    for (uint32_t free = gpus; free <= GEN_GPUS; free++)
        for (uint32_t i = 0; p->by_free[free] && i < p->count; i++)
            if (y->racks[p->racks[i]].by_free[free]) {
                greedy_take(y, p, p->racks[i], free, gpus);
                return true;
            }
    return false;
}

/* Whole nodes out of the racks [first, end) of the pool, fullest-free racks first. */
static void take_nodes(struct greedy *y, struct pool *p, uint32_t first, uint32_t end,
                       uint32_t nodes)
{
    while (nodes) {
        uint32_t best = first;
        for (uint32_t i = first; i < end; i++)
            if (y->racks[p->racks[i]].by_free[GEN_GPUS] >
                y->racks[p->racks[best]].by_free[GEN_GPUS])
                best = i;
        for (uint32_t k = MIN(nodes, y->racks[p->racks[best]].by_free[GEN_GPUS]); k > 0;
             k--, nodes--)
            greedy_take(y, p, p->racks[best], GEN_GPUS, GEN_GPUS);
    }
}

static bool place_rack(struct greedy *y, struct pool *p, uint32_t nodes)
{
    uint32_t best = UINT32_MAX, least = UINT32_MAX;
    for (uint32_t i = 0; i < p->count; i++) {
        uint32_t free = y->racks[p->racks[i]].by_free[GEN_GPUS];
        if (free >= nodes && free < least) {
            least = free;
            best = i;
        }
    }
    if (best == UINT32_MAX)
        return false;
    take_nodes(y, p, best, best + 1, nodes);
    return true;
}

static bool place_fabric(struct greedy *y, struct pool *p, uint32_t nodes)
{
    uint32_t racks = y->g->shape.racks, best = UINT32_MAX, least = UINT32_MAX;
    for (uint32_t i = 0; i < p->count; i += racks) {
        uint32_t free = y->fabric_free[p->racks[i] / racks];
        if (free >= nodes && free < least) {
            least = free;
            best = i;
        }
    }
    if (best == UINT32_MAX)
        return false;
    take_nodes(y, p, best, best + racks, nodes);
    return true;
}

static bool greedy_place(struct greedy *y, struct pool *p, const struct gen_bid *b)
{
    if (b->gpus < GEN_GPUS)
        return place_part(y, p, b->gpus);
    if (p->by_free[GEN_GPUS] < b->nodes)
        return false;
    if (b->level == LEVEL_RACK)
        return place_rack(y, p, b->nodes);
    if (b->level == LEVEL_FABRIC)
        return place_fabric(y, p, b->nodes);
    take_nodes(y, p, 0, p->count, b->nodes);
    return true;
}

struct ranked {
    int64_t value;
    uint32_t bid;
};

static int ranked_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct ranked *a = x, *b = y;
    int c = COMPARE(b->value, a->value);
    return c ? c : COMPARE(a->bid, b->bid);
}

static int64_t greedy_one(struct greedy *y, const struct gen_bid *b)
{
    bool tried[8 * 2 * GEN_SKUS] = {false};
    for (;;) {
        struct pool *best = NULL;
        int64_t most = -1;
        for (uint32_t i = 0; i < y->pool_count; i++) {
            struct pool *p = &y->pools[i];
            int64_t net = gen_net(y->g, b, p->region, p->sku);
            if (tried[i] || net < 0 || net - gen_ask(p->region, p->sku) <= most)
                continue;
            most = net - gen_ask(p->region, p->sku);
            best = p;
        }
        if (best == NULL)
            return 0;
        tried[best - y->pools] = true;
        if (greedy_place(y, best, b))
            return most * gen_bid_gpus(b);
    }
}

static int64_t top_value(const struct gen *g, const struct gen_bid *b)
{
    int64_t most = 0;
    for (uint32_t r = 0; r < g->shape.regions; r++)
        for (uint32_t k = 0; k < g->shape.skus; k++)
            most = MAX(most, gen_net(g, b, r, k));
    return most;
}

int64_t eval_greedy(const struct gen *g, const struct gen_bid *bids, size_t count)
{
    struct greedy y;
    greedy_init(&y, g);
    struct ranked *order = xcalloc(count, sizeof *order);
    for (size_t i = 0; i < count; i++)
        order[i] = (struct ranked){top_value(g, &bids[i]), (uint32_t)i};
    sort(order, count, sizeof *order, ranked_compare, NULL);
    int64_t surplus = 0;
    for (size_t i = 0; i < count; i++)
        surplus += greedy_one(&y, &bids[order[i].bid]);
    xfree(order);
    greedy_fini(&y);
    return surplus;
}
