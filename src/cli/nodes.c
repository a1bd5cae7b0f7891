/* SPDX-License-Identifier: Apache-2.0 */
/* nodes, node add, drain, undrain. */
#include "cli/commands.h"

#include "base/clock.h"
#include "cli/api_call.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "cli/pages.h"
#include "cli/watch.h"
#include "records/api.h"
#include "wire/unit.h"

#include <stdio.h>

/* ---- the fleet
 * ------------------------------------------------------------------------------------ */

static void write_amounts(const struct agent_amounts *amounts, bool gpus, struct buf *out)
{
    if (gpus) {
        milli_print(out, amounts->gpu_milli);
        buf_printf(out, " %s, ", format_unit(STR("gpu"), amounts->gpu_milli));
    }
    milli_print(out, amounts->core_milli);
    buf_printf(out, " %s, ", format_unit(STR("core"), amounts->core_milli));
    format_mib(out, amounts->memory_mib);
}

/* "hello-gang:0, hello-gang:1": workload and rank. */
static void write_replicas(const struct api_node *node, struct buf *out)
{
    const struct api_node_replica *replicas = node->replicas.items;
    for (size_t i = 0; i < node->replicas.count; i++) {
        struct str name = replicas[i].name.size ? replicas[i].name : replicas[i].workload;
        if (i == 8) {
            buf_printf(out, ", and %zu more", node->replicas.count - i);
            return;
        }
        buf_printf(out, "%s%.*s:%lld", i ? ", " : "", STR_ARGS(name), (long long)replicas[i].rank);
    }
}

static void node_row(struct listing *listing, const struct api_node *node)
{
    _cleanup_buf_ struct buf size = BUF_INIT(200), free = BUF_INIT(200), runs = BUF_INIT(4096);
    bool gpus = node->amounts.gpu_milli > 0;
    const struct agent_place *place = &node->place;
    write_amounts(&node->amounts, gpus, &size);
    write_amounts(&node->free, gpus, &free);
    write_replicas(node, &runs);
    listing_str(listing, node->name);
    listing_cell(listing, "%.*s%s", STR_ARGS(node->state), node->unconfined ? " (unconfined)" : "");
    listing_cell(listing, "%.*s/%.*s/%.*s/%.*s/%.*s", STR_ARGS(place->provider),
                 STR_ARGS(place->region), STR_ARGS(place->zone), STR_ARGS(place->fabric),
                 STR_ARGS(place->rack));
    listing_str(listing, node->sku);
    listing_str(listing, buf_str(&size));
    listing_str(listing, buf_str(&free));
    listing_money(listing, node->ask_udollar_per_hour);
    if (node->contact_age_ms >= 60000 || str_is(node->state, "lost"))
        listing_age(listing, 0, node->contact_age_ms);
    else
        listing_cell(listing, "ok");
    listing_str(listing, buf_str(&runs));
}

static int print_nodes(struct cli *cli)
{
    struct api_nodes all = {};
    struct pages pages = {.path = "/v1/nodes",
                          .record = &api_nodes_record,
                          .item = sizeof(struct api_node),
                          .list = &all.nodes,
                          .cursor = &all.cursor,
                          .page = &all};
    struct listing listing = {};
    int code = pages_get(cli, &pages);
    if (code || cli_print_json(cli))
        return code;
    const struct api_node *nodes = all.nodes.items;
    if (all.nodes.count == 0) {
        printf("No node has joined yet. `tessera node add` prints how one does.\n");
        return EXIT_OK;
    }
    listing_begin(&listing, "NODE|STATE|PLACE|SKU|SIZE|FREE|>ASK/UNIT-H|CONTACT|RUNS");
    for (size_t i = 0; i < all.nodes.count; i++)
        node_row(&listing, &nodes[i]);
    listing_end(&listing, stdout);
    return EXIT_OK;
}

int command_nodes(struct cli *cli)
{
    return cli_flag(cli, "watch") ? watch_run(cli, WATCH_NODES, print_nodes) : print_nodes(cli);
}

/* ---- one node
 * ------------------------------------------------------------------------------------- */

struct join_wish {
    const char *place, *ask; /* as the agent's options of these names take them; NULL: its own */
};

/* The wish goes to the agent, which the command starts at its very end, within quotes. */
static void write_join(const struct api_node_token_made *made, const struct join_wish *wish,
                       struct buf *out)
{
    struct str command = str_trim(made->command);
    bool quoted = command.size && command.data[command.size - 1] == '\'';
    command.size -= quoted;
    buf_append_str(out, command);
    if (wish->place)
        buf_printf(out, " --place %s", wish->place);
    if (wish->ask)
        buf_printf(out, " --ask %s", wish->ask);
    if (quoted)
        buf_append_byte(out, '\'');
}

