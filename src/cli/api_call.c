/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/api_call.h"

#include "base/clock.h"
#include "base/memory.h"
#include "records/api.h"
#include "wire/json.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define BODY_MAX ((size_t)4 << 20)
#define ANSWER_LIMIT ((size_t)256 << 20)
#define REPEAT_FOR_MS 20000 /* a server that restarts is back before that */
#define REPEAT_PAUSE_MS 300

int api_connect(struct cli *cli, struct http_client **ret)
{
    struct error err = {};
    struct http_client_options options = {.server = cli->config.server,
                                          .key = cli->config.key,
                                          .pin = cli->config.pin,
                                          .insecure = cli_flag(cli, "insecure")};
    int rc = http_client_new(ret, &options, &err);
    if (rc == 0)
        return EXIT_OK;
    return cli_fail(EXIT_USAGE, "%s: %s%s", cli->config.server_from, err.text,
                    rc == -EPERM ? ", or give --insecure" : "");
}

int api_unreached(const struct cli *cli, int code, const struct error *err)
{
    if (code == -EKEYREJECTED && cli->config.pin)
        return cli_fail(
            EXIT_UNREACHABLE,
            "%s: its key is not the one that is pinned; another server, or a new certificate",
            cli->config.server);
    if (code == -EKEYREJECTED)
        return cli_fail(
            EXIT_UNREACHABLE,
            "%s; for a certificate made by the server itself give --pin, as `tessera serve` "
            "printed it",
            err->text);
    if (code == -ECONNREFUSED &&
        (strstr(cli->config.server, "//127.") || strstr(cli->config.server, "//localhost")))
        return cli_fail(EXIT_UNREACHABLE,
                        "nobody answers at %s (from %s); `make up` starts a server here",
                        cli->config.server, cli->config.server_from);
    return cli_fail(EXIT_UNREACHABLE, "%s (server from %s)", err->text, cli->config.server_from);
}

static int exit_code_of(int status)
{
    switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
        return EXIT_USAGE;
    case 401:
    case 403:
        return EXIT_DENIED;
    case 404:
        return EXIT_NOT_FOUND;
    case 409:
        return EXIT_CONFLICT;
    case 429:
    case 503:
        return EXIT_UNREACHABLE;
    default:
        return EXIT_FAILED;
    }
}

static int fail_unauthorized(const struct cli *cli)
{
    if (cli->config.key == NULL)
        return cli_fail(EXIT_DENIED,
                        "%s wants a key: set TESSERA_KEY, or put `key:` into client.yaml",
                        cli->config.server);
    return cli_fail(EXIT_DENIED, "%s does not take the key from %s: wrong, revoked or expired",
                    cli->config.server, cli->config.key_from);
}

/* What a task file calls it, which people wrote, or its options stood for: "choices[0].accelerator"
 * -> "resources.accelerators". */
static struct str written_field(struct str field)
{
    static const char *const names[][2] = {{"accelerator", "resources.accelerators"},
                                           {"amounts", "resources"},
                                           {"amounts.gpu_milli", "resources.accelerators"},
                                           {"amounts.core_milli", "resources.cpus"},
                                           {"amounts.memory_mib", "resources.memory"},
                                           {"amounts.disk_mib", "resources.disk_size"},
                                           {"sku", "resources.instance_type"},
                                           {"provider", "resources.cloud"},
                                           {"region", "resources.region"},
                                           {"zone", "resources.zone"}};
    struct str rest = field;
    if (!str_starts(field, STR("choices[")))
        return field;
    str_cut(&rest, '.');
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (str_is(rest, names[i][0]))
            return str_from(names[i][1]);
    return field;
}

/* The errors of /v2: a text, or a list of what is wrong with which part. */
static struct str detail_of(struct str text, struct arena *arena)
{
    struct json_value body;
    if (json_parse(text, arena, &body, NULL) < 0)
        return (struct str){0};
    const struct json_value *detail = json_get(&body, "detail");
    if (detail == NULL || detail->type == JSON_STRING)
        return detail ? detail->text : (struct str){0};
    if (detail->type != JSON_ARRAY || detail->count == 0)
        return (struct str){0};
    const struct json_value *where = json_get(&detail->items[0], "loc");
    _cleanup_buf_ struct buf line = BUF_INIT(4096);
    if (where && where->count)
        buf_printf(&line, "%.*s: ", STR_ARGS(where->items[where->count - 1].text));
    buf_append_str(&line, json_get_str(&detail->items[0], "msg"));
    return arena_str(arena, buf_str(&line));
}

