/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/baseline.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/sort.h"

#define DEPTH_MOST 500 /* how far behind the first one is looked: Slurm's bf_max_job_test */
#define TIERS 4
#define ROUND_MS 60000                                 /* tiresias looks anew so often */
#define ATTAINED_MILLI_MS ((int128)3600 * 1000 * 1000) /* a GPU-hour: then the lower queue */

struct arm;
struct rule {
    /* Lower goes first; ties by arrival. */
    int64_t (*key)(const struct arm *a, uint32_t job);
    bool pass;     /* those that fit may pass one that does not */
    bool reserve;  /* but may not delay the first */
    bool preempt;  /* those with a higher key give way */
    bool quota;    /* tenants keep to their own nodes */
    time_ms round; /* keys change by themselves */
};

struct arm {
    struct world *w;
    const struct rule *rule;
    uint32_t *waiting, *running; /* jobs; waiting in order */
    size_t waiting_count, waiting_capacity, running_count, running_capacity;
    uint32_t *owner;        /* by node: tenant + 1; 0: anybody's */
    struct str_map tenants; /* to number + 1 */
    udollar *tiers;         /* least value per unit-hour of each tier, highest first */
    uint32_t *nodes;        /* of the job being placed */
    size_t nodes_capacity;
    time_ms round_at;
};

/* ---- keys ---- */

static int64_t key_arrival(const struct arm *a, uint32_t job)
{
    (void)a;
    return job;
}

static int64_t key_estimate(const struct arm *a, uint32_t job)
{
    return a->w->jobs[job].estimate;
}

static int64_t key_tier(const struct arm *a, uint32_t job)
{
    int64_t tier = 0;
    while (tier < TIERS - 1 && a->w->jobs[job].limit < a->tiers[tier])
        tier++;
    return tier;
}

static int64_t key_attained(const struct arm *a, uint32_t job)
{
    const struct world_job *j = &a->w->jobs[job];
    int128 held = j->held;
    if (j->nodes)
        held += (int128)job_units_milli(j->job) * (a->w->now - j->ordered);
    return held >= ATTAINED_MILLI_MS;
}

/* ---- places ---- */

static uint32_t tenant_of(const struct arm *a, const struct job *job)
{
    return (uint32_t)str_map_get(&a->tenants, job->tenant);
}

static bool may_use(const struct arm *a, uint32_t node, const struct job *job)
{
    return !a->rule->quota || a->owner[node] == tenant_of(a, job);
}

static int64_t units_left(const struct world_node *node)
{
    return node->node->amounts.gpu_milli ? node->free.gpu_milli : node->free.core_milli;
}

/* Where a replica fits closest, given what this job took already; UINT32_MAX: nowhere. Work without
 * GPUs goes to nodes without where it can. */
static uint32_t place(const struct arm *a, const struct job *job)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t n = 0; n < a->w->cluster->count; n++) {
        const struct world_node *node = &a->w->nodes[n];
        if (!world_fits(node, job) || !may_use(a, n, job))
            continue;
        bool better = best == UINT32_MAX || units_left(node) < units_left(&a->w->nodes[best]);
        if (best != UINT32_MAX && job->amounts.gpu_milli == 0) {
            bool has = node->node->amounts.gpu_milli > 0;
            bool best_has = a->w->nodes[best].node->amounts.gpu_milli > 0;
            better = has != best_has ? best_has : better;
        }
        if (better)
            best = n;
    }
    return best;
}

static void hold(struct world_node *node, const struct job *job, int64_t sign)
{
    node->free.gpu_milli -= sign * job->amounts.gpu_milli;
    node->free.core_milli -= sign * job->amounts.core_milli;
    node->free.memory_mib -= sign * job->amounts.memory_mib;
}

/* Fills a->nodes; false: not all of it fits now. Nothing is taken. */
static bool place_all(struct arm *a, uint32_t index)
{
    const struct job *job = a->w->jobs[index].job;
    uint32_t placed = 0;
    if (a->nodes_capacity < job->replicas) {
        a->nodes_capacity = job->replicas;
        a->nodes = xrealloc(a->nodes, a->nodes_capacity, sizeof *a->nodes);
    }
    for (; placed < job->replicas; placed++) {
        uint32_t node = place(a, job);
        if (node == UINT32_MAX)
            break;
        a->nodes[placed] = node;
        hold(&a->w->nodes[node], job, 1);
    }
    for (uint32_t i = 0; i < placed; i++)
        hold(&a->w->nodes[a->nodes[i]], job, -1);
    return placed == job->replicas;
}

