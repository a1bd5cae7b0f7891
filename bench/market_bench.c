/* SPDX-License-Identifier: Apache-2.0 */
/* market_bench MODE [--key value]…: one measure of the market in a process of its own; prints one
 * JSON object. bench/market runs it with the sizes and seeds of the table, and says what they mean.
 *
 *   clear   --fleet full|small|growth:N --mix mixed|gangs --bids N --seed N [--dump FILE]
 *   events  --fleet … --bids N --events N --tick N --questions N --seed N
 *   tick    --bids N --ticks N --large N --seed N
 *   lp      --file FILE --optimum DOLLARS
 *   slurm   --nodes N --jobs N --seed N */
#include "market_bench.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- options
 * --------------------------------------------------------------------------------------------- */

const char *option_text(struct options *o, const char *key, const char *otherwise)
{
    for (int i = 0; i + 1 < o->count; i += 2)
        if (strcmp(o->words[i], key) == 0)
            return o->words[i + 1];
    return otherwise;
}

int64_t option_number(struct options *o, const char *key, int64_t otherwise)
{
    const char *text = option_text(o, key, NULL);
    int64_t value = otherwise;
    if (text && !str_to_i64(str_from(text), &value)) {
        fprintf(stderr, "market_bench: %s wants a number, got '%s'\n", key, text);
        exit(2);
    }
    return value;
}

struct gen_shape option_fleet(struct options *o)
{
    const char *fleet = option_text(o, "--fleet", "full");
    if (strcmp(fleet, "full") == 0)
        return gen_shape_full();
    if (strcmp(fleet, "small") == 0)
        return gen_shape_small();
    unsigned scale = 0;
    if (sscanf(fleet, "growth:%u", &scale) == 1 && scale > 0)
        return gen_shape_growth(scale);
    fprintf(stderr, "market_bench: --fleet full, small or growth:N\n");
    exit(2);
}

bool option_gangs(struct options *o)
{
    return strcmp(option_text(o, "--mix", "mixed"), "gangs") == 0;
}

double gap_percent(int64_t surplus, int64_t bound)
{
    return bound > 0 ? (double)(bound - surplus) / (double)bound * 100 : 0;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double percentile(double *values, size_t count, double share)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof *values, compare_doubles);
    size_t at = (size_t)(share * (double)count);
    return values[MIN(at, count - 1)];
}

/* ---- a full clear
 * ---------------------------------------------------------------------------------------- */

/* instance, allocation and prices, one row a line; tests/check_gap.py reads it */
static void dump(const struct fleet *f, const char *path, const struct seat *seats,
                 size_t seat_count)
{
    FILE *out = fopen(path, "w");
    CHECK(out != NULL);
    const struct gen_shape *s = &f->gen.shape;
    fprintf(out, "surplus %lld bound %lld\n", (long long)f->surplus, (long long)f->bound);
    for (uint32_t i = 0; i < gen_node_count(s); i++) {
        struct gen_node n = gen_node(s, i);
        fprintf(out, "node %u region %u zone %u fabric %u rack %u sku %u gpus %d ask %lld\n", i,
                n.region, n.zone, n.fabric, n.rack, n.sku, GEN_GPUS, (long long)n.ask);
    }
    for (size_t i = 0; i < f->bid_count; i++) {
        const struct gen_bid *b = &f->bids[i];
        static const char *const levels[] = {"any", "zone", "fabric", "racks", "rack", "node"};
        fprintf(out, "bid %zu nodes %u gpus %u level %s", i, b->nodes, b->gpus, levels[b->level]);
        for (uint32_t r = 0; r < s->regions; r++)
            for (uint32_t k = 0; k < s->skus; k++)
                if (gen_net(&f->gen, b, r, k) >= 0)
                    fprintf(out, " %u/%u:%lld", r, k, (long long)gen_net(&f->gen, b, r, k));
        fprintf(out, "\n");
    }
    udollar *prices = fleet_prices(f);
    for (uint32_t i = 0; i < eval_pool_count(s); i++)
        fprintf(out, "price zone %u sku %u %lld\n", i / s->skus, i % s->skus, (long long)prices[i]);
    xfree(prices);
    for (size_t i = 0; i < seat_count; i++)
        fprintf(out, "seat %u node %u gpus %llx\n", seats[i].bid, seats[i].node,
                (unsigned long long)seats[i].gpus);
    CHECK(fclose(out) == 0);
}

