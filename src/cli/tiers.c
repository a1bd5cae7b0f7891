/* SPDX-License-Identifier: Apache-2.0 */
/* tier set, tier list. */
#include "cli/commands.h"

#include "cli/api_call.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "records/api.h"
#include "records/workload.h"
#include "wire/unit.h"

#include <stdio.h>

static int take_tier(const char *text, int32_t *ret)
{
    for (int32_t i = TIER_INSTANT; workload_tier_names[i]; i++)
        if (strcmp(text, workload_tier_names[i]) == 0) {
            *ret = i;
            return EXIT_OK;
        }
    return cli_fail(EXIT_USAGE, "TIER: \"%s\" is unknown, allowed are instant, seconds, minute and minutes", text);
}

static int take_rate(const struct cli *cli, udollar *ret)
{
    const char *text = cli_option(cli, "rate");
    if (text == NULL || (money_parse(str_from(text), ret) && *ret >= 0))
        return EXIT_OK;
    return cli_fail(EXIT_USAGE, "--rate: \"%s\" is not allowed, allowed are dollars per unit-hour such as 0.10", text);
}

static struct record_list take_labels(struct cli *cli)
{
    struct str *labels = arena_alloc(&cli->arena, (cli->value_count + 1) * sizeof *labels);
    size_t count = 0;
    for (size_t i = 0; labels && i < cli->value_count; i++)
        if (strcmp(cli->values[i].option->name, "label") == 0)
            labels[count++] = str_from(cli->values[i].value);
    return (struct record_list){labels, count};
}

/* Where its units may be: "cpu, zone a, soc2"; "any" where nothing was said. */
static void write_pools(const struct api_subscription *s, struct buf *out)
{
    const struct {
        const char *before;
        struct str name;
    } parts[] = {{"", s->sku}, {"", s->accelerator}, {"provider ", s->provider}, {"region ", s->region}, {"zone ", s->zone}};
    size_t begin = out->size;
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        if (parts[i].name.size == 0)
            continue;
        buf_printf(out, "%s%s", out->size > begin ? ", " : "", parts[i].before);
        format_clean(out, parts[i].name);
    }
    const struct str *labels = s->labels.items;
    for (size_t i = 0; i < s->labels.count; i++) {
        buf_append_text(out, out->size > begin ? ", " : "");
        format_clean(out, labels[i]);
    }
    if (out->size == begin)
        buf_append_text(out, "any");
}

static void print_all(const struct api_subscriptions *all)
{
    const struct api_subscription *s = all->subscriptions.items;
    struct listing listing = {};
    if (all->subscriptions.count == 0) {
        printf("No project is subscribed to a tier.\n");
        return;
    }
    listing_begin(&listing, "PROJECT|TIER|>STARTS WITHIN|>UNITS|>HELD|>IN USE|>RATE|>PAID|POOLS");
    for (size_t i = 0; i < all->subscriptions.count; i++) {
        _cleanup_buf_ struct buf within = BUF_INIT(64), pools = BUF_INIT(8192);
        span_print(&within, s[i].start_ms);
        write_pools(&s[i], &pools);
        listing_str(&listing, s[i].project);
        listing_cell(&listing, "%s%s", workload_tier_names[s[i].tier], s[i].unpaid ? " (not paid)" : "");
        listing_str(&listing, buf_str(&within));
        listing_milli(&listing, s[i].units_milli);
        listing_milli(&listing, s[i].held_milli);
        listing_milli(&listing, s[i].used_milli);
        listing_money(&listing, s[i].rate_udollar_per_hour);
        listing_money(&listing, s[i].charged_udollar);
        listing_str(&listing, buf_str(&pools));
    }
    listing_end(&listing, stdout);
}

int command_tier_set(struct cli *cli)
{
    struct api_subscription_set wish = {.project = str_from(cli->operands[0]), .labels = take_labels(cli)};
    struct api_subscriptions all = {};
    struct str *const places[] = {&wish.sku, &wish.accelerator, &wish.provider, &wish.region, &wish.zone};
    static const char *const names[] = {"sku", "accelerator", "provider", "region", "zone"};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++)
        if (cli_option(cli, names[i]))
            *places[i] = str_from(cli_option(cli, names[i]));
    int code = take_tier(cli->operands[1], &wish.tier);
    if (code == EXIT_OK && (!str_to_i64(str_from(cli->operands[2]), &wish.units) || wish.units < 0))
        code = cli_fail(EXIT_USAGE, "UNITS: \"%s\" is not allowed, allowed are whole units; 0 ends the subscription", cli->operands[2]);
    if (code == EXIT_OK)
        code = take_rate(cli, &wish.rate_udollar_per_hour);
    if (code)
        return code;
    struct api_call call = {.method = "PUT", .path = "/v1/subscriptions", .input = &api_subscription_set_record, .value = &wish,
        .subject = cli->operands[0]};
    code = api_call(cli, &call, &api_subscriptions_record, &all);
    if (code == EXIT_OK && !cli_print_json(cli))
        print_all(&all);
    return code;
}

int command_tier_list(struct cli *cli)
{
    struct api_subscriptions all = {};
    _cleanup_buf_ struct buf path = BUF_INIT(4096);
    buf_append_text(&path, "/v1/subscriptions");
    api_query(&path, "project", cli_option(cli, "project"));
    int code = api_get(cli, buf_text(&path), &api_subscriptions_record, &all);
    if (code == EXIT_OK && !cli_print_json(cli))
        print_all(&all);
    return code;
}
