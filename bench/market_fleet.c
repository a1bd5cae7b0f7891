/* SPDX-License-Identifier: Apache-2.0 */
#include "market_fleet.h"

#include <stdio.h>
#include <time.h>

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double memory_field(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    double kib = 0;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            sscanf(line + strlen(name), ": %lf", &kib);
    if (file)
        fclose(file);
    return kib * 1024 / 1e6;
}

double memory_now(void)
{
    return memory_field("VmRSS");
}

double memory_peak(void)
{
    return memory_field("VmHWM");
}

/* ---- what is decided
 * -------------------------------------------------------------------------------------- */

static void reply(struct fleet *f, struct market_command c)
{
    ARRAY_RESERVE(f->reply, f->reply_count, f->reply_capacity);
    f->reply[f->reply_count++] = c;
}

static void reply_started(struct fleet *f, const struct market_event *e)
{
    reply(f,
          (struct market_command){.type = MARKET_LEASE_STARTED,
                                  .lease = {.bid = e->bid, .attempt = e->attempt, .at = f->now}});
}

static void running_add(struct fleet *f, uint32_t bid)
{
    ARRAY_RESERVE(f->running, f->running_count, f->running_capacity);
    f->places[bid].at_running = (uint32_t)f->running_count;
    f->running[f->running_count++] = bid;
}

static void running_remove(struct fleet *f, uint32_t bid)
{
    uint32_t at = f->places[bid].at_running;
    if (at == UINT32_MAX)
        return;
    f->running[at] = f->running[--f->running_count];
    f->places[f->running[at]].at_running = at;
    f->places[bid].at_running = UINT32_MAX;
}

static void on_allocated(struct fleet *f, uint32_t bid, const struct market_event *e)
{
    struct place *p = &f->places[bid];
    p->attempt = e->attempt;
    p->count = (uint32_t)e->allocated.placement_count;
    p->nodes = xrealloc(p->nodes, p->count, sizeof *p->nodes);
    for (uint32_t i = 0; i < p->count; i++)
        p->nodes[i] = (uint32_t)f->events.placements[e->allocated.placement_first + i].node - 1;
    p->gpus = f->events.placements[e->allocated.placement_first].gpus;
    if (e->allocated.ready)
        reply_started(f, e);
    running_add(f, bid);
}

static void on_event(struct fleet *f, const struct market_event *e)
{
    uint32_t bid = (uint32_t)e->bid - 1;
    if (e->type == EVENT_ALLOCATED) {
        on_allocated(f, bid, e);
    } else if (e->type == EVENT_READY) {
        reply_started(f, e);
    } else if (e->type == EVENT_PREEMPTING) {
        running_remove(f, bid);
        reply(f,
              (struct market_command){
                  .type = MARKET_LEASE_ENDED,
                  .lease = {.bid = e->bid, .attempt = e->attempt, .at = f->now, .requeue = true}});
    } else if (e->type == EVENT_RELEASED) {
        running_remove(f, bid);
        f->places[bid].count = 0;
    } else if (e->type == EVENT_REFUSED) {
        f->refused++;
    } else if (e->type == EVENT_GAP) {
        f->surplus = e->gap.surplus;
        f->bound = e->gap.bound;
    }
}

double fleet_apply(struct fleet *f, const struct market_command *commands, size_t count)
{
    market_events_clear(&f->events);
    double start = seconds_now();
    market_apply(f->market, f->now, commands, count, &f->events);
    double span = seconds_now() - start;
    f->longest = MAX(f->longest, span);
    for (size_t i = 0; i < f->events.count; i++)
        on_event(f, &f->events.items[i]);
    return span;
}

void fleet_settle(struct fleet *f)
{
    while (f->reply_count) {
        struct market_command *batch = TAKE(f->reply);
        size_t count = TAKE(f->reply_count);
        f->reply_capacity = 0;
        fleet_apply(f, batch, count);
        xfree(batch);
    }
}

double fleet_tick(struct fleet *f)
{
    double span = fleet_apply(f, &(struct market_command){.type = MARKET_TICK}, 1);
    fleet_settle(f);
    return span;
}

/* ---- bids and nodes
 * ------------------------------------------------------------------------------------------ */

static market_id tenant_of(const struct fleet *f, size_t bid)
{
    if (f->large && bid % 16 < f->large)
        return bid % 16 + 1;
    return f->large + bid % (GEN_TENANTS - f->large) + 1;
}