static int run_clear(struct options *o)
{
    struct fleet f;
    size_t count = (size_t)option_number(o, "--bids", 20000);
    fleet_init(&f, option_fleet(o), option_gangs(o), (uint64_t)option_number(o, "--seed", 1));
    double before = memory_now();
    fleet_fill(&f, count);
    double seconds = fleet_clear(&f),
           memory = memory_peak() - before -
                    (double)(count * (sizeof(struct place) + sizeof(struct gen_bid))) / 1e6;
    size_t seat_count;
    struct seat *seats = fleet_seats(&f, &seat_count);
    udollar *prices = fleet_prices(&f);
    int64_t surplus = eval_surplus(&f.gen, f.bids, f.bid_count, seats, seat_count);
    int64_t bound = eval_bound(&f.gen, f.bids, f.bid_count, prices),
            greedy = eval_greedy(&f.gen, f.bids, f.bid_count);
    if (option_text(o, "--dump", NULL))
        dump(&f, option_text(o, "--dump", NULL), seats, seat_count);
    printf("{\"gap\": %.4f, \"greedy\": %.4f, \"seconds\": %.4f, \"memory_mb\": %.1f, \"surplus\": "
           "%lld, \"bound\": %lld, "
           "\"own_surplus\": %lld, \"own_bound\": %lld, \"greedy_surplus\": %lld, \"placed\": %zu, "
           "\"refused\": %llu}\n",
           gap_percent(f.surplus, f.bound), gap_percent(greedy, f.bound), seconds, memory,
           (long long)f.surplus, (long long)f.bound, (long long)surplus, (long long)bound,
           (long long)greedy, f.running_count, (unsigned long long)f.refused);
    xfree(seats);
    xfree(prices);
    fleet_fini(&f);
    return surplus < 0;
}

/* ---- events
 * ------------------------------------------------------------------------------------------------
 */

#define EVENT_SPAN_MS 15 /* a thousand events a tick */

/* After a full clear everything starts, and its minimum run is over. */
static void warm_up(struct fleet *f)
{
    fleet_clear(f);
    fleet_settle(f);
    f->now += 11 * 60000;
    fleet_tick(f);
    f->longest = 0;
}

static double one_event(struct fleet *f, bool arrival)
{
    struct gen_spec spec;
    f->now += EVENT_SPAN_MS;
    struct market_command c = arrival ? fleet_next_bid(f, &spec) : fleet_departure(f);
    double span = fleet_apply(f, &c, 1);
    fleet_settle(f);
    return span;
}

/* p99 of so many quotes, and of whys of waiting bids. */
static void ask_questions(struct fleet *f, size_t count, double *ret_quote, double *ret_why)
{
    double *quotes = xcalloc(count + 1, sizeof *quotes), *whys = xcalloc(count + 1, sizeof *whys);
    size_t why_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct gen_spec spec;
        struct market_quote quote;
        const char *field;
        int64_t numbers[3];
        struct gen_bid bid = gen_bid(&f->gen);
        gen_spec(&f->gen, &bid, f->bid_count + 1, 1, &spec);
        double start = seconds_now();
        market_quote(f->market, &spec.bid, &quote, &field, numbers);
        quotes[i] = seconds_now() - start;
    }
    for (size_t tries = 0; why_count < count && tries < 100 * count; tries++) {
        uint32_t bid = (uint32_t)prng_below(&f->gen.random, f->bid_count);
        struct market_bid_view view;
        struct market_why why;
        if (!market_bid_view(f->market, bid + 1, f->now, &view) || view.state != BID_WAITING)
            continue;
        double start = seconds_now();
        market_why(f->market, bid + 1, &why);
        whys[why_count++] = seconds_now() - start;
    }
    *ret_quote = percentile(quotes, count, 0.99);
    *ret_why = percentile(whys, why_count, 0.99);
    xfree(quotes);
    xfree(whys);
}

