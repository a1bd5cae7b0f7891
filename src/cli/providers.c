/* SPDX-License-Identifier: Apache-2.0 */
/* provider add, provider list, provider remove. */
#include "cli/commands.h"

#include "cli/api_call.h"
#include "cli/format.h"
#include "cli/input.h"
#include "cli/listing.h"
#include "records/api.h"
#include "wire/unit.h"

#include <stdio.h>

#define KEY_MOST 4096

static int take_span(const struct cli *cli, const char *option, int64_t *ret)
{
    const char *text = cli_option(cli, option);
    if (text == NULL || (span_parse(str_from(text), ret) && *ret > 0))
        return EXIT_OK;
    return cli_fail(EXIT_USAGE, "--%s: %s is not a span of time such as 30s, 5m or 2h", option, text);
}

static int take_numbers(const struct cli *cli, struct api_provider_create *wish)
{
    const char *nodes = cli_option(cli, "nodes"), *margin = cli_option(cli, "margin");
    if (nodes && (!str_to_i64(str_from(nodes), &wish->nodes) || wish->nodes < 1))
        return cli_fail(EXIT_USAGE, "--nodes: %s is not a number of nodes, 1 to 64", nodes);
    if (margin && (!decimal_parse(str_from(margin), 10, &wish->margin_permille) || wish->margin_permille < 0))
        return cli_fail(EXIT_USAGE, "--margin: %s is not a number of per cent such as 10 or 2.5", margin);
    wish->margin_present = margin != NULL;
    int code = take_span(cli, "idle", &wish->idle_ms);
    return code ? code : take_span(cli, "poll", &wish->poll_ms);
}

static const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

static int provider_send(struct cli *cli, struct api_provider_create *wish)
{
    struct api_provider made = {};
    struct api_call call = {.path = "/v1/providers", .input = &api_provider_create_record, .value = wish, .subject = cli->operands[0]};
    int code = api_call(cli, &call, &api_provider_record, &made);
    if (code == EXIT_OK && !cli_print_json(cli))
        printf("%.*s: at most %lld nodes from %.*s, where they are worth %lld.%lld %% more than they cost\n", STR_ARGS(made.name), (long long)made.nodes,
               STR_ARGS(made.url), (long long)made.margin_permille / 10, (long long)made.margin_permille % 10);
    return code;
}

int command_provider_add(struct cli *cli)
{
    _cleanup_buf_ struct buf key = BUF_INIT(KEY_MOST);
    const char *path = cli_option(cli, "key-file");
    struct error err = {0};
    struct api_provider_create wish = {.name = str_from(cli->operands[0]), .url = str_from(cli->operands[1]),
        .pin = str_from(text_or_empty(cli_option(cli, "seller-pin"))), .project = str_from(text_or_empty(cli_option(cli, "project"))),
        .insecure = cli_flag(cli, "seller-insecure")};
    int code = take_numbers(cli, &wish);
    if (code)
        return code;
    if (path == NULL)
        return cli_fail(EXIT_USAGE, "provider add: --key-file FILE is missing");
    if (input_read(path, &key, &err) < 0)
        return cli_fail(EXIT_USAGE, "--key-file: %s", err.text);
    wish.key = str_trim(buf_str(&key));
    code = provider_send(cli, &wish);
    if (key.data)
        explicit_bzero(key.data, key.size);
    return code;
}

static void bought_rows(struct listing *listing, const struct api_provider *p)
{
    const struct api_bought *bought = p->bought.items;
    for (size_t i = 0; i < p->bought.count; i++) {
        _cleanup_buf_ struct buf limit = BUF_INIT(64), price = BUF_INIT(64);
        buf_append_byte(&limit, '$');
        money_print(&limit, bought[i].limit_udollar_per_hour);
        buf_append_byte(&price, '$');
        money_print(&price, bought[i].price_udollar_per_hour);
        listing_str(listing, p->name);
        listing_str(listing, bought[i].status);
        listing_str(listing, bought[i].node);
        listing_str(listing, bought[i].type);
        listing_str(listing, bought[i].region);
        listing_str(listing, buf_str(&price));
        listing_str(listing, buf_str(&limit));
    }
}

static void provider_row(struct listing *listing, const struct api_provider *p)
{
    listing_str(listing, p->name);
    listing_str(listing, p->problem.size ? STR("in trouble") : p->state);
    listing_str(listing, p->problem.size ? p->problem : p->url);
    for (int i = 0; i < 4; i++)
        listing_str(listing, STR("-"));
}

int command_provider_list(struct cli *cli)
{
    struct api_providers all = {};
    struct listing listing = {};
    int code = api_get(cli, "/v1/providers", &api_providers_record, &all);
    if (code || cli_print_json(cli))
        return code;
    const struct api_provider *providers = all.providers.items;
    listing_begin(&listing, "PROVIDER|STATE|NODE OR ADDRESS|TYPE|REGION|>PRICE|>BID");
    for (size_t i = 0; i < all.providers.count; i++) {
        provider_row(&listing, &providers[i]);
        bought_rows(&listing, &providers[i]);
    }
    listing_end(&listing, stdout);
    return EXIT_OK;
}

int command_provider_remove(struct cli *cli)
{
    struct api_call call = {.method = "DELETE", .path = api_path(cli, "/v1/providers/", cli->operands[0], ""), .subject = cli->operands[0]};
    struct api_changed changed = {};
    int code = api_call(cli, &call, &api_changed_record, &changed);
    if (code || cli_print_json(cli))
        return code;
    printf("%s: what was bought is given back, then it is forgotten\n", cli->operands[0]);
    return EXIT_OK;
}
