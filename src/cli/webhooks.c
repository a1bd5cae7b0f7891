/* SPDX-License-Identifier: Apache-2.0 */
/* webhook add, webhook list, webhook remove, webhook test. */
#include "cli/commands.h"

#include "base/clock.h"
#include "cli/api_call.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "records/api.h"

#include <stdio.h>
#include <time.h>

#define TYPES_MOST 16
#define TEST_WAIT_MS 20000
#define TEST_LOOK_MS 100

/* "/v1/webhooks/NAME/after?project=…", in the arena. */
static const char *hook_path(struct cli *cli, const char *name, const char *after)
{
    _cleanup_buf_ struct buf path = BUF_INIT(16384);
    buf_append_text(&path, name ? api_path(cli, "/v1/webhooks/", name, after) : "/v1/webhooks");
    api_query(&path, "project", cli_option(cli, "project"));
    return arena_str(&cli->arena, buf_str(&path)).data;
}

int command_webhook_add(struct cli *cli)
{
    const char *project = cli_option(cli, "project"), *list = cli_option(cli, "types");
    struct str types[TYPES_MOST], rest = str_from(list ? list : "");
    struct api_webhook_create wish = {.name = str_from(cli->operands[0]), .url = str_from(cli->operands[1]), .project = str_from(project ? project : ""),
                                      .types = {types, 0}};
    struct api_webhook made = {};
    while (rest.size) {
        if (wish.types.count == TYPES_MOST)
            return cli_fail(EXIT_USAGE, "--types: more than %d", TYPES_MOST);
        types[wish.types.count++] = str_trim(str_cut(&rest, ','));
    }
    struct api_call call = {.path = "/v1/webhooks", .input = &api_webhook_create_record, .value = &wish, .subject = project};
    int code = api_call(cli, &call, &api_webhook_record, &made);
    if (code || cli_print_json(cli))
        return code;
    printf("%.*s\n", STR_ARGS(made.secret)); /* alone, so that it can go into a variable */
    cli_note("this is the secret of %.*s, shown this once; `tessera webhook test %.*s` tries it", STR_ARGS(made.id), STR_ARGS(made.name));
    return EXIT_OK;
}

static void types_cell(struct listing *listing, const struct record_list *types)
{
    _cleanup_buf_ struct buf text = BUF_INIT(4096);
    const struct str *names = types->items;
    for (size_t i = 0; i < types->count; i++)
        buf_printf(&text, "%s%.*s", i ? "," : "", STR_ARGS(names[i]));
    listing_str(listing, buf_str(&text));
}

int command_webhook_list(struct cli *cli)
{
    struct api_webhooks all = {};
    struct listing listing = {};
    int code = api_get(cli, hook_path(cli, NULL, ""), &api_webhooks_record, &all);
    if (code || cli_print_json(cli))
        return code;
    const struct api_webhook *hooks = all.webhooks.items;
    listing_begin(&listing, "NAME|ID|PROJECT|STATE|>SENT|>WAIT|URL|TYPES|ERROR");
    for (size_t i = 0; i < all.webhooks.count; i++) {
        listing_str(&listing, hooks[i].name);
        listing_str(&listing, hooks[i].id);
        listing_str(&listing, hooks[i].project);
        listing_str(&listing, hooks[i].state);
        listing_cell(&listing, "%lld", (long long)hooks[i].delivered);
        listing_cell(&listing, "%lld", (long long)hooks[i].waiting);
        listing_str(&listing, hooks[i].url);
        types_cell(&listing, &hooks[i].types);
        listing_str(&listing, hooks[i].error);
    }
    listing_end(&listing, stdout);
    return EXIT_OK;
}

int command_webhook_remove(struct cli *cli)
{
    struct api_call call = {.method = "DELETE", .path = hook_path(cli, cli->operands[0], ""), .subject = cli->operands[0]};
    int code = api_call(cli, &call, NULL, NULL);
    if (code || (cli->raw.size && cli_print_json(cli)))
        return code;
    printf("%s is removed\n", cli->operands[0]);
    return EXIT_OK;
}

/* Looks until the test has arrived, or something is in vain. */
static int test_follow(struct cli *cli, struct str id, struct api_webhook *ret)
{
    const char *path = hook_path(cli, cli->operands[0], "");
    time_ms end = clock_monotonic_ms() + TEST_WAIT_MS;
    int code;
    while ((code = api_get(cli, path, &api_webhook_record, ret)) == EXIT_OK) {
        bool arrived = str_equal(ret->tested, id);
        if (arrived || ret->attempts || str_is(ret->state, "disabled") || clock_monotonic_ms() >= end)
            return arrived ? EXIT_OK : EXIT_FAILED;
        nanosleep(&(struct timespec){.tv_nsec = TEST_LOOK_MS * 1000000}, NULL);
    }
    return code;
}

int command_webhook_test(struct cli *cli)
{
    struct api_webhook_tested sent = {};
    struct api_webhook hook = {};
    struct api_call call = {.method = "POST", .path = hook_path(cli, cli->operands[0], "/test"), .subject = cli->operands[0]};
    int code = api_call(cli, &call, &api_webhook_tested_record, &sent);
    if (code)
        return code;
    code = test_follow(cli, sent.id, &hook);
    if (cli_print_json(cli) || (code && code != EXIT_FAILED))
        return code;
    if (code == EXIT_OK)
        printf("%.*s has arrived\n", STR_ARGS(sent.id));
    else if (hook.error.size)
        return cli_fail(EXIT_FAILED, "%s: %.*s; %lld wait, the test among them", cli->operands[0], STR_ARGS(hook.error), (long long)hook.waiting);
    else
        return cli_fail(EXIT_FAILED, "%s: has not arrived yet; %lld wait before it", cli->operands[0], (long long)hook.waiting);
    return code;
}
