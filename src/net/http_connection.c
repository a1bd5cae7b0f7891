/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: bytes to requests, answers to bytes. All of it on the loop thread. */
#include "net/http_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define LINGER_MS 2000

/* ---- what the loop watches ---- */

static bool is_full(const struct connection *c)
{
    return c->in.size - c->in_start >= c->server->options.head_limit;
}

static bool wants_input(const struct connection *c)
{
    if (c->state == CONNECTION_LINGER)
        return true;
    /* a client that sends more requests before it has its answers waits in the kernel */
    bool busy = c->state == CONNECTION_KEPT || c->state == CONNECTION_ANSWER ||
                c->state == CONNECTION_STREAM;
    return !c->eof && !(busy && is_full(c));
}

static void watch(struct connection *c)
{
    uint32_t interest = (wants_input(c) ? EPOLLIN | EPOLLRDHUP : 0) | (c->blocked ? EPOLLOUT : 0);
    if (interest == c->interest || c->state == CONNECTION_DEAD)
        return;
    struct epoll_event event = {.events = interest, .data.ptr = c};
    int operation = c->interest == UINT32_MAX ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    c->interest = interest;
    if (epoll_ctl(c->server->epoll, operation, c->transport.fd, &event) < 0)
        connection_close(c, false);
}

static void set_deadline(struct connection *c, int ms)
{
    c->deadline_ms = c->server->now_ms + ms;
    c->progress = 0;
}

/* ---- its beginning and end ---- */

void connection_new(struct http_server *s, int fd, const struct listener *from, const char *peer)
{
    struct connection *c = xcalloc(1, sizeof *c);
    c->watch.kind = WATCH_CONNECTION;
    c->server = s;
    c->state = from->certificate ? CONNECTION_HANDSHAKE : CONNECTION_HEAD;
    c->in.limit = c->out.limit = BUF_LIMIT_DEFAULT;
    c->head_begun = true;
    c->interest = UINT32_MAX;
    snprintf(c->peer, sizeof c->peer, "%s", peer);
    list_append(&s->connections, &c->link);
    atomic_fetch_add_explicit(&s->connection_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->connections_total, 1, memory_order_relaxed);
    set_deadline(c, s->options.head_timeout_ms);
    if (transport_open(&c->transport, fd, from->certificate) < 0)
        connection_close(c, false);
    else
        watch(c);
}

static void leave_request(struct connection *c, enum connection_state state)
{
    struct request *r = TAKE(c->request);
    if (r == NULL)
        return;
    r->connection = NULL;
    if (state == CONNECTION_ANSWER) {
        request_free(r);
        return;
    }
    request_gone(r);
    if (state != CONNECTION_KEPT) /* else its answer ends it */
        request_free(r);
}

void connection_close(struct connection *c, bool orderly)
{
    enum connection_state state = c->state;
    if (state == CONNECTION_DEAD)
        return;
    c->state = CONNECTION_DEAD;
    list_remove(&c->link);
    list_append(&c->server->dead, &c->link);
    atomic_fetch_sub_explicit(&c->server->connection_count, 1, memory_order_relaxed);
    /* a forked child may hold the descriptor too, so that closing it alone would do neither */
    epoll_ctl(c->server->epoll, EPOLL_CTL_DEL, c->transport.fd, NULL);
    transport_close(&c->transport, orderly);
    leave_request(c, state);
    struct http_stream *stream = TAKE(c->stream);
    if (stream)
        stream_detach(stream);
    buf_fini(&c->in);
    buf_fini(&c->out);
}

/* Says that no more will come and eats what is under way: closing on unread bytes would reset the
 * connection, and the client might lose the answer. */
static void linger(struct connection *c)
{
    transport_finish(&c->transport);
    c->state = CONNECTION_LINGER;
    c->blocked = false;
    set_deadline(c, LINGER_MS);
    watch(c);
}

/* ---- requests ---- */

static void refuse(struct connection *c, int status, const char *why)
{
    if (c->request == NULL)
        c->request = request_new(c->server, c);
    request_gone(c->request);
    c->state = CONNECTION_KEPT;
    c->deadline_ms = TIME_NEVER;
    request_refuse(c->request, status, why);
}

