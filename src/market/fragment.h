/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What placing a part of a node costs those who come later: the loss of placeable demand. After FGD
 * (Weng et al., "Beware of Fragmentation", ATC 2023), with two terms more.
 *
 * Known of later arrivals is how often each shape is asked for. A node's fragments are
 *
 *     sum over shapes of share x idle GPU of the node that this shape could not use
 *     + idle GPU for which the node has no cores left, at the demand's cores per GPU
 *
 * and a placement's loss is what it adds to them, plus the GPU that it takes x the scarcity of that
 * pool: the share of demand that may use the pool, over the share of idle GPU that it may use,
 * summed over shapes. So a replica that may go anywhere leaves alone what others can only use, and
 * one that wants many cores goes where cores are plenty. */

#include "market/market.h"

#define FRAGMENT_ONE (1 << 20) /* shares are in parts of this */
#define FRAGMENT_SHAPES_MAX 256

struct room;

struct fragment_shape {
    struct market_amounts amounts; /* per replica: whole GPUs, or one share below 1,000; or none */
    int64_t count;                 /* how often it is asked for */
    const uint64_t *pools;         /* bit p: pool p meets its criteria */
};

struct fragment;

/* `pools` of every shape: `words` words, copied. Without a shape that takes GPUs every loss is 0.
 */
struct fragment *fragment_new(const struct fragment_shape *shapes, uint32_t count, uint32_t words);
void fragment_free(struct fragment *f);

/* Fragments of a node of that pool with `gpus` GPUs, in thousandths of a GPU x FRAGMENT_ONE. */
struct fragment_node {
    const struct room *room;
    uint32_t pool, gpus;
};
int64_t fragment_of(const struct fragment *f, const struct fragment_node *n);

/* Writes the scarcity of each pool, in parts of FRAGMENT_ONE: times thousandths of a GPU taken it
 * adds to a loss. `idle`: thousandths of GPU idle in each pool. */
void fragment_scarcity(const struct fragment *f, const int64_t *idle, int64_t *ret, uint32_t pools);
