/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Alibaba's openb traces (cluster-trace-gpu-v2023): nodes and pods, and how the authors of FGD
 * (Weng et al., ATC 2023) make a run of them. */

#include "sim/fleet.h"

#include "base/buf.h"
#include "base/error.h"

struct openb {
    struct fleet fleet;   /* nodes by name */
    struct shape *shapes; /* most frequent first, then as they came */
    int64_t *counts;      /* pods of each in the list */
    size_t shape_count, shape_capacity;
    uint32_t *pods; /* shapes, by name of the pod */
    size_t pod_count, pod_capacity;
    struct buf node_text, pod_text; /* what names borrow from */
};

int openb_read_nodes(struct openb *o, const char *path, struct error *err);
/* After the nodes: models are theirs. */
int openb_read_pods(struct openb *o, const char *path, struct error *err);
int openb_parse_nodes(struct openb *o, const char *file,
                      struct error *err); /* node_text is there */
int openb_parse_pods(struct openb *o, const char *file, struct error *err);
void openb_fini(struct openb *o);

/* One run's arrivals: the list shuffled by the seed, then, until it asks for `saturate_milli`
 * thousandths of the fleet's GPUs, clones of pods drawn from it, or with pods drawn from it taken
 * away. The caller frees. */
uint32_t *openb_arrivals(const struct openb *o, uint64_t seed, int64_t saturate_milli,
                         size_t *ret_count);
/* The order of ties: the nodes shuffled by the seed (the authors prefix names with a random rank).
 */
void openb_shuffle_nodes(struct openb *o, uint64_t seed);
