/* SPDX-License-Identifier: Apache-2.0 */
/* One node's insides: whole GPUs are placed buddy-aligned (an aligned block of the next power of
 * two with as few free GPUs as do), a share goes to the fullest GPU that still holds it. */
#include "market/market_internal.h"

#define GPU_MILLI 1000

bool amounts_valid(const struct market_amounts *a)
{
    bool whole = a->gpu_milli % GPU_MILLI == 0 || a->gpu_milli < GPU_MILLI;
    return whole && a->gpu_milli >= 0 && a->gpu_milli <= MARKET_NODE_GPUS_MAX * GPU_MILLI &&
           a->core_milli >= 0 && a->core_milli <= INT32_MAX && a->memory_mib >= 0 &&
           a->memory_mib <= INT32_MAX && a->disk_mib >= 0 && a->disk_mib <= INT64_C(1) << 40 &&
           (a->gpu_milli > 0 || a->core_milli > 0);
}

int64_t amounts_units(const struct market_amounts *node, const struct market_amounts *amounts)
{
    int64_t units = node->gpu_milli ? node->gpu_milli : node->core_milli;
    const int64_t of[] = {node->gpu_milli, node->core_milli, node->memory_mib, node->disk_mib};
    const int64_t takes[] = {amounts->gpu_milli, amounts->core_milli, amounts->memory_mib,
                             amounts->disk_mib};
    int64_t most = 0;
    for (size_t i = 0; i < ARRAY_COUNT(of); i++) {
        if (takes[i] > of[i])
            return 0;
        if (takes[i])
            most = MAX(most, mul_div_ceil(takes[i], units, of[i]));
    }
    return most;
}

static uint64_t mask_of(int64_t count)
{
    return count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

struct room room_empty(const struct market_amounts *node)
{
    struct room r = {.free = *node, .whole = mask_of(node->gpu_milli / GPU_MILLI),
        .units = node->gpu_milli ? node->gpu_milli : node->core_milli};
    for (int64_t i = 0; i < node->gpu_milli / GPU_MILLI; i++)
        r.share[i] = GPU_MILLI;
    return r;
}

static uint64_t lowest_of(uint64_t free, int64_t count)
{
    uint64_t mask = 0;
    for (; count > 0; count--) {
        mask |= free & -free;
        free &= free - 1;
    }
    return mask;
}

/* `count` free GPUs of the aligned block of `size` that has the fewest free; 0 where none has enough. */
static uint64_t block_tightest(const struct room *r, int64_t count, int64_t size)
{
    uint64_t best = 0;
    int best_free = INT32_MAX;
    for (int64_t first = 0; first < MARKET_NODE_GPUS_MAX && r->whole >> first; first += size) {
        uint64_t free = r->whole & mask_of(size) << first;
        int number = count_bits(free);
        if (number >= count && number < best_free) {
            best = free;
            best_free = number;
        }
    }
    return best ? lowest_of(best, count) : 0;
}

/* An aligned block of the next power of two; where the node says nothing of its links, a larger one
 * will do. */
static uint64_t gpus_whole(const struct room *r, int64_t count)
{
    if (count_bits(r->whole) < count)
        return 0;
    int64_t size = 1;
    while (size < count)
        size *= 2;
    uint64_t found = 0;
    for (; size <= MARKET_NODE_GPUS_MAX && found == 0; size *= 2) {
        found = block_tightest(r, count, size);
        if (r->group && size >= count)
            break;
    }
    return found;
}

static uint64_t gpus_shared(const struct room *r, int64_t milli)
{
    int best = -1;
    for (int i = 0; i < MARKET_NODE_GPUS_MAX; i++)
        if (r->share[i] >= milli && (best < 0 || r->share[i] < r->share[best]))
            best = i;
    return best < 0 ? 0 : UINT64_C(1) << best;
}

bool room_fits(const struct room *r, const struct market_placement *p, uint64_t *ret_gpus)
{
    const struct market_amounts *a = &p->amounts;
    *ret_gpus = 0;
    if ((p->units_milli > r->units && !r->loose) || a->gpu_milli > r->free.gpu_milli || a->core_milli > r->free.core_milli ||
        a->memory_mib > r->free.memory_mib || a->disk_mib > r->free.disk_mib)
        return false;
    if (a->gpu_milli == 0)
        return true;
    *ret_gpus = a->gpu_milli < GPU_MILLI ? gpus_shared(r, a->gpu_milli)
                                         : gpus_whole(r, a->gpu_milli / GPU_MILLI);
    return *ret_gpus != 0;
}

static void room_move(struct room *r, const struct market_placement *p, int64_t sign)
{
    const struct market_amounts *a = &p->amounts;
    r->free.gpu_milli += sign * a->gpu_milli;
    r->free.core_milli += sign * a->core_milli;
    r->free.memory_mib += sign * a->memory_mib;
    r->free.disk_mib += sign * a->disk_mib;
    r->units += sign * p->units_milli;
    int64_t each = MIN(a->gpu_milli, GPU_MILLI);
    for (uint64_t rest = p->gpus; rest; rest &= rest - 1) {
        int i = __builtin_ctzll(rest);
        int64_t left = r->share[i] + sign * each;
        CHECK(left >= 0 && left <= GPU_MILLI);
        r->share[i] = (uint16_t)left;
        uint64_t bit = UINT64_C(1) << i;
        r->whole = left == GPU_MILLI ? r->whole | bit : r->whole & ~bit;
    }
    CHECK(r->free.gpu_milli >= 0 && r->free.core_milli >= 0 && r->free.memory_mib >= 0 &&
          r->free.disk_mib >= 0 && (r->units >= 0 || r->loose));
}

void room_take(struct room *r, const struct market_placement *p)
{
    room_move(r, p, -1);
}

void room_give(struct room *r, const struct market_placement *p)
{
    room_move(r, p, 1);
}

int64_t room_count(const struct room *r, const struct market_placement *p, int64_t most)
{
    struct room rest = *r;
    struct market_placement next = *p;
    int64_t count = 0;
    while (count < most && room_fits(&rest, &next, &next.gpus)) {
        room_take(&rest, &next);
        count++;
    }
    return count;
}
