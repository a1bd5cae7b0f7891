/* SPDX-License-Identifier: Apache-2.0 */
/* Placing one pod at a time: at random, and by best fit over cores and GPUs. */
#include "sim/policy.h"

#define NOWHERE ((struct placing){SIZE_MAX, 0})

/* A random GPU among those that hold a share; whole GPUs are alike. */
static uint64_t gpus_random(struct policy_state *state, const struct fleet_node *n,
                            const struct shape *s)
{
    if (s->gpu_count != 1 || s->gpu_milli == GPU_MILLI)
        return node_gpus(n, s);
    uint64_t fit = 0, seen = 0;
    for (int64_t i = 0; i < n->gpu_count; i++)
        if (n->free_gpu[i] >= s->gpu_milli && prng_below(&state->random, ++seen) == 0)
            fit = UINT64_C(1) << i;
    return fit;
}

static struct placing random_place(struct policy_state *state, size_t shape)
{
    const struct shape *s = &state->shapes[shape];
    struct placing at = NOWHERE;
    uint64_t seen = 0;
    for (size_t i = 0; i < state->fleet->count; i++)
        if (node_fits(&state->fleet->nodes[i], s) && prng_below(&state->random, ++seen) == 0)
            at.node = i;
    if (at.node != SIZE_MAX)
        at.gpus = gpus_random(state, &state->fleet->nodes[at.node], s);
    return at;
}

/* 100 x (1 - half the cores left of 128 - half the GPUs left of 8), in whole points as the authors
 * of FGD have it. */
static int64_t bestfit_score(const struct fleet_node *n, const struct shape *s)
{
    int64_t cores = n->free_core_milli - s->core_milli;
    int64_t gpus = n->free_gpu_milli - s->gpu_count * s->gpu_milli;
    return (256000 - cores - gpus * 16) * 100 / 256000;
}

static struct placing bestfit_place(struct policy_state *state, size_t shape)
{
    const struct shape *s = &state->shapes[shape];
    struct placing at = NOWHERE;
    int64_t best = 0;
    for (size_t i = 0; i < state->fleet->count; i++) {
        const struct fleet_node *n = &state->fleet->nodes[i];
        if (!node_fits(n, s))
            continue;
        int64_t score = bestfit_score(n, s);
        if (at.node == SIZE_MAX || score > best) {
            at = (struct placing){i, node_gpus(n, s)};
            best = score;
        }
    }
    return at;
}

const struct policy policy_random = {
    .name = "random", .doc = "any node that fits, any GPU of it", .place = random_place};
const struct policy policy_bestfit = {.name = "bestfit",
                                      .doc = "the node with the fewest cores and GPUs left over",
                                      .place = bestfit_place};
