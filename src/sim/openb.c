/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/openb.h"

#include "base/hash.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/sort.h"
#include "sim/csv.h"
#include "sim/input.h"

#include <errno.h>

#define NODES_MAX 1000000
#define PODS_MAX 10000000
#define SHAPES_MAX 100000

void openb_fini(struct openb *o)
{
    fleet_fini(&o->fleet);
    xfree(o->shapes);
    xfree(o->counts);
    xfree(o->pods);
    buf_fini(&o->node_text);
    buf_fini(&o->pod_text);
}

static int name_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    return str_compare(((const struct fleet_node *)x)->name, ((const struct fleet_node *)y)->name);
}

enum { NODE_NAME, NODE_CORES, NODE_MEMORY, NODE_GPUS, NODE_MODEL, NODE_COLUMNS };
static const struct csv_column node_columns[NODE_COLUMNS] = {{"sn|name", false},
                                                             {"cpu_milli", false},
                                                             {"memory_mib", false},
                                                             {"gpu", false},
                                                             {"model", false}};

static int node_read(struct csv *c, struct fleet *f, struct error *err)
{
    struct fleet_node n = {.name = c->fields[NODE_NAME]};
    struct csv_range any = {1, 0, INT32_MAX};
    int status = csv_number(c, NODE_CORES, any, &n.core_milli, err);
    status = status ? status : csv_number(c, NODE_MEMORY, any, &n.memory_mib, err);
    status = status ? status
                    : csv_number(c, NODE_GPUS, (struct csv_range){1, 0, FLEET_GPUS_MAX},
                                 &n.gpu_count, err);
    if (status)
        return status;
    size_t model = fleet_model(f, c->fields[NODE_MODEL], true);
    if (model == SIZE_MAX)
        return csv_fail(c, err, "more than %d GPU models", FLEET_MODELS_MAX);
    n.model = (uint32_t)model;
    if (f->count == NODES_MAX)
        return csv_fail(c, err, "more than %d nodes", NODES_MAX);
    fleet_add(f, n);
    return 0;
}

int openb_parse_nodes(struct openb *o, const char *file, struct error *err)
{
    struct csv c;
    struct csv_form form = {.columns = node_columns, .count = NODE_COLUMNS};
    int status = csv_open(&c, file, &o->node_text, &form, err);
    while (status == 0 && (status = csv_next(&c, err)) > 0)
        status = node_read(&c, &o->fleet, err);
    if (status)
        return status;
    if (o->fleet.gpu_milli == 0)
        return error_set(err, -EINVAL, "%s: no GPUs", file);
    sort(o->fleet.nodes, o->fleet.count, sizeof *o->fleet.nodes, name_compare, NULL);
    return 0;
}

int openb_read_nodes(struct openb *o, const char *path, struct error *err)
{
    o->node_text = BUF_INIT(INPUT_LIMIT);
    int status = input_read(path, &o->node_text, err);
    return status ? status : openb_parse_nodes(o, path, err);
}

enum { POD_NAME, POD_CORES, POD_MEMORY, POD_GPUS, POD_MILLI, POD_MODELS, POD_COLUMNS };
static const struct csv_column pod_columns[POD_COLUMNS] = {
    {"name", false},    {"cpu_milli", false}, {"memory_mib", false},
    {"num_gpu", false}, {"gpu_milli", false}, {"gpu_spec", true}};

/* A pod as it stands in the list, before its order is known. */
struct pod {
    struct str name;
    uint32_t shape;
};

static int shape_read(struct csv *c, struct fleet *f, struct shape *ret, struct error *err)
{
    struct csv_range any = {1, 0, INT32_MAX};
    int status = csv_number(c, POD_CORES, any, &ret->core_milli, err);
    status = status ? status : csv_number(c, POD_MEMORY, any, &ret->memory_mib, err);
    status = status ? status
                    : csv_number(c, POD_GPUS, (struct csv_range){1, 0, FLEET_GPUS_MAX},
                                 &ret->gpu_count, err);
    status = status ? status
                    : csv_number(c, POD_MILLI, (struct csv_range){1, 0, GPU_MILLI}, &ret->gpu_milli,
                                 err);
    if (status)
        return status;
    if (ret->gpu_count > 1 && ret->gpu_milli != GPU_MILLI)
        return csv_fail(c, err, "gpu_milli: only a single GPU can be shared");
    if (ret->gpu_count == 0 || ret->gpu_milli == 0)
        ret->gpu_count = ret->gpu_milli = 0;
    struct str rest = c->fields[POD_MODELS];
    while (rest.size) {
        size_t model = fleet_model(f, str_cut(&rest, '|'), true);
        if (model == SIZE_MAX)
            return csv_fail(c, err, "more than %d GPU models", FLEET_MODELS_MAX);
        ret->models |= UINT64_C(1) << model;
    }
    return 0;
}

static uint32_t shape_find(struct openb *o, struct str_map *by_bytes, const struct shape *shape)
{
    struct str key = {(const char *)shape, sizeof *shape};
    uint64_t *found = str_map_find(by_bytes, key);
    if (found) {
        o->counts[*found]++;
        return (uint32_t)*found;
    }
    size_t capacity = o->shape_capacity;
    ARRAY_RESERVE(o->shapes, o->shape_count, capacity);
    ARRAY_RESERVE(o->counts, o->shape_count, o->shape_capacity);
    o->shapes[o->shape_count] = *shape;
    o->counts[o->shape_count] = 1;
    str_map_set(by_bytes, key, o->shape_count);
    return (uint32_t)o->shape_count++;
}