static int run_events(struct options *o)
{
    struct fleet f;
    size_t events = (size_t)option_number(o, "--events", 100000),
           every = (size_t)option_number(o, "--tick", 1000), ticks = 0;
    fleet_init(&f, option_fleet(o), option_gangs(o), (uint64_t)option_number(o, "--seed", 1));
    fleet_fill(&f, (size_t)option_number(o, "--bids", 200000));
    warm_up(&f);
    double *spans = xcalloc(events + 1, sizeof *spans), gaps = 0, worst_tick = 0, quote, why,
           worst = 0;
    for (size_t i = 0; i < events; i++) {
        spans[i] = one_event(&f, i % 2 == 0);
        worst = MAX(worst, spans[i]);
        if ((i + 1) % every)
            continue;
        worst_tick = MAX(worst_tick, fleet_tick(&f));
        gaps += gap_percent(f.surplus, f.bound);
        ticks++;
    }
    size_t seat_count;
    struct seat *seats = fleet_seats(&f, &seat_count);
    int64_t surplus = eval_surplus(&f.gen, f.bids, f.bid_count, seats, seat_count);
    ask_questions(&f, (size_t)option_number(o, "--questions", 1000), &quote, &why);
    double p99 = percentile(spans, events, 0.99), p50 = percentile(spans, events, 0.5);
    printf("{\"p50_us\": %.2f, \"p99_us\": %.1f, \"max_us\": %.1f, \"gap\": %.4f, \"tick_ms\": "
           "%.2f, \"stall_ms\": %.2f, "
           "\"quote_p99_ms\": %.3f, \"why_p99_ms\": %.3f, \"surplus\": %lld, \"own_surplus\": "
           "%lld, \"refused\": %llu}\n",
           p50 * 1e6, p99 * 1e6, worst * 1e6, ticks ? gaps / (double)ticks : 0, worst_tick * 1e3,
           f.longest * 1e3, quote * 1e3, why * 1e3, (long long)f.surplus, (long long)surplus,
           (unsigned long long)f.refused);
    xfree(spans);
    xfree(seats);
    fleet_fini(&f);
    return surplus < 0;
}

/* ---- ticks, large tenants, a fifth of the fleet
 * ---------------------------------------------------------------- */

/* Every fifth rack goes at once. */
static double lose_fifth(struct fleet *f)
{
    uint32_t count = gen_node_count(&f->gen.shape);
    size_t lost = 0;
    struct market_command *batch = xcalloc(count, sizeof *batch);
    for (uint32_t i = 0; i < count; i++)
        if (gen_node(&f->gen.shape, i).rack % 5 == 4)
            batch[lost++] = (struct market_command){
                .type = MARKET_NODE_DOWN, .on_node = {.node = i + 1, .last_contact = f->now}};
    double span = fleet_apply(f, batch, lost);
    xfree(batch);
    return span;
}

/* The work outside the writer, and what its result costs inside it. */
static double compute(struct fleet *f, enum market_work work, double *ret_apply)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    double start = seconds_now();
    market_compute(f->market, work, &out);
    double span = seconds_now() - start;
    struct market_command c = {.type = MARKET_COMPUTED, .computed = {work, buf_str(&out)}};
    *ret_apply = out.size ? fleet_apply(f, &c, 1) : 0;
    return span;
}

static int run_tick(struct options *o)
{
    struct fleet f;
    size_t ticks = (size_t)option_number(o, "--ticks", 100),
           count = (size_t)option_number(o, "--bids", 1000000);
    fleet_init(&f, option_fleet(o), option_gangs(o), (uint64_t)option_number(o, "--seed", 1));
    f.large = (uint32_t)option_number(o, "--large", 8);
    double before = memory_now();
    fleet_fill(&f, count);
    warm_up(&f);
    double worst = 0, large = 0, sum = 0;
    for (size_t i = 0; i < ticks; i++) {
        for (size_t j = 0; j < 1000; j++)
            one_event(&f, j % 2 == 0);
        double applied, background = compute(&f, WORK_LARGE_TENANTS, &applied),
                        tick = applied + fleet_tick(&f);
        worst = MAX(worst, tick);
        large = MAX(large, background);
        sum += tick;
    }
    double memory = memory_peak() - before, stall = f.longest, loss = lose_fifth(&f);
    printf("{\"tick_ms\": %.2f, \"tick_mean_ms\": %.2f, \"large_tenant_ms\": %.2f, \"stall_ms\": "
           "%.2f, \"loss_ms\": %.2f, "
           "\"memory_mb\": %.1f}\n",
           worst * 1e3, ticks ? sum / (double)ticks * 1e3 : 0, large * 1e3, stall * 1e3, loss * 1e3,
           memory);
    fleet_fini(&f);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(struct options *o);
    } modes[] = {{"clear", run_clear},
                 {"events", run_events},
                 {"tick", run_tick},
                 {"lp", run_lp},
                 {"slurm", run_slurm}};
    struct options o = {.words = argv + 2, .count = argc - 2};
    for (size_t i = 0; argc > 1 && i < ARRAY_COUNT(modes); i++)
        if (strcmp(argv[1], modes[i].name) == 0)
            return modes[i].run(&o);
    fprintf(stderr, "market_bench clear|events|tick|lp|slurm [--key value]…\n");
    return 2;
}
