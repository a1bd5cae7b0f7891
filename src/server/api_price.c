/* SPDX-License-Identifier: Apache-2.0 */
/* Posted prices, their history, and the asks behind them. */
#include "server/api_route.h"

#include "wire/record.h"

#define POINTS_MOST 20000
#define HISTORY_DEFAULT_MS ((time_ms)24 * HOUR_MS)

static struct record_list pool_labels(const struct render *r, const struct market_pool_view *pool)
{
    struct str *items = arena_alloc(r->arena, MARKET_LABELS_MAX * sizeof *items);
    size_t count = 0;
    for (; count < MARKET_LABELS_MAX && pool->labels[count]; count++)
        items[count] = engine_name(r->engine, NAME_LABEL, pool->labels[count]);
    return (struct record_list){items, count};
}

static struct record_list pool_headroom(const struct render *r, market_id pool)
{
    struct api_headroom *items = arena_alloc(r->arena, MARKET_TIERS * sizeof *items);
    size_t count = 0;
    for (uint32_t tier = 1; tier <= MARKET_TIERS; tier++) {
        struct market_headroom_view h = market_headroom(engine_market(r->engine), pool, tier);
        if (h.held_milli)
            items[count++] = (struct api_headroom){.tier = (int32_t)tier, .held_milli = h.held_milli, .free_milli = h.free_milli,
                .eligible_milli = h.eligible_milli, .price_udollar_per_hour = h.price, .credit_udollar_per_hour = h.credit};
    }
    return (struct record_list){items, count};
}

static struct api_pool render_pool(const struct render *r, const struct market_pool_view *pool)
{
    const struct engine *e = r->engine;
    return (struct api_pool){
        .id = arena_id(r->arena, r->ids, "pool", pool->pool),
        .name = pool_name(e, pool->pool, r->arena),
        .sku = engine_name(e, NAME_SKU, pool->sku),
        .accelerator = pool->accelerator ? engine_name(e, NAME_ACCELERATOR, pool->accelerator)
                                         : (struct str){0},
        .provider = engine_name(e, NAME_PROVIDER, pool->provider),
        .region = engine_name(e, NAME_REGION, pool->region),
        .zone = engine_name(e, NAME_ZONE, pool->zone),
        .labels = pool_labels(r, pool),
        .unit = str_from(pool->by_core ? "core" : "gpu"),
        .price_udollar_per_hour = pool->post,
        .marginal_udollar_per_hour = pool->marginal,
        .scarcity_udollar_per_hour = pool->scarcity,
        .guide_udollar_per_hour = pool->guide,
        .lowest_ask_udollar_per_hour = pool->lowest_ask,
        .units_milli = pool->units_milli,
        .used_milli = pool->used_milli,
        .free_milli = pool->free_milli,
        .wanted_milli = pool->wanted_milli,
        .nodes = (int64_t)pool->nodes,
        .running = (int64_t)pool->running,
        .waiting = (int64_t)pool->waiting,
        .headroom = pool_headroom(r, pool->pool),
    };
}

void route_price_list(struct api_call *call, const struct core_view *view)
{
    const struct market *m = engine_market(view->engine);
    struct render render = call_render(call, view);
    size_t count = market_pool_count(m);
    struct api_pool *pools = call_alloc(call, MAX(count, 1) * sizeof *pools);
    for (size_t i = 0; i < count; i++) {
        struct market_pool_view pool = market_pool(m, i);
        pools[i] = render_pool(&render, &pool);
    }
    time_ms posted = atomic_load_explicit(&call->api->posted_at, memory_order_relaxed);
    struct api_prices prices = {.at_ms = posted ? posted : view->now,
                                .tick_ms = engine_setting(view->engine, SETTING_TICK_MS),
                                .pools = {pools, count}};
    prices.gap.at_ms = atomic_load_explicit(&call->api->gap_at, memory_order_relaxed);
    market_gap(m, &prices.gap.surplus_udollar_per_hour, &prices.gap.bound_udollar_per_hour);
    call_answer(call, 200, &api_prices_record, &prices);
}