int api_refused(const struct cli *cli, const struct http_reply *reply, const char *subject)
{
    _cleanup_(arena_fini) struct arena arena = {};
    struct api_error_body body = {};
    int code = exit_code_of(reply->status);
    if (reply->status == 401)
        return fail_unauthorized(cli);
    struct str text = buf_str(&reply->body), detail = detail_of(text, &arena);
    if (detail.size)
        return cli_fail(code, "%.*s", STR_ARGS(detail));
    if (text.size == 0 || record_from_json(&api_error_body_record, text, &arena, &body, NULL) < 0)
        return cli_fail(code, "%s answered with status %d", cli->config.server, reply->status);
    const struct api_error *error = &body.error;
    if (error->field.size && !str_starts(error->message, error->field))
        return cli_fail(code, "%.*s: %.*s", STR_ARGS(written_field(error->field)),
                        STR_ARGS(error->message));
    if (reply->status == 404 && subject)
        return cli_fail(code, "%s: %.*s", subject, STR_ARGS(error->message));
    return cli_fail(code, "%.*s", STR_ARGS(error->message));
}

static void pause_ms(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Once more where the request may have arrived and its answer was lost, if that does no harm. A
 * connection that never came about is not waited for. */
static int call_safely(struct http_client *client, const struct http_call *call, bool repeatable,
                       struct http_reply *reply, struct error *err)
{
    time_ms end = clock_monotonic_ms() + REPEAT_FOR_MS;
    bool was_sent = false;
    while (true) {
        int rc = http_client_call(client, call, reply, err);
        was_sent |= reply->sent;
        bool lost = rc == -ECONNREFUSED || rc == -ETIMEDOUT ||
                    (rc == 0 && reply->status == 503 && was_sent);
        if (!lost || !repeatable || !was_sent || clock_monotonic_ms() >= end)
            return rc;
        pause_ms(REPEAT_PAUSE_MS);
    }
}

static int decode(struct cli *cli, const struct record *output, void *ret)
{
    struct error err = {};
    if (output == NULL || record_from_json(output, cli->raw, &cli->arena, ret, &err) == 0)
        return EXIT_OK;
    return cli_fail(
        EXIT_FAILED,
        "%s answered what version %s does not understand (%s); use the server's version",
        cli->config.server, TESSERA_VERSION, err.text);
}

static int send_call(struct cli *cli, const struct api_call *call, struct http_reply *reply)
{
    _cleanup_buf_ struct buf body = BUF_INIT(BODY_MAX), key = BUF_INIT(300);
    struct error err = {};
    const char *headers[] = {NULL};
    struct http_call http = {.method = call->method,
                             .path = call->path,
                             .headers = headers,
                             .content_type = call->content_type,
                             .body = call->body,
                             .body_limit = ANSWER_LIMIT};
    if (call->input) {
        record_to_json(call->input, call->value, AUDIENCE_AGENT, &body);
        http.body = buf_str(&body);
        http.content_type = "application/json";
    }
    if (call->idempotency_key) {
        buf_printf(&key, "Idempotency-Key: %s", call->idempotency_key);
        headers[0] = buf_text(&key);
        http.header_count = 1;
    }
    bool reads = call->method == NULL && http.body.size == 0;
    int rc = call_safely(cli->client, &http, reads || call->idempotency_key, reply, &err);
    if (rc < 0)
        return api_unreached(cli, rc, &err);
    return reply->status / 100 == 2 ? EXIT_OK : api_refused(cli, reply, call->subject);
}

int api_call(struct cli *cli, const struct api_call *call, const struct record *output, void *ret)
{
    _cleanup_(http_reply_fini) struct http_reply reply = {};
    int code = cli->client ? EXIT_OK : api_connect(cli, &cli->client);
    if (code == EXIT_OK)
        code = send_call(cli, call, &reply);
    if (code)
        return code;
    cli->raw = arena_str(&cli->arena, buf_str(&reply.body));
    return decode(cli, output, ret);
}

int api_get(struct cli *cli, const char *path, const struct record *output, void *ret)
{
    return api_call(
        cli,
        &(struct api_call){.path = path, .subject = cli->operand_count ? cli->operands[0] : NULL},
        output, ret);
}

const char *api_path(struct cli *cli, const char *before, const char *id, const char *after)
{
    _cleanup_buf_ struct buf path = BUF_INIT(64 * 1024);
    buf_append_text(&path, before);
    http_escape(&path, str_from(id));
    buf_append_text(&path, after);
    return arena_str(&cli->arena, buf_str(&path)).data;
}

void api_query(struct buf *path, const char *name, const char *value)
{
    if (value == NULL)
        return;
    buf_printf(path, "%c%s=", memchr(path->data ? path->data : "", '?', path->size) ? '&' : '?',
               name);
    http_escape(path, str_from(value));
}
