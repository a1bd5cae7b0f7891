/* SPDX-License-Identifier: Apache-2.0 */
/* What clouds offer and at what price, as a fleet: one node an offer. */
#include "sim/cluster.h"

#include "sim/csv.h"

#include <stdio.h>

#define CORES_PER_GPU 12 /* of what is sold as a GPU alone, to be had with any machine */
#define MIB_PER_GPU ((int64_t)96 * 1024)
#define AMOUNT_MAX ((int64_t)1 << 31)

enum { DATE, PROVIDER, INSTANCE, GPU, GPU_COUNT, CPUS, MEMORY, REGION, ZONE, ON_DEMAND, SPOT };
static const struct csv_column columns[] = {
    [DATE] = {"date|unix_time|time", true},
    [PROVIDER] = {"provider|cloud", true},
    [INSTANCE] = {"instance", false},
    [GPU] = {"gpu", false},
    [GPU_COUNT] = {"gpu_count", false},
    [CPUS] = {"vcpus", true},
    [MEMORY] = {"memory_gib", true},
    [REGION] = {"region", true},
    [ZONE] = {"zone", true},
    [ON_DEMAND] = {"ondemand_usd_h", false},
    [SPOT] = {"spot_usd_h", true},
};

/* Prices are of the whole instance; what has no spot is to be had on demand. */
static int prices_read(const struct csv *c, int64_t gpus, struct cluster_node *node, struct error *err)
{
    struct csv_range money = {1000000, 0, (int64_t)1000000 * 1000000};
    int status = csv_number(c, ON_DEMAND, money, &node->on_demand, err);
    node->ask = node->on_demand;
    if (status == 0)
        status = csv_number_given(c, SPOT, money, &node->ask, err);
    node->on_demand /= gpus;
    node->ask /= gpus;
    return status;
}

static int offer_read(const struct csv *c, struct cluster_node *node, struct error *err)
{
    int64_t gpus, mib;
    if (c->fields[DATE].size)
        return csv_fail(c, err, "date: a series of prices is not a fleet; keep one row an offer");
    int status = csv_number(c, GPU_COUNT, (struct csv_range){1, 1, MARKET_NODE_GPUS_MAX}, &gpus, err);
    if (status)
        return status;
    *node = (struct cluster_node){.accelerator = c->fields[GPU]};
    if (!str_is(c->fields[INSTANCE], "-"))
        node->sku = c->fields[INSTANCE];
    node->amounts = (struct market_amounts){.gpu_milli = gpus * 1000, .core_milli = gpus * CORES_PER_GPU * 1000};
    mib = gpus * MIB_PER_GPU * 1000;
    status = csv_number_given(c, CPUS, (struct csv_range){1000, 0, AMOUNT_MAX}, &node->amounts.core_milli, err);
    if (status == 0)
        status = csv_number_given(c, MEMORY, (struct csv_range){1024 * 1000, 0, AMOUNT_MAX * 1000}, &mib, err);
    node->amounts.memory_mib = mib / 1000;
    return status ? status : prices_read(c, gpus, node, err);
}

static void offer_add(struct cluster *cluster, const struct csv *c, struct cluster_node *node)
{
    char zone[200];
    struct str place = c->fields[ZONE].size ? c->fields[ZONE] : c->fields[REGION];
    snprintf(zone, sizeof zone, "%.*s%s%.*s", (int)MIN(c->fields[PROVIDER].size, 60), c->fields[PROVIDER].data,
             c->fields[PROVIDER].size ? "/" : "", (int)MIN(place.size, 90), place.data);
    node->zone = str_from(zone);
    cluster_add(cluster, node);
}

int cluster_parse_offers(struct cluster *cluster, const char *file, struct buf *text, struct error *err)
{
    struct csv_form form = {columns, sizeof columns / sizeof *columns};
    struct cluster_node node;
    struct csv c;
    int status = csv_open(&c, file, text, &form, err);
    while (status == 0 && (status = csv_next(&c, err)) == 1) {
        status = 0;
        if (c.fields[ON_DEMAND].size == 0 && c.fields[DATE].size == 0)
            continue; /* listed, not sold */
        status = offer_read(&c, &node, err);
        if (status == 0 && cluster->count == CLUSTER_NODES_MAX)
            return csv_fail(&c, err, "more than %d nodes", CLUSTER_NODES_MAX);
        if (status == 0)
            offer_add(cluster, &c, &node);
    }
    return status;
}
