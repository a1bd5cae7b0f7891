/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/world.h"

#include "base/hash.h"
#include "base/memory.h"
#include "sim/draw.h"

#include <stdio.h>
#include <unistd.h>

#define IDLE_END_MS (24 * HOUR_MS) /* nothing started or ended for so long: nothing will */
#define KINDS_MAX 256
#define SAMPLE_LEAST_MS 60000
#define VALUE_MEDIAN 0.6
#define VALUE_SIGMA 0.6
#define ESTIMATE_SIGMA 0.7

struct world_options world_options_default(void)
{
    return (struct world_options){.seed = 1,
                                  .until = TIME_NEVER,
                                  .overheads = {.start = 5000,
                                                .restart = 60000,
                                                .checkpoint = 20000,
                                                .checkpoint_every = HOUR_MS / 2},
                                  .preemptible_percent = -1,
                                  .repair = HOUR_MS};
}

/* ---- the heap ---- */

static bool item_before(const struct world_heap_item *a, const struct world_heap_item *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void heap_push(struct world *w, struct world_heap_item item)
{
    item.order = ++w->heap_order;
    ARRAY_RESERVE(w->heap, w->heap_count, w->heap_capacity);
    size_t at = w->heap_count++;
    for (; at > 0 && item_before(&item, &w->heap[(at - 1) / 2]); at = (at - 1) / 2)
        w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = item;
}

static struct world_heap_item heap_pop(struct world *w)
{
    struct world_heap_item top = w->heap[0], last = w->heap[--w->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < w->heap_count && item_before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (child >= w->heap_count || !item_before(&w->heap[child], &last))
            break;
        w->heap[at] = w->heap[child];
        at = child;
    }
    if (w->heap_count)
        w->heap[at] = last;
    return top;
}

static void job_plan(struct world *w, uint32_t index, int kind, time_ms at)
{
    heap_push(w, (struct world_heap_item){
                     .at = at, .kind = kind, .index = index, .stamp = w->jobs[index].stamp});
}

static void event_add(struct world *w, enum world_event_kind kind, uint32_t index)
{
    ARRAY_RESERVE(w->events, w->event_count, w->event_capacity);
    w->events[w->event_count++] = (struct world_event){kind, index};
}

/* ---- nodes ---- */

bool world_suits(const struct world_node *node, const struct job *job)
{
    const struct cluster_node *n = node->node;
    if (job->sku.size && !str_equal(job->sku, n->sku))
        return false;
    if (job->accelerator.size && !str_equal(job->accelerator, n->accelerator))
        return false;
    return job->amounts.gpu_milli <= n->amounts.gpu_milli &&
           job->amounts.core_milli <= n->amounts.core_milli &&
           job->amounts.memory_mib <= n->amounts.memory_mib;
}

bool world_fits(const struct world_node *node, const struct job *job)
{
    return node->up && job->amounts.gpu_milli <= node->free.gpu_milli &&
           job->amounts.core_milli <= node->free.core_milli &&
           job->amounts.memory_mib <= node->free.memory_mib && world_suits(node, job);
}

static void node_take(struct world_node *node, const struct job *job, int64_t sign)
{
    node->free.gpu_milli -= sign * job->amounts.gpu_milli;
    node->free.core_milli -= sign * job->amounts.core_milli;
    node->free.memory_mib -= sign * job->amounts.memory_mib;
    node->jobs = (uint32_t)((int64_t)node->jobs + sign);
    CHECK(node->free.gpu_milli >= 0 && node->free.core_milli >= 0 && node->free.memory_mib >= 0);
}

/* ---- the life of a job ---- */

static void job_over(struct world *w, struct world_job *j, enum world_state state)
{
    w->waiting -= j->state == WORLD_WAITING;
    j->state = state;
    j->ended = w->now;
    j->stamp++;
    w->live--;
    w->changed = w->now;
}

static void job_release(struct world *w, struct world_job *j)
{
    int64_t units = job_units_milli(j->job);
    for (uint32_t i = 0; i < j->job->replicas; i++)
        node_take(&w->nodes[j->nodes[i]], j->job, -1);
    xfree(j->nodes);
    j->nodes = NULL;
    w->used_milli -= units;
    time_ms from = MAX(j->ordered, w->options.warmup);
    if (w->now > from)
        j->held += (int128)units * (w->now - from);
    j->stamp++;
    w->changed = w->now;
}

/* When it begins to make progress. */
static time_ms progress_from(const struct world *w, const struct world_job *j)
{
    return j->begun + (j->attempts > 1 ? w->options.overheads.restart : 0);
}

/* Work done in this attempt up to `at`, at full speed of the named SKU. */
static time_ms progress(const struct world *w, const struct world_job *j, time_ms at)
{
    time_ms span = j->begun < 0 ? 0 : MAX(at - progress_from(w, j), 0);
    return MIN(mul_div_floor(span, j->speed_milli, 1000), j->job->run - j->kept);
}

/* Keeps what was saved and counts the rest as lost. `saved`: it had time to save at the end. */
static void attempt_close(struct world *w, struct world_job *j, time_ms at, bool saved)
{
    time_ms done = progress(w, j, at);
    time_ms step = mul_div_floor(w->options.overheads.checkpoint_every, j->speed_milli, 1000);
    time_ms kept = saved || step == 0 ? done : done / step * step;
    j->kept += kept;
    j->lost += done - kept;
    j->overhead += MAX(w->now - j->ordered - mul_div_floor(done, 1000, j->speed_milli), 0);
}

static void job_leave(struct world *w, uint32_t index, time_ms at, bool saved)
{
    struct world_job *j = &w->jobs[index];
    attempt_close(w, j, at, saved);
    job_release(w, j);
    j->state = WORLD_WAITING;
    w->waiting++;
    event_add(w, WORLD_LEFT, index);
}

static void job_complete(struct world *w, uint32_t index)
{
    struct world_job *j = &w->jobs[index];
    bool cancelled = j->job->end == JOB_IS_CANCELLED;
    attempt_close(w, j, w->now, true);
    job_release(w, j);
    job_over(w, j, cancelled ? WORLD_CANCELLED : WORLD_FINISHED);
    event_add(w, cancelled ? WORLD_WITHDRAWN : WORLD_ENDED, index);
}

static void job_begin(struct world *w, uint32_t index)
{
    struct world_job *j = &w->jobs[index];
    j->state = WORLD_RUNNING;
    j->begun = w->now;
    if (j->first_start < 0)
        j->first_start = w->now;
    time_ms left = mul_div_ceil(j->job->run - j->kept, 1000, j->speed_milli);
    job_plan(w, index, ITEM_COMPLETE, progress_from(w, j) + left);
    event_add(w, WORLD_BEGUN, index);
}

static void job_withdraw(struct world *w, uint32_t index)
{
    if (w->jobs[index].state != WORLD_WAITING)
        return;
    job_over(w, &w->jobs[index], WORLD_CANCELLED);
    event_add(w, WORLD_WITHDRAWN, index);
}

static void job_arrive(struct world *w, uint32_t index)
{
    struct world_job *j = &w->jobs[index];
    j->state = WORLD_WAITING;
    w->waiting++;
    w->live++;
    w->changed = w->now;
    if (j->job->patience != TIME_NEVER)
        job_plan(w, index, ITEM_WITHDRAW, w->now + j->job->patience);
    event_add(w, WORLD_ARRIVED, index);
}

/* ---- nodes that fail ---- */

static bool uses(const struct world_job *j, uint32_t node)
{
    for (uint32_t i = 0; j->nodes && i < j->job->replicas; i++)
        if (j->nodes[i] == node)
            return true;
    return false;
}

static void node_fail_plan(struct world *w, uint32_t node)
{
    if (w->options.mtbf == 0)
        return;
    time_ms span = draw_exponential(&w->random, w->options.mtbf);
    heap_push(w, (struct world_heap_item){.at = w->now + span, .kind = ITEM_DOWN, .index = node});
}

static void node_down(struct world *w, uint32_t index)
{
    struct world_node *node = &w->nodes[index];
    if (!node->up)
        return;
    node->up = false;
    w->units_milli -= cluster_node_units_milli(node->node);
    event_add(w, WORLD_NODE_DOWN, index);
    for (uint32_t i = 0; node->jobs && i < w->arrived; i++)
        if (uses(&w->jobs[i], index)) {
            w->jobs[i].losses++;
            job_leave(w, i, MIN(w->jobs[i].stop_at, w->now), false);
        }
    if (w->options.mtbf)
        heap_push(w, (struct world_heap_item){
                         .at = w->now + w->options.repair, .kind = ITEM_BACK, .index = index});
}

static void node_back(struct world *w, uint32_t index)
{
    struct world_node *node = &w->nodes[index];
    if (node->up)
        return;
    node->up = true;
    w->units_milli += cluster_node_units_milli(node->node);
    event_add(w, WORLD_NODE_BACK, index);
    node_fail_plan(w, index);
}

/* ---- orders ---- */

void world_start(struct world *w, uint32_t job, const uint32_t *nodes, int64_t speed_milli)
{
    struct world_job *j = &w->jobs[job];
    CHECK(j->state == WORLD_WAITING && speed_milli > 0);
    uint32_t count = j->job->replicas;
    j->nodes = xcalloc(count, sizeof *j->nodes);
    memcpy(j->nodes, nodes, count * sizeof *nodes);
    for (uint32_t i = 0; i < count; i++)
        node_take(&w->nodes[nodes[i]], j->job, 1);
    w->used_milli += job_units_milli(j->job);
    j->state = WORLD_STARTING;
    w->waiting--;
    j->attempts++;
    j->speed_milli = speed_milli;
    j->ordered = w->now;
    j->begun = -1;
    j->stop_at = TIME_NEVER;
    w->changed = w->now;
    job_plan(w, job, ITEM_BEGIN, w->now + w->options.overheads.start);
}

void world_stop(struct world *w, uint32_t job, time_ms deadline)
{
    struct world_job *j = &w->jobs[job];
    CHECK(j->state == WORLD_STARTING || j->state == WORLD_RUNNING);
    time_ms save = j->state == WORLD_RUNNING ? w->options.overheads.checkpoint : 0;
    j->state = WORLD_LEAVING;
    j->stops++;
    j->stamp++;
    j->stop_at = w->now;
    job_plan(w, job, ITEM_LEAVE, MAX(MIN(deadline, w->now + save), w->now));
}

void world_reject(struct world *w, uint32_t job)
{
    CHECK(w->jobs[job].state == WORLD_WAITING);
    job_over(w, &w->jobs[job], WORLD_REJECTED);
}

void world_charge(struct world *w, uint32_t job, udollar amount)
{
    if (w->now >= w->options.warmup)
        w->jobs[job].cost += amount;
}

/* ---- running ---- */

static void item_apply(struct world *w, const struct world_heap_item *item)
{
    switch (item->kind) {
    case ITEM_DOWN:
        node_down(w, item->index);
        return;
    case ITEM_BACK:
        node_back(w, item->index);
        return;
    case ITEM_WITHDRAW: /* of any attempt */
        job_withdraw(w, item->index);
        return;
    case ITEM_BEGIN:
    case ITEM_COMPLETE:
    case ITEM_LEAVE:
        break;
    }
    struct world_job *j = &w->jobs[item->index];
    if (item->stamp != j->stamp)
        return;
    if (item->kind == ITEM_BEGIN)
        job_begin(w, item->index);
    else if (item->kind == ITEM_COMPLETE)
        job_complete(w, item->index);
    else
        job_leave(w, item->index, j->stop_at,
                  w->now - j->stop_at >= w->options.overheads.checkpoint);
}

/* Twice as far apart: pairs become one. */
static void samples_thin(struct world *w)
{
    for (size_t i = 0; i + 1 < w->sample_count; i += 2) {
        struct world_sample *a = &w->samples[i], *b = &w->samples[i + 1];
        b->units_milli = (a->units_milli + b->units_milli) / 2;
        b->used_milli = (a->used_milli + b->used_milli) / 2;
        w->samples[i / 2] = *b;
    }
    w->sample_count /= 2;
    w->sample_every *= 2;
}

static int64_t stranded_milli(const struct world *w)
{
    int64_t sum = 0;
    for (size_t i = 0; i < w->cluster->count; i++) {
        const struct world_node *n = &w->nodes[i];
        if (n->up && n->jobs)
            sum += n->node->amounts.gpu_milli ? n->free.gpu_milli : n->free.core_milli;
    }
    return sum;
}

static void sample_take(struct world *w)
{
    time_ms span = MAX(w->now - w->sample_from, 1);
    if (w->sample_count == WORLD_SAMPLES_MAX)
        samples_thin(w);
    w->samples[w->sample_count++] =
        (struct world_sample){w->now, (int64_t)(w->sample_units / span),
                              (int64_t)(w->sample_used / span), stranded_milli(w), w->waiting};
    w->sample_from = w->now;
    w->sample_units = w->sample_used = 0;
}

/* Time passes with everything as it stands. */
static void pass(struct world *w, time_ms at)
{
    time_ms from = MAX(w->now, w->options.warmup);
    if (at > from) {
        w->capacity += (int128)w->units_milli * (at - from);
        w->used += (int128)w->used_milli * (at - from);
    }
    w->sample_units += (int128)w->units_milli * (at - w->now);
    w->sample_used += (int128)w->used_milli * (at - w->now);
    w->now = at;
    if (at - w->sample_from >= w->sample_every)
        sample_take(w);
}

/* Everything that happens at `at`. */
static void moment(struct world *w, time_ms at)
{
    pass(w, at);
    w->event_count = 0;
    while (w->heap_count && w->heap[0].at <= at) {
        struct world_heap_item item = heap_pop(w);
        item_apply(w, &item);
    }
    while (w->arrived < w->trace->count && w->jobs[w->arrived].submit <= at)
        job_arrive(w, (uint32_t)w->arrived++);
}

static void progress_print(const struct world *w, size_t *shown)
{
    size_t permille = w->trace->count ? w->arrived * 1000 / w->trace->count : 1000;
    if (!w->options.progress || permille == *shown)
        return;
    *shown = permille;
    fprintf(stderr, "\rsim: %3zu.%zu %% of the trace, day %lld, %zu live   ", permille / 10,
            permille % 10, (long long)(w->now / (24 * HOUR_MS)), w->live);
    if (permille == 1000)
        fprintf(stderr, "\n");
}

static time_ms next_moment(const struct world *w, const struct scheduler *scheduler, void *own)
{
    time_ms at = scheduler->due(own);
    if (w->heap_count)
        at = MIN(at, w->heap[0].at);
    if (w->arrived < w->trace->count)
        at = MIN(at, w->jobs[w->arrived].submit);
    return at;
}

/* Whether anything could still come of going on. */
static bool goes_on(const struct world *w, time_ms at)
{
    if (at == TIME_NEVER || at > w->options.until)
        return false;
    return w->arrived < w->trace->count || w->used_milli > 0 ||
           (w->live > 0 && at - w->changed <= IDLE_END_MS);
}

static bool same_kind(const struct cluster_node *a, const struct cluster_node *b)
{
    return str_equal(a->sku, b->sku) && str_equal(a->accelerator, b->accelerator) &&
           memcmp(&a->amounts, &b->amounts, sizeof a->amounts) == 0 && a->on_demand == b->on_demand;
}

/* One node of each kind, so that no job asks all of them. */
static size_t kinds_find(const struct world *w, uint32_t *ret)
{
    size_t count = 0;
    for (uint32_t n = 0; n < w->cluster->count && count < KINDS_MAX; n++) {
        size_t k = 0;
        while (k < count && !same_kind(w->nodes[ret[k]].node, w->nodes[n].node))
            k++;
        if (k == count)
            ret[count++] = n;
    }
    return count;
}

/* What the cheapest node that it takes costs elsewhere; 0: there is none. */
static udollar on_demand_of(const struct world *w, const struct job *job, const uint32_t *kinds,
                            size_t count)
{
    udollar least = TIME_NEVER;
    for (size_t k = 0; k < count; k++) {
        const struct world_node *node = &w->nodes[kinds[k]];
        if (node->node->on_demand < least && world_suits(node, job))
            least = node->node->on_demand;
    }
    return least == TIME_NEVER ? 0 : least;
}

static void jobs_draw(struct world *w)
{
    uint32_t kinds[KINDS_MAX];
    size_t kind_count = kinds_find(w, kinds);
    for (size_t i = 0; i < w->trace->count; i++) {
        struct world_job *j = &w->jobs[i];
        const struct job *job = &w->trace->items[i];
        double estimate = draw_normal(&w->random), value = draw_normal(&w->random);
        int drawn = (int)draw_below(&w->random, 100);
        *j = (struct world_job){.job = job,
                                .submit = job->submit,
                                .first_start = -1,
                                .ended = -1,
                                .preemptible = w->options.preemptible_percent < 0
                                                   ? job->preemptible
                                                   : drawn < w->options.preemptible_percent,
                                .on_demand = on_demand_of(w, job, kinds, kind_count)};
        j->estimate =
            job->estimate
                ? job->estimate
                : draw_scaled(job->run, ESTIMATE_SIGMA * (estimate < 0 ? -estimate : estimate));
        j->limit = job->limit >= 0 ? job->limit
                                   : MIN(draw_scaled((int64_t)((double)j->on_demand * VALUE_MEDIAN),
                                                     VALUE_SIGMA * value),
                                         j->on_demand);
    }
}

static void world_open(struct world *w)
{
    w->jobs = xcalloc(MAX(w->trace->count, 1), sizeof *w->jobs);
    w->nodes = xcalloc(MAX(w->cluster->count, 1), sizeof *w->nodes);
    w->samples = xcalloc(WORLD_SAMPLES_MAX, sizeof *w->samples);
    w->sample_every = SAMPLE_LEAST_MS;
    w->random = hash_u64(w->options.seed + 1);
    w->units_milli = cluster_units_milli(w->cluster);
    for (uint32_t i = 0; i < w->cluster->count; i++)
        w->nodes[i] = (struct world_node){
            .node = &w->cluster->nodes[i], .free = w->cluster->nodes[i].amounts, .up = true};
    jobs_draw(w);
    for (uint32_t i = 0; i < w->cluster->count; i++)
        node_fail_plan(w, i);
    for (size_t i = 0; i < w->options.failure_count; i++) {
        const struct world_failure *f = &w->options.failures[i];
        heap_push(w, (struct world_heap_item){.at = f->down, .kind = ITEM_DOWN, .index = f->node});
        heap_push(w, (struct world_heap_item){.at = f->back, .kind = ITEM_BACK, .index = f->node});
    }
}

/* What holds units at the end has held them, and worked, until then. */
static void world_close(struct world *w)
{
    for (size_t i = 0; i < w->arrived; i++) {
        struct world_job *j = &w->jobs[i];
        if (!j->nodes)
            continue;
        attempt_close(w, j, MIN(j->stop_at, w->now), true);
        time_ms from = MAX(j->ordered, w->options.warmup);
        if (w->now > from)
            j->held += (int128)job_units_milli(j->job) * (w->now - from);
    }
}

void world_run(struct world *w, const struct jobs *trace, const struct cluster *cluster,
               const struct world_options *options)
{
    size_t shown = SIZE_MAX;
    const struct scheduler *scheduler = options->scheduler;
    *w = (struct world){.trace = trace, .cluster = cluster, .options = *options};
    world_open(w);
    void *own = scheduler->open(w, options->context);
    for (time_ms at; goes_on(w, at = next_moment(w, scheduler, own));) {
        moment(w, MAX(at, w->now));
        scheduler->apply(own, w->events, w->event_count);
        progress_print(w, &shown);
    }
    if (w->options.until != TIME_NEVER)
        moment(w, w->options.until);
    scheduler->close(own);
    world_close(w);
}

void world_fini(struct world *w)
{
    for (size_t i = 0; i < w->arrived; i++)
        xfree(w->jobs[i].nodes);
    xfree(w->jobs);
    xfree(w->nodes);
    xfree(w->heap);
    xfree(w->events);
    xfree(w->samples);
    arena_fini(&w->texts);
}
