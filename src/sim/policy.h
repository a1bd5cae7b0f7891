/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Baselines: policies that the daemon does not have, for comparison only, behind one small
 * interface over one topology. The market is not one of them: it runs through its own code. */

#include "sim/fleet.h"

#include "base/hash.h"

struct policy_state {
    const struct fleet *fleet;
    const struct shape *shapes; /* all that are ever asked for */
    const int64_t *counts;      /* how often: what is known of later arrivals */
    size_t shape_count;
    struct prng random;
    void *own;
};

struct policy {
    const char *name, *doc;
    void (*start)(struct policy_state *state); /* NULL: nothing to do */
    void (*stop)(struct policy_state *state);  /* NULL: nothing to give back */
    /* The place for one replica at its arrival, among the nodes that it fits; .node SIZE_MAX where
     * there is none. The runner takes the place, then tells `placed`. */
    struct placing (*place)(struct policy_state *state, size_t shape);
    void (*placed)(struct policy_state *state, struct placing at); /* NULL: not wanted */
};

extern const struct policy policy_random, policy_bestfit, policy_fgd, policy_market;
