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
    const struct curve *book; /* its ladder: the curve's own, or of those bids alone that count here */
    market_id owner;          /* of those bids: pools that it sells in are left out; 0 = the rest */
};

/* Whose demand counts. */
struct dual_scope {
    bool affiliates;  /* what a seller's affiliates bid in its pools is left out: the menu; false: the bound */
    bool apart;       /* all ladders are copies: the market is left untouched */
    uint32_t without; /* a tenant, with its affiliates, that is left out altogether; 0 = none */
    const struct dual *base; /* apart: the ladders that do not differ are borrowed from it */
    const uint32_t *bids;    /* where given: nobody else's bids are left out or aside */
    uint32_t bid_count;
};

struct fate { /* of a tenant's bids */
    market_id owner; /* that sells somewhere, too; 0 = none */
    bool out;
};

struct sold { /* nodes of this owner stand in this pool */
    uint32_t pool;
    market_id owner;
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
    struct dual_scope scope;
    struct fate *fates; /* by tenant; NULL where everybody's bids count alike */
    struct sold *sold;  /* by pool */
    uint32_t sold_count, sold_capacity;
    struct curve **books; /* copies */
    uint32_t book_count, book_capacity;
    uint64_t bid_count;
};

/* Groups, supply and curves as they stand; prices from the last guide. */
void dual_init(struct dual *d, struct market *m, struct dual_scope scope);
void dual_fini(struct dual *d);
/* `rounds` of the volume algorithm; leaves prices and quotas. */
void dual_solve(struct dual *d, uint32_t rounds);
/* Twice over the groups in order: each price goes to the least whole µ$ at which its demand fits. */
void dual_settle(struct dual *d);
/* The same for one group, the others' prices held. */
void dual_settle_group(struct dual *d, struct dual_group *g);
/* What of D at the present prices has to do with a group: its supply, and all demand that may use it. */
int128 dual_bound_group(struct dual *d, const struct dual_group *g);
/* Whether some demand may choose between groups. */
bool dual_is_joined(const struct dual *d);
/* Units (milli) with an ask at or below the price. */
int64_t group_supply(const struct dual *d, const struct dual_group *g, int64_t price);
/* Demand of one curve, by group, at the present prices; exact: rungs that a border cuts are met bid by bid. */
void curve_demand(struct dual *d, const struct dual_curve *c, bool exact);
/* D at the present prices, µ$ × thousandths an hour: from above, by rungs. Its share of supply alone. */
int128 dual_bound(struct dual *d);
int128 dual_supply_bound(const struct dual *d);
/* demand.c: the ladders that count, by dual_curve_add; what is known of sellers comes first. */
void dual_sellers_find(struct dual *d);
void dual_books_find(struct dual *d, struct market *m);
void dual_books_fini(struct dual *d);
void dual_curve_add(struct dual *d, uint32_t curve, const struct curve *book, market_id owner);
/* Whether that owner's bids are not counted in the pool. */
bool dual_leaves_out(const struct dual *d, uint32_t pool, market_id owner);
/* Pools that different owners sell in do not share a price. */
uint64_t dual_owners_sign(const struct dual *d, uint32_t pool);
/* full.c: everything that waits, led by the quotas. */
void full_clear(struct market *m, struct dual *d);
/* The best margin of one bid at the present prices, exact; 0 where none is above 0. */
int64_t bid_margin(const struct dual *d, const struct bid *b, uint32_t *ret_group, int64_t *ret_units);
