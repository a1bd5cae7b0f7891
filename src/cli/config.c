/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/memory.h"
#include "base/number.h"
#include "cli/input.h"
#include "cli/session.h"
#include "wire/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLIENT_FILE_MAX (64 * 1024)

/* ---- a file
 * --------------------------------------------------------------------------------------- */

/* Whose file it is matters: it decides where tasks and their secrets go. */
static bool is_trusted(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return false;
    if (st.st_uid != geteuid() && st.st_uid != 0 && geteuid() != 0) {
        cli_note("%s belongs to another user and is not used", path);
        return false;
    }
    if (st.st_mode & (S_IRGRP | S_IROTH))
        cli_note("%s can be read by others; `chmod 600 %s` keeps the key yours", path, path);
    return true;
}

static int take_text(const struct json_value *root, const char *name, const char *path, char **ret,
                     struct error *err)
{
    const struct json_value *value = json_get(root, name);
    if (value == NULL || value->type == JSON_NULL)
        return 0;
    if (value->type == JSON_OBJECT || value->type == JSON_ARRAY)
        return error_set(err, -EINVAL, "%s: %s: must be text", path, name);
    *ret = str_dup(str_trim(value->text));
    return 0;
}

static int parse_file(struct str text, const char *path, struct client_config *ret,
                      struct error *err)
{
    static const char *const names[] = {"server", "key", "pin"};
    char **const members[] = {&ret->server, &ret->key, &ret->pin};
    _cleanup_(arena_fini) struct arena arena = {};
    struct json_value root;
    int rc = yaml_parse(text, &arena, &root, err);
    if (rc < 0)
        return error_prefix(err, "%s", path);
    if (root.type != JSON_OBJECT)
        return error_set(err, -EINVAL, "%s: must be a map of server, key and pin", path);
    for (size_t i = 0; i < root.count; i++)
        if (!str_is(root.keys[i], "server") && !str_is(root.keys[i], "key") &&
            !str_is(root.keys[i], "pin"))
            return error_set(err, -EINVAL, "%s: %.*s: is unknown, allowed are server, key and pin",
                             path, (int)MIN(root.keys[i].size, 40), root.keys[i].data);
    for (size_t i = 0; i < ARRAY_COUNT(names) && rc == 0; i++)
        rc = take_text(&root, names[i], path, members[i], err);
    return rc;
}

/* 1: read; 0: there is none that can be used. */
static int read_file(const char *path, struct client_config *ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(CLIENT_FILE_MAX);
    if (access(path, F_OK) < 0 || !is_trusted(path))
        return 0;
    int rc = input_read(path, &text, err);
    if (rc == -EACCES || rc == -EPERM) {
        cli_note("%s may not be read by this user and is not used", path);
        return 0;
    }
    if (rc == 0)
        rc = parse_file(buf_str(&text), path, ret, err);
    if (text.size)
        explicit_bzero(text.data, text.size);
    return rc < 0 ? rc : 1;
}

/* ---- precedence
 * ----------------------------------------------------------------------------------- */

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static void take(char **to, char **from, const char *value, const char *origin)
{
    if (*to || value == NULL)
        return;
    *to = xstrdup(value);
    if (from)
        *from = xstrdup(origin);
}

static bool same_server(const char *a, const char *b)
{
    struct str x = str_from(a), y = str_from(b);
    while (x.size && x.data[x.size - 1] == '/')
        x.size--;
    while (y.size && y.data[y.size - 1] == '/')
        y.size--;
    return str_equal(x, y);
}

static int take_file(struct client_config *ret, const char *path, struct error *err)
{
    _cleanup_(client_config_fini) struct client_config file = {};
    int rc = read_file(path, &file, err);
    if (rc <= 0 || file.server == NULL)
        return rc < 0 ? rc : 0;
    take(&ret->server, &ret->server_from, file.server, path);
    if (same_server(ret->server, file.server)) {
        take(&ret->key, &ret->key_from, file.key, path);
        take(&ret->pin, NULL, file.pin, path);
    }
    return 0;
}

int client_config_load(struct client_config *ret, const struct client_wish *wish, struct error *err)
{
    *ret = (struct client_config){};
    take(&ret->server, &ret->server_from, wish->server, "--server");
    take(&ret->key, &ret->key_from, wish->key, "--key");
    take(&ret->pin, NULL, wish->pin, "--pin");
    take(&ret->server, &ret->server_from, environment("TESSERA_SERVER"), "TESSERA_SERVER");
    take(&ret->key, &ret->key_from, environment("TESSERA_KEY"), "TESSERA_KEY");
    take(&ret->pin, NULL, environment("TESSERA_PIN"), "TESSERA_PIN");
    int rc = 0;
    if (ret->server == NULL || ret->key == NULL)
        rc = take_file(ret, "var/client.yaml", err);
    const char *home = environment("HOME");
    if (rc == 0 && home && (ret->server == NULL || ret->key == NULL)) {
        _cleanup_buf_ struct buf path = BUF_INIT(4096);
        buf_printf(&path, "%s/.config/tessera/client.yaml", home);
        rc = take_file(ret, buf_text(&path), err);
    }
    if (rc == 0 && ret->server == NULL)
        rc = error_set(
            err, -ENOENT,
            "no server is known: `make up` starts one here and writes var/client.yaml; else give "
            "--server URL or set TESSERA_SERVER");
    return rc;
}

void client_config_fini(struct client_config *config)
{
    if (config->key)
        explicit_bzero(config->key, strlen(config->key));
    xfree(config->server);
    xfree(config->key);
    xfree(config->pin);
    xfree(config->server_from);
    xfree(config->key_from);
    *config = (struct client_config){};
}
