/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes as `kubectl get nodes -o json` prints them: what is allocatable, the GPU model and the zone
 * by the labels that the GPU operator and the cloud put there. */
#include "sim/cluster.h"

#include "wire/json.h"
#include "wire/unit.h"

#include <errno.h>

#define VALUES_LIMIT ((size_t)1 << 30)

/* Kubernetes' quantities: "96", "95500m", "1056783912Ki", "8G". Thousandths of the unit. */
static bool quantity_parse(struct str text, int64_t *ret_milli)
{
    static const struct {
        const char *suffix;
        int64_t scale;
    } units[] = {{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30},   {"Ti", (int64_t)1 << 40},
                 {"k", 1000},     {"M", 1000000},  {"G", 1000000000}, {"T", 1000000000000}};
    int64_t scale = 1;
    if (text.size > 1 && text.data[text.size - 1] == 'm') {
        text.size--;
        return str_to_i64(text, ret_milli) && *ret_milli >= 0;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units && scale == 1; i++) {
        struct str suffix = str_from(units[i].suffix);
        if (text.size > suffix.size &&
            memcmp(text.data + text.size - suffix.size, suffix.data, suffix.size) == 0) {
            text.size -= suffix.size;
            scale = units[i].scale;
        }
    }
    int64_t number;
    return decimal_parse(text, 1000, &number) && number >= 0 &&
           !__builtin_mul_overflow(number, scale, ret_milli);
}

static int64_t resource(const struct json_value *node, const char *name)
{
    const struct json_value *status = json_get(node, "status");
    const struct json_value *of = json_get(status, "allocatable");
    struct str text = json_get_str(of ? of : json_get(status, "capacity"), name);
    int64_t milli;
    return text.size && quantity_parse(text, &milli) ? milli : 0;
}

static struct str label(const struct json_value *node, const char *name)
{
    return json_get_str(json_get(json_get(node, "metadata"), "labels"), name);
}

/* "NVIDIA-H100-80GB-HBM3" -> "H100". */
static struct str model_of(struct str product)
{
    struct str rest = product;
    struct str model = str_cut(&rest, '-');
    while (rest.size && (str_is(model, "NVIDIA") || str_is(model, "Tesla") || str_is(model, "AMD")))
        model = str_cut(&rest, '-');
    return model;
}

static int node_add(struct cluster *c, const char *file, const struct json_value *node,
                    struct error *err)
{
    struct cluster_node ret = {.ask = -1, .on_demand = -1};
    ret.name = json_get_str(json_get(node, "metadata"), "name");
    int64_t gpus = resource(node, "nvidia.com/gpu");
    if (gpus == 0)
        gpus = resource(node, "amd.com/gpu");
    ret.amounts.gpu_milli = MIN(gpus, MARKET_NODE_GPUS_MAX * 1000);
    ret.amounts.core_milli = MIN(resource(node, "cpu"), INT32_MAX);
    ret.amounts.memory_mib = resource(node, "memory") / 1000 >> 20;
    ret.accelerator = model_of(label(node, "nvidia.com/gpu.product"));
    ret.sku = label(node, "node.kubernetes.io/instance-type");
    ret.zone = label(node, "topology.kubernetes.io/zone");
    ret.rack = label(node, "topology.kubernetes.io/rack");
    if (ret.name.size == 0 || ret.amounts.core_milli == 0)
        return error_set(err, -EINVAL, "%s: item %zu: no name or no status.allocatable.cpu", file,
                         c->count + 1);
    if (c->count >= CLUSTER_NODES_MAX)
        return error_set(err, -EINVAL, "%s: more than %d nodes", file, CLUSTER_NODES_MAX);
    cluster_add(c, &ret);
    return 0;
}

int cluster_parse_kubectl(struct cluster *c, const char *file, struct buf *text, struct error *err)
{
    struct arena arena = {.limit = VALUES_LIMIT};
    struct json_value all;
    int status = json_parse(buf_str(text), &arena, &all, err);
    const struct json_value *items = status ? NULL : json_get(&all, "items");
    if (status)
        error_prefix(err, "%s", file);
    else if (!items || items->type != JSON_ARRAY)
        status =
            error_set(err, -EINVAL,
                      "%s: no list of items; it is what `kubectl get nodes -o json` prints", file);
    for (size_t i = 0; status == 0 && i < items->count; i++)
        status = node_add(c, file, &items->items[i], err);
    arena_fini(&arena);
    return status;
}