static int pod_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    return str_compare(((const struct pod *)x)->name, ((const struct pod *)y)->name);
}

static int count_compare(const void *x, const void *y, const void *context)
{
    const struct openb *o = context;
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    int c = COMPARE(o->counts[b], o->counts[a]);
    return c ? c : COMPARE(a, b);
}

/* Puts the most frequent shape first; `pods` follow. */
static void shapes_sort(struct openb *o)
{
    _cleanup_free_ uint32_t *order = xcalloc(o->shape_count + 1, sizeof *order);
    _cleanup_free_ uint32_t *rank = xcalloc(o->shape_count + 1, sizeof *rank);
    struct shape *shapes = xcalloc(o->shape_count + 1, sizeof *shapes);
    int64_t *counts = xcalloc(o->shape_count + 1, sizeof *counts);
    for (uint32_t i = 0; i < o->shape_count; i++)
        order[i] = i;
    sort(order, o->shape_count, sizeof *order, count_compare, o);
    for (uint32_t i = 0; i < o->shape_count; i++) {
        rank[order[i]] = i;
        shapes[i] = o->shapes[order[i]];
        counts[i] = o->counts[order[i]];
    }
    for (size_t i = 0; i < o->pod_count; i++)
        o->pods[i] = rank[o->pods[i]];
    xfree(o->shapes);
    xfree(o->counts);
    o->shapes = shapes;
    o->counts = counts;
}

static int pods_collect(struct openb *o, struct csv *c, struct pod **pods, struct error *err)
{
    struct str_map by_bytes = {};
    int status;
    while ((status = csv_next(c, err)) > 0) {
        struct shape shape = {};
        status = shape_read(c, &o->fleet, &shape, err);
        if (status == 0 && (o->pod_count == PODS_MAX || o->shape_count == SHAPES_MAX))
            status =
                csv_fail(c, err, "more than %d pods or %d shapes of them", PODS_MAX, SHAPES_MAX);
        if (status)
            break;
        ARRAY_RESERVE(*pods, o->pod_count, o->pod_capacity);
        (*pods)[o->pod_count++] =
            (struct pod){c->fields[POD_NAME], shape_find(o, &by_bytes, &shape)};
    }
    str_map_fini(&by_bytes);
    return status;
}

int openb_parse_pods(struct openb *o, const char *file, struct error *err)
{
    struct csv c;
    struct csv_form form = {.columns = pod_columns, .count = POD_COLUMNS};
    _cleanup_free_ struct pod *pods = NULL;
    int status = csv_open(&c, file, &o->pod_text, &form, err);
    if (status == 0)
        status = pods_collect(o, &c, &pods, err);
    if (status == 0 && o->pod_count == 0)
        status = error_set(err, -EINVAL, "%s: no pods", file);
    if (status)
        return status;
    sort(pods, o->pod_count, sizeof *pods, pod_compare, NULL);
    o->pods = xcalloc(o->pod_count, sizeof *o->pods);
    for (size_t i = 0; i < o->pod_count; i++)
        o->pods[i] = pods[i].shape;
    shapes_sort(o);
    return 0;
}

int openb_read_pods(struct openb *o, const char *path, struct error *err)
{
    o->pod_text = BUF_INIT(INPUT_LIMIT);
    int status = input_read(path, &o->pod_text, err);
    return status ? status : openb_parse_pods(o, path, err);
}

static int64_t shape_gpu_milli(const struct shape *s)
{
    return s->gpu_count * s->gpu_milli;
}

uint32_t *openb_arrivals(const struct openb *o, uint64_t seed, int64_t saturate_milli,
                         size_t *ret_count)
{
    struct prng random = {seed};
    size_t count = o->pod_count, capacity = o->pod_count;
    uint32_t *pods = xcalloc(count, sizeof *pods);
    int64_t asked = 0, target = o->fleet.gpu_milli / 1000 * saturate_milli;
    for (size_t i = 0; i < count; i++) {
        size_t j = prng_below(&random, i + 1);
        pods[i] = pods[j];
        pods[j] = o->pods[i];
        asked += shape_gpu_milli(&o->shapes[o->pods[i]]);
    }
    while (asked > target) {
        size_t gone = prng_below(&random, count);
        asked -= shape_gpu_milli(&o->shapes[pods[gone]]);
        memmove(&pods[gone], &pods[gone + 1], (--count - gone) * sizeof *pods);
    }
    bool shrunk = count < o->pod_count;
    while (!shrunk && asked < target) {
        uint32_t drawn = o->pods[prng_below(&random, o->pod_count)];
        if (asked + o->shapes[drawn].gpu_milli > target)
            break;
        ARRAY_RESERVE(pods, count, capacity);
        pods[count++] = drawn;
        asked += shape_gpu_milli(&o->shapes[drawn]);
    }
    *ret_count = count;
    return pods;
}

void openb_shuffle_nodes(struct openb *o, uint64_t seed)
{
    struct prng random = {~seed};
    struct fleet_node *nodes = o->fleet.nodes;
    sort(nodes, o->fleet.count, sizeof *nodes, name_compare, NULL);
    for (size_t i = o->fleet.count; i > 1; i--) {
        size_t j = prng_below(&random, i);
        struct fleet_node other = nodes[j];
        nodes[j] = nodes[i - 1];
        nodes[i - 1] = other;
    }
}
