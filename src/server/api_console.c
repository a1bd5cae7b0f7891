/* SPDX-License-Identifier: Apache-2.0 */
/* Signing in to the console, and its pages. A code works once, for two minutes, and lives in memory
 * alone; it becomes a key of its own that only a cookie holds, which no script can read. */
#include "server/api_route.h"

#include "base/clock.h"
#include "wire/record.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define CODES 64
#define CODE_VALID_MS ((time_ms)120000)
#define SESSION_VALID_MS ((time_ms)12 * HOUR_MS)
#define FAILURES_MOST 20 /* a minute, of everybody together */
#define PATH_SIZE 4096

struct console_code {
    char text[CORE_KEY_SIZE];
    time_ms expires; /* monotonic; 0 = free */
    struct core_identity who;
};

struct api_console { /* loop thread alone */
    struct api *api;
    struct console_code codes[CODES];
    size_t next;
    time_ms minute; /* begin of the minute that failures are counted in */
    unsigned failures;
};

void api_console_new(struct api_console **ret, struct api *a)
{
    *ret = xcalloc(1, sizeof **ret);
    (*ret)->api = a;
}

void api_console_free(struct api_console *s)
{
    xfree(s);
}

/* ---- codes ---- */

void route_console_code(struct api_call *call)
{
    struct api_console *s = call->api->console;
    const struct api_options *o = &call->api->options;
    if (call->who.session) {
        call_refuse(call, 403, NULL, "a session makes no codes; use a key");
        return;
    }
    struct console_code *code = &s->codes[s->next++ % CODES]; /* the oldest makes room */
    core_make_key(code->text);
    code->expires = clock_monotonic_ms() + CODE_VALID_MS;
    code->who = call->who;
    const char *base = o->advertise ? o->advertise : o->url;
    struct str text = str_from(code->text + 5); /* without the prefix of keys, which it is not */
    struct api_console_code made = {.code = text,
                                    .url = call_text(call, "%s/#code=%.*s", base, STR_ARGS(text)),
                                    .expires_ms = clock_wall_ms() + CODE_VALID_MS};
    call_answer(call, 201, &api_console_code_record, &made);
}

/* In a time that does not tell how much of it was right. */
static bool same_code(const struct console_code *code, struct str given)
{
    unsigned char difference = 0;
    size_t size = CORE_KEY_SIZE - 6; /* without prefix and terminator */
    for (size_t i = 0; i < size; i++)
        difference |= (unsigned char)(code->text[5 + i] ^ (i < given.size ? given.data[i] : 0));
    return difference == 0 && given.size == size;
}

static bool take_code(struct api_console *s, struct str given, struct core_identity *ret)
{
    time_ms now = clock_monotonic_ms();
    bool found = false;
    for (size_t i = 0; i < CODES; i++) {
        struct console_code *code = &s->codes[i];
        if (code->expires <= now || !same_code(code, given))
            continue;
        *ret = code->who;
        *code = (struct console_code){0};
        found = true;
    }
    return found;
}

static bool too_many_failures(struct api_console *s)
{
    time_ms now = clock_monotonic_ms();
    if (now - s->minute >= 60000) {
        s->minute = now;
        s->failures = 0;
    }
    return s->failures >= FAILURES_MOST;
}

/* ---- sessions ---- */

static void cookie(struct api_call *call, struct str value, time_ms valid)
{
    const char *secure = call->request->tls ? "; Secure" : "";
    call_header(call, "Set-Cookie",
                call_text(call, "%s=%.*s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%lld%s",
                          call->api->session_cookie, STR_ARGS(value), (long long)(valid / 1000),
                          secure));
}

static void sign_in_then(struct api_call *call, const struct core_answer *answer)
{
    if (answer->outcomes[0].code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, &answer->outcomes[0]);
        return;
    }
    cookie(call, str_from(call->own), SESSION_VALID_MS);
    call_respond(call, (struct http_response){.status = 200,
                                              .content_type = STR("application/json"),
                                              .body = STR("{}")});
}