/* By name or id; 0: none. */
static market_id pool_of(struct api_call *call, const struct engine *e, struct str name)
{
    uint64_t id = 0;
    struct market_pool_view pool;
    if (id_parse(call->api->ids, "pool", name, &id))
        return pool_find(e, id, &pool) ? id : 0;
    return pool_named(e, name, call_arena(call));
}

static void unknown_pool(struct api_call *call, const struct engine *e)
{
    const struct market *m = engine_market(e);
    _cleanup_buf_ struct buf known = BUF_INIT(400);
    for (size_t i = 0; i < market_pool_count(m) && known.size < 300; i++)
        buf_printf(&known, "%s%.*s", i ? ", " : "",
                   STR_ARGS(pool_name(e, market_pool(m, i).pool, call_arena(call))));
    call_refuse(call, 404, "pool", "no such pool, known are: %s",
                known.size ? buf_text(&known) : "none yet");
}

void route_price_history(struct api_call *call, const struct core_view *view)
{
    struct str name = http_request_query(call->request, "pool");
    int64_t from = view->now - HISTORY_DEFAULT_MS, to = 0, step = 0;
    if (!call_number(call, "from_ms", &from, 0, INT64_MAX) ||
        !call_number(call, "to_ms", &to, 0, INT64_MAX) ||
        !call_number(call, "step_ms", &step, 0, INT64_MAX))
        return;
    market_id pool = pool_of(call, view->engine, name);
    if (!pool) {
        unknown_pool(call, view->engine);
        return;
    }
    struct api_price_history history = {.pool = pool_name(view->engine, pool, call_arena(call))};
    struct table_query query = {.table = TABLE_PRICE,
                                .pool = history.pool,
                                .from_ms = from,
                                .to_ms = to,
                                .step_ms = step,
                                .limit = POINTS_MOST};
    struct table_page page;
    if (!view_read(call, view, &query, &page))
        return;
    const struct table_price *rows = page.rows;
    struct api_price_point *points = call_alloc(call, MAX(page.count, 1) * sizeof *points);
    for (size_t i = 0; i < page.count; i++)
        points[i] = (struct api_price_point){
            .at_ms = rows[i].at_ms,
            .price_udollar_per_hour = rows[i].price_udollar_per_hour,
            .marginal_udollar_per_hour = rows[i].marginal_udollar_per_hour,
            .scarcity_udollar_per_hour = rows[i].scarcity_udollar_per_hour,
            .guide_udollar_per_hour = rows[i].guide_udollar_per_hour,
            .free_milli = rows[i].free_milli,
            .wanted_milli = rows[i].wanted_milli,
        };
    history.points = (struct record_list){points, page.count};
    call_answer(call, 200, &api_price_history_record, &history);
}

/* ---- asks ---- */

static void ask_then(struct api_call *call, const struct core_answer *answer)
{
    if (answer->outcomes[0].code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, &answer->outcomes[0]);
        return;
    }
    struct api_ask_set set = {.seq = (int64_t)answer->seq,
                              .nodes = (int64_t)answer->outcomes[0].count};
    call_answer(call, 200, &api_ask_set_record, &set);
}

static engine_id node_of(struct api_call *call, const struct engine *e, struct str name)
{
    uint64_t id = 0;
    const struct engine_node *node = id_parse(call->api->ids, "node", name, &id)
                                         ? engine_node(e, id)
                                         : engine_node_named(e, name);
    return node ? node->id : 0;
}

void route_ask_set(struct api_call *call, const struct core_view *view)
{
    const struct api_ask *ask = call->input;
    if (!ask->pool.size == !ask->node.size) {
        call_refuse(call, 400, "pool", "give one of pool and node");
        return;
    }
    struct engine_command *command = call_alloc(call, sizeof *command);
    command->type = ENGINE_ASK_SET;
    command->on_node.ask = ask->ask_udollar_per_hour;
    if (ask->pool.size)
        command->on_node.pool = pool_of(call, view->engine, ask->pool);
    else
        command->on_node.node = node_of(call, view->engine, ask->node);
    if (command->on_node.pool || command->on_node.node)
        call_push(call, command, 1, ask_then);
    else if (ask->pool.size)
        unknown_pool(call, view->engine);
    else
        call_refuse(call, 404, "node", "no such node");
}