static void dispatch(struct connection *c)
{
    struct http_server *s = c->server;
    struct request *r = c->request;
    r->complete = true;
    if (r->sink == NULL)
        r->http.body = buf_str(&r->body);
    c->state = CONNECTION_KEPT;
    c->deadline_ms = TIME_NEVER;
    atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->kept, 1, memory_order_relaxed);
    s->options.handler(s->options.context, &r->http);
}

/* The head is here and a body is to come. */
static void begin_body(struct connection *c, bool body_is_here)
{
    struct http_server *s = c->server;
    struct request *r = c->request;
    if (s->options.admit)
        s->options.admit(s->options.context, &r->http);
    if (r->answered) {
        c->state = CONNECTION_KEPT;
        c->deadline_ms = TIME_NEVER;
        return;
    }
    if (r->head.content_length > r->body_limit) {
        refuse(c, 413, "the body is too large");
        return;
    }
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (r->head.expects_continue && !body_is_here && !r->head.version_1_0 &&
        transport_send(&c->transport, go_on, sizeof go_on - 1, false) != sizeof go_on - 1) {
        connection_close(c, false);
        return;
    }
    r->body.limit = r->body_limit;
    c->state = CONNECTION_BODY;
    c->chunks = (struct http_chunks){0};
    c->body_left = r->head.content_length;
    set_deadline(c, s->options.stall_timeout_ms);
}

static size_t take_head(struct connection *c, struct str bytes)
{
    struct http_server *s = c->server;
    if (bytes.size >= 2 && bytes.data[0] == '\r' && bytes.data[1] == '\n')
        return 2; /* an empty line before a request is allowed (RFC 9112 section 2.2) */
    size_t size = http_head_end(bytes, &c->searched);
    if (size > s->options.head_limit || (size == 0 && bytes.size >= s->options.head_limit)) {
        refuse(c, 431, "the request line and headers are too large");
        return bytes.size;
    }
    if (size == 0)
        return 0;
    struct request *r = c->request = request_new(s, c);
    struct http_refusal refusal;
    buf_append(&r->storage, bytes.data, size);
    if (http_parse_head(buf_str(&r->storage), &r->http, &r->head, &refusal) < 0)
        refuse(c, refusal.status, refusal.why);
    else if (r->head.chunked || r->head.content_length > 0)
        begin_body(c, bytes.size > size);
    else
        dispatch(c);
    return size;
}

/* Whether the body goes on. */
static bool take_piece(struct connection *c, struct str piece)
{
    struct request *r = c->request;
    if (piece.size == 0)
        return true;
    c->progress += piece.size;
    r->http.body_size += piece.size;
    if (r->http.body_size > r->body_limit) {
        refuse(c, 413, "the body is too large");
        return false;
    }
    if (r->sink == NULL) {
        buf_append_str(&r->body, piece);
    } else if (r->sink(r->sink_context, &r->http, piece)) {
        refuse(c, 500, "the body could not be stored");
        return false;
    }
    return true;
}

static size_t take_chunks(struct connection *c, struct str bytes)
{
    struct str rest = bytes;
    while (rest.size > 0 && c->chunks.state != CHUNK_DONE) {
        struct str piece;
        if (http_chunks_next(&c->chunks, &rest, &piece) < 0) {
            refuse(c, 400, "the chunked body is malformed");
            return bytes.size;
        }
        if (!take_piece(c, piece))
            return bytes.size;
    }
    if (c->chunks.state == CHUNK_DONE)
        dispatch(c);
    return bytes.size - rest.size;
}

static size_t take_body(struct connection *c, struct str bytes)
{
    if (c->request->head.chunked)
        return take_chunks(c, bytes);
    size_t size = (size_t)MIN(c->body_left, (uint64_t)bytes.size);
    if (!take_piece(c, (struct str){bytes.data, size}))
        return bytes.size;
    c->body_left -= size;
    if (c->body_left == 0)
        dispatch(c);
    return size;
}

/* Bytes eaten: all, or up to where a head is not whole or a request waits for its answer. */
static size_t take_input(struct connection *c, struct str bytes)
{
    size_t eaten = 0;
    while (eaten < bytes.size && (c->state == CONNECTION_HEAD || c->state == CONNECTION_BODY)) {
        struct str rest = {bytes.data + eaten, bytes.size - eaten};
        size_t size = c->state == CONNECTION_HEAD ? take_head(c, rest) : take_body(c, rest);
        if (size == 0)
            break;
        c->searched = 0;
        eaten += size;
    }
    return eaten;
}

