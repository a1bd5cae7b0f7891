/* SPDX-License-Identifier: Apache-2.0 */
/* volume …, reserve …: what machines use, and machines ahead of time. */
#include "cli/commands.h"

#include "base/clock.h"
#include "cli/api_call.h"
#include "cli/machine_call.h"
#include "wire/unit.h"

#include <stdio.h>

/* A list of the project: "/v2/volumes?project=…". */
static int list_path(struct cli *cli, const char *path, struct buf *ret)
{
    struct str project;
    int code = machine_project(cli, &project);
    buf_printf(ret, "%s?project=%.*s", path, STR_ARGS(code ? (struct str){0} : project));
    return code;
}

int command_volume_create(struct cli *cli)
{
    _cleanup_buf_ struct buf body = BUF_INIT(4096);
    struct machine_place place;
    struct str project;
    struct json_value made;
    int64_t size = 0;
    if (!cli_option(cli, "size") || !str_to_i64(str_from(cli_option(cli, "size")), &size) || size < 1)
        return cli_fail(EXIT_USAGE, "--size: %s, allowed are whole GB such as 100", cli_option(cli, "size") ? "not a size" : "is missing");
    int code = machine_project(cli, &project);
    if (code == EXIT_OK)
        code = machine_place(cli, &place);
    if (code)
        return code;
    json_open(&body, '{');
    json_key(&body, "name");
    json_text(&body, cli->operands[0]);
    json_key(&body, "project");
    json_string(&body, project);
    json_key(&body, "region");
    json_string(&body, place.region);
    json_key(&body, "disk_interface");
    json_text(&body, cli_flag(cli, "share") ? "File" : "Block");
    json_key(&body, "size_gb");
    json_integer(&body, size);
    json_close(&body, '}');
    code = machine_send(cli, "POST", "/v2/volumes", &body, &made);
    if (code == EXIT_OK && !cli_print_json(cli))
        printf("%s: %.*s in %.*s, seen as /mnt/%s\n", cli->operands[0], STR_ARGS(json_get_str(&made, "fid")), STR_ARGS(place.region),
               cli->operands[0]);
    return code;
}

int command_volume_list(struct cli *cli)
{
    static const char *const members[] = {"name", "fid", "interface", "capacity_gb", "region", "created_at", NULL};
    _cleanup_buf_ struct buf path = BUF_INIT(4096);
    struct json_value list;
    int code = list_path(cli, "/v2/volumes", &path);
    if (code == EXIT_OK)
        code = machine_get(cli, buf_text(&path), &list);
    if (code == EXIT_OK && !cli_print_json(cli))
        machine_table(&list, "NAME|ID|KIND|>GB|REGION|CREATED", members);
    return code;
}

int command_volume_delete(struct cli *cli)
{
    _cleanup_buf_ struct buf path = BUF_INIT(4096);
    struct json_value volume;
    int code = list_path(cli, "/v2/volumes", &path);
    if (code == EXIT_OK)
        code = machine_find(cli, buf_text(&path), "volume", cli->operands[0], &volume);
    if (code)
        return code;
    const char *one = api_path(cli, "/v2/volumes/", arena_str(&cli->arena, json_get_str(&volume, "fid")).data, "");
    code = machine_send(cli, "DELETE", one, NULL, NULL);
    if (code == EXIT_OK && !cli_print_json(cli))
        printf("%s: deleted\n", cli->operands[0]);
    return code;
}

/* ---- reservations ---- */

/* "+2h" from now, or a time. */
static int take_time(struct cli *cli, const char *option, time_ms fallback, time_ms *ret)
{
    const char *text = cli_option(cli, option);
    time_ms span;
    *ret = fallback;
    if (text == NULL && fallback)
        return EXIT_OK;
    if (text && text[0] == '+' && span_parse(str_from(text + 1), &span)) {
        *ret = clock_wall_ms() + span;
        return EXIT_OK;
    }
    if (text && time_parse(str_from(text), ret))
        return EXIT_OK;
    return cli_fail(EXIT_USAGE, "--%s: %s, allowed are a time such as 2026-11-24T17:00Z, or +2h from now", option, text ? "not a time" : "is missing");
}

static int window_write(struct cli *cli, struct buf *body)
{
    const char *names[] = {"start_time", "end_time"};
    time_ms window[2];
    int code = take_time(cli, "from", clock_wall_ms(), &window[0]);
    if (code == EXIT_OK)
        code = take_time(cli, "to", 0, &window[1]);
    for (int i = 0; code == EXIT_OK && i < 2; i++) {
        _cleanup_buf_ struct buf text = BUF_INIT(64);
        time_print(&text, window[i]);
        json_key(body, names[i]);
        json_string(body, buf_str(&text));
    }
    return code;
}