/* ---- lists ---- */

static void list_remove(uint32_t *list, size_t *count, uint32_t job)
{
    for (size_t i = 0; i < *count; i++)
        if (list[i] == job) {
            memmove(&list[i], &list[i + 1], (--*count - i) * sizeof *list);
            return;
        }
}

static int order_compare(const void *x, const void *y, const void *context)
{
    const struct arm *a = context;
    uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
    int64_t p = a->rule->key(a, i), q = a->rule->key(a, j);
    return p != q ? COMPARE(p, q) : COMPARE(i, j);
}

static void wait_add(struct arm *a, uint32_t job)
{
    ARRAY_RESERVE(a->waiting, a->waiting_count, a->waiting_capacity);
    size_t at = a->waiting_count++;
    for (; at > 0 && order_compare(&job, &a->waiting[at - 1], a) < 0; at--)
        a->waiting[at] = a->waiting[at - 1];
    a->waiting[at] = job;
}

static bool can_ever(const struct arm *a, uint32_t index)
{
    const struct job *job = a->w->jobs[index].job;
    int64_t room = 0;
    for (uint32_t n = 0; n < a->w->cluster->count && room < job->replicas; n++) {
        const struct market_amounts *all = &a->w->cluster->nodes[n].amounts, *one = &job->amounts;
        if (!world_suits(&a->w->nodes[n], job) || !may_use(a, n, job))
            continue;
        int64_t fit = job->replicas;
        fit = one->gpu_milli ? MIN(fit, all->gpu_milli / one->gpu_milli) : fit;
        fit = one->core_milli ? MIN(fit, all->core_milli / one->core_milli) : fit;
        room += one->memory_mib ? MIN(fit, all->memory_mib / one->memory_mib) : fit;
    }
    return room >= job->replicas;
}

static void events_take(struct arm *a, const struct world_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t job = events[i].index;
        switch (events[i].kind) {
        case WORLD_ARRIVED:
            if (can_ever(a, job))
                wait_add(a, job);
            else
                world_reject(a->w, job);
            break;
        case WORLD_LEFT:
            list_remove(a->running, &a->running_count, job);
            wait_add(a, job);
            break;
        case WORLD_ENDED:
            list_remove(a->running, &a->running_count, job);
            break;
        case WORLD_WITHDRAWN:
            list_remove(a->running, &a->running_count, job);
            list_remove(a->waiting, &a->waiting_count, job);
            break;
        case WORLD_BEGUN:
        case WORLD_NODE_DOWN:
        case WORLD_NODE_BACK:
            break;
        }
    }
}

/* ---- EASY: what may not be delayed ---- */

struct shadow {
    bool set;
    time_ms at;          /* when the first one starts at the latest, by the estimates */
    int64_t spare_milli; /* units that it leaves free then */
};

static time_ms end_by_estimate(const struct arm *a, uint32_t job)
{
    const struct world_job *j = &a->w->jobs[job];
    return MAX(j->ordered + j->estimate, a->w->now);
}

static int end_compare(const void *x, const void *y, const void *context)
{
    uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
    time_ms p = end_by_estimate(context, i), q = end_by_estimate(context, j);
    return p != q ? COMPARE(p, q) : COMPARE(i, j);
}

static struct shadow shadow_of(struct arm *a, uint32_t first)
{
    struct shadow shadow = {.set = true, .at = TIME_NEVER};
    int64_t need = job_units_milli(a->w->jobs[first].job);
    int64_t free = a->w->units_milli - a->w->used_milli;
    sort(a->running, a->running_count, sizeof *a->running, end_compare, a);
    for (size_t i = 0; i < a->running_count; i++) {
        if (free >= need)
            break;
        free += job_units_milli(a->w->jobs[a->running[i]].job);
        shadow.at = end_by_estimate(a, a->running[i]);
    }
    /* enough is free, but not where it fits: whatever ends next may change that */
    if (shadow.at == TIME_NEVER && a->running_count)
        shadow.at = end_by_estimate(a, a->running[0]);
    shadow.spare_milli = MAX(free - need, 0);
    return shadow;
}

