/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: a queue that any thread fills and the loop empties. */
#include "net/http_internal.h"

#include <errno.h>

#define STREAM_LIMIT ((size_t)1024 * 1024)
#define CHUNK_FRAME 32

struct http_stream *stream_new(struct http_server *server,
                               const struct http_stream_options *options)
{
    struct http_stream *s = xcalloc(1, sizeof *s);
    s->note.kind = NOTE_STREAM;
    s->server = server;
    if (options)
        s->options = *options;
    if (s->options.limit == 0)
        s->options.limit = STREAM_LIMIT;
    s->queue.limit = BUF_LIMIT_DEFAULT;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static void stream_free(struct http_stream *s)
{
    buf_fini(&s->queue);
    pthread_mutex_destroy(&s->lock);
    xfree(s);
}

/* Under the lock, or before anybody else knows the stream. */
static void queue_piece(struct http_stream *s, struct str data)
{
    if (s->silent || data.size == 0)
        return;
    if (s->chunked)
        buf_printf(&s->queue, "%zx\r\n", data.size);
    buf_append_str(&s->queue, data);
    if (s->chunked)
        buf_append(&s->queue, "\r\n", 2);
}

void stream_queue(struct http_stream *s, struct str data)
{
    queue_piece(s, data);
}

/* The note, where it is not on its way already, is the caller's to give. */
static bool take_note(struct http_stream *s)
{
    bool wanted = !s->pending;
    s->pending = true;
    return wanted;
}

int stream_append(struct http_stream *s, struct str data, bool *ret_notify)
{
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    if (s->gone || s->cut) {
        rc = -EPIPE;
    } else if (s->queue.size + s->in_flight + data.size + CHUNK_FRAME > s->options.limit) {
        s->cut = true;
        buf_fini(&s->queue);
        *ret_notify = take_note(s);
        rc = -ENOBUFS;
    } else {
        queue_piece(s, data);
        *ret_notify = take_note(s);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int http_stream_write(struct http_stream *s, struct str data)
{
    bool notify = false;
    int rc = stream_append(s, data, &notify);
    if (notify)
        server_notify(s->server, &s->note, &s->note);
    return rc;
}

size_t http_stream_waiting(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    size_t waiting = s->queue.size + s->in_flight;
    pthread_mutex_unlock(&s->lock);
    return waiting;
}

void http_stream_end(struct http_stream *s)
{
    struct http_server *server = s->server;
    pthread_mutex_lock(&s->lock);
    CHECK(!s->ended);
    s->ended = true;
    if (s->chunked && !s->silent && !s->gone && !s->cut)
        buf_append_str(&s->queue, STR("0\r\n\r\n"));
    bool notify = take_note(s);
    pthread_mutex_unlock(&s->lock);
    /* without a note of its own the stream may be freed from here on */
    if (notify)
        server_notify(server, &s->note, &s->note);
}

/* ---- the loop's side ---- */

void stream_begin_on(struct http_stream *s, struct connection *c)
{
    s->begun = true;
    s->connection = c;
    if (c == NULL)
        stream_detach(s);
}

bool stream_take(struct http_stream *s, struct buf *out)
{
    pthread_mutex_lock(&s->lock);
    struct buf filled = s->queue;
    s->queue = *out;
    *out = filled;
    s->in_flight = out->size;
    bool last = s->ended;
    pthread_mutex_unlock(&s->lock);
    return last;
}

bool stream_was_cut(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    bool cut = s->cut;
    pthread_mutex_unlock(&s->lock);
    return cut;
}

void stream_detach(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->gone = true;
    s->connection = NULL;
    s->in_flight = 0;
    buf_fini(&s->queue);
    bool ended = s->ended, pending = s->pending;
    pthread_mutex_unlock(&s->lock);
    if (ended && !pending)
        stream_free(s);
    else if (!ended && s->options.closed)
        s->options.closed(s->options.context, s);
}

void stream_noted(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->pending = false;
    bool ended = s->ended;
    pthread_mutex_unlock(&s->lock);
    if (!s->begun)
        return; /* its beginning comes behind this note and looks at the queue */
    if (s->connection)
        connection_flush(s->connection);
    else if (ended)
        stream_free(s);
}
