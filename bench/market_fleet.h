/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A fleet of the generator with its market: hands over nodes and bids, follows what is decided, and
 * does at once what agents would do. Every call of market_apply is timed. */

#include "market_eval.h"

#include "base/memory.h"

struct place { /* of one bid */
    uint32_t attempt, count,
        at_running;  /* at_running: its index in fleet.running, UINT32_MAX where it is not there */
    uint32_t *nodes; /* one a replica */
    uint64_t gpus;   /* of the only replica where it takes a part of a node; else all */
};

struct fleet {
    struct gen gen;
    struct market *market;
    struct market_events events;
    struct gen_bid *bids; /* bid i has id i + 1 */
    size_t bid_count, bid_capacity;
    struct place *places;
    size_t place_capacity;
    uint32_t *running;
    size_t running_count, running_capacity;
    struct market_command *reply; /* what agents say to the last batch */
    size_t reply_count, reply_capacity;
    time_ms now;
    uint32_t large; /* so many tenants own 1/16 of the bids each */
    double longest; /* seconds, of any apply so far */
    uint64_t refused;
    int64_t surplus, bound; /* of the last tick; −1 before the first */
};

void fleet_init(struct fleet *f, struct gen_shape shape, bool gangs, uint64_t seed);
void fleet_fini(struct fleet *f);
/* Adds `count` generated bids to the book, where nothing starts yet. */
void fleet_fill(struct fleet *f, size_t count);
/* The book is cleared from cold, with guide and bound; returns seconds. */
double fleet_clear(struct fleet *f);
/* Applies one batch and follows its events; returns seconds. */
double fleet_apply(struct fleet *f, const struct market_command *commands, size_t count);
/* Lets agents answer until nothing is left to say. */
void fleet_settle(struct fleet *f);
double fleet_tick(struct fleet *f);
/* One more generated bid; the command points into *spec. */
struct market_command fleet_next_bid(struct fleet *f, struct gen_spec *spec);
/* A running workload, by chance, ends. */
struct market_command fleet_departure(struct fleet *f);
/* Everything that stands, for eval_surplus; owned by the caller. */
struct seat *fleet_seats(const struct fleet *f, size_t *ret_count);
/* The guides, by eval_pool; owned by the caller. */
udollar *fleet_prices(const struct fleet *f);

double seconds_now(void);
/* Resident size now and at its highest, MB. */
double memory_now(void);
double memory_peak(void);