/* What was kept of the input. */
static void take_kept_input(struct connection *c)
{
    c->in_start += take_input(c, (struct str){c->in.data + c->in_start, c->in.size - c->in_start});
    if (c->in_start == c->in.size) {
        buf_fini(&c->in);
        c->in_start = 0;
    }
}

static void keep_input(struct connection *c, struct str bytes)
{
    if (c->in_start > 0) {
        c->in.size -= c->in_start;
        memmove(c->in.data, c->in.data + c->in_start, c->in.size);
        c->in_start = 0;
    }
    buf_append_str(&c->in, bytes);
}

static void take_bytes(struct connection *c, struct str bytes)
{
    if (c->in.size > 0) {
        keep_input(c, bytes);
        take_kept_input(c);
    } else {
        size_t eaten = take_input(c, bytes);
        if (eaten < bytes.size && c->state != CONNECTION_DEAD)
            keep_input(c, (struct str){bytes.data + eaten, bytes.size - eaten});
    }
    if (c->state == CONNECTION_HEAD && !c->head_begun && c->in.size > 0) {
        c->head_begun = true;
        set_deadline(c, c->server->options.head_timeout_ms);
    }
}

/* ---- input ---- */

static void input_ended(struct connection *c)
{
    c->eof = true;
    switch (c->state) {
    case CONNECTION_KEPT:
        /* it may have closed its side alone and still read the answer */
        request_gone(c->request);
        break;
    case CONNECTION_ANSWER:
    case CONNECTION_DEAD:
        break;
    case CONNECTION_HANDSHAKE:
    case CONNECTION_HEAD:
    case CONNECTION_BODY:
    case CONNECTION_STREAM:
    case CONNECTION_LINGER:
        connection_close(c, true);
        break;
    }
}

static void read_input(struct connection *c)
{
    do {
        ssize_t size = transport_recv(&c->transport, c->server->scratch, HTTP_SCRATCH);
        if (size == -EAGAIN)
            return;
        if (size < 0)
            connection_close(c, false);
        else if (size == 0)
            input_ended(c);
        else
            take_bytes(c, (struct str){c->server->scratch, (size_t)size});
    } while (c->state != CONNECTION_DEAD && !c->eof && wants_input(c) &&
             transport_has_pending(&c->transport));
}

static void handshake(struct connection *c)
{
    bool wants_write = false;
    int rc = transport_handshake(&c->transport, &wants_write);
    if (rc < 0 && rc != -EAGAIN) {
        connection_close(c, false);
        return;
    }
    c->blocked = rc == -EAGAIN && wants_write;
    if (rc == 0) {
        c->state = CONNECTION_HEAD;
        read_input(c);
    }
}

void connection_event(struct connection *c, uint32_t events)
{
    if (c->state == CONNECTION_DEAD)
        return;
    if (c->state == CONNECTION_LINGER) {
        if (transport_discard(&c->transport, c->server->scratch, HTTP_SCRATCH) != -EAGAIN)
            connection_close(c, true);
        return;
    }
    if (c->state == CONNECTION_HANDSHAKE) {
        handshake(c);
    } else {
        if (events & EPOLLOUT)
            connection_flush(c);
        if (c->state != CONNECTION_DEAD && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
            if (wants_input(c))
                read_input(c);
            else if (events & (EPOLLHUP | EPOLLERR))
                connection_close(c, false);
        }
    }
    watch(c);
}

/* ---- output ---- */

/* The answer is out: the next request, or the end. */
static void finish_answer(struct connection *c, bool whole)
{
    bool unread = c->in.size > 0 || !whole;
    c->out_sent = 0;
    c->blocked = false;
    if (c->close && unread && !c->eof) {
        linger(c);
        return;
    }
    if (c->close) {
        connection_close(c, true);
        return;
    }
    c->state = CONNECTION_HEAD;
    c->head_begun = false;
    set_deadline(c, c->server->options.idle_timeout_ms);
    if (c->in.size > 0) {
        c->head_begun = true;
        set_deadline(c, c->server->options.head_timeout_ms);
        take_kept_input(c);
    }
    if (c->state == CONNECTION_HEAD && !c->eof && transport_has_pending(&c->transport))
        read_input(c);
    if (c->state == CONNECTION_HEAD && c->eof)
        connection_close(c, true);
}

