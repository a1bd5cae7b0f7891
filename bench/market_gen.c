/* SPDX-License-Identifier: Apache-2.0 */
#include "market_gen.h"

#include "base/check.h"

/* ---- the fleet
 * --------------------------------------------------------------------------------------- */

struct gen_shape gen_shape_full(void)
{
    return (struct gen_shape){6, 2, 4, 16, 16, 4, 0};
}

struct gen_shape gen_shape_small(void)
{
    return (struct gen_shape){2, 1, 4, 4, 4, 2, 10};
}

struct gen_shape gen_shape_growth(uint32_t scale)
{
    return (struct gen_shape){6, 2, 4 * scale, 2, 13, 4, 26};
}

uint32_t gen_node_count(const struct gen_shape *s)
{
    return s->regions * s->zones * s->fabrics * s->racks * s->nodes;
}

udollar gen_ask(uint32_t region, uint32_t sku)
{
    static const int64_t base[GEN_SKUS] = {2600000, 2000000, 1200000, 600000};
    return base[sku] * 35 / 100 * (100 + 6 * (int64_t)region) / 100;
}

struct gen_node gen_node(const struct gen_shape *s, uint32_t index)
{
    struct gen_node n = {.rack = index / s->nodes};
    n.fabric = n.rack / s->racks;
    n.zone = n.fabric / s->fabrics;
    n.region = n.zone / s->zones;
    n.sku = n.fabric % s->fabrics % s->skus;
    n.ask = gen_ask(n.region, n.sku);
    return n;
}

struct market_node gen_market_node(const struct gen_shape *s, uint32_t index)
{
    struct gen_node n = gen_node(s, index);
    return (struct market_node){
        .id = index + 1,
        .sku = n.sku + 1,
        .accelerator = n.sku + 1,
        .place = {1, n.region + 1, n.zone + 1, n.fabric + 1, n.rack + 1},
        .amounts = {GEN_GPUS * 1000, GEN_GPUS * 12000, GEN_GPUS * 131072, 0},
        .ask = n.ask,
        .seller = 1};
}

/* ---- chance
 * --------------------------------------------------------------------------------------------- */

/* Index of the entry that is hit when the weights are laid end to end. */
static uint32_t draw(struct gen *g, const uint32_t *weights, uint32_t count)
{
    uint32_t all = 0;
    for (uint32_t i = 0; i < count; i++)
        all += weights[i];
    uint64_t at = prng_below(&g->random, all);
    for (uint32_t i = 0; i < count; i++) {
        if (at < weights[i])
            return i;
        at -= weights[i];
    }
    return count - 1;
}

/* A normal deviate in 2⁻³²: the sum of twelve uniform ones less six. */
static int64_t normal(struct gen *g)
{
    int64_t sum = 0;
    for (int i = 0; i < 12; i++)
        sum += (int64_t)(prng_next(&g->random) >> 32);
    return sum - ((int64_t)6 << 32);
}

/* value × 2^(x / 2³²), by the square roots of two. */
static int64_t times_power_of_two(int64_t value, int64_t x)
{
    static const uint64_t roots[] = {/* 2^(2^-k) in 2⁻³², k = 1 … 16 */
                                     6074001000, 5107605667, 4683695048, 4485121744,
                                     4389014833, 4341736423, 4318288544, 4306612134,
                                     4300785774, 4297875550, 4296421177, 4295694175,
                                     4295330720, 4295149004, 4295058149, 4295012722};
    int128 result = value;
    for (unsigned k = 0; k < 16; k++)
        if (x >> (31 - k) & 1)
            result = result * (int128)roots[k] >> 32;
    int64_t whole = x >> 32;
    return (int64_t)(whole >= 0 ? result << whole : result >> -whole);
}

/* 2.21 $ × exp(0.45 × normal) */
static udollar draw_value(struct gen *g)
{
    const int128 log2_e_times_045 = 2788347608; /* 0.45 / ln 2 in 2⁻³² */
    int64_t exponent = (int64_t)(normal(g) * log2_e_times_045 >> 32);
    return times_power_of_two(2210000, exponent);
}

static uint8_t some_of(struct gen *g, uint32_t all, uint32_t most)
{
    uint8_t set = 0;
    uint32_t count = 1 + (uint32_t)prng_below(&g->random, most);
    for (uint32_t i = 0; i < count; i++)
        set |= (uint8_t)(1u << prng_below(&g->random, all));
    return set;
}

static struct gen_class draw_class(struct gen *g)
{
    static const uint16_t speeds[6][GEN_SKUS] = {{1024, 820, 420, 200}, {1024, 700, 380, 260},
                                                 {1024, 900, 600, 400}, {1024, 1024, 700, 300},
                                                 {1024, 600, 250, 100}, {1024, 760, 512, 512}};
    const struct gen_shape *s = &g->shape;
    struct gen_class c = {.data_region = -1};
    uint32_t which = draw(g, (const uint32_t[]){50, 25, 25}, 3);
    c.skus = which == 2 ? (uint8_t)((1u << s->skus) - 1) : some_of(g, s->skus, which + 1);
    which = draw(g, (const uint32_t[]){45, 30, 25}, 3);
    c.regions =
        which == 0 ? (uint8_t)((1u << s->regions) - 1) : some_of(g, s->regions, which == 1 ? 1 : 3);
    memcpy(c.speed, speeds[prng_below(&g->random, 6)], sizeof c.speed);
    if (prng_below(&g->random, 100) < 30)
        c.data_region = (int8_t)prng_below(&g->random, s->regions);
    return c;
}

