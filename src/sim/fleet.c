/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/fleet.h"

#include "base/memory.h"

void fleet_fini(struct fleet *f)
{
    xfree(f->nodes);
    *f = (struct fleet){0};
}

static void node_reset(struct fleet_node *n)
{
    n->free_core_milli = n->core_milli;
    n->free_memory_mib = n->memory_mib;
    n->free_gpu_milli = n->gpu_count * GPU_MILLI;
    for (int64_t i = 0; i < n->gpu_count; i++)
        n->free_gpu[i] = GPU_MILLI;
}

void fleet_add(struct fleet *f, struct fleet_node node)
{
    CHECK(node.gpu_count >= 0 && node.gpu_count <= FLEET_GPUS_MAX);
    node_reset(&node);
    ARRAY_RESERVE(f->nodes, f->count, f->capacity);
    f->nodes[f->count++] = node;
    f->gpu_milli += node.free_gpu_milli;
}

size_t fleet_model(struct fleet *f, struct str name, bool add)
{
    for (size_t i = 0; i < f->model_count; i++)
        if (str_equal(f->models[i], name))
            return i;
    if (!add || f->model_count == FLEET_MODELS_MAX)
        return SIZE_MAX;
    f->models[f->model_count] = name;
    return f->model_count++;
}

void fleet_reset(struct fleet *f)
{
    for (size_t i = 0; i < f->count; i++)
        node_reset(&f->nodes[i]);
}

bool node_fits(const struct fleet_node *n, const struct shape *s)
{
    if (s->core_milli > n->free_core_milli || s->memory_mib > n->free_memory_mib ||
        s->gpu_count * s->gpu_milli > n->free_gpu_milli)
        return false;
    if (s->models && !(s->models >> n->model & 1))
        return false;
    int64_t found = 0;
    for (int64_t i = 0; i < n->gpu_count && found < s->gpu_count; i++)
        found += n->free_gpu[i] >= s->gpu_milli;
    return found >= s->gpu_count;
}

static uint64_t gpus_idle(const struct fleet_node *n, int64_t count)
{
    uint64_t gpus = 0;
    for (int64_t i = 0; i < n->gpu_count && count > 0; i++) {
        if (n->free_gpu[i] == GPU_MILLI) {
            gpus |= UINT64_C(1) << i;
            count--;
        }
    }
    return gpus;
}

uint64_t node_gpus(const struct fleet_node *n, const struct shape *s)
{
    if (s->gpu_count == 0)
        return 0;
    if (s->gpu_milli == GPU_MILLI)
        return gpus_idle(n, s->gpu_count);
    int64_t best = -1;
    for (int64_t i = 0; i < n->gpu_count; i++)
        if (n->free_gpu[i] >= s->gpu_milli && (best < 0 || n->free_gpu[i] < n->free_gpu[best]))
            best = i;
    CHECK(best >= 0);
    return UINT64_C(1) << best;
}

void node_take_shape(struct fleet_node *n, const struct shape *s, uint64_t gpus)
{
    CHECK(__builtin_popcountll(gpus) == s->gpu_count);
    n->free_core_milli -= s->core_milli;
    n->free_memory_mib -= s->memory_mib;
    n->free_gpu_milli -= s->gpu_count * s->gpu_milli;
    CHECK(n->free_core_milli >= 0 && n->free_memory_mib >= 0);
    for (; gpus; gpus &= gpus - 1) {
        int64_t *left = &n->free_gpu[__builtin_ctzll(gpus)];
        *left -= s->gpu_milli;
        CHECK(*left >= 0);
    }
}