static bool delays(const struct arm *a, struct shadow *shadow, uint32_t job)
{
    const struct world_job *j = &a->w->jobs[job];
    int64_t units = job_units_milli(j->job);
    if (!shadow->set || shadow->at == TIME_NEVER || a->w->now + j->estimate <= shadow->at)
        return false;
    if (units > shadow->spare_milli)
        return true;
    shadow->spare_milli -= units;
    return false;
}

/* ---- preemption ---- */

static void hold_all(struct arm *a, uint32_t job, int64_t sign)
{
    const struct world_job *j = &a->w->jobs[job];
    for (uint32_t i = 0; i < j->job->replicas; i++)
        hold(&a->w->nodes[j->nodes[i]], j->job, sign);
}

static bool yields(const struct arm *a, uint32_t job, int64_t key)
{
    const struct world_job *j = &a->w->jobs[job];
    return j->state != WORLD_LEAVING && j->preemptible && a->rule->key(a, job) > key;
}

/* Stops the last of those that run with a higher key, as few as make room for this one beside those
 * that leave already; none where all of them would not. Whether it will start when they
 * have left. */
static bool preempt_for(struct arm *a, uint32_t first)
{
    int64_t key = a->rule->key(a, first);
    bool *freed = xcalloc(a->running_count + 1, sizeof *freed), fits = false;
    for (size_t i = 0; i < a->running_count; i++)
        if (a->w->jobs[a->running[i]].state == WORLD_LEAVING) {
            freed[i] = true;
            hold_all(a, a->running[i], -1);
        }
    fits = place_all(a, first);
    bool waits = fits;
    for (size_t i = a->running_count; i-- > 0 && !fits;)
        if (yields(a, a->running[i], key)) {
            freed[i] = true;
            hold_all(a, a->running[i], -1);
            fits = place_all(a, first);
        }
    for (size_t i = 0; i < a->running_count; i++)
        if (freed[i]) {
            const struct world_job *j = &a->w->jobs[a->running[i]];
            hold_all(a, a->running[i], 1);
            if (fits && !waits && j->state != WORLD_LEAVING)
                world_stop(a->w, a->running[i], a->w->now + j->job->notice);
        }
    xfree(freed);
    return fits;
}

/* ---- a round ---- */

static void start(struct arm *a, size_t at)
{
    uint32_t job = a->waiting[at];
    memmove(&a->waiting[at], &a->waiting[at + 1], (--a->waiting_count - at) * sizeof *a->waiting);
    ARRAY_RESERVE(a->running, a->running_count, a->running_capacity);
    a->running[a->running_count++] = job;
    world_start(a->w, job, a->nodes, 1000);
}

static void pick(struct arm *a)
{
    struct shadow shadow = {};
    size_t at = 0, passed = 0;
    while (at < a->waiting_count && passed < DEPTH_MOST) {
        uint32_t job = a->waiting[at];
        bool room = job_units_milli(a->w->jobs[job].job) <= a->w->units_milli - a->w->used_milli;
        if (room && place_all(a, job) && !(passed && delays(a, &shadow, job))) {
            start(a, at);
            continue;
        }
        /* nobody takes the place that is being made */
        if (passed == 0 && a->rule->preempt && preempt_for(a, job))
            return;
        if (!a->rule->pass)
            return;
        if (passed == 0 && a->rule->reserve)
            shadow = shadow_of(a, job);
        passed++;
        at++;
    }
}

/* FIFO in each tenant's own nodes: a tenant whose first one waits is passed over. */
static void pick_by_tenant(struct arm *a)
{
    size_t tenants = a->tenants.count + 1, at = 0;
    bool *blocked = xcalloc(tenants, sizeof *blocked);
    while (at < a->waiting_count) {
        uint32_t job = a->waiting[at], tenant = tenant_of(a, a->w->jobs[job].job);
        if (!blocked[tenant] && place_all(a, job)) {
            start(a, at);
            continue;
        }
        blocked[tenant] = true;
        at++;
    }
    xfree(blocked);
}

static void baseline_apply(void *own, const struct world_event *events, size_t count)
{
    struct arm *a = own;
    events_take(a, events, count);
    if (a->rule->round && a->w->now >= a->round_at) {
        a->round_at = a->w->now + a->rule->round;
        sort(a->waiting, a->waiting_count, sizeof *a->waiting, order_compare, a);
    }
    if (a->rule->quota)
        pick_by_tenant(a);
    else
        pick(a);
}

