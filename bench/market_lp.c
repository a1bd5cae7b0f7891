/* SPDX-License-Identifier: Apache-2.0 */
/* Foreign instances: winner determination with an LP optimum, and the job mix that Slurm is given.
 */
#include "market_bench.h"
#include "mix_job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- LP instances
 * -------------------------------------------------------------------------------------- */

/* Pools of so many units without any structure: one machine of so many cores each, so that what is
 * left to do is to choose who runs where. A gang is one replica of so many cores. */
#define CHOICES_MAX 4

struct lp_bid {
    int64_t units, values[CHOICES_MAX]; /* µ$ for the whole of it */
    uint32_t pools[CHOICES_MAX], count;
};

struct lp {
    int64_t *capacity;
    size_t pool_count, pool_capacity;
    struct lp_bid *bids;
    size_t bid_count, bid_capacity;
};

static bool read_line(struct lp *lp, char *line)
{
    unsigned id;
    int64_t units;
    int at = 0;
    if (sscanf(line, "pool,%u,%" SCNd64, &id, &units) == 2) {
        ARRAY_RESERVE(lp->capacity, lp->pool_count, lp->pool_capacity);
        lp->capacity[lp->pool_count++] = units;
        return id + 1 == lp->pool_count;
    }
    if (sscanf(line, "bid,%u,%" SCNd64 "%n", &id, &units, &at) != 2)
        return false;
    ARRAY_RESERVE(lp->bids, lp->bid_count, lp->bid_capacity);
    struct lp_bid *b = &lp->bids[lp->bid_count++];
    *b = (struct lp_bid){.units = units};
    for (char *p = line + at; *p == ','; b->count++) {
        int more = 0;
        if (b->count == CHOICES_MAX ||
            sscanf(p, ",%u:%" SCNd64 "%n", &b->pools[b->count], &b->values[b->count], &more) != 2)
            return false;
        p += more;
    }
    return id + 1 == lp->bid_count && b->count > 0;
}

static void lp_read(struct lp *lp, const char *path)
{
    FILE *file = fopen(path, "r");
    char line[512];
    *lp = (struct lp){0};
    while (file && fgets(line, sizeof line, file))
        if (!read_line(lp, line)) {
            fprintf(stderr, "market_bench: %s: not an instance: %s", path, line);
            exit(2);
        }
    if (file == NULL || lp->bid_count == 0) {
        fprintf(stderr, "market_bench: cannot read %s\n", path);
        exit(2);
    }
    fclose(file);
}

static void lp_nodes(struct market *m, const struct lp *lp, struct market_events *events)
{
    struct market_command *batch = xcalloc(lp->pool_count, sizeof *batch);
    for (size_t i = 0; i < lp->pool_count; i++)
        batch[i] =
            (struct market_command){.type = MARKET_NODE_UP,
                                    .node = {.id = i + 1,
                                             .sku = i + 1,
                                             .place = {1, 1, 1, 1, i + 1},
                                             .amounts = {.core_milli = lp->capacity[i] * 1000},
                                             .seller = 1}};
    market_apply(m, 1000, batch, lp->pool_count, events);
    xfree(batch);
}

struct lp_specs {
    struct market_choice choices[CHOICES_MAX];
    struct market_alternative alternatives[CHOICES_MAX];
};

static void lp_bids(struct market *m, const struct lp *lp, struct market_events *events)
{
    static const struct market_role role = {1, 1};
    struct market_command *batch = xcalloc(lp->bid_count, sizeof *batch);
    struct lp_specs *specs = xcalloc(lp->bid_count, sizeof *specs);
    for (size_t i = 0; i < lp->bid_count; i++) {
        const struct lp_bid *b = &lp->bids[i];
        for (uint32_t k = 0; k < b->count; k++) {
            specs[i].choices[k] = (struct market_choice){.sku = b->pools[k] + 1,
                                                         .amounts = {.core_milli = b->units * 1000},
                                                         .speed_milli = 1000};
            specs[i].alternatives[k] = (struct market_alternative){
                .choices = &specs[i].choices[k], .limit = b->values[k] / b->units};
        }
        batch[i] = (struct market_command){.type = MARKET_BID_ADD,
                                           .bid = {.id = i + 1,
                                                   .tenant = 1 + i % GEN_TENANTS,
                                                   .request_key = hash_u64(i + 1),
                                                   .roles = &role,
                                                   .role_count = 1,
                                                   .alternatives = specs[i].alternatives,
                                                   .alternative_count = b->count,
                                                   .latest = TIME_NEVER}};
    }
    market_events_clear(events);
    market_apply(m, 1000, batch, lp->bid_count, events);
    xfree(batch);
    xfree(specs);
}

/* Whole value of what was allocated; −1 where it is not an allocation. */
static int64_t lp_value(const struct lp *lp, const struct market_events *events)
{
    int64_t *left = xcalloc(lp->pool_count, sizeof *left), value = 0;
    memcpy(left, lp->capacity, lp->pool_count * sizeof *left);
    for (size_t i = 0; i < events->count; i++) {
        const struct market_event *e = &events->items[i];
        if (e->type != EVENT_ALLOCATED)
            continue;
        const struct lp_bid *b = &lp->bids[e->bid - 1];
        size_t pool = events->placements[e->allocated.placement_first].node - 1;
        int64_t here = -1;
        for (uint32_t k = 0; k < b->count; k++)
            if (b->pools[k] == pool)
                here = MAX(here, b->values[k]);
        left[pool] -= b->units;
        if (here < 0 || left[pool] < 0) {
            value = -1;
            break;
        }
        value += here;
    }
    xfree(left);
    return value;
}

