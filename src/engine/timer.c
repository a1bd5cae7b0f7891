/* SPDX-License-Identifier: Apache-2.0 */
/* What a workload waits for by itself: the end of its longest run, or of its notice. A binary heap by
 * (time, id); each workload knows where it stands in it. */
#include "engine/engine_internal.h"

static bool item_before(const struct engine *e, struct heap_item a, struct heap_item b)
{
    if (a.due != b.due)
        return a.due < b.due;
    return workload_at(e, a.slot)->view.id < workload_at(e, b.slot)->view.id;
}

static void item_put(struct engine *e, uint32_t at, struct heap_item item)
{
    e->heap[at] = item;
    workload_at(e, item.slot)->heap_at = at + 1;
}

static void sift_up(struct engine *e, uint32_t at, struct heap_item item)
{
    while (at > 0 && item_before(e, item, e->heap[(at - 1) / 2])) {
        item_put(e, at, e->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    item_put(e, at, item);
}

static void sift_down(struct engine *e, uint32_t at, struct heap_item item)
{
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child + 1 < e->heap_count && item_before(e, e->heap[child + 1], e->heap[child]))
            child++;
        if (child >= e->heap_count || !item_before(e, e->heap[child], item))
            break;
        item_put(e, at, e->heap[child]);
        at = child;
    }
    item_put(e, at, item);
}

void workload_timer_clear(struct engine *e, struct workload *w)
{
    if (w->heap_at == 0)
        return;
    uint32_t at = w->heap_at - 1;
    struct heap_item last = e->heap[--e->heap_count];
    w->heap_at = 0;
    w->timer = TIMER_NONE;
    w->due = 0;
    if (at == e->heap_count)
        return;
    if (at > 0 && item_before(e, last, e->heap[(at - 1) / 2]))
        sift_up(e, at, last);
    else
        sift_down(e, at, last);
}

void workload_timer_set(struct engine *e, struct workload *w, enum timer timer, time_ms due)
{
    workload_timer_clear(e, w);
    w->timer = timer;
    w->due = due;
    ARRAY_RESERVE(e->heap, e->heap_count, e->heap_capacity);
    e->heap_count++;
    sift_up(e, e->heap_count - 1, (struct heap_item){due, w->slot});
}
