/* SPDX-License-Identifier: Apache-2.0 */
/* key create, key list, key revoke. */
#include "cli/commands.h"

#include "base/clock.h"
#include "cli/api_call.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "records/api.h"
#include "wire/unit.h"

#include <stdio.h>

int command_key_create(struct cli *cli)
{
    const char *role = cli_option(cli, "role"), *project = cli_option(cli, "project");
    struct api_key_create wish = {.role = str_from(role ? role : "member"),
                                  .project = str_from(project ? project : ""),
                                  .name = str_from(cli->operand_count ? cli->operands[0] : "")};
    struct api_key_created made = {};
    int code = cli_span(cli, "expires", 0, &wish.valid_ms);
    if (code)
        return code;
    struct api_call call = {
        .path = "/v1/keys", .input = &api_key_create_record, .value = &wish, .subject = project};
    code = api_call(cli, &call, &api_key_created_record, &made);
    if (code || cli_print_json(cli))
        return code;
    printf("%.*s\n", STR_ARGS(made.key)); /* alone, so that it can go into a variable */
    cli_note("this is %.*s, shown this once; `tessera key revoke %.*s` ends it", STR_ARGS(made.id),
             STR_ARGS(made.id));
    return EXIT_OK;
}

static const char *key_state(const struct api_key *key, time_ms now)
{
    if (key->revoked)
        return "revoked";
    return key->expires_ms && key->expires_ms <= now ? "expired" : "good";
}

static void key_row(struct listing *listing, const struct api_key *key, time_ms now)
{
    _cleanup_buf_ struct buf created = BUF_INIT(64), expires = BUF_INIT(64);
    format_time(&created, key->created_ms, now);
    if (key->expires_ms)
        format_time(&expires, key->expires_ms, now);
    listing_str(listing, key->id);
    listing_cell(listing, "%.*s…", STR_ARGS(key->snippet));
    listing_str(listing, key->role);
    listing_str(listing, key->project.size ? key->project : STR("all"));
    listing_str(listing, key->node.size ? key->node : key->principal);
    listing_cell(listing, "%s", key_state(key, now));
    listing_str(listing, buf_str(&created));
    listing_cell(listing, "%s", expires.size ? buf_text(&expires) : "never");
}

/* A machine joins once: its token is of no use to anybody afterwards. */
static bool is_spent_token(const struct api_key *key, time_ms now)
{
    return str_is(key->role, "join") && strcmp(key_state(key, now), "good") != 0;
}

int command_key_list(struct cli *cli)
{
    time_ms now = clock_wall_ms();
    size_t hidden = 0;
    struct api_keys all = {};
    struct listing listing = {};
    int code = api_get(cli, "/v1/keys", &api_keys_record, &all);
    if (code || cli_print_json(cli))
        return code;
    const struct api_key *keys = all.keys.items;
    listing_begin(&listing, "ID|KEY|ROLE|PROJECT|FOR|STATE|MADE|EXPIRES");
    for (size_t i = 0; i < all.keys.count; i++)
        if (!cli_flag(cli, "all") && is_spent_token(&keys[i], now))
            hidden++;
        else
            key_row(&listing, &keys[i], now);
    listing_end(&listing, stdout);
    if (hidden)
        printf("\nand %zu spent join %s, shown by --all\n", hidden, hidden == 1 ? "token" : "tokens");
    return EXIT_OK;
}

int command_key_revoke(struct cli *cli)
{
    struct api_call call = {.method = "DELETE",
                            .path = api_path(cli, "/v1/keys/", cli->operands[0], ""),
                            .subject = cli->operands[0]};
    int code = api_call(cli, &call, NULL, NULL);
    if (code || (cli->raw.size && cli_print_json(cli)))
        return code;
    printf("%s is revoked\n", cli->operands[0]);
    return EXIT_OK;
}