struct market_command fleet_next_bid(struct fleet *f, struct gen_spec *spec)
{
    ARRAY_RESERVE(f->bids, f->bid_count, f->bid_capacity);
    while (f->place_capacity <= f->bid_count) {
        size_t before = f->place_capacity;
        ARRAY_RESERVE(f->places, f->place_capacity, f->place_capacity);
        memset(f->places + before, 0, (f->place_capacity - before) * sizeof *f->places);
    }
    size_t i = f->bid_count++;
    f->bids[i] = gen_bid(&f->gen);
    f->places[i] = (struct place){.at_running = UINT32_MAX};
    gen_spec(&f->gen, &f->bids[i], i + 1, tenant_of(f, i), spec);
    return (struct market_command){.type = MARKET_BID_ADD, .bid = spec->bid};
}

struct market_command fleet_departure(struct fleet *f)
{
    CHECK(f->running_count > 0);
    uint32_t bid = f->running[prng_below(&f->gen.random, f->running_count)];
    return (struct market_command){
        .type = MARKET_LEASE_ENDED,
        .lease = {.bid = bid + 1, .attempt = f->places[bid].attempt, .at = f->now}};
}

void fleet_init(struct fleet *f, struct gen_shape shape, bool gangs, uint64_t seed)
{
    *f = (struct fleet){.market = market_new(seed), .now = 1000000000000, .surplus = -1};
    gen_init(&f->gen, shape, gangs, seed);
    uint32_t count = gen_node_count(&shape);
    struct market_command *batch = xcalloc(count, sizeof *batch);
    for (uint32_t i = 0; i < count; i++)
        batch[i] =
            (struct market_command){.type = MARKET_NODE_UP, .node = gen_market_node(&shape, i)};
    fleet_apply(f, batch, count);
    xfree(batch);
    f->longest = 0;
}

void fleet_fini(struct fleet *f)
{
    for (size_t i = 0; i < f->bid_count; i++)
        xfree(f->places[i].nodes);
    void *arrays[] = {f->bids, f->places, f->running, f->reply};
    for (size_t i = 0; i < ARRAY_COUNT(arrays); i++)
        xfree(arrays[i]);
    market_events_fini(&f->events);
    market_free(f->market);
}

static void hold(struct fleet *f, bool on)
{
    fleet_apply(
        f, &(struct market_command){.type = MARKET_SETTING_SET, .setting = {SETTING_HOLD, on}}, 1);
}

#define FILL_BATCH 1000

void fleet_fill(struct fleet *f, size_t count)
{
    struct gen_spec *specs = xcalloc(FILL_BATCH, sizeof *specs);
    struct market_command *batch = xcalloc(FILL_BATCH, sizeof *batch);
    hold(f, true);
    for (size_t done = 0; done < count;) {
        size_t here = MIN(count - done, FILL_BATCH);
        for (size_t i = 0; i < here; i++)
            batch[i] = fleet_next_bid(f, &specs[i]);
        fleet_apply(f, batch, here);
        done += here;
    }
    xfree(specs);
    xfree(batch);
    f->longest = 0;
}

double fleet_clear(struct fleet *f)
{
    struct market_command batch[] = {{.type = MARKET_SETTING_SET, .setting = {SETTING_HOLD, 0}},
                                     {.type = MARKET_CLEAR},
                                     {.type = MARKET_TICK}};
    return fleet_apply(f, batch, ARRAY_COUNT(batch));
}

struct seat *fleet_seats(const struct fleet *f, size_t *ret_count)
{
    size_t count = 0;
    for (size_t i = 0; i < f->bid_count; i++)
        count += f->places[i].at_running == UINT32_MAX ? 0 : f->places[i].count;
    struct seat *seats = xcalloc(count, sizeof *seats);
    size_t at = 0;
    for (size_t i = 0; i < f->bid_count; i++)
        for (uint32_t j = 0; f->places[i].at_running != UINT32_MAX && j < f->places[i].count; j++)
            seats[at++] = (struct seat){(uint32_t)i, f->places[i].nodes[j],
                                        f->bids[i].gpus < GEN_GPUS ? f->places[i].gpus
                                                                   : (1u << GEN_GPUS) - 1};
    *ret_count = count;
    return seats;
}

udollar *fleet_prices(const struct fleet *f)
{
    udollar *prices = xcalloc(eval_pool_count(&f->gen.shape), sizeof *prices);
    for (size_t i = 0; i < market_pool_count(f->market); i++) {
        struct market_pool_view p = market_pool(f->market, i);
        prices[eval_pool(&f->gen.shape, (uint32_t)p.zone - 1, (uint32_t)p.sku - 1)] = p.guide;
    }
    return prices;
}
