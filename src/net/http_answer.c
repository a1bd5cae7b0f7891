/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and their answers: formatted by whoever answers, sent by the loop. */
#include "net/http_internal.h"

#include <unistd.h>

#define POOL_MAX 1024
#define POOL_BUFFER_MAX ((size_t)32 * 1024)

/* ---- requests ---- */

struct request *request_new(struct http_server *s, struct connection *c)
{
    struct request *r = s->spare;
    if (r) {
        s->spare = r->next_spare;
        s->spare_count--;
    } else {
        r = xcalloc(1, sizeof *r);
        r->storage.limit = r->out.limit = BUF_LIMIT_DEFAULT;
    }
    r->note = (struct http_note){.kind = NOTE_ANSWER};
    r->server = s;
    r->connection = c;
    r->head = (struct http_head){0};
    r->body_limit = s->options.body_limit;
    r->file = -1;
    r->http.method = HTTP_GET;
    r->http.tls = c->transport.tls != NULL;
    memcpy(r->http.peer, c->peer, sizeof r->http.peer);
    return r;
}

static void trim(struct buf *b)
{
    if (b->capacity > POOL_BUFFER_MAX)
        buf_fini(b);
    else
        buf_clear(b);
}

static void request_reset(struct request *r)
{
    trim(&r->storage);
    trim(&r->body);
    trim(&r->out);
    if (r->http.arena.total > POOL_BUFFER_MAX)
        arena_fini(&r->http.arena);
    else
        arena_clear(&r->http.arena);
    r->http.path = r->http.host = r->http.body = (struct str){0};
    r->http.segment_count = r->http.query_count = r->http.header_count = 0;
    r->http.body_size = 0;
    r->http.data = NULL;
    r->sink = NULL;
    r->gone = NULL;
    r->stream = NULL;
    r->complete = r->answered = r->close = false;
    r->date_at = 0;
    r->file_left = 0;
}

void request_free(struct request *r)
{
    struct http_server *s = r->server;
    if (r->file >= 0)
        close(r->file);
    if (s->spare_count < POOL_MAX) {
        request_reset(r);
        r->next_spare = s->spare;
        s->spare = r;
        s->spare_count++;
        return;
    }
    request_destroy(r);
}

void request_destroy(struct request *r)
{
    buf_fini(&r->storage);
    buf_fini(&r->body);
    buf_fini(&r->out);
    arena_fini(&r->http.arena);
    xfree(r);
}

void request_gone(struct request *r)
{
    http_gone *gone = TAKE(r->gone);
    if (gone)
        gone(r->gone_context, &r->http);
}

void http_request_allow(struct http_request *r, uint64_t bytes)
{
    request_of(r)->body_limit = bytes;
}

void http_request_sink(struct http_request *r, http_sink *sink, void *context)
{
    request_of(r)->sink = sink;
    request_of(r)->sink_context = context;
}

void http_request_on_gone(struct http_request *r, http_gone *gone, void *context)
{
    request_of(r)->gone = gone;
    request_of(r)->gone_context = context;
}

/* ---- the answer's bytes ---- */

static void append_header(struct buf *out, struct str name, struct str value)
{
    CHECK(value.size == 0 ||
          (!memchr(value.data, '\r', value.size) && !memchr(value.data, '\n', value.size)));
    buf_append_str(out, name);
    buf_append(out, ": ", 2);
    buf_append_str(out, value);
    buf_append(out, "\r\n", 2);
}

/* All of the head but its length and last line. */
static void format_head(struct request *r, const struct http_response *response)
{
    struct buf *out = &r->out;
    CHECK(response->status >= 200 && response->status <= 599);
    r->status = response->status;
    r->close = response->close || !r->head.keep_alive || !r->complete;
    buf_append_str(out, STR("HTTP/1.1 "));
    buf_append_number(out, (uint64_t)response->status, 1);
    buf_append_byte(out, ' ');
    buf_append_text(out, http_status_text(response->status));
    buf_append_str(out, STR("\r\nDate: "));
    r->date_at = out->size;
    buf_append_str(out, STR("                             \r\n"));
    if (response->content_type.size)
        append_header(out, STR("Content-Type"), response->content_type);
    for (size_t i = 0; i < response->header_count; i++)
        append_header(out, response->headers[i].name, response->headers[i].value);
    if (r->close)
        buf_append_str(out, STR("Connection: close\r\n"));
}

