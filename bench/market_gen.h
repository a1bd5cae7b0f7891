/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The market benchmark's fleets and bids (MARKET.md section 16), from a seed, by integers alone. A
 * fleet is regions × zones × fabrics × racks × nodes of 8 GPUs, one SKU a fabric; bids come in 400
 * classes that differ in SKUs, regions, speeds and where their data lies. */

#include "base/hash.h"
#include "market/market.h"

#define GEN_GPUS 8
#define GEN_SKUS 4
#define GEN_CLASSES 400
#define GEN_TENANTS 1000
#define GEN_RESTART 200000  /* µ$ a GPU */
#define GEN_TRANSFER 150000 /* µ$ per GPU-hour outside the region of the data */
#define GEN_NOTICE 30000

struct gen_shape {
    uint32_t regions, zones, fabrics, racks, nodes; /* each of the one before it */
    uint32_t skus;
    uint32_t most_nodes; /* larger gangs are drawn again; 0 = none are */
};
/* 98,304 GPUs; 1,024 GPUs with gangs of at most 10 nodes. */
struct gen_shape gen_shape_full(void);
struct gen_shape gen_shape_small(void);
/* For growth: 9,984 GPUs times `scale`; fabrics are added, pools and classes stay. */
struct gen_shape gen_shape_growth(uint32_t scale);
uint32_t gen_node_count(const struct gen_shape *s);
static inline uint64_t gen_gpu_count(const struct gen_shape *s)
{
    return (uint64_t)gen_node_count(s) * GEN_GPUS;
}

struct gen_node {
    uint32_t region, zone, fabric, rack,
        sku; /* zone, fabric and rack counted over the whole fleet */
    udollar ask;
};
struct gen_node gen_node(const struct gen_shape *s, uint32_t index);
udollar gen_ask(uint32_t region, uint32_t sku);

struct gen_class {
    uint8_t skus, regions;    /* bit sets */
    uint16_t speed[GEN_SKUS]; /* 1024 = the speed the value is stated for */
    int8_t data_region;       /* −1: none, no transfer anywhere */
};
struct gen_bid {
    uint16_t class, nodes;
    uint8_t gpus, level; /* of a node; enum market_level */
    udollar value;       /* per GPU-hour at speed 1024 */
};

struct gen {
    struct gen_shape shape;
    struct prng random;
    bool gangs; /* only whole nodes, two or more */
    struct gen_class classes[GEN_CLASSES];
};
void gen_init(struct gen *g, struct gen_shape shape, bool gangs, uint64_t seed);
struct gen_bid gen_bid(struct gen *g);
static inline int64_t gen_bid_gpus(const struct gen_bid *b)
{
    return (int64_t)b->nodes * b->gpus;
}
/* What a GPU-hour of that SKU is worth to the bid there, transfer taken off; −1 where it may not
 * run. */
int64_t gen_net(const struct gen *g, const struct gen_bid *b, uint32_t region, uint32_t sku);

/* The same as the market wants to hear it. */
struct gen_spec {
    struct market_role role;
    struct market_alternative alternatives[MARKET_ALTERNATIVES_MAX];
    struct market_choice choices[MARKET_ALTERNATIVES_MAX];
    struct market_bid bid; /* points into this struct */
};
void gen_spec(const struct gen *g, const struct gen_bid *b, market_id id, market_id tenant,
              struct gen_spec *ret);
struct market_node gen_market_node(const struct gen_shape *s, uint32_t index);
/* Ids of nodes are their index + 1; of regions, zones, SKUs likewise. */