static int send_buffer(struct connection *c, const struct buf *out, bool more_follows)
{
    while (c->out_sent < out->size) {
        ssize_t size = transport_send(&c->transport, out->data + c->out_sent,
                                      out->size - c->out_sent, more_follows);
        if (size < 0)
            return (int)size;
        c->out_sent += (size_t)size;
        c->progress += (uint64_t)size;
    }
    return 0;
}

static int send_answer(struct connection *c)
{
    struct request *r = c->request;
    int rc = send_buffer(c, &r->out, r->file_left > 0);
    while (rc == 0 && r->file_left > 0) {
        ssize_t size = transport_sendfile(&c->transport, r->file, &c->file_offset, r->file_left);
        if (size < 0)
            return (int)size;
        r->file_left -= (uint64_t)size;
        c->progress += (uint64_t)size;
    }
    return rc;
}

/* 1 where the stream is over. */
static int send_stream(struct connection *c)
{
    if (stream_was_cut(c->stream))
        return -ENOBUFS;
    while (true) {
        int rc = send_buffer(c, &c->out, false);
        if (rc < 0)
            return rc;
        buf_clear(&c->out);
        c->out_sent = 0;
        bool last = stream_take(c->stream, &c->out);
        if (c->out.size == 0)
            return last;
    }
}

static void end_stream(struct connection *c)
{
    stream_detach(TAKE(c->stream));
    buf_fini(&c->out);
    finish_answer(c, true);
}

static void blocked(struct connection *c)
{
    if (c->deadline_ms == TIME_NEVER)
        set_deadline(c, c->server->options.stall_timeout_ms);
    c->blocked = true;
    watch(c);
}

void connection_flush(struct connection *c)
{
    if (c->state != CONNECTION_ANSWER && c->state != CONNECTION_STREAM)
        return;
    int rc = c->state == CONNECTION_ANSWER ? send_answer(c) : send_stream(c);
    if (rc == -EAGAIN) {
        blocked(c);
        return;
    }
    if (rc < 0) {
        connection_close(c, false);
        return;
    }
    c->blocked = false;
    c->deadline_ms = TIME_NEVER;
    if (c->state == CONNECTION_ANSWER) {
        struct request *r = TAKE(c->request);
        bool whole = r->complete;
        request_free(r);
        finish_answer(c, whole);
    } else if (rc > 0) {
        end_stream(c);
    } else if (c->server->closing_until_ms) {
        connection_close(c, true);
    }
    watch(c);
}

void connection_answer(struct connection *c, struct request *r)
{
    CHECK(c->request == r && c->state == CONNECTION_KEPT);
    c->close |= r->close || c->server->closing_until_ms != 0;
    c->out_sent = 0;
    c->file_offset = 0;
    c->deadline_ms = TIME_NEVER;
    c->state = CONNECTION_ANSWER;
    if (r->stream) {
        c->state = CONNECTION_STREAM;
        c->out = r->out;
        r->out = BUF_INIT(BUF_LIMIT_DEFAULT);
        c->stream = r->stream;
        c->request = NULL;
        request_free(r);
        stream_begin_on(c->stream, c);
        if (c->eof) { /* nobody is left to listen */
            connection_close(c, true);
            return;
        }
    }
    connection_flush(c);
}

/* ---- time ---- */

void connection_expire(struct connection *c)
{
    switch (c->state) {
    case CONNECTION_HEAD:
        if (c->in.size > 0)
            refuse(c, 408, "the request took too long");
        else
            connection_close(c, true);
        break;
    case CONNECTION_BODY:
        if (c->progress >= HTTP_PROGRESS)
            set_deadline(c, c->server->options.stall_timeout_ms);
        else
            refuse(c, 408, "the request took too long");
        break;
    case CONNECTION_ANSWER:
    case CONNECTION_STREAM:
        if (c->progress >= HTTP_PROGRESS)
            set_deadline(c, c->server->options.stall_timeout_ms);
        else
            connection_close(c, false);
        break;
    case CONNECTION_HANDSHAKE:
    case CONNECTION_LINGER:
        connection_close(c, false);
        break;
    case CONNECTION_KEPT:
    case CONNECTION_DEAD:
        break;
    }
}