/* Five parts, none of them empty. */
static bool place_whole(const char *place)
{
    struct str rest = str_from(place);
    for (int i = 0; i < 5; i++)
        if (str_cut(&rest, '/').size == 0)
            return false;
    return rest.size == 0 && place[strlen(place) - 1] != '/';
}

static int check_place(const char *place)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
    if (place == NULL || (strspn(place, allowed) == strlen(place) && place_whole(place)))
        return EXIT_OK;
    return cli_fail(EXIT_USAGE,
                    "--place: \"%s\" is not allowed, allowed is provider/region/zone/fabric/rack "
                    "of letters, digits, `.`, "
                    "`_` and `-`",
                    place);
}

/* Without the `$` that money may have elsewhere: it goes into a shell's line. */
static int check_ask(const char *ask)
{
    udollar price;
    if (ask == NULL ||
        (strspn(ask, "0123456789.") == strlen(ask) && money_parse(str_from(ask), &price)))
        return EXIT_OK;
    return cli_fail(EXIT_USAGE,
                    "--ask: \"%s\" is not allowed, allowed are dollars per unit-hour such as 0.04, "
                    "to the millionth",
                    ask);
}

static void print_join(const struct api_node_token_made *made, const struct join_wish *wish)
{
    _cleanup_buf_ struct buf left = BUF_INIT(64), join = BUF_INIT(64 * 1024);
    span_print(&left, MAX(made->expires_ms - clock_wall_ms(), 0));
    write_join(made, wish, &join);
    printf("Type this on the other machine, as root, within %s; it works once:\n\n%s\n",
           buf_text(&left), buf_text(&join));
    if (wish->ask == NULL)
        printf("\nA new machine will ask $0 per unit-hour, which lowers its pool's prices; `--ask "
               "PRICE` here,\nor `tessera ask set NODE PRICE` later, says otherwise.\n");
    if (made->text.size)
        printf("\n%.*s\n", STR_ARGS(made->text));
}

/* Its token works on this machine, and is worth nothing unless it is shown. */
static void print_here(const struct cli *cli, const struct api_node_token_made *made,
                       const struct join_wish *wish)
{
    printf("%.*s\n\nTESSERA_TOKEN=%.*s tessera agent --join --data FOLDER --server %s",
           STR_ARGS(made->text), STR_ARGS(made->token), cli->config.server);
    if (wish->place)
        printf(" --place %s", wish->place);
    if (wish->ask)
        printf(" --ask %s", wish->ask);
    putchar('\n');
}

int command_node_add(struct cli *cli)
{
    struct api_node_token token = {};
    struct api_node_token_made made = {};
    struct join_wish wish = {.place = cli_option(cli, "place"), .ask = cli_option(cli, "ask")};
    struct api_call call = {
        .path = "/v1/node-tokens", .input = &api_node_token_record, .value = &token};
    int code = check_place(wish.place);
    if (code == EXIT_OK)
        code = check_ask(wish.ask);
    if (code == EXIT_OK)
        code = api_call(cli, &call, &api_node_token_made_record, &made);
    if (code || cli_print_json(cli))
        return code;
    if (made.command.size == 0)
        print_here(cli, &made, &wish);
    else
        print_join(&made, &wish);
    return EXIT_OK;
}

int command_drain(struct cli *cli)
{
    struct api_drain drain = {.evict = cli_flag(cli, "evict")};
    struct api_changed changed = {};
    struct api_call call = {.input = &api_drain_record,
                            .value = &drain,
                            .subject = cli->operands[0],
                            .path = api_path(cli, "/v1/nodes/", cli->operands[0], "/drain")};
    int code = api_call(cli, &call, &api_changed_record, &changed);
    if (code == EXIT_OK && !cli_print_json(cli))
        printf("%s takes nothing new; what runs there %s\n", cli->operands[0],
               drain.evict ? "gets its notice and goes elsewhere" : "may end by itself");
    return code;
}

int command_undrain(struct cli *cli)
{
    struct api_changed changed = {};
    struct api_call call = {.method = "POST",
                            .subject = cli->operands[0],
                            .path = api_path(cli, "/v1/nodes/", cli->operands[0], "/undrain")};
    int code = api_call(cli, &call, &api_changed_record, &changed);
    if (code == EXIT_OK && !cli_print_json(cli))
        printf("%s takes work again\n", cli->operands[0]);
    return code;
}
