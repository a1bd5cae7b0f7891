/* SPDX-License-Identifier: Apache-2.0 */
/* instance …, ssh, mithril-config: machines that are handed over. */
#include "cli/commands.h"

#include "cli/api_call.h"
#include "cli/machine_call.h"
#include "wire/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LIST_OF_BIDS "/v2/spot/bids?limit=100"

static void print_order(const char *what, const struct json_value *order)
{
    printf("%.*s: %s %.*s, %.*s in %.*s\n", STR_ARGS(json_get_str(order, "name")), what, STR_ARGS(json_get_str(order, "fid")),
           STR_ARGS(json_get_str(order, "status")), STR_ARGS(json_get_str(order, "region")));
}

int command_instance_create(struct cli *cli)
{
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_LIMIT_DEFAULT);
    const char *limit = cli_option(cli, "limit");
    struct json_value made;
    udollar amount;
    if (limit == NULL || !money_parse(str_from(limit), &amount) || amount < 0)
        return cli_fail(EXIT_USAGE, "--limit: %s, allowed are dollars per instance-hour such as 2.50", limit ? "not a price" : "is missing");
    int code = machine_order(cli, cli->operands[0], &body);
    if (code)
        return code;
    json_key(&body, "limit_price");
    json_text(&body, limit);
    json_close(&body, '}');
    code = machine_send(cli, "POST", "/v2/spot/bids", &body, &made);
    if (code == EXIT_OK && !cli_print_json(cli)) {
        print_order("bid", &made);
        printf("when it runs: tessera ssh %s\n", cli->operands[0]);
    }
    return code;
}

int command_instance_list(struct cli *cli)
{
    static const char *const members[] = {"name", "fid", "status", "region", "ssh_destination", "created_at", NULL};
    struct json_value answer;
    int code = machine_get(cli, "/v2/instances?limit=100", &answer);
    if (code == EXIT_OK && !cli_print_json(cli))
        machine_table(json_get(&answer, "data"), "NAME|ID|STATUS|REGION|ADDRESS|CREATED", members);
    return code;
}

int command_instance_types(struct cli *cli)
{
    static const char *const members[] = {"name", "fid", "num_cpus", "ram_gb", "num_gpus", "gpu_type", NULL};
    struct json_value list;
    int code = machine_get(cli, "/v2/instance-types", &list);
    if (code == EXIT_OK && !cli_print_json(cli))
        machine_table(&list, "TYPE|ID|>CPUS|>RAM GB|>GPUS|GPU", members);
    return code;
}

/* PATCH or DELETE of the bid that the operand names. */
static int change(struct cli *cli, const char *method, const char *text)
{
    _cleanup_buf_ struct buf body = BUF_INIT(4096);
    struct json_value bid, changed;
    int code = machine_find(cli, LIST_OF_BIDS, "bid", cli->operands[0], &bid);
    if (code)
        return code;
    const char *path = api_path(cli, "/v2/spot/bids/", arena_str(&cli->arena, json_get_str(&bid, "fid")).data, "");
    buf_append_text(&body, text ? text : "");
    code = machine_send(cli, method, path, text ? &body : NULL, text ? &changed : NULL);
    if (code == EXIT_OK && !cli_print_json(cli)) {
        if (text)
            print_order("bid", &changed);
        else
            printf("%s: terminated\n", cli->operands[0]);
    }
    return code;
}

int command_instance_pause(struct cli *cli)
{
    return change(cli, "PATCH", "{\"paused\":true}");
}

int command_instance_resume(struct cli *cli)
{
    return change(cli, "PATCH", "{\"paused\":false}");
}

int command_instance_delete(struct cli *cli)
{
    return change(cli, "DELETE", NULL);
}

/* ---- ssh ---- */

/* By the name of an instance, or of an order: then its first. */
static bool is_named(struct str name, const char *wanted)
{
    struct str order = str_from(wanted);
    return str_equal(name, order) || (name.size == order.size + 2 && str_starts(name, order) && str_equal((struct str){name.data + order.size, 2}, STR("-1")));
}