void route_console_sign_in(struct api_call *call)
{
    const struct api_console_sign_in *sign_in = call->input;
    struct api_console *s = call->api->console;
    struct core_identity who;
    if (too_many_failures(s)) {
        call_refuse(call, 429, NULL, "too many wrong codes; wait a minute");
        return;
    }
    if (!take_code(s, sign_in->code, &who)) {
        s->failures++;
        call_refuse(call, 401, NULL,
                    "this code is not valid (any more); make a new one with `tessera console`");
        return;
    }
    struct engine_command *command = key_command(call, who.role, SESSION_VALID_MS);
    command->key.session = true;
    command->key.project = who.project;
    command->key.kind = PRINCIPAL_PERSON;
    command->key.principal =
        who.principal[0] ? call_text(call, "%s", who.principal) : STR("console");
    call_push(call, command, 1, sign_in_then);
}

static void sign_out_then(struct api_call *call, const struct core_answer *answer)
{
    (void)answer; /* gone already is as good */
    cookie(call, (struct str){0}, 0);
    call_respond(call, (struct http_response){.status = 200,
                                              .content_type = STR("application/json"),
                                              .body = STR("{}")});
}

void route_console_sign_out(struct api_call *call)
{
    if (!call->who.session) {
        call_refuse(call, 400, NULL,
                    "this is no session; a key is revoked with DELETE /v1/keys/ID");
        return;
    }
    struct engine_command *command = call_alloc(call, sizeof *command);
    command->type = ENGINE_KEY_REVOKE;
    command->revoke = call->who.key;
    call_push(call, command, 1, sign_out_then);
}

/* ---- pages ---- */

static const char policy[] = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
                             "form-action 'none'; object-src 'none'";

static struct str media_type(struct str name)
{
    static const struct {
        const char *suffix, *type;
    } types[] = {{".html", "text/html; charset=utf-8"},
                 {".js", "text/javascript; charset=utf-8"},
                 {".css", "text/css; charset=utf-8"},
                 {".svg", "image/svg+xml"},
                 {".png", "image/png"},
                 {".woff2", "font/woff2"},
                 {".json", "application/json"}};
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        size_t size = strlen(types[i].suffix);
        if (name.size > size && memcmp(name.data + name.size - size, types[i].suffix, size) == 0)
            return str_from(types[i].type);
    }
    return STR("application/octet-stream");
}

/* Names of built files: no slash (it may stand encoded in a segment), no dot in front. */
static bool plain_name(struct str name)
{
    return name.size && name.data[0] != '.' && !memchr(name.data, '/', name.size);
}

static int open_page(struct api_call *call, uint64_t *ret_size)
{
    const char *folder = call->api->options.console;
    bool asset = call->request->segment_count > 0;
    char path[PATH_SIZE];
    struct stat status;
    if (!folder || (asset && !plain_name(call->name)))
        return -1;
    snprintf(path, sizeof path, "%s/%s%.*s", folder, asset ? "assets/" : "index.html",
             STR_ARGS(call->name));
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0)
        return -1;
    if (fstat(file, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(file);
        return -1;
    }
    *ret_size = (uint64_t)status.st_size;
    return file;
}

void route_console_page(struct api_call *call)
{
    uint64_t size = 0;
    bool asset = call->request->segment_count > 0;
    int file = open_page(call, &size);
    if (file < 0) {
        call_refuse(call, 404, NULL, "%s",
                    call->api->options.console ? "no such page"
                                               : "this server was started without the console");
        return;
    }
    call_header(call, "Content-Security-Policy", str_from(policy));
    call_header(call, "X-Content-Type-Options", STR("nosniff"));
    call_header(call, "Referrer-Policy", STR("no-referrer"));
    call_header(call, "Cache-Control",
                asset ? STR("public, max-age=31536000, immutable") : STR("no-cache"));
    struct http_response response = {.status = 200,
                                     .content_type =
                                         media_type(asset ? call->name : STR("index.html")),
                                     .headers = call->headers,
                                     .header_count = call->header_count};
    http_respond_file(call->request, &response, file, size);
}
