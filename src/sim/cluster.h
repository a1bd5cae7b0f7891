/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The nodes that a simulation runs on: from our own file, from Slurm, from Kubernetes. */

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/number.h"
#include "market/market.h"

struct cluster_node {
    struct str name, sku, accelerator; /* accelerator: empty = CPU only */
    struct str zone, fabric, rack;
    struct market_amounts amounts;
    udollar ask;       /* marginal cost, µ$ per unit-hour */
    udollar on_demand; /* what its like costs elsewhere, at once: values are told in it */
};

struct cluster {
    struct cluster_node *nodes; /* as they came */
    size_t count, capacity;
    struct arena texts;
};

/* Where a file says nothing of prices: µ$ per GPU-hour and per core-hour. The ask is power and wear
 * of an eight-GPU node; see docs/sim.md for the sums. */
#define CLUSTER_GPU_ASK 200000
#define CLUSTER_GPU_ON_DEMAND 2500000
#define CLUSTER_CORE_ASK 4000
#define CLUSTER_CORE_ON_DEMAND 40000

#define CLUSTER_NODES_MAX 200000

void cluster_fini(struct cluster *c);
/* Copies the node; empty names, SKU and prices get their defaults. */
void cluster_add(struct cluster *c, const struct cluster_node *node);
/* Units of a node in thousandths: GPUs, or cores where it has none. */
int64_t cluster_node_units_milli(const struct cluster_node *node);
int64_t cluster_units_milli(const struct cluster *c);

/* The form is told by the content: `kubectl get nodes -o json`, a table of `sinfo`, price lists of
 * clouds (ondemand_usd_h), or our own columns. Errors name the file and what to do. */
int cluster_read(struct cluster *c, const char *path, struct error *err);
int cluster_parse(struct cluster *c, const char *file, struct buf *text, struct error *err);
int cluster_parse_own(struct cluster *c, const char *file, struct buf *text, struct error *err);
int cluster_parse_sinfo(struct cluster *c, const char *file, struct buf *text, struct error *err);
int cluster_parse_offers(struct cluster *c, const char *file, struct buf *text, struct error *err);
int cluster_parse_kubectl(struct cluster *c, const char *file, struct buf *text, struct error *err);
