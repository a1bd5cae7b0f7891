/* SPDX-License-Identifier: Apache-2.0 */
/* Answers, on whichever thread the call is. */
#include "server/api_internal.h"
#include "server/api_kept.h"

#include "wire/json.h"
#include "wire/record.h"

#include <stdarg.h>
#include <stdio.h>

static const char *status_code(int status)
{
    switch (status) {
    case 401:
        return "unauthorized";
    case 403:
        return "forbidden";
    case 404:
        return "not_found";
    case 409:
        return "conflict";
    case 413:
        return "too_large";
    case 429:
        return "busy";
    case 500:
    case 503:
        return "unavailable";
    default:
        return "invalid";
    }
}

void call_header(struct api_call *call, const char *name, struct str value)
{
    CHECK(call->header_count < ARRAY_COUNT(call->headers) - 1); /* one stays free for Tessera-Seq */
    call->headers[call->header_count++] = (struct http_pair){str_from(name), value};
}

static void writer_respond(struct api_call *call, struct http_response *response)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%llu", (unsigned long long)call->seq);
    call->headers[response->header_count++] =
        (struct http_pair){STR("Tessera-Seq"), {text, (size_t)size}};
    http_batch_add(call->batch, call->request, response);
}

void call_respond(struct api_call *call, struct http_response response)
{
    response.headers = call->headers;
    response.header_count = call->header_count;
    switch (call->place) {
    case ON_LOOP:
        http_respond(call->request, &response);
        break;
    case ON_READER:
        if (call->kept_key.size && response.status == 200)
            kept_put(call->api->kept, call->seq, call->kept_key, &response);
        core_respond(call->api->core, call->seq, call->request, &response);
        break;
    case ON_WRITER:
        writer_respond(call, &response);
        break;
    }
}

void call_respond_file(struct api_call *call, int file, uint64_t size)
{
    struct http_response response = {.status = 200,
                                     .content_type = STR("application/octet-stream"),
                                     .headers = call->headers,
                                     .header_count = call->header_count};
    http_respond_file(call->request, &response, file, size);
}

void call_answer(struct api_call *call, int status, const struct record *record, const void *value)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct http_request *r = call->request;
    bool agent = str_starts(r->path, STR("/v1/agent/"));
    record_to_json(record, value, agent ? AUDIENCE_AGENT : AUDIENCE_PEOPLE, &out);
    if (out.overflow) {
        call_refuse(call, 503, NULL, "the answer is too large; ask for less of it");
        return;
    }
    call_respond(call, (struct http_response){.status = status,
                                              .content_type = STR("application/json"),
                                              .body = buf_str(&out)});
}

/* ---- refusals ---- */

/* "launch_specification.ssh_keys[0]" -> "launch_specification", "ssh_keys", 0 */
static void path_json(struct buf *out, const char *field)
{
    struct str rest = str_from(field);
    while (rest.size) {
        struct str word = str_cut(&rest, '.'), index = word;
        word = str_cut(&index, '[');
        int64_t number;
        json_string(out, word);
        if (str_to_i64(str_cut(&index, ']'), &number))
            json_integer(out, number);
    }
}

/* The errors of the Mithril API: a text, or a list of what is wrong with which part of a request. */
static void detail_json(struct buf *out, const struct api_call *call, const char *field, struct str message)
{
    json_open(out, '{');
    json_key(out, "detail");
    if (field == NULL) {
        json_string(out, message);
    } else {
        json_open(out, '[');
        json_open(out, '{');
        json_key(out, "loc");
        json_open(out, '[');
        json_text(out, call->route->input ? "body" : "query");
        path_json(out, field);
        json_close(out, ']');
        json_key(out, "msg");
        json_string(out, message);
        json_key(out, "type");
        json_text(out, str_is(message, "is missing") ? "missing" : "value_error");
        json_close(out, '}');
        json_close(out, ']');
    }
    json_close(out, '}');
}

static void error_json(struct buf *out, int status, const char *field, struct str message)
{
    struct api_error_body body = {.error = {.code = str_from(status_code(status)),
                                            .field = str_from(field),
                                            .message = message}};
    record_to_json(&api_error_body_record, &body, AUDIENCE_PEOPLE, out);
}

void refuse_request(struct http_request *r, int status, const char *field, const char *message)
{
    _cleanup_buf_ struct buf out = BUF_INIT(4096);
    if (path_is_mithril(r->path))
        detail_json(&out, NULL, NULL, str_from(message));
    else
        error_json(&out, status, field, str_from(message));
    http_respond_text(r, status, "application/json", buf_str(&out));
}

/* Cuts what broke inside a letter of several bytes. */
static struct str whole_text(const char *text, size_t size)
{
    struct str whole = {text, size};
    for (int i = 0; i < 4 && whole.size && !utf8_valid(whole); i++)
        whole.size--;
    return utf8_valid(whole) ? whole : STR("the request is not valid UTF-8");
}

static void refuse_text(struct api_call *call, int status, const char *field, struct str message)
{
    _cleanup_buf_ struct buf out = BUF_INIT(8192);
    bool invalid = status == 400 && field;
    if (call->mithril)
        detail_json(&out, call, invalid ? field : NULL, message);
    else
        error_json(&out, status, field, message);
    status = call->mithril && invalid ? 422 : status;
    call_respond(call, (struct http_response){.status = status,
                                              .content_type = STR("application/json"),
                                              .body = buf_str(&out)});
}

void call_refuse(struct api_call *call, int status, const char *field, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    refuse_text(call, status, field,
                whole_text(text, (size_t)CLAMP(size, 0, (int)sizeof text - 1)));
}

/* How long the path at the head of "choices[0].sku: what is wrong" is; 0 where there is none. */
static size_t field_length(const char *text)
{
    size_t i = 0;
    for (; text[i] && text[i] != ':'; i++) {
        char c = text[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && !strchr("_.[]-\"", c))
            return 0;
    }
    return text[i] == ':' && text[i + 1] == ' ' ? i : 0;
}

void call_refuse_error(struct api_call *call, int status, const struct error *err)
{
    char field[ERROR_TEXT_MAX];
    size_t size = field_length(err->text);
    snprintf(field, sizeof field, "%.*s", (int)size, err->text);
    const char *message = err->text + (size ? size + 2 : 0);
    refuse_text(call, status, size ? field : NULL, whole_text(message, strlen(message)));
}

void call_not_found(struct api_call *call, const char *what)
{
    call_refuse(call, 404, NULL, "no such %s", what);
}