void gen_init(struct gen *g, struct gen_shape shape, bool gangs, uint64_t seed)
{
    *g = (struct gen){.shape = shape, .random = {seed * 2654435761u + gangs}, .gangs = gangs};
    for (int i = 0; i < GEN_CLASSES; i++)
        g->classes[i] = draw_class(g);
}

/* ---- bids
 * --------------------------------------------------------------------------------------------------
 */

static uint32_t draw_nodes(struct gen *g)
{
    static const uint32_t mixed[] = {550, 150, 120, 80, 50, 30, 15, 5},
                          gangs[] = {0, 15, 20, 23, 20, 12, 7, 3};
    uint32_t n = 1u << draw(g, g->gangs ? gangs : mixed, 8);
    if (n > 2 && prng_below(&g->random, 100) < (g->gangs ? 40 : 15))
        n = n + (uint32_t)prng_below(&g->random, n / 2 + 1) - n / 4;
    return n;
}

static enum market_level draw_level(struct gen *g, uint32_t nodes)
{
    if (nodes <= 1)
        return LEVEL_FABRIC;
    if (nodes <= 16 && nodes <= g->shape.nodes &&
        prng_below(&g->random, 100) < (g->gangs ? 50 : 35))
        return LEVEL_RACK;
    uint64_t at = prng_below(&g->random, 1000);
    if (nodes > g->shape.racks * g->shape.nodes)
        return LEVEL_ANY;
    return at < 750 ? LEVEL_FABRIC : at < 900 ? LEVEL_ZONE : LEVEL_ANY;
}

struct gen_bid gen_bid(struct gen *g)
{
    struct gen_bid b = {
        .class = (uint16_t)prng_below(&g->random, GEN_CLASSES), .nodes = 1, .gpus = GEN_GPUS};
    uint32_t small = g->gangs ? 3 : draw(g, (const uint32_t[]){30, 8, 8, 54}, 4);
    if (small < 3) {
        b.gpus = (uint8_t)(1u << small);
    } else {
        uint32_t n = draw_nodes(g);
        while (g->shape.most_nodes && n > g->shape.most_nodes)
            n = draw_nodes(g);
        b.nodes = (uint16_t)n;
    }
    b.level = (uint8_t)draw_level(g, b.nodes);
    b.value = draw_value(g);
    return b;
}

int64_t gen_net(const struct gen *g, const struct gen_bid *b, uint32_t region, uint32_t sku)
{
    const struct gen_class *c = &g->classes[b->class];
    if (!(c->skus >> sku & 1) || !(c->regions >> region & 1))
        return -1;
    int64_t transfer = c->data_region >= 0 && (uint32_t)c->data_region != region ? GEN_TRANSFER : 0;
    return b->value * c->speed[sku] / 1024 - transfer;
}

/* ---- as the market wants it
 * ----------------------------------------------------------------------------------- */

static void add_alternative(const struct gen_bid *b, struct gen_spec *s, struct market_choice where,
                            udollar limit, udollar transfer)
{
    size_t i = s->bid.alternative_count++;
    CHECK(i < MARKET_ALTERNATIVES_MAX);
    s->choices[i] = where;
    s->choices[i].amounts = (struct market_amounts){.gpu_milli = b->gpus * 1000};
    s->choices[i].speed_milli = 1000; /* folded into the limit */
    s->alternatives[i] = (struct market_alternative){.choices = &s->choices[i],
                                                     .level = (enum market_level)b->level,
                                                     .limit = limit,
                                                     .transfer = transfer};
}

static void add_regions(const struct gen *g, const struct gen_bid *b, uint32_t sku,
                        struct gen_spec *s)
{
    const struct gen_class *c = &g->classes[b->class];
    udollar limit = b->value * c->speed[sku] / 1024;
    bool everywhere = c->regions == (1u << g->shape.regions) - 1;
    if (everywhere) {
        if (c->data_region >= 0)
            add_alternative(
                b, s,
                (struct market_choice){.sku = sku + 1, .region = (market_id)c->data_region + 1},
                limit, 0);
        add_alternative(b, s, (struct market_choice){.sku = sku + 1}, limit,
                        c->data_region >= 0 ? GEN_TRANSFER : 0);
        return;
    }
    for (uint32_t r = 0; r < g->shape.regions; r++)
        if (c->regions >> r & 1)
            add_alternative(b, s, (struct market_choice){.sku = sku + 1, .region = r + 1}, limit,
                            c->data_region >= 0 && (uint32_t)c->data_region != r ? GEN_TRANSFER
                                                                                 : 0);
}

void gen_spec(const struct gen *g, const struct gen_bid *b, market_id id, market_id tenant,
              struct gen_spec *ret)
{
    ret->role = (struct market_role){b->nodes, b->nodes};
    ret->bid = (struct market_bid){.id = id,
                                   .tenant = tenant,
                                   .request_key = hash_u64(id),
                                   .kind = BID_PREEMPTIBLE,
                                   .roles = &ret->role,
                                   .role_count = 1,
                                   .alternatives = ret->alternatives,
                                   .notice = GEN_NOTICE,
                                   .restart_cost = GEN_RESTART * gen_bid_gpus(b),
                                   .latest = TIME_NEVER};
    const struct gen_class *c = &g->classes[b->class];
    for (uint32_t sku = 0; sku < g->shape.skus; sku++)
        if (c->skus >> sku & 1)
            add_regions(g, b, sku, ret);
}