static void print_reservation(const struct json_value *r)
{
    printf("%.*s: %.*s, %.*s, %lld × %.*s an hour, %.*s in all, %.*s to %.*s\n", STR_ARGS(json_get_str(r, "name")), STR_ARGS(json_get_str(r, "fid")),
           STR_ARGS(json_get_str(r, "status")), (long long)json_get_i64(r, "instance_quantity", 0), STR_ARGS(json_get_str(r, "unit_price")),
           STR_ARGS(json_get_str(r, "total_price")), STR_ARGS(json_get_str(r, "start_time")), STR_ARGS(json_get_str(r, "end_time")));
}

int command_reserve_create(struct cli *cli)
{
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_LIMIT_DEFAULT);
    const char *limit = cli_option(cli, "limit");
    struct json_value made;
    udollar most = 0;
    if (limit && (!money_parse(str_from(limit), &most) || most < 0))
        return cli_fail(EXIT_USAGE, "--limit: not a price, allowed are dollars per instance-hour such as 2.50");
    int code = machine_order(cli, cli->operands[0], &body);
    if (code == EXIT_OK)
        code = window_write(cli, &body);
    if (code)
        return code;
    json_key(&body, "price_specification");
    json_open(&body, '{');
    json_key(&body, "offer_key");
    json_text(&body, cli_flag(cli, "flexible") ? "flexible" : "standard");
    if (limit) {
        json_key(&body, "max_unit_price");
        json_integer(&body, most / 10000);
    }
    json_close(&body, '}');
    json_close(&body, '}');
    code = machine_send(cli, "POST", "/v2/reservation", &body, &made);
    if (code == EXIT_OK && !cli_print_json(cli))
        print_reservation(&made);
    return code;
}

int command_reserve_list(struct cli *cli)
{
    static const char *const members[] = {"name", "fid", "status", "instance_quantity", "unit_price", "total_price", "start_time", "end_time", NULL};
    _cleanup_buf_ struct buf path = BUF_INIT(4096);
    struct json_value answer;
    int code = list_path(cli, "/v2/reservation", &path);
    if (code == EXIT_OK)
        code = machine_get(cli, buf_text(&path), &answer);
    if (code == EXIT_OK && !cli_print_json(cli))
        machine_table(json_get(&answer, "data"), "NAME|ID|STATUS|>COUNT|>PER HOUR|>IN ALL|FROM|TO", members);
    return code;
}

/* Sends a body to the reservation that the operand names. */
static int reservation_change(struct cli *cli, const char *method, const char *after, const struct buf *body)
{
    _cleanup_buf_ struct buf path = BUF_INIT(4096);
    struct json_value r, changed;
    int code = list_path(cli, "/v2/reservation", &path);
    if (code == EXIT_OK)
        code = machine_find(cli, buf_text(&path), "reservation", cli->operands[0], &r);
    if (code)
        return code;
    const char *one = api_path(cli, "/v2/reservation/", arena_str(&cli->arena, json_get_str(&r, "fid")).data, after);
    code = machine_send(cli, method, one, body, &changed);
    if (code == EXIT_OK && !cli_print_json(cli))
        print_reservation(&changed);
    return code;
}

static int pause(struct cli *cli, const char *text)
{
    _cleanup_buf_ struct buf body = BUF_INIT(256);
    buf_append_text(&body, text);
    return reservation_change(cli, "PATCH", "", &body);
}

int command_reserve_pause(struct cli *cli)
{
    return pause(cli, "{\"paused\":true}");
}

int command_reserve_resume(struct cli *cli)
{
    return pause(cli, "{\"paused\":false}");
}

int command_reserve_extend(struct cli *cli)
{
    _cleanup_buf_ struct buf body = BUF_INIT(256), text = BUF_INIT(64);
    time_ms to;
    int code = take_time(cli, "to", 0, &to);
    if (code)
        return code;
    time_print(&text, to);
    json_open(&body, '{');
    json_key(&body, "end_time");
    json_string(&body, buf_str(&text));
    json_close(&body, '}');
    return reservation_change(cli, "POST", "/extend", &body);
}

/* All of it that is paused. */
int command_reserve_return(struct cli *cli)
{
    _cleanup_buf_ struct buf path = BUF_INIT(4096), body = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct json_value r, ended;
    int code = list_path(cli, "/v2/reservation", &path);
    if (code == EXIT_OK)
        code = machine_find(cli, buf_text(&path), "reservation", cli->operands[0], &r);
    if (code)
        return code;
    const struct json_value *instances = json_get(&r, "instances");
    json_open(&body, '{');
    json_key(&body, "instances");
    json_open(&body, '[');
    for (size_t i = 0; instances && i < instances->count; i++)
        json_string(&body, instances->items[i].text);
    json_close(&body, ']');
    json_key(&body, "reduce_capacity");
    json_bool(&body, true);
    json_close(&body, '}');
    const char *one = api_path(cli, "/v2/reservation/", arena_str(&cli->arena, json_get_str(&r, "fid")).data, "/terminate-instances");
    code = machine_send(cli, "POST", one, &body, &ended);
    const struct json_value *gone = code ? NULL : json_get(&ended, "terminated_instances");
    if (code == EXIT_OK && !cli_print_json(cli))
        printf("%s: %zu given back\n", cli->operands[0], gone ? gone->count : 0);
    return code;
}
