/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The production engine as a scheduler of virtual time: the same commands that a server gives it,
 * in batches as they come, a tick as often as a server's; nothing of the market stands here. */

#include "engine/engine.h"
#include "sim/world.h"

struct market_setting_value {
    int name; /* enum engine_setting or market_setting */
    int64_t value;
};

/* Capacity that a tenant has bought ahead. */
struct sim_reservation {
    struct str tenant, name;
    uint32_t nodes;
    struct market_amounts amounts; /* of each */
    time_ms from, to;              /* from the trace's start */
    udollar limit;                 /* µ$ per unit-hour; -1: at what it costs */
    bool keep_idle;                /* not lent */
};

/* What the market did beside what stands in the jobs. */
struct market_record {
    const struct market_setting_value *settings; /* in: set before the first command */
    size_t setting_count;
    const struct sim_reservation *reservations; /* in: asked for at the start */
    size_t reservation_count;
    /* out */
    uint64_t ticks, batches, preemptions, moves;
    uint64_t bought;           /* of the reservations */
    udollar reserved, resold; /* charged for them; got for what was lent of them (negative) */
    udollar charged;       /* all that was charged, refunds taken off */
    int128 surplus, bound; /* certified at ticks, sums */
    uint64_t gaps;
    uint64_t digest;               /* of everything decided */
    struct market_sample *samples; /* what stood posted, pool by pool */
    size_t sample_count, sample_capacity;
    time_ms every; /* in: between samples of a pool; 0: none are kept */
};

struct market_sample {
    time_ms at;
    uint32_t pool; /* in the order of the engine's */
    udollar post, lowest_ask;
    int64_t used_milli, free_milli, wanted_milli;
};

/* Its context is a market_record. */
extern const struct scheduler scheduler_market;
void market_record_fini(struct market_record *record);
