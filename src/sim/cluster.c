/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/cluster.h"

#include "base/memory.h"
#include "sim/csv.h"
#include "sim/input.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#define AMOUNT_MAX ((int64_t)1 << 31)

void cluster_fini(struct cluster *c)
{
    xfree(c->nodes);
    arena_fini(&c->texts);
    *c = (struct cluster){};
}

int64_t cluster_node_units_milli(const struct cluster_node *node)
{
    return node->amounts.gpu_milli ? node->amounts.gpu_milli : node->amounts.core_milli;
}

int64_t cluster_units_milli(const struct cluster *c)
{
    int64_t sum = 0;
    for (size_t i = 0; i < c->count; i++)
        sum += cluster_node_units_milli(&c->nodes[i]);
    return sum;
}

static struct str text_or(struct cluster *c, struct str text, const char *otherwise)
{
    return arena_str(&c->texts, text.size ? text : str_from(otherwise));
}

/* "h100-8x"; without GPUs "cpu-96". */
static struct str sku_of(struct cluster *c, const struct cluster_node *node)
{
    char text[96];
    int64_t gpus = node->amounts.gpu_milli / 1000;
    int size =
        gpus
            ? snprintf(text, sizeof text, "%.*s-%lldx", (int)MIN(node->accelerator.size, 60),
                       node->accelerator.data, (long long)gpus)
            : snprintf(text, sizeof text, "cpu-%lld", (long long)(node->amounts.core_milli / 1000));
    for (int i = 0; i < size; i++)
        text[i] = (char)tolower((unsigned char)text[i]);
    return arena_str(&c->texts, str_from(text));
}

void cluster_add(struct cluster *c, const struct cluster_node *node)
{
    char name[32];
    ARRAY_RESERVE(c->nodes, c->count, c->capacity);
    struct cluster_node *own = &c->nodes[c->count];
    bool gpus = node->amounts.gpu_milli > 0;
    *own = *node;
    snprintf(name, sizeof name, "node-%zu", ++c->count);
    own->name = text_or(c, node->name, name);
    own->accelerator = gpus ? text_or(c, node->accelerator, "GPU") : (struct str){0};
    own->sku = node->sku.size ? arena_str(&c->texts, node->sku) : sku_of(c, own);
    own->zone = text_or(c, node->zone, "a");
    own->fabric = text_or(c, node->fabric, "fabric-1");
    own->rack = text_or(c, node->rack, "rack-1");
    own->ask = node->ask >= 0 ? node->ask : gpus ? CLUSTER_GPU_ASK : CLUSTER_CORE_ASK;
    own->on_demand = node->on_demand >= 0 ? node->on_demand
                     : gpus               ? CLUSTER_GPU_ON_DEMAND
                                          : CLUSTER_CORE_ON_DEMAND;
}

/* ---- our own columns ---- */

enum {
    COUNT,
    NAME,
    SKU,
    ACCELERATOR,
    GPUS,
    CPUS,
    MEMORY,
    ZONE,
    FABRIC,
    RACK,
    PER_RACK,
    ASK,
    ON_DEMAND
};
static const struct csv_column columns[] = {
    [COUNT] = {"count", true},
    [NAME] = {"name", true},
    [SKU] = {"sku", true},
    [ACCELERATOR] = {"accelerator|model", true},
    [GPUS] = {"gpus|gpu", false},
    [CPUS] = {"cpus", false},
    [MEMORY] = {"memory_gb", false},
    [ZONE] = {"zone", true},
    [FABRIC] = {"fabric", true},
    [RACK] = {"rack", true},
    [PER_RACK] = {"per_rack", true},
    [ASK] = {"ask", true},
    [ON_DEMAND] = {"on_demand", true},
};

struct group {
    struct cluster_node node;
    int64_t count, per_rack;
};

