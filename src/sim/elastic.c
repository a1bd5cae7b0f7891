/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/elastic.h"

#include "base/memory.h"
#include "base/sort.h"

time_ms elastic_overhead(uint32_t size, bool restarts)
{
    bool large = size >= 8;
    time_ms seconds = (large ? 7 : 2) + 2 * ((time_ms)size + 1);
    if (restarts)
        seconds += large ? 47 : 27;
    return seconds * 1000;
}

time_ms elastic_span(const struct itp_job *job, int64_t work, uint32_t size)
{
    return job->speed[size] ? div_ceil(work, job->speed[size]) : TIME_NEVER / 4;
}

/* ---- blocks ------------------------------------------------------------------------------------
 */

static uint64_t node_full(const struct elastic *e)
{
    return e->per_node == 64 ? UINT64_MAX : (UINT64_C(1) << e->per_node) - 1;
}

/* The first aligned block of `width` GPUs that is free; 0 where there is none. */
static uint64_t node_block(const struct elastic *e, uint32_t node, uint32_t width)
{
    uint64_t block = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    for (uint32_t at = 0; at < e->per_node; at += width)
        if ((e->free[node] & block << at) == block << at)
            return block << at;
    return 0;
}

static uint32_t nodes_idle(const struct elastic *e)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->node_count; i++)
        count += e->free[i] == node_full(e);
    return count;
}

/* The fullest node with such a block; node_count where there is none. */
static uint32_t node_best(const struct elastic *e, uint32_t width)
{
    uint32_t best = e->node_count;
    int least = 65;
    for (uint32_t i = 0; i < e->node_count; i++) {
        int free = __builtin_popcountll(e->free[i]);
        if (free >= (int)width && free < least && node_block(e, i, width)) {
            best = i;
            least = free;
        }
    }
    return best;
}

bool elastic_has_block(const struct elastic *e, uint32_t size)
{
    uint32_t gpus = 1u << size;
    if (gpus <= e->per_node)
        return node_best(e, gpus) < e->node_count;
    return nodes_idle(e) >= gpus / e->per_node;
}

static void block_release(struct elastic *e, struct elastic_run *r)
{
    for (uint32_t i = 0; i < r->node_count; i++)
        e->free[r->nodes[i]] |= r->mask;
    xfree(r->nodes);
    r->nodes = NULL;
    r->node_count = 0;
}

static void block_take(struct elastic *e, struct elastic_run *r)
{
    for (uint32_t i = 0; i < r->node_count; i++) {
        CHECK((e->free[r->nodes[i]] & r->mask) == r->mask);
        e->free[r->nodes[i]] &= ~r->mask;
    }
}

static bool block_find(struct elastic *e, struct elastic_run *r, uint32_t size)
{
    uint32_t gpus = 1u << size, nodes = gpus <= e->per_node ? 1 : gpus / e->per_node, found = 0;
    if (!elastic_has_block(e, size))
        return false;
    r->nodes = xcalloc(nodes, sizeof *r->nodes);
    r->node_count = nodes;
    if (gpus <= e->per_node) {
        r->nodes[0] = node_best(e, gpus);
        r->mask = node_block(e, r->nodes[0], gpus);
    } else {
        r->mask = node_full(e);
        for (uint32_t i = 0; found < nodes; i++)
            if (e->free[i] == node_full(e))
                r->nodes[found++] = i;
    }
    block_take(e, r);
    return true;
}

uint32_t elastic_used(const struct elastic *e)
{
    uint32_t used = 0;
    for (size_t i = 0; i < e->active_count; i++) {
        const struct elastic_run *r = &e->runs[e->active[i]];
        used += r->size == ELASTIC_NONE ? 0 : 1u << r->size;
    }
    return used;
}

/* ---- time ---------------------------------------------------------------------------------------
 */

