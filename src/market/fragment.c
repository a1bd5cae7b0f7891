/* SPDX-License-Identifier: Apache-2.0 */
#include "market/fragment.h"

#include "base/memory.h"
#include "market/market_internal.h"

#define GPU_MILLI 1000

struct wanted {
    int64_t gpus, core_milli, memory_mib, share;
    uint32_t size;
};

struct taste { /* shapes that the same pools will do for */
    uint64_t *pools;
    int64_t share; /* of all GPU that is asked for */
};

struct fragment {
    struct wanted *shapes;
    uint32_t count, words;
    uint64_t *pools; /* shape x words */
    int64_t sizes[FRAGMENT_SHAPES_MAX];
    uint32_t size_count;
    struct taste *tastes;
    uint32_t taste_count;
    int64_t core_milli, gpu_milli; /* that the demand for GPUs asks for in all */
};

static uint32_t size_find(struct fragment *f, int64_t milli)
{
    uint32_t i = 0;
    while (i < f->size_count && f->sizes[i] != milli)
        i++;
    if (i == f->size_count)
        f->sizes[f->size_count++] = milli;
    return i;
}

static bool pools_equal(const uint64_t *a, const uint64_t *b, uint32_t words)
{
    return memcmp(a, b, words * sizeof *a) == 0;
}

static struct taste *taste_find(struct fragment *f, uint64_t *pools)
{
    for (uint32_t i = 0; i < f->taste_count; i++)
        if (pools_equal(f->tastes[i].pools, pools, f->words))
            return &f->tastes[i];
    f->tastes[f->taste_count] = (struct taste){.pools = pools};
    return &f->tastes[f->taste_count++];
}

/* Shapes without GPUs lose nothing that depends on the place. */
static void shape_add(struct fragment *f, const struct fragment_shape *s, int64_t all)
{
    const struct market_amounts *a = &s->amounts;
    if (a->gpu_milli == 0)
        return;
    uint64_t *pools = &f->pools[(size_t)f->count * f->words];
    memcpy(pools, s->pools, f->words * sizeof *pools);
    f->shapes[f->count++] = (struct wanted){.gpus = MAX(a->gpu_milli / GPU_MILLI, 1),
                                            .core_milli = a->core_milli,
                                            .memory_mib = a->memory_mib,
                                            .share = mul_div_floor(s->count, FRAGMENT_ONE, all),
                                            .size = size_find(f, MIN(a->gpu_milli, GPU_MILLI))};
    f->core_milli = add_checked(f->core_milli, mul_checked(a->core_milli, s->count));
    f->gpu_milli = add_checked(f->gpu_milli, mul_checked(a->gpu_milli, s->count));
    taste_find(f, pools)->share += mul_checked(a->gpu_milli, s->count);
}

struct fragment *fragment_new(const struct fragment_shape *shapes, uint32_t count, uint32_t words)
{
    CHECK(count <= FRAGMENT_SHAPES_MAX && words > 0);
    struct fragment *f = xcalloc(1, sizeof *f);
    int64_t all = 0;
    for (uint32_t i = 0; i < count; i++)
        all = add_checked(all, shapes[i].count);
    f->words = words;
    f->shapes = xcalloc(count + 1, sizeof *f->shapes);
    f->tastes = xcalloc(count + 1, sizeof *f->tastes);
    f->pools = xcalloc((size_t)(count + 1) * words, sizeof *f->pools);
    for (uint32_t i = 0; i < count; i++)
        shape_add(f, &shapes[i], all);
    for (uint32_t i = 0; i < f->taste_count; i++)
        f->tastes[i].share = mul_div_floor(f->tastes[i].share, FRAGMENT_ONE, f->gpu_milli);
    return f;
}

void fragment_free(struct fragment *f)
{
    if (!f)
        return;
    xfree(f->shapes);
    xfree(f->tastes);
    xfree(f->pools);
    xfree(f);
}

/* What GPUs too full for a size hold together, and how many are free enough. */
struct fill {
    int64_t small;
    int64_t hosts;
};

static void fill_sizes(const struct fragment *f, const struct fragment_node *n, struct fill *fills)
{
    for (uint32_t i = 0; i < f->size_count; i++)
        fills[i] = (struct fill){0};
    for (uint32_t g = 0; g < n->gpus; g++) {
        int64_t left = n->room->share[g];
        for (uint32_t i = 0; left && i < f->size_count; i++) {
            bool hosts = left >= f->sizes[i];
            fills[i].hosts += hosts;
            fills[i].small += hosts ? 0 : left;
        }
    }
}

/* Idle GPU for which no cores are left. */
static int64_t fragment_cores(const struct fragment *f, const struct market_amounts *free)
{
    if (f->core_milli == 0)
        return 0;
    int64_t served = mul_div_floor(free->core_milli, f->gpu_milli, f->core_milli);
    return MAX(free->gpu_milli - served, 0);
}

int64_t fragment_of(const struct fragment *f, const struct fragment_node *n)
{
    struct fill fills[FRAGMENT_SHAPES_MAX];
    const struct market_amounts *free = &n->room->free;
    int64_t sum = 0;
    if (free->gpu_milli == 0)
        return 0;
    fill_sizes(f, n, fills);
    for (uint32_t i = 0; i < f->count; i++) {
        const struct wanted *w = &f->shapes[i];
        const uint64_t *pools = &f->pools[(size_t)i * f->words];
        bool hosted = fills[w->size].hosts >= w->gpus && w->core_milli <= free->core_milli &&
                      w->memory_mib <= free->memory_mib &&
                      (pools[n->pool / 64] >> n->pool % 64 & 1);
        sum += w->share * (hosted ? fills[w->size].small : free->gpu_milli);
    }
    return sum + FRAGMENT_ONE * fragment_cores(f, free);
}

void fragment_scarcity(const struct fragment *f, const int64_t *idle, int64_t *ret, uint32_t pools)
{
    int64_t all = 0;
    for (uint32_t p = 0; p < pools; p++) {
        all += idle[p];
        ret[p] = 0;
    }
    for (uint32_t i = 0; i < f->taste_count; i++) {
        const struct taste *t = &f->tastes[i];
        int64_t usable = 0;
        for (uint32_t p = 0; p < pools; p++)
            usable += t->pools[p / 64] >> p % 64 & 1 ? idle[p] : 0;
        int64_t price = mul_div_floor(t->share, all, MAX(usable, 1));
        for (uint32_t p = 0; p < pools; p++)
            ret[p] += t->pools[p / 64] >> p % 64 & 1 ? MIN(price, (int64_t)FRAGMENT_ONE << 20) : 0;
    }
}
