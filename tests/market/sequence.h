/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Random sequences of events, as lines of a scenario file: what a seed means, and the shortest part
 * of it that still fails. */

#include "scenario.h"

/* Steps: each is a statement with the lines that belong to it. The first `fixed` of them set the
 * scene and stay. */
struct sequence {
    uint64_t seed;
    struct buf *steps;
    size_t count, capacity, fixed;
};

/* Seeds from here on draw owners and large tenants besides; the others mean what they always meant. */
#define SEED_MORE ((uint64_t)1 << 20)
/* Seeds from here on come to rest at their end, and are looked at there. */
#define SEED_STILL ((uint64_t)1 << 21)
/* Seeds from here on have bids with deadlines; about every second one loses nodes, too. */
#define SEED_DEADLINE ((uint64_t)1 << 22)
/* Seeds from here on have subscriptions to tiers. */
#define SEED_TIERS ((uint64_t)1 << 23)
void sequence_make(struct sequence *q, uint64_t seed, size_t steps);
void sequence_fini(struct sequence *q);
/* All of it as the text of a scenario file. */
void sequence_text(const struct sequence *q, struct buf *out);

/* How a sequence is played. */
struct manner {
    uint64_t reload_every; /* steps; 0 = never */
    bool reverse;          /* the commands of every batch the other way round */
    FILE *trace;
};
/* In a process of its own, so that an abort is a result: true where nothing went wrong; the digest
 * of all events and of the outcome, and what was printed, come back. */
struct played {
    uint64_t digest, outcome, cases; /* cases: charged leases compared with a freer self */
    struct buf output;
};
bool sequence_play(const struct sequence *q, struct manner manner, struct played *ret);
/* Takes steps out as long as what is left still fails; `fails` is asked. */
void sequence_shrink(struct sequence *q, bool (*fails)(const struct sequence *q));