static int amounts_read(const struct csv *c, struct market_amounts *ret, struct error *err)
{
    int64_t gpus, mib;
    int status = csv_number(c, GPUS, (struct csv_range){1, 0, MARKET_NODE_GPUS_MAX}, &gpus, err);
    if (status == 0)
        status =
            csv_number(c, CPUS, (struct csv_range){1000, 0, AMOUNT_MAX}, &ret->core_milli, err);
    if (status == 0)
        status =
            csv_number(c, MEMORY, (struct csv_range){1024 * 1000, 0, AMOUNT_MAX * 1000}, &mib, err);
    if (status)
        return status;
    ret->gpu_milli = gpus * 1000;
    ret->memory_mib = mib / 1000;
    if (gpus == 0 && ret->core_milli == 0)
        return csv_fail(c, err, "gpus, cpus: one of them must be above 0");
    return 0;
}

static int group_read(const struct csv *c, struct group *ret, struct error *err)
{
    struct csv_range money = {1000000, 0, (int64_t)1000000 * 1000000};
    struct csv_range nodes = {1, 1, CLUSTER_NODES_MAX};
    struct cluster_node *node = &ret->node;
    *ret = (struct group){.count = 1,
                          .node = {.name = c->fields[NAME],
                                   .sku = c->fields[SKU],
                                   .accelerator = c->fields[ACCELERATOR],
                                   .zone = c->fields[ZONE],
                                   .fabric = c->fields[FABRIC],
                                   .rack = c->fields[RACK],
                                   .ask = -1,
                                   .on_demand = -1}};
    int status = amounts_read(c, &node->amounts, err);
    if (status == 0)
        status = csv_number_given(c, COUNT, nodes, &ret->count, err);
    if (status == 0)
        status = csv_number_given(c, PER_RACK, nodes, &ret->per_rack, err);
    if (status == 0)
        status = csv_number_given(c, ASK, money, &node->ask, err);
    return status ? status : csv_number_given(c, ON_DEMAND, money, &node->on_demand, err);
}

/* Groups get names by number, and racks where the file only says how many nodes one holds. */
static void group_add(struct cluster *c, const struct group *g, size_t number)
{
    char name[128], rack[64];
    for (int64_t i = 0; i < g->count; i++) {
        struct cluster_node node = g->node;
        if (g->count > 1 && node.name.size) {
            snprintf(name, sizeof name, "%.*s-%lld", (int)MIN(node.name.size, 90), node.name.data,
                     (long long)i + 1);
            node.name = str_from(name);
        }
        if (g->per_rack) {
            snprintf(rack, sizeof rack, "%.*s%zu-%lld", (int)MIN(node.rack.size, 30),
                     node.rack.size ? node.rack.data : "", number,
                     (long long)(i / g->per_rack) + 1);
            node.rack = str_from(rack);
        }
        cluster_add(c, &node);
    }
}

int cluster_parse_own(struct cluster *c, const char *file, struct buf *text, struct error *err)
{
    struct csv_form form = {columns, sizeof columns / sizeof *columns};
    struct csv csv;
    size_t number = 0;
    int status = csv_open(&csv, file, text, &form, err);
    while (status == 0 && (status = csv_next(&csv, err)) == 1) {
        struct group group;
        status = group_read(&csv, &group, err);
        if (status == 0 && (int64_t)c->count + group.count > CLUSTER_NODES_MAX)
            return csv_fail(&csv, err, "more than %d nodes", CLUSTER_NODES_MAX);
        if (status == 0)
            group_add(c, &group, ++number);
    }
    return status;
}

/* ---- any ---- */

int cluster_parse(struct cluster *c, const char *file, struct buf *text, struct error *err)
{
    struct str all = str_trim(buf_str(text)), rest = all;
    struct str header = str_cut(&rest, '\n');
    int status;
    if (str_starts(all, STR("{")))
        status = cluster_parse_kubectl(c, file, text, err);
    else if (memmem(header.data, header.size, "NODELIST", 8) ||
             memmem(header.data, header.size, "HOSTNAMES", 9))
        status = cluster_parse_sinfo(c, file, text, err);
    else if (memmem(header.data, header.size, "ondemand_usd_h", 14))
        status = cluster_parse_offers(c, file, text, err);
    else
        status = cluster_parse_own(c, file, text, err);
    if (status == 0 && c->count == 0)
        return error_set(err, -EINVAL, "%s: holds no node", file);
    return status;
}

int cluster_read(struct cluster *c, const char *path, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(INPUT_LIMIT);
    int status = input_read(path, &text, err);
    return status ? status : cluster_parse(c, path, &text, err);
}
