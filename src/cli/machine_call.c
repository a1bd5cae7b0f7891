/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/machine_call.h"

#include "cli/api_call.h"
#include "cli/listing.h"

#include <errno.h>
#include <stdio.h>

#define KEY_FILE_MAX 16384

static int take_tree(struct cli *cli, struct json_value *ret)
{
    struct error err = {0};
    if (ret && json_parse(cli->raw, &cli->arena, ret, &err) < 0)
        return cli_fail(EXIT_UNREACHABLE, "the server's answer cannot be read: %s", err.text);
    return EXIT_OK;
}

int machine_get(struct cli *cli, const char *path, struct json_value *ret)
{
    struct api_call call = {.method = "GET", .path = path};
    int code = api_call(cli, &call, NULL, NULL);
    return code ? code : take_tree(cli, ret);
}

int machine_send(struct cli *cli, const char *method, const char *path, const struct buf *body, struct json_value *ret)
{
    struct api_call call = {.method = method, .path = path};
    if (body) {
        call.content_type = "application/json";
        call.body = buf_str(body);
    }
    int code = api_call(cli, &call, NULL, NULL);
    return code ? code : take_tree(cli, ret);
}

int machine_project(struct cli *cli, struct str *ret)
{
    const char *wanted = cli_option(cli, "project");
    struct json_value list;
    int code = machine_get(cli, "/v2/projects", &list);
    if (code)
        return code;
    for (size_t i = 0; i < list.count; i++) {
        struct str name = json_get_str(&list.items[i], "name"), fid = json_get_str(&list.items[i], "fid");
        if (wanted ? str_is(name, wanted) || str_is(fid, wanted) : list.count == 1 || str_is(name, "default")) {
            *ret = fid;
            return EXIT_OK;
        }
    }
    return cli_fail(EXIT_NOT_FOUND, "%s: no such project", wanted ? wanted : "default");
}

int machine_place(struct cli *cli, struct machine_place *ret)
{
    const char *type = cli_option(cli, "type"), *region = cli_option(cli, "region");
    struct json_value types, board;
    int code = machine_get(cli, "/v2/instance-types", &types);
    if (code == EXIT_OK)
        code = machine_get(cli, "/v2/spot/availability", &board);
    if (code)
        return code;
    for (size_t i = 0; i < board.count; i++)
        for (size_t k = 0; k < types.count; k++) {
            struct str fid = json_get_str(&types.items[k], "fid"), name = json_get_str(&types.items[k], "name");
            struct str where = json_get_str(&board.items[i], "region");
            if (!str_equal(fid, json_get_str(&board.items[i], "instance_type")) || (type && !str_is(name, type) && !str_is(fid, type)) ||
                (region && !str_is(where, region)))
                continue;
            *ret = (struct machine_place){fid, name, where};
            return EXIT_OK;
        }
    if (board.count == 0)
        return cli_fail(EXIT_NOT_FOUND, "no node hands out machines: start agents with --image (tools/image makes one)");
    return cli_fail(EXIT_NOT_FOUND, "%s%s%s: not offered; see tessera instance types", type ? type : "", type && region ? " in " : "", region ? region : "");
}

/* ---- keys ---- */

static int read_key(struct cli *cli, const char *path, struct str *ret)
{
    char text[KEY_FILE_MAX];
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(text, 1, sizeof text, file) : 0;
    if (file == NULL)
        return cli_fail(EXIT_USAGE, "--ssh-key %s: %s", path, strerror(errno));
    fclose(file);
    *ret = arena_str(&cli->arena, str_trim((struct str){text, size}));
    if (str_starts(*ret, STR("-----BEGIN")))
        return cli_fail(EXIT_USAGE, "--ssh-key %s: this is the private half, allowed is the public one (%s.pub)", path, path);
    return EXIT_OK;
}

static int key_made(struct cli *cli, struct str project, const char *path, struct str text, struct str *ret)
{
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_LIMIT_DEFAULT), name = BUF_INIT(4096);
    const char *last = strrchr(path, '/');
    struct json_value made;
    buf_printf(&name, "%s-%08x", last ? last + 1 : path, (unsigned)(text.size ^ (unsigned char)text.data[text.size / 2] << 8));
    json_open(&body, '{');
    json_key(&body, "project");
    json_string(&body, project);
    json_key(&body, "name");
    json_string(&body, buf_str(&name));
    json_key(&body, "public_key");
    json_string(&body, text);
    json_close(&body, '}');
    int code = machine_send(cli, "POST", "/v2/ssh-keys", &body, &made);
    *ret = code ? (struct str){0} : json_get_str(&made, "fid");
    return code;
}

