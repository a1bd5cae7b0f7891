/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Headroom for tight starts (MARKET.md section 10). A subscription of a tier says how many units a project may
 * start within the tier's time. Each unit that it has not in use is a virtual bid worth what a unit-hour that
 * cannot start costs (SETTING_TIERn_LOSS), and stands on a node: there a hold is. It is met by what is free, and
 * by preemptible work that leaves in the tier's time, notice and kill time counted; that is credited for it.
 * Whatever cannot leave in time starts on such a node only beside the hold.
 *
 * Where the holds stand is worked out anew from the rest of the state, before each clearing and after it, so
 * that no snapshot has them. */

#include "market/market_internal.h"
#include "market/refusal.h"

struct subscription {
    uint32_t tenant; /* 0: a free slot */
    struct market_choice choice;
    uint32_t tier;
    int64_t units_milli;
    udollar rate;    /* per unit-hour of what is held */
    bool unpaid;     /* its project cannot pay for another tick: nothing is held */
    time_ms accrued_to;
    int128 sum;      /* milli-rate × ms */
    udollar booked, escrow; /* escrow: of a tick of all of it, where its project has a budget */
    int64_t used_milli; /* of leases that it started */
    int64_t held_milli; /* as the holds stand */
};

struct hold {
    uint32_t node, subscription;
    uint32_t next; /* on the node: 1 + its place; 0 = none */
    int64_t units_milli;
    struct market_amounts amounts;
};

/* What a tier's headroom in a pool is worth, as last posted. */
struct headroom_price {
    int64_t held_milli, free_milli, eligible_milli; /* free: of it, on nobody's node */
    udollar price, credit;
    time_ms notice; /* with as much at most one has the credit */
};

struct headroom {
    struct subscription *subscriptions; /* slot 0 is not used */
    uint32_t subscription_count, subscription_capacity, live;
    struct hold *holds;
    uint32_t hold_count, hold_capacity;
    struct headroom_price *prices; /* pool × MARKET_TIERS + tier − 1 */
    uint32_t price_pools;
};

struct headroom *headroom_new(void);
void headroom_free(struct headroom *h);
/* Where the holds stand, anew. */
void headroom_build(struct market *m);
/* The same; where a node is not held any more and something of it is free its pool is dirty: true where there is one. */
bool headroom_settle(struct market *m);
/* The same before a clearing; at a tick, what displaces for it leaves. */
void headroom_run(struct market *m);
/* Prices and credits of the tick, after the menu. */
void headroom_post(struct market *m);
void headroom_check(const struct market *m);
/* Time that a tier is promised; a higher tier never waits longer than a lower. */
time_ms headroom_start(const struct market *m, uint32_t tier);

/* ---- subscription.c --------------------------------------------------------------------------------------- */

struct refusal subscription_set(struct market *m, const struct market_command *c);
/* At a tick, before the sellers are paid. */
void settle_subscriptions(struct market *m);
/* Most of what is held for it on one node that is free in time. */
int64_t headroom_ready(const struct market *m, uint32_t subscription);
bool subscription_matches(const struct subscription *s, const struct pool *p);
void headroom_pack(const struct market *m, struct buf *out);
/* False where the bytes are not of this format. */
bool headroom_unpack(struct market *m, struct unpack *in);