static time_ms baseline_due(const void *own)
{
    const struct arm *a = own;
    return a->rule->round && a->waiting_count ? a->round_at : TIME_NEVER;
}

/* ---- what a rule is told before ---- */

static int value_compare(const void *x, const void *y, const void *context)
{
    udollar p = *(const udollar *)x, q = *(const udollar *)y;
    (void)context;
    return COMPARE(q, p);
}

/* Quarters of the values in the trace. */
static void tiers_make(struct arm *a)
{
    size_t count = a->w->trace->count;
    udollar *values = xcalloc(MAX(count, 1), sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = a->w->jobs[i].limit;
    sort(values, count, sizeof *values, value_compare, NULL);
    a->tiers = xcalloc(TIERS, sizeof *a->tiers);
    for (size_t t = 0; t + 1 < TIERS && count; t++)
        a->tiers[t] = values[MIN(count * (t + 1) / TIERS, count - 1)];
    xfree(values);
}

/* Nodes one after another to whoever has least of them for its work. */
static void quotas_make(struct arm *a)
{
    size_t tenants = a->tenants.count;
    double *work = xcalloc(tenants + 1, sizeof *work), *have = xcalloc(tenants + 1, sizeof *have);
    for (size_t i = 0; i < a->w->trace->count; i++) {
        const struct job *job = &a->w->trace->items[i];
        work[tenant_of(a, job)] += (double)job_units_milli(job) * (double)job->run;
    }
    a->owner = xcalloc(a->w->cluster->count, sizeof *a->owner);
    for (size_t n = 0; n < a->w->cluster->count; n++) {
        size_t best = 1;
        for (size_t t = 2; t <= tenants; t++)
            if (work[t] * (have[best] + 1) > work[best] * (have[t] + 1))
                best = t;
        a->owner[n] = (uint32_t)best;
        have[best] += (double)cluster_node_units_milli(&a->w->cluster->nodes[n]);
    }
    xfree(work);
    xfree(have);
}

static void *baseline_open(struct world *w, const struct rule *rule)
{
    struct arm *a = xcalloc(1, sizeof *a);
    a->w = w;
    a->rule = rule;
    for (size_t i = 0; i < w->trace->count; i++)
        if (str_map_find(&a->tenants, w->trace->items[i].tenant) == NULL)
            str_map_set(&a->tenants, w->trace->items[i].tenant, a->tenants.count + 1);
    if (rule->quota)
        quotas_make(a);
    tiers_make(a);
    return a;
}

static void baseline_close(void *own)
{
    struct arm *a = own;
    xfree(a->waiting);
    xfree(a->running);
    xfree(a->owner);
    xfree(a->tiers);
    xfree(a->nodes);
    str_map_fini(&a->tenants);
    xfree(a);
}

#define BASELINE(symbol, text, description, ...)                                                   \
    static const struct rule rule_##symbol = {__VA_ARGS__};                                        \
    static void *open_##symbol(struct world *w, void *context)                                     \
    {                                                                                              \
        (void)context;                                                                             \
        return baseline_open(w, &rule_##symbol);                                                   \
    }                                                                                              \
    const struct scheduler scheduler_##symbol = {.name = text,                                     \
                                                 .doc = description,                               \
                                                 .open = open_##symbol,                            \
                                                 .close = baseline_close,                          \
                                                 .apply = baseline_apply,                          \
                                                 .due = baseline_due}

BASELINE(fifo, "fifo", "first come, first served", .key = key_arrival);
BASELINE(backfill, "backfill", "FIFO with EASY backfilling", .key = key_arrival, .pass = true,
         .reserve = true);
BASELINE(sjf, "sjf", "shortest estimate first", .key = key_estimate, .pass = true);
BASELINE(static_quota, "static-quota", "each tenant has its own nodes", .key = key_arrival,
         .quota = true);
BASELINE(priority, "priority", "tiers by value, backfill, preemption", .key = key_tier,
         .pass = true, .reserve = true, .preempt = true);
BASELINE(tiresias, "tiresias", "least attained service, preemptive", .key = key_attained,
         .pass = true, .preempt = true, .round = ROUND_MS);