static int find_address(struct cli *cli, struct str *ret, struct str *ret_id)
{
    const char *wanted = cli->operands[0];
    struct json_value answer;
    int code = machine_get(cli, "/v2/instances?limit=100", &answer);
    if (code)
        return code;
    const struct json_value *list = json_get(&answer, "data");
    for (size_t i = 0; list && i < list->count; i++) {
        const struct json_value *instance = &list->items[i];
        struct str status = json_get_str(instance, "status");
        if ((!is_named(json_get_str(instance, "name"), wanted) && !str_is(json_get_str(instance, "fid"), wanted)) || str_is(status, "STATUS_TERMINATED"))
            continue;
        *ret = json_get_str(instance, "ssh_destination");
        *ret_id = json_get_str(instance, "fid");
        if (ret->size)
            return EXIT_OK;
        return cli_fail(EXIT_CONFLICT, "%s: %.*s, no login yet", wanted, STR_ARGS(status));
    }
    return cli_fail(EXIT_NOT_FOUND, "%s: no such instance; tessera instance list shows them", wanted);
}

int command_ssh(struct cli *cli)
{
    static const char *const fixed[] = {"ssh", "-o", "StrictHostKeyChecking=accept-new"};
    struct str address = {0}, id = {0};
    int code = find_address(cli, &address, &id);
    if (code)
        return code;
    if (cli->json) {
        printf("{\"ssh_destination\":\"%.*s\",\"user\":\"ubuntu\",\"port\":22}\n", STR_ARGS(address));
        return EXIT_OK;
    }
    const char **words = arena_alloc(&cli->arena, (cli->program_count + 10) * sizeof *words);
    size_t count = 0;
    _cleanup_buf_ struct buf target = BUF_INIT(256), alias = BUF_INIT(256);
    buf_printf(&alias, "HostKeyAlias=%.*s", STR_ARGS(id)); /* addresses are used again by other machines */
    buf_printf(&target, "ubuntu@%.*s", STR_ARGS(address));
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        words[count++] = fixed[i];
    words[count++] = "-o";
    words[count++] = buf_text(&alias);
    const char *identity = cli_option(cli, "identity");
    if (identity) {
        words[count++] = "-i";
        words[count++] = identity;
    }
    words[count++] = buf_text(&target);
    for (size_t i = 0; i < cli->program_count; i++)
        words[count++] = cli->program[i];
    words[count] = NULL;
    execvp("ssh", (char *const *)(uintptr_t)words);
    return cli_fail(EXIT_FAILED, "ssh cannot be started: %s", strerror(errno));
}

/* ---- what to put where ---- */

int command_mithril_config(struct cli *cli)
{
    struct json_value projects, board;
    int code = machine_get(cli, "/v2/spot/availability", &board);
    if (code == EXIT_OK)
        code = machine_get(cli, "/v2/projects", &projects);
    if (code)
        return code;
    struct str project = projects.count ? json_get_str(&projects.items[0], "fid") : (struct str){0};
    struct str region = board.count ? json_get_str(&board.items[0], "region") : STR("REGION");
    const char *url = cli->config.server;
    printf("# SkyPilot's adapter, ml, flow: in the environment. KEY is yours, or one of `tessera key create`.\n"
           "export MITHRIL_API_URL=%s\n"
           "export MITHRIL_API_KEY=KEY\n"
           "export MITHRIL_PROJECT=%.*s\n"
           "export MITHRIL_REGION=%.*s    # flow alone\n"
           "\n"
           "# SkyPilot from upstream also wants the catalogue; once, and again when types change:\n"
           "mkdir -p ~/.sky/catalogs/v8/mithril\n"
           "curl -fsS -H \"Authorization: Bearer $MITHRIL_API_KEY\" -o ~/.sky/catalogs/v8/mithril/vms.csv %s/v2/catalog.csv\n"
           "\n"
           "# Velda: api_endpoint: %s   api_token: KEY\n"
           "# Other clients: base URL %s, paths under /v2, Authorization: Bearer KEY\n",
           url, STR_ARGS(project), STR_ARGS(region), url, url, url);
    return EXIT_OK;
}