static time_ms run_end(const struct elastic *e, const struct elastic_run *r)
{
    if (r->size == ELASTIC_NONE)
        return TIME_NEVER;
    return MAX(e->now, r->ready) + elastic_span(r->job, r->left, r->size);
}

static void advance(struct elastic *e, time_ms to)
{
    for (size_t i = 0; i < e->active_count; i++) {
        struct elastic_run *r = &e->runs[e->active[i]];
        time_ms from = MAX(e->now, r->ready);
        if (r->size == ELASTIC_NONE || to <= from)
            continue;
        int128 done = (int128)r->job->speed[r->size] * (to - from);
        r->left = done >= r->left ? 0 : r->left - (int64_t)done;
    }
    e->now = to;
}

static void run_stop(struct elastic *e, struct elastic_run *r)
{
    if (r->size != ELASTIC_NONE)
        block_release(e, r);
    r->size = ELASTIC_NONE;
}

/* Takes the active runs that are done out of the list. */
static void finish(struct elastic *e)
{
    size_t kept = 0;
    for (size_t i = 0; i < e->active_count; i++) {
        struct elastic_run *r = &e->runs[e->active[i]];
        if (r->left > 0 || r->size == ELASTIC_NONE || r->ready > e->now) {
            e->active[kept++] = e->active[i];
            continue;
        }
        run_stop(e, r);
        r->state = ELASTIC_FINISHED;
        r->end = e->now;
    }
    e->active_count = kept;
}

/* ---- changes
 * -------------------------------------------------------------------------------------- */

struct wanted {
    uint32_t run, size;
    uint64_t old_mask;
    uint32_t *old_nodes;
    uint32_t old_count;
};

static int wanted_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct wanted *a = x, *b = y;
    int c = COMPARE(b->size, a->size);
    return c ? c : COMPARE(a->run, b->run);
}

static void run_restart(struct elastic *e, struct elastic_run *r, uint32_t size, int64_t *changes)
{
    r->size = size;
    r->ready = e->now + elastic_overhead(size, r->started);
    r->started = true;
    ++*changes;
}

/* Puts everything down anew, the largest first, each where it was if that is still free: powers of
 * two in that order always fit. */
static void repack(struct elastic *e, int64_t *changes)
{
    struct wanted *all = xcalloc(e->active_count + 1, sizeof *all);
    size_t count = 0;
    for (size_t i = 0; i < e->active_count; i++) {
        struct elastic_run *r = &e->runs[e->active[i]];
        if (r->target == ELASTIC_NONE)
            continue;
        all[count] = (struct wanted){.run = e->active[i], .size = r->target};
        if (r->size == r->target) {
            all[count].old_mask = r->mask;
            all[count].old_nodes = xcalloc(r->node_count, sizeof *r->nodes);
            all[count].old_count = r->node_count;
            memcpy(all[count].old_nodes, r->nodes, r->node_count * sizeof *r->nodes);
        }
        count++;
        if (r->size != ELASTIC_NONE)
            block_release(e, r);
    }
    sort(all, count, sizeof *all, wanted_compare, NULL);
    for (size_t i = 0; i < count; i++) {
        struct elastic_run *r = &e->runs[all[i].run];
        bool same = all[i].old_nodes != NULL;
        for (uint32_t j = 0; j < all[i].old_count; j++)
            same &= (e->free[all[i].old_nodes[j]] & all[i].old_mask) == all[i].old_mask;
        if (same) {
            r->nodes = all[i].old_nodes;
            r->node_count = all[i].old_count;
            r->mask = all[i].old_mask;
            block_take(e, r);
            continue;
        }
        xfree(all[i].old_nodes);
        CHECK(block_find(e, r, all[i].size));
        run_restart(e, r, all[i].size, changes);
    }
    xfree(all);
}

