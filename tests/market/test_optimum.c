/* SPDX-License-Identifier: Apache-2.0 */
/* Small markets against an exhaustive search: at most 12 gangs, at most 64 nodes (invariants 9, 10,
 * 11 and 12 of MARKET.md section 15). TAP; `test_optimum --seed N` tells of one instance. */
#include "base/hash.h"
#include "base/memory.h"
#include "market/market.h"

#include <stdio.h>
#include <stdlib.h>

#define GANGS_MAX 12
#define POOLS_MAX 2
#define FABRICS_MAX 3
#define RACKS_MAX 3
#define GPUS 8

struct gang {
    uint32_t nodes, gpus; /* gpus of a node: 8, or a part where there is one node */
    enum market_level level;
    int64_t value[POOLS_MAX]; /* per GPU-hour; −1: not there */
};

struct instance {
    uint32_t pools, fabrics, racks, nodes; /* each of the one before it */
    int64_t ask[POOLS_MAX];
    struct gang gangs[GANGS_MAX];
    uint32_t gang_count;
};

static uint32_t below(struct prng *p, uint32_t bound)
{
    return (uint32_t)prng_below(p, bound);
}

static struct gang draw_gang(struct prng *p, const struct instance *in)
{
    static const enum market_level levels[] = {LEVEL_RACK, LEVEL_FABRIC, LEVEL_ANY};
    struct gang g = {.nodes = 1 + below(p, MIN(in->nodes * in->racks, 8)),
                     .gpus = GPUS,
                     .level = levels[below(p, 3)]};
    if (g.nodes > in->nodes && g.level == LEVEL_RACK)
        g.level = LEVEL_FABRIC;
    if (g.nodes == 1)
        g.gpus = 1u << below(p, 4);
    int64_t base = 500000 + (int64_t)below(p, 2500000);
    for (uint32_t i = 0; i < in->pools; i++)
        g.value[i] = below(p, 4) == 0 ? -1 : base * (int64_t)(60 + below(p, 41)) / 100;
    if (g.value[0] < 0 && (in->pools == 1 || g.value[1] < 0))
        g.value[0] = base;
    return g;
}

static struct instance draw(uint64_t seed)
{
    struct prng p = {seed};
    struct instance in = {.pools = 1 + below(&p, POOLS_MAX),
                          .fabrics = 1 + below(&p, FABRICS_MAX),
                          .racks = 1 + below(&p, RACKS_MAX)};
    in.nodes = 1 + below(&p, 4);
    while (in.pools * in.fabrics * in.racks * in.nodes > 64)
        in.nodes--;
    for (uint32_t i = 0; i < in.pools; i++)
        in.ask[i] = (int64_t)below(&p, 900000);
    in.gang_count = 1 + below(&p, GANGS_MAX);
    for (uint32_t i = 0; i < in.gang_count; i++)
        in.gangs[i] = draw_gang(&p, &in);
    return in;
}

/* ---- every allocation there is
 * -------------------------------------------------------------------------- */

/* Nodes inside a rack are alike, so an allocation is a count at each anchor; parts of nodes fill up
 * whole ones of their fabric. */
struct search {
    const struct instance *in;
    uint32_t rack[POOLS_MAX][FABRICS_MAX][RACKS_MAX];
    uint32_t fabric[POOLS_MAX][FABRICS_MAX], parts[POOLS_MAX][FABRICS_MAX], pool[POOLS_MAX];
    int64_t rest[GANGS_MAX + 1]; /* the most that gangs from here on could add */
    int64_t best;
};

static bool fits(const struct search *s, uint32_t p)
{
    uint32_t all = s->pool[p];
    for (uint32_t f = 0; f < s->in->fabrics; f++) {
        uint32_t here = s->fabric[p][f] + (s->parts[p][f] + GPUS - 1) / GPUS;
        for (uint32_t r = 0; r < s->in->racks; r++) {
            if (s->rack[p][f][r] > s->in->nodes)
                return false;
            here += s->rack[p][f][r];
        }
        if (here > s->in->racks * s->in->nodes)
            return false;
        all += here;
    }
    return all <= s->in->fabrics * s->in->racks * s->in->nodes;
}

static void try_gangs(struct search *s, uint32_t i, int64_t surplus);

static void try_at(struct search *s, uint32_t i, int64_t surplus, uint32_t p, uint32_t *count)
{
    const struct gang *g = &s->in->gangs[i];
    uint32_t amount = g->gpus < GPUS ? g->gpus : g->nodes;
    *count += amount;
    if (fits(s, p))
        try_gangs(s, i + 1, surplus + (g->value[p] - s->in->ask[p]) * g->gpus * g->nodes);
    *count -= amount;
}

