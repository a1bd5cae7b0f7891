/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The dual of the pool relaxation (MARKET.md section 4):
 *
 *     D(π) = Σ over asks of units × max(0, π − ask) + Σ over bids of max(0, best of (v − t − π) q)
 *
 * one price a group of pools. Any prices give a bound on the surplus that could be had; the least
 * bound's prices guide who goes where. */

#include "market/market_internal.h"

struct ask_step {
    udollar ask;
    int64_t units, all; /* milli, of usable nodes: without and with what firm work takes */
};

struct dual_group {
    uint32_t first_pool, pool_count; /* in dual.pools */
    uint32_t first_step, step_count; /* in dual.asks, cheapest first */
    udollar lowest_ask;
    int64_t units, firm; /* milli, all steps: without firm work, and that */
    int64_t price;
    int64_t demand; /* milli, of the last evaluation */
    int64_t stride, pull; /* how far a price goes in a round, and where it went last */
    uint32_t first_use, use_count; /* in dual.uses */
};

/* A line of a curve with its group: y = (value × a − b), b = (transfer + price) × unit. */
struct slope {
    uint32_t group;
    int64_t a, unit, transfer; /* µ$ × SLOPE_ONE per µ$ */
    int64_t scale;             /* units there per million on the first line */
    int64_t quota;             /* units on the first line that the averages send there */
};
#define WARM_ROUNDS 40
#define COLD_ROUNDS 600
#define SLOPE_ONE 10000000
#define EXACT_BIDS 20000 /* with more than these in the book, rungs decide, not bids */

struct dual_curve {
    uint32_t curve;
    uint32_t first, count; /* in dual.slopes, steepest first */
};

struct dual {
    const struct market *m;
    struct dual_group *groups;
    uint32_t group_count, group_capacity;
    uint32_t *group_of; /* by pool */
    uint32_t *pools, pool_count;
    struct ask_step *asks;
    uint32_t ask_count, ask_capacity;
    struct dual_curve *curves;
    uint32_t curve_count, curve_capacity;
    uint32_t *curve_at; /* by curve: its index + 1 */
    struct slope *slopes;
    uint32_t slope_count, slope_capacity;
    uint32_t *uses; /* by group: dual curves that have it */
    uint64_t bid_count;
};

/* Groups, supply and curves as they stand; prices from the last guide. */
void dual_init(struct dual *d, struct market *m);
void dual_fini(struct dual *d);
/* `rounds` of the volume algorithm; leaves prices and quotas. */
void dual_solve(struct dual *d, uint32_t rounds);
/* Twice over the groups in order: each price goes to the least whole µ$ at which its demand fits. */
void dual_settle(struct dual *d);
/* Units (milli) with an ask at or below the price. */
int64_t group_supply(const struct dual *d, const struct dual_group *g, int64_t price);
/* Demand of one curve, by group, at the present prices; exact: rungs that a border cuts are met bid by bid. */
void curve_demand(struct dual *d, const struct dual_curve *c, bool exact);
/* D at the present prices, µ$ × thousandths an hour: from above, by rungs. Its share of supply alone. */
int128 dual_bound(struct dual *d);
int128 dual_supply_bound(const struct dual *d);
/* full.c: everything that waits, led by the quotas. */
void full_clear(struct market *m, struct dual *d);
/* The best margin of one bid at the present prices, exact; 0 where none is above 0. */
int64_t bid_margin(const struct dual *d, const struct bid *b, uint32_t *ret_group, int64_t *ret_units);