static int key_id(struct cli *cli, struct str project, const char *path, struct str *ret)
{
    _cleanup_buf_ struct buf url = BUF_INIT(4096);
    struct json_value list;
    struct str text;
    int code = read_key(cli, path, &text);
    if (code)
        return code;
    buf_printf(&url, "/v2/ssh-keys?project=%.*s", STR_ARGS(project));
    code = machine_get(cli, buf_text(&url), &list);
    if (code)
        return code;
    for (size_t i = 0; i < list.count; i++)
        if (str_equal(json_get_str(&list.items[i], "public_key"), text)) {
            *ret = json_get_str(&list.items[i], "fid");
            return EXIT_OK;
        }
    return key_made(cli, project, path, text, ret);
}

int machine_keys(struct cli *cli, struct str project, struct buf *ret_list)
{
    size_t count = 0;
    json_open(ret_list, '[');
    for (size_t i = 0; i < cli->value_count; i++) {
        struct str id;
        if (strcmp(cli->values[i].option->name, "ssh-key") != 0)
            continue;
        int code = key_id(cli, project, cli->values[i].value, &id);
        if (code)
            return code;
        json_string(ret_list, id);
        count++;
    }
    json_close(ret_list, ']');
    return count ? EXIT_OK : cli_fail(EXIT_USAGE, "--ssh-key FILE is missing: a public key, ~/.ssh/id_ed25519.pub");
}

/* ---- orders ---- */

static int volumes_write(struct cli *cli, struct buf *body)
{
    json_key(body, "volumes");
    json_open(body, '[');
    for (size_t i = 0; i < cli->value_count; i++)
        if (strcmp(cli->values[i].option->name, "volume") == 0)
            json_text(body, cli->values[i].value);
    json_close(body, ']');
    return EXIT_OK;
}

static int script_write(struct cli *cli, struct buf *body)
{
    const char *path = cli_option(cli, "startup");
    char text[KEY_FILE_MAX];
    if (path == NULL)
        return EXIT_OK;
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(text, 1, sizeof text, file) : 0;
    if (file == NULL)
        return cli_fail(EXIT_USAGE, "--startup %s: %s", path, strerror(errno));
    fclose(file);
    json_key(body, "startup_script");
    json_string(body, (struct str){text, size});
    return EXIT_OK;
}

int machine_order(struct cli *cli, const char *name, struct buf *body)
{
    _cleanup_buf_ struct buf keys = BUF_INIT(BUF_LIMIT_DEFAULT);
    const char *count = cli_option(cli, "count");
    struct machine_place place;
    struct str project;
    int64_t number = 1;
    if (count && (!str_to_i64(str_from(count), &number) || number < 1 || number > 256))
        return cli_fail(EXIT_USAGE, "--count: \"%s\" is not allowed, allowed is 1 to 256", count);
    int code = machine_project(cli, &project);
    if (code == EXIT_OK)
        code = machine_place(cli, &place);
    if (code == EXIT_OK)
        code = machine_keys(cli, project, &keys);
    if (code)
        return code;
    const struct {
        const char *key;
        struct str value;
    } texts[] = {{"project", project}, {"region", place.region}, {"instance_type", place.type}, {"name", str_from(name)}};
    json_open(body, '{');
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_key(body, texts[i].key);
        json_string(body, texts[i].value);
    }
    json_key(body, "instance_quantity");
    json_integer(body, number);
    json_key(body, "launch_specification");
    json_open(body, '{');
    json_key(body, "ssh_keys");
    json_raw(body, buf_str(&keys));
    code = volumes_write(cli, body);
    if (code == EXIT_OK)
        code = script_write(cli, body);
    json_close(body, '}');
    return code;
}

/* ---- lists ---- */

int machine_find(struct cli *cli, const char *path, const char *what, const char *name, struct json_value *ret)
{
    struct json_value answer;
    int code = machine_get(cli, path, &answer);
    if (code)
        return code;
    const struct json_value *list = json_get(&answer, "data") ? json_get(&answer, "data") : &answer;
    for (size_t i = 0; i < list->count; i++)
        if (str_is(json_get_str(&list->items[i], "name"), name) || str_is(json_get_str(&list->items[i], "fid"), name)) {
            *ret = list->items[i];
            return EXIT_OK;
        }
    return cli_fail(EXIT_NOT_FOUND, "%s: no such %s", name, what);
}

void machine_table(const struct json_value *list, const char *headings, const char *const *members)
{
    struct listing listing = {};
    listing_begin(&listing, headings);
    for (size_t i = 0; i < list->count; i++)
        for (const char *const *member = members; *member; member++) {
            const struct json_value *value = json_get(&list->items[i], *member);
            listing_str(&listing, value && (value->type == JSON_STRING || value->type == JSON_NUMBER) ? value->text : (struct str){0});
        }
    listing_end(&listing, stdout);
}