static void try_pool(struct search *s, uint32_t i, int64_t surplus, uint32_t p)
{
    const struct gang *g = &s->in->gangs[i];
    if (g->gpus == GPUS && g->level == LEVEL_ANY) {
        try_at(s, i, surplus, p, &s->pool[p]);
        return;
    }
    for (uint32_t f = 0; f < s->in->fabrics; f++) {
        if (g->gpus < GPUS)
            try_at(s, i, surplus, p, &s->parts[p][f]);
        else if (g->level == LEVEL_FABRIC)
            try_at(s, i, surplus, p, &s->fabric[p][f]);
        for (uint32_t r = 0; r < s->in->racks && g->level == LEVEL_RACK && g->gpus == GPUS; r++) {
            bool seen = false; /* racks with as much on them are alike */
            for (uint32_t k = 0; k < r && !seen; k++)
                seen = s->rack[p][f][k] == s->rack[p][f][r];
            if (!seen)
                try_at(s, i, surplus, p, &s->rack[p][f][r]);
        }
    }
}

static void try_gangs(struct search *s, uint32_t i, int64_t surplus)
{
    s->best = MAX(s->best, surplus);
    if (i == s->in->gang_count || surplus + s->rest[i] <= s->best)
        return;
    for (uint32_t p = 0; p < s->in->pools; p++)
        if (s->in->gangs[i].value[p] > s->in->ask[p])
            try_pool(s, i, surplus, p);
    try_gangs(s, i + 1, surplus);
}

static int64_t exhaustive(const struct instance *in)
{
    struct search s = {.in = in};
    for (uint32_t i = in->gang_count; i-- > 0;) {
        int64_t most = 0;
        for (uint32_t p = 0; p < in->pools; p++)
            most = MAX(most, (in->gangs[i].value[p] - in->ask[p]) * in->gangs[i].gpus *
                                 in->gangs[i].nodes);
        s.rest[i] = s.rest[i + 1] + most;
    }
    try_gangs(&s, 0, 0);
    return s.best;
}

/* ---- the same in the market
 * ------------------------------------------------------------------------------- */

static void say(struct market *m, time_ms now, struct market_command c,
                struct market_events *events)
{
    market_apply(m, now, &c, 1, events);
}

static void add_nodes(struct market *m, const struct instance *in, struct market_events *events)
{
    uint32_t per_rack = in->nodes, per_fabric = per_rack * in->racks,
             per_pool = per_fabric * in->fabrics;
    for (uint32_t i = 0; i < per_pool * in->pools; i++)
        say(m, 1000,
            (struct market_command){
                .type = MARKET_NODE_UP,
                .node = {.id = i + 1,
                         .sku = i / per_pool + 1,
                         .accelerator = 1,
                         .place = {1, 1, 1, i / per_fabric + 1, i / per_rack + 1},
                         .amounts = {GPUS * 1000, 96000, 1 << 20, 0},
                         .ask = in->ask[i / per_pool],
                         .seller = 1}},
            events);
}

static void add_gang(struct market *m, const struct gang *g, uint32_t id,
                     struct market_events *events)
{
    struct market_choice choices[POOLS_MAX];
    struct market_alternative alternatives[POOLS_MAX];
    struct market_role role = {g->nodes, g->nodes};
    size_t count = 0;
    for (uint32_t p = 0; p < POOLS_MAX; p++) {
        if (g->value[p] <= 0)
            continue;
        choices[count] = (struct market_choice){
            .sku = p + 1, .amounts = {.gpu_milli = g->gpus * 1000}, .speed_milli = 1000};
        alternatives[count] = (struct market_alternative){
            .choices = &choices[count], .level = g->level, .limit = g->value[p]};
        count++;
    }
    say(m, 1000,
        (struct market_command){.type = MARKET_BID_ADD,
                                .bid = {.id = id,
                                        .tenant = id,
                                        .request_key = id,
                                        .roles = &role,
                                        .role_count = 1,
                                        .alternatives = alternatives,
                                        .alternative_count = count,
                                        .notice = 1000,
                                        .latest = TIME_NEVER}},
        events);
}

struct outcome {
    int64_t surplus, bound;
};

static struct outcome clear(const struct instance *in, uint64_t seed, bool hold)
{
    struct market *m = market_new(seed);
    struct market_events events = {0};
    add_nodes(m, in, &events);
    if (hold)
        say(m, 1000,
            (struct market_command){.type = MARKET_SETTING_SET, .setting = {SETTING_HOLD, 1}},
            &events);
    for (uint32_t i = 0; i < in->gang_count; i++)
        add_gang(m, &in->gangs[i], i + 1, &events);
    struct market_command full[] = {{.type = MARKET_SETTING_SET, .setting = {SETTING_HOLD, 0}},
                                    {.type = MARKET_CLEAR},
                                    {.type = MARKET_TICK}};
    if (hold) {
        market_apply(m, 2000, full, 3, &events);
    } else {
        for (int i = 0; i < 80; i++) /* past the minimum run, until the sweeps are still */
            say(m, 2000 + i * 15000, (struct market_command){.type = MARKET_TICK}, &events);
    }
    market_check(m);
    struct outcome o = {0};
    market_gap(m, &o.surplus, &o.bound);
    market_events_fini(&events);
    market_free(m);
    return o;
}

/* ---- tests
 * ---------------------------------------------------------------------------------------------------
 */

static int number, bad;