/* Gives every active run its target. */
static void apply(struct elastic *e, int64_t *changes)
{
    bool fits = true;
    for (size_t i = 0; i < e->active_count; i++) {
        struct elastic_run *r = &e->runs[e->active[i]];
        if (r->size != r->target)
            run_stop(e, r);
    }
    for (uint32_t size = ITP_SIZES; size-- > 0 && fits;)
        for (size_t i = 0; i < e->active_count && fits; i++) {
            struct elastic_run *r = &e->runs[e->active[i]];
            if (r->target != size || r->size == size)
                continue;
            fits = block_find(e, r, size);
            if (fits)
                run_restart(e, r, size, changes);
        }
    if (!fits)
        repack(e, changes);
}

/* ---- the run
 * ----------------------------------------------------------------------------------------- */

static void arrive(struct elastic *e, const struct elastic_policy *policy, uint32_t run,
                   struct elastic_result *ret)
{
    struct elastic_run *r = &e->runs[run];
    ARRAY_RESERVE(e->active, e->active_count, e->active_capacity);
    e->active[e->active_count++] = run;
    r->state = ELASTIC_ACTIVE;
    if (policy->admit(e, run)) {
        ret->admitted++;
        return;
    }
    r->state = ELASTIC_DECLINED;
    e->active_count--;
}

static time_ms next_end(const struct elastic *e)
{
    time_ms next = TIME_NEVER;
    for (size_t i = 0; i < e->active_count; i++)
        next = MIN(next, run_end(e, &e->runs[e->active[i]]));
    return next;
}

static void simulate(struct elastic *e, const struct elastic_policy *policy,
                     struct elastic_result *ret)
{
    size_t coming = 0;
    for (;;) {
        time_ms arrival = coming < e->count ? e->runs[coming].job->submit : TIME_NEVER,
                next = MIN(arrival, next_end(e));
        if (next == TIME_NEVER)
            break;
        advance(e, next);
        finish(e);
        if (arrival > e->now) {
            policy->allocate(e);
            apply(e, &ret->changes);
        }
        while (coming < e->count && e->runs[coming].job->submit <= e->now) {
            arrive(e, policy, (uint32_t)coming++, ret);
            policy->allocate(e);
            apply(e, &ret->changes);
        }
    }
    CHECK(e->active_count == 0);
}

static void count_results(const struct elastic *e, struct elastic_result *ret)
{
    ret->jobs = e->count;
    for (size_t i = 0; i < e->count; i++) {
        const struct elastic_run *r = &e->runs[i];
        const struct itp_job *j = r->job;
        uint32_t best = 0;
        while (best + 1 < ITP_SIZES && 1u << (best + 1) <= e->gpus &&
               j->speed[best + 1] > j->speed[best])
            best++;
        bool met = r->state == ELASTIC_FINISHED && r->end <= j->deadline;
        ret->met += met;
        ret->late_after_admission += r->state == ELASTIC_FINISHED && !met;
        ret->bound += j->submit + elastic_span(j, j->work, best) <= j->deadline;
    }
}

void elastic_simulate(const struct itp *trace, uint32_t gpus, uint32_t per_node,
                      const struct elastic_policy *policy, struct elastic_result *ret)
{
    struct elastic e = {
        .count = trace->count, .gpus = gpus, .per_node = per_node, .node_count = gpus / per_node};
    *ret = (struct elastic_result){0};
    e.runs = xcalloc(e.count + 1, sizeof *e.runs);
    e.free = xcalloc(e.node_count, sizeof *e.free);
    for (size_t i = 0; i < e.count; i++)
        e.runs[i] = (struct elastic_run){.job = &trace->jobs[i],
                                         .size = ELASTIC_NONE,
                                         .target = ELASTIC_NONE,
                                         .left = trace->jobs[i].work};
    for (uint32_t i = 0; i < e.node_count; i++)
        e.free[i] = node_full(&e);
    if (policy->start)
        policy->start(&e);
    simulate(&e, policy, ret);
    count_results(&e, ret);
    if (policy->stop)
        policy->stop(&e);
    xfree(e.runs);
    xfree(e.active);
    xfree(e.free);
}