int run_lp(struct options *o)
{
    struct lp lp;
    struct market_events events = {0};
    lp_read(&lp, option_text(o, "--file", ""));
    double optimum = strtod(option_text(o, "--optimum", "0"), NULL);
    struct market *m = market_new(1);
    lp_nodes(m, &lp, &events);
    market_apply(m, 1000,
                 &(struct market_command){.type = MARKET_SETTING_SET, .setting = {SETTING_HOLD, 1}},
                 1, &events);
    lp_bids(m, &lp, &events);
    struct market_command clear[] = {{.type = MARKET_SETTING_SET, .setting = {SETTING_HOLD, 0}},
                                     {.type = MARKET_CLEAR},
                                     {.type = MARKET_TICK}};
    market_events_clear(&events);
    double start = seconds_now();
    market_apply(m, 2000, clear, ARRAY_COUNT(clear), &events);
    double span = seconds_now() - start;
    int64_t value = lp_value(&lp, &events), surplus, bound;
    market_gap(m, &surplus, &bound);
    printf("{\"percent\": %.4f, \"ms\": %.3f, \"bound_percent\": %.4f, \"value\": %lld}\n",
           optimum > 0 ? (double)value / optimum / 1e4 : 0, span * 1e3,
           optimum > 0 ? (double)bound / optimum / 1e4 : 0, (long long)value);
    market_events_fini(&events);
    market_free(m);
    xfree(lp.capacity);
    xfree(lp.bids);
    return value < 0;
}

/* ---- the job mix of bench/slurm
 * -------------------------------------------------------------------------- */

/* 8 GPUs, 96 cores, 1 TB a node; 16 nodes a leaf, 32 leaves a spine. Limits of 1 to 20 dollars a
 * GPU-hour. */
static void slurm_nodes(struct market *m, size_t count, struct market_events *events)
{
    struct market_command *batch = xcalloc(count, sizeof *batch);
    for (size_t i = 0; i < count; i++)
        batch[i] = (struct market_command){.type = MARKET_NODE_UP,
                                           .node = {.id = i + 1,
                                                    .sku = 1,
                                                    .accelerator = 1,
                                                    .place = {1, 1, 1, i / 512 + 1, i / 16 + 1},
                                                    .amounts = {8000, 96000, 1000000, 0},
                                                    .seller = 1}};
    market_apply(m, 1000, batch, count, events);
    xfree(batch);
}

struct slurm_spec {
    struct market_role role;
    struct market_choice choice;
    struct market_alternative alternative;
};

int run_slurm(struct options *o)
{
    size_t nodes = (size_t)option_number(o, "--nodes", 1000),
           jobs = (size_t)option_number(o, "--jobs", 10000);
    uint64_t random = (uint64_t)option_number(o, "--seed", 1);
    struct market *m = market_new(random);
    struct market_events events = {0};
    slurm_nodes(m, nodes, &events);
    struct market_command *batch = xcalloc(jobs, sizeof *batch);
    struct slurm_spec *specs = xcalloc(jobs, sizeof *specs);
    for (size_t i = 0; i < jobs; i++) {
        struct mix_job job = mix_job(&random);
        struct slurm_spec *s = &specs[i];
        s->role = (struct market_role){(uint32_t)job.nodes, (uint32_t)job.nodes};
        s->choice = (struct market_choice){
            .amounts = {job.gpus * 1000, job.gpus * 1000, job.gpus * 10240, 0},
            .speed_milli = 1000};
        s->alternative = (struct market_alternative){
            .choices = &s->choice, .limit = 1000000 + mix_random(&random) % 19000000};
        batch[i] = (struct market_command){.type = MARKET_BID_ADD,
                                           .bid = {.id = i + 1,
                                                   .tenant = 1 + i % GEN_TENANTS,
                                                   .request_key = hash_u64(i + 1),
                                                   .roles = &s->role,
                                                   .role_count = 1,
                                                   .alternatives = &s->alternative,
                                                   .alternative_count = 1,
                                                   .notice = GEN_NOTICE,
                                                   .latest = TIME_NEVER,
                                                   .run_time = job.minutes * (time_ms)60000}};
    }
    market_events_clear(&events);
    double start = seconds_now();
    market_apply(m, 2000, batch, jobs, &events);
    double span = seconds_now() - start;
    size_t placed = 0;
    int64_t gpus = 0;
    for (size_t i = 0; i < events.count; i++)
        if (events.items[i].type == EVENT_ALLOCATED) {
            placed++;
            gpus += events.items[i].allocated.units_milli / 1000;
        }
    printf("{\"ms\": %.2f, \"placed\": %zu, \"gpus_used_percent\": %.2f}\n", span * 1e3, placed,
           (double)gpus / (double)(nodes * 8) * 100);
    xfree(batch);
    xfree(specs);
    market_events_fini(&events);
    market_free(m);
    return 0;
}