static void tell(bool good, const char *what)
{
    printf("%sok %d - %s\n", good ? "" : "not ", ++number, what);
    bad += !good;
}

static bool compare(uint64_t seed, double *ret_share, bool loud)
{
    struct instance in = draw(seed);
    int64_t best = exhaustive(&in);
    struct outcome cold = clear(&in, seed, true);
    *ret_share = best ? (double)cold.surplus / (double)best : 1;
    if (loud)
        printf("# seed %llu: %u gangs, %u pools of %u × %u × %u nodes: optimum %lld, surplus %lld "
               "(%.4f), bound %lld\n",
               (unsigned long long)seed, in.gang_count, in.pools, in.fabrics, in.racks, in.nodes,
               (long long)best, (long long)cold.surplus, *ret_share, (long long)cold.bound);
    if (cold.bound >= best && cold.surplus <= best)
        return true;
    printf("# seed %llu: optimum %lld, surplus %lld, bound %lld\n", (unsigned long long)seed,
           (long long)best, (long long)cold.surplus, (long long)cold.bound);
    return false;
}

static void against_exhaustive(uint64_t count)
{
    double sum = 0, worst = 1, share;
    bool sound = true;
    for (uint64_t seed = 1; seed <= count; seed++) {
        sound &= compare(seed, &share, false);
        sum += share;
        worst = MIN(worst, share);
    }
    printf("# %llu instances: mean %.4f of the optimum, worst %.4f\n", (unsigned long long)count,
           sum / (double)count, worst);
    tell(sound, "no surplus above the optimum, no bound below it (invariants 9 and 10)");
    tell(sum >= 0.95 * (double)count, "at least 95 % of the optimum on average (invariant 10)");
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* One GPU each, any pool: the best is to give the cheapest asks to the highest values. */
static void one_unit_demands(uint64_t count)
{
    bool good = true;
    for (uint64_t seed = 1; seed <= count && good; seed++) {
        struct prng p = {seed};
        struct instance in = {.pools = POOLS_MAX,
                              .fabrics = 1,
                              .racks = 1,
                              .nodes = 1,
                              .ask = {100000, 350000},
                              .gang_count = GANGS_MAX};
        struct market *m = market_new(seed);
        struct market_events events = {0};
        int64_t values[40], best = 0;
        add_nodes(m, &in, &events);
        say(m, 1000,
            (struct market_command){.type = MARKET_SETTING_SET, .setting = {SETTING_HOLD, 1}},
            &events);
        uint32_t bids = 1 + below(&p, 40);
        for (uint32_t i = 0; i < bids; i++) {
            values[i] = (int64_t)below(&p, 1000000);
            struct gang g = {.nodes = 1, .gpus = 1, .value = {values[i], values[i]}};
            add_gang(m, &g, i + 1, &events);
        }
        struct market_command full[] = {{.type = MARKET_SETTING_SET, .setting = {SETTING_HOLD, 0}},
                                        {.type = MARKET_CLEAR},
                                        {.type = MARKET_TICK}};
        market_apply(m, 2000, full, 3, &events);
        qsort(values, bids, sizeof *values, by_value);
        for (uint32_t i = 0; i < MIN(bids, 2 * GPUS); i++)
            best += MAX(values[i] - in.ask[i / GPUS], 0);
        struct outcome o = {0};
        market_gap(m, &o.surplus, &o.bound);
        good = o.surplus == best && o.bound >= best;
        if (!good)
            printf("# seed %llu: %u bids, optimum %lld, surplus %lld, bound %lld\n",
                   (unsigned long long)seed, bids, (long long)best, (long long)o.surplus,
                   (long long)o.bound);
        market_events_fini(&events);
        market_free(m);
    }
    tell(good, "one-unit demands get the optimum (invariant 11)");
}

/* What came one by one ends where a cold clear would start. */
static void against_cold(uint64_t count)
{
    double sum = 0;
    uint64_t compared = 0;
    for (uint64_t seed = 1; seed <= count; seed++) {
        struct instance in = draw(seed);
        struct outcome cold = clear(&in, seed, true), warm = clear(&in, seed, false);
        if (cold.surplus == 0)
            continue;
        sum += (double)warm.surplus / (double)cold.surplus;
        compared++;
    }
    printf("# %llu instances: arriving one by one gives %.4f of a cold clear\n",
           (unsigned long long)compared, sum / (double)compared);
    tell(sum >= 0.97 * (double)compared,
         "arrivals one by one end within 3 % of a cold clear on average (invariant 12)");
}

int main(int argc, char **argv)
{
    double share;
    if (argc > 2 && strcmp(argv[1], "--seed") == 0)
        return !compare(strtoull(argv[2], NULL, 10), &share, true);
    const char *text = getenv("TESSERA_TEST_LONG");
    bool full = text && *text && strcmp(text, "0") != 0;
    against_exhaustive(full ? 5000 : 200);
    one_unit_demands(full ? 2000 : 100);
    against_cold(full ? 1000 : 60);
    printf("1..%d\n", number);
    return bad > 0;
}
