/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the benchmark knows without asking the market: the bound that a vector of prices certifies,
 * what an allocation is worth, whether it is one at all, and what plain price-ordered greedy gets.
 * All from the raw bids. Rates are µ$ an hour. */

#include "market_gen.h"

/* Pools of the generator: one a zone and SKU. */
static inline uint32_t eval_pool(const struct gen_shape *s, uint32_t zone, uint32_t sku)
{
    return zone * s->skus + sku;
}
static inline uint32_t eval_pool_count(const struct gen_shape *s)
{
    return s->regions * s->zones * s->skus;
}

/* Σ units × max(0, π − ask) + Σ over bids of max(0, best net − π) × GPUs. */
int64_t eval_bound(const struct gen *g, const struct gen_bid *bids, size_t count,
                   const udollar *prices);

/* Where replicas stand. */
struct seat {
    uint32_t bid, node;
    uint64_t gpus;
};
/* Surplus of the seats (grouped by bid, in any order of bids); −1 and a reason on standard error
 * where they are not an allocation. */
int64_t eval_surplus(const struct gen *g, const struct gen_bid *bids, size_t count,
                     const struct seat *seats, size_t seat_count);

/* Bids by value less transfer, dearest first, each at the site of the best net that holds it. */
int64_t eval_greedy(const struct gen *g, const struct gen_bid *bids, size_t count);