static void format_length(struct request *r, uint64_t size)
{
    if (r->status != 204 && r->status != 304) {
        buf_append_str(&r->out, STR("Content-Length: "));
        buf_append_number(&r->out, size, 1);
        buf_append_str(&r->out, STR("\r\n"));
    }
    buf_append_str(&r->out, STR("\r\n"));
}

static bool has_body(const struct request *r)
{
    return r->http.method != HTTP_HEAD && r->status != 204 && r->status != 304;
}

static void mark_answered(struct request *r)
{
    CHECK(!r->answered);
    r->answered = true;
}

static void format(struct request *r, const struct http_response *response)
{
    mark_answered(r);
    if (response->body.size > 1024) /* at once, not by doubling */
        (void)!buf_reserve(&r->out, response->body.size + 512);
    format_head(r, response);
    format_length(r, response->body.size);
    if (has_body(r))
        buf_append_str(&r->out, response->body);
    CHECK(!r->out.overflow);
}

/* ---- answers ---- */

void http_respond(struct http_request *public, const struct http_response *response)
{
    struct request *r = request_of(public);
    format(r, response);
    server_notify(r->server, &r->note, &r->note);
}

void http_respond_text(struct http_request *r, int status, const char *content_type,
                       struct str body)
{
    http_respond(r, &(struct http_response){
                        .status = status, .content_type = str_from(content_type), .body = body});
}

void http_respond_file(struct http_request *public, const struct http_response *response, int file,
                       uint64_t size)
{
    struct request *r = request_of(public);
    mark_answered(r);
    format_head(r, response);
    format_length(r, size);
    r->file = file;
    r->file_left = has_body(r) ? size : 0;
    server_notify(r->server, &r->note, &r->note);
}

struct http_stream *http_stream_begin(struct http_request *public,
                                      const struct http_response *response,
                                      const struct http_stream_options *options)
{
    struct request *r = request_of(public);
    struct http_server *server = r->server;
    mark_answered(r);
    bool chunked = !r->head.version_1_0;
    if (!chunked)
        r->head.keep_alive = false; /* the end of the connection is the end of the body */
    format_head(r, response);
    buf_append_text(&r->out, chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    struct http_stream *s = stream_new(server, options);
    s->chunked = chunked;
    s->silent = !has_body(r);
    r->stream = s;
    if (response->body.size)
        stream_queue(s, response->body);
    server_notify(server, &r->note, &r->note);
    return s;
}

void request_refuse(struct request *r, int status, const char *why)
{
    static const struct {
        int status;
        const char *code;
    } codes[] = {{408, "timeout"},
                 {413, "too_large"},
                 {431, "too_large"},
                 {500, "internal"},
                 {503, "unavailable"}};
    const char *code = "invalid";
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++)
        if (codes[i].status == status)
            code = codes[i].code;
    struct buf body = BUF_INIT(4096);
    buf_printf(&body, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n", code, why);
    atomic_fetch_add_explicit(&r->server->refused, 1, memory_order_relaxed);
    r->complete = false;
    http_respond_text(&r->http, status, "application/json", buf_str(&body));
    buf_fini(&body);
}

/* ---- groups ---- */

/* Newest first, as the loop's list of notes is. */
static void batch_add(struct http_batch *b, struct http_server *s, struct http_note *note)
{
    CHECK(b->server == NULL || b->server == s);
    b->server = s;
    note->next = b->first;
    b->first = note;
    if (b->last == NULL)
        b->last = note;
}

void http_batch_add(struct http_batch *b, struct http_request *public,
                    const struct http_response *response)
{
    struct request *r = request_of(public);
    format(r, response);
    batch_add(b, r->server, &r->note);
}

int http_batch_write(struct http_batch *b, struct http_stream *s, struct str data)
{
    bool notify = false;
    int rc = stream_append(s, data, &notify);
    if (notify)
        batch_add(b, s->server, &s->note);
    return rc;
}

void http_batch_send(struct http_batch *b)
{
    if (b->first)
        server_notify(b->server, b->first, b->last);
    *b = (struct http_batch){0};
}
