/* SPDX-License-Identifier: Apache-2.0 */
/* prices, ask set. */
#include "cli/commands.h"

#include "base/clock.h"
#include "cli/api_call.h"
#include "cli/chart.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "cli/settings_view.h"
#include "cli/watch.h"
#include "records/api.h"
#include "records/workload.h"
#include "wire/unit.h"

#include <stdio.h>

/* ---- now
 * ------------------------------------------------------------------------------------------ */

static void price_row(struct listing *listing, const struct api_pool *pool)
{
    listing_str(listing, pool->name);
    listing_money(listing, pool->price_udollar_per_hour);
    listing_cell(listing, "%s-hour", format_unit(pool->unit, 1000));
    listing_money(listing, pool->lowest_ask_udollar_per_hour);
    listing_money(listing, pool->scarcity_udollar_per_hour);
    listing_milli(listing, pool->units_milli);
    listing_milli(listing, pool->used_milli);
    listing_milli(listing, pool->free_milli);
    listing_milli(listing, pool->wanted_milli);
    listing_cell(listing, "%lld", (long long)pool->running);
    listing_cell(listing, "%lld", (long long)pool->waiting);
}

static void headroom_rows(struct listing *listing, const struct api_pool *pool)
{
    const struct api_headroom *h = pool->headroom.items;
    for (size_t i = 0; i < pool->headroom.count; i++) {
        listing_str(listing, pool->name);
        listing_cell(listing, "%s", workload_tier_names[h[i].tier]);
        listing_milli(listing, h[i].held_milli);
        listing_milli(listing, h[i].free_milli);
        listing_milli(listing, h[i].eligible_milli);
        listing_money(listing, h[i].price_udollar_per_hour);
        listing_money(listing, h[i].credit_udollar_per_hour);
    }
}

/* What is held for tight starts, where anything is. */
static void print_headroom(const struct api_pool *pools, size_t count)
{
    struct listing listing = {};
    size_t rows = 0;
    for (size_t i = 0; i < count; i++)
        rows += pools[i].headroom.count;
    if (rows == 0)
        return;
    printf("\nheld for tight starts\n");
    listing_begin(&listing, "POOL|TIER|>HELD|>FREE OF IT|>COULD LEAVE|>PRICE|>CREDIT");
    for (size_t i = 0; i < count; i++)
        headroom_rows(&listing, &pools[i]);
    listing_end(&listing, stdout);
}

static void print_gap(const struct api_gap *gap)
{
    _cleanup_buf_ struct buf text = BUF_INIT(200);
    if (gap->bound_udollar_per_hour <= 0)
        return;
    format_money(&text, gap->surplus_udollar_per_hour);
    buf_append_text(&text, " an hour of value runs; no placement could exceed ");
    format_money(&text, gap->bound_udollar_per_hour);
    printf("\n%s.\n", buf_text(&text));
}

static int print_prices(struct cli *cli)
{
    struct api_prices prices = {};
    struct listing listing = {};
    int code = api_get(cli, "/v1/prices", &api_prices_record, &prices);
    if (code || cli_print_json(cli))
        return code;
    const struct api_pool *pools = prices.pools.items;
    if (prices.pools.count == 0) {
        printf("There is no pool yet: no node has joined.\n");
        return EXIT_OK;
    }
    listing_begin(&listing,
                  "POOL|>PRICE|PER|>LOWEST ASK|>SCARCITY|>UNITS|>USED|>FREE|>WANTED|>RUN|>WAIT");
    for (size_t i = 0; i < prices.pools.count; i++)
        price_row(&listing, &pools[i]);
    listing_end(&listing, stdout);
    print_headroom(pools, prices.pools.count);
    print_gap(&prices.gap);
    return EXIT_OK;
}

/* ---- history
 * --------------------------------------------------------------------------------------- */

static const char *history_path(struct cli *cli, const char *pool, time_ms from, time_ms step)
{
    _cleanup_buf_ struct buf path = BUF_INIT(8192);
    buf_append_text(&path, "/v1/prices/history");
    api_query(&path, "pool", pool);
    buf_printf(&path, "&from_ms=%lld&step_ms=%lld", (long long)from, (long long)step);
    return arena_str(&cli->arena, buf_str(&path)).data;
}

static int print_history(struct cli *cli, const char *pool)
{
    struct api_price_history history = {};
    time_ms span, now = clock_wall_ms();
    int code = cli_span(cli, "since", 24 * HOUR_MS, &span);
    if (code)
        return code;
    time_ms from = MAX(now - span, 0);
    code = api_call(
        cli,
        &(struct api_call){.path = history_path(cli, pool, from, MAX(span / CHART_WIDTH, 1)),
                           .subject = pool},
        &api_price_history_record, &history);
    if (code || cli_print_json(cli))
        return code;
    printf("%.*s, dollars per unit-hour\n", STR_ARGS(history.pool));
    chart_print(history.points.items, history.points.count, now, stdout);
    return EXIT_OK;
}

int command_prices(struct cli *cli)
{
    const char *pool = cli_option(cli, "history");
    if (pool == NULL && cli_option(cli, "since"))
        return cli_fail(EXIT_USAGE, "--since: goes with --history POOL alone");
    if (cli_flag(cli, "settings"))
        return settings_print(cli);
    if (pool)
        return print_history(cli, pool);
    return cli_flag(cli, "watch") ? watch_run(cli, "price_posted", print_prices)
                                  : print_prices(cli);
}

/* ---- asks
 * ------------------------------------------------------------------------------------------ */

int command_ask_set(struct cli *cli)
{
    const char *what = cli->operands[0];
    bool is_pool = strchr(what, '@') != NULL || strncmp(what, "pool_", 5) == 0;
    struct api_ask ask = {.pool = str_from(is_pool ? what : ""),
                          .node = str_from(is_pool ? "" : what)};
    struct api_ask_set set = {};
    if (!money_parse(str_from(cli->operands[1]), &ask.ask_udollar_per_hour) ||
        ask.ask_udollar_per_hour < 0)
        return cli_fail(EXIT_USAGE,
                        "PRICE: \"%s\" is not allowed, allowed are dollars per unit-hour such as "
                        "0.04, to the millionth",
                        cli->operands[1]);
    struct api_call call = {
        .path = "/v1/asks", .input = &api_ask_record, .value = &ask, .subject = what};
    int code = api_call(cli, &call, &api_ask_set_record, &set);
    if (code || cli_print_json(cli))
        return code;
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    format_money(&text, ask.ask_udollar_per_hour);
    printf("%s: %lld %s now ask %s per unit-hour\n", what, (long long)set.nodes,
           set.nodes == 1 ? "node" : "nodes", buf_text(&text));
    return EXIT_OK;
}
