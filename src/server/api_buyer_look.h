/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the buyer reads of the state, on a reader's thread. */

#include "providers/book.h"
#include "providers/plan.h"
#include "server/core.h"

#define DEMANDS_MOST 256
#define SEEN_KEYS_MOST 8

struct bought_view { /* of an order: its node and its keys */
    engine_id node;
    bool up, draining;
    size_t replicas;
    udollar ask;
    engine_id keys[SEEN_KEYS_MOST]; /* that live: tokens made for it, and its agent's key */
    size_t key_count;
};
void bought_look(const struct engine *e, const char *name, struct bought_view *ret);

struct demand_look {
    struct plan plan; /* without offers: only whether anything could be wanted */
    struct plan_demand demands[DEMANDS_MOST]; /* by limit, highest first; in the arena */
    size_t count;
};
/* Work that waits for a place, alone on one node, may be interrupted, and would pay for one of the offers. */
void demand_look(const struct core_view *view, struct id_key ids, struct arena *arena, struct demand_look *d);
