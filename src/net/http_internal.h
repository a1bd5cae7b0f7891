/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the HTTP server share: the loop (http_server.c), connections
 * (http_connection.c), answers and streams (http_answer.c), bytes in and out (http_transport.c).
 *
 * Who may touch what: a connection belongs to the loop thread. A request belongs to the loop until
 * the handler is called, then to whoever keeps it, and with its answer (a note) to the loop again;
 * its `connection` is the loop's alone all the time. A stream's queue is under its mutex. */

#include "base/buf.h"
#include "base/list.h"
#include "net/http_parse.h"
#include "net/http_server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/types.h>

#define HTTP_SCRATCH ((size_t)64 * 1024)
#define HTTP_DATE_SIZE 29
/* A body or an answer must move this many bytes in each stall timeout, or be done. */
#define HTTP_PROGRESS ((uint64_t)16 * 1024)

/* ---- bytes in and out ---- */

struct http_transport {
    int fd;
    void *tls; /* gnutls_session_t or NULL */
    bool handshaking;
};
int transport_open(struct http_transport *t, int fd, const struct certificate *certificate);
void transport_close(struct http_transport *t, bool orderly);
/* 0 = done, -EAGAIN, or another error that ends the connection. */
int transport_handshake(struct http_transport *t, bool *ret_wants_write);
/* Bytes moved, 0 = end of input (recv), -EAGAIN or another error. */
ssize_t transport_recv(struct http_transport *t, void *to, size_t size);
ssize_t transport_send(struct http_transport *t, const void *from, size_t size, bool more_follows);
ssize_t transport_sendfile(struct http_transport *t, int file, uint64_t *offset, uint64_t left);
/* Says to the client that nothing follows. */
void transport_finish(struct http_transport *t);
/* Reads and forgets, past any TLS; -EAGAIN while there may be more. */
int transport_discard(struct http_transport *t, void *scratch, size_t size);
/* Whether bytes wait inside the TLS library, unseen by epoll. */
bool transport_has_pending(const struct http_transport *t);
/* The gnutls credentials of a certificate. */
void *certificate_credentials(const struct certificate *c);

/* ---- notes: how other threads speak to the loop ---- */

enum http_note_kind { NOTE_ANSWER, NOTE_STREAM, NOTE_JOB };
struct http_note {
    struct http_note *next;
    enum http_note_kind kind;
};
/* Gives a chain, newest first, to the loop. */
void server_notify(struct http_server *s, struct http_note *first, struct http_note *last);
bool server_on_loop(const struct http_server *s);

struct http_job {
    struct http_note note;
    http_timer *job;
    void *context;
};

/* ---- requests ---- */

struct request {
    struct http_request http; /* first: handlers hold a pointer to it */
    struct http_note note;
    struct http_server *server;
    struct connection *connection; /* NULL once gone; loop thread only */
    struct request *next_spare;
    struct http_head head;
    struct buf storage; /* the bytes of the head, which the slices point into */
    struct buf body;
    uint64_t body_limit;
    http_sink *sink;
    void *sink_context;
    http_gone *gone;
    void *gone_context;
    bool complete; /* head and body are here: the handler has it */
    bool answered;
    /* the answer */
    struct buf out;
    size_t date_at; /* where in it the loop writes the date; 0 = nowhere */
    int status;
    bool close;
    int file; /* -1 = none */
    uint64_t file_left;
    struct http_stream *stream;
};

static inline struct request *request_of(struct http_request *r)
{
    return (struct request *)(void *)r;
}

/* From and to the server's pool; loop thread only. */
struct request *request_new(struct http_server *s, struct connection *c);
void request_free(struct request *r);
void request_destroy(struct request *r);
/* Calls the gone callback, where there is one and it was not called yet. */
void request_gone(struct request *r);

struct http_stream {
    struct http_note note;
    struct http_server *server;
    struct connection *connection; /* NULL before the loop has begun it and after the client is
                                      gone; loop thread only */
    struct http_stream_options options;
    bool chunked, silent; /* silent: answers HEAD */
    bool begun;           /* its answer came to the loop; loop thread only */
    pthread_mutex_t lock; /* for all below */
    struct buf queue;
    size_t in_flight; /* handed to the connection, not yet sent */
    bool gone, cut, ended, pending /* its note is on the way */;
};
struct http_stream *stream_new(struct http_server *server,
                               const struct http_stream_options *options);
/* Queues where nobody else knows the stream yet. */
void stream_queue(struct http_stream *s, struct str data);
/* As http_stream_write, but where *ret_notify becomes true the caller must give the note. */
int stream_append(struct http_stream *s, struct str data, bool *ret_notify);
/* The loop's side. `connection` is NULL where the client is gone already. */
void stream_begin_on(struct http_stream *s, struct connection *c);
/* Swaps the queue with `out`, which is empty and all sent; true where the stream has ended and this
 * is the last of it. */
bool stream_take(struct http_stream *s, struct buf *out);
bool stream_was_cut(struct http_stream *s);
/* The connection has left it, by its end or because the client is gone; it may be freed here. */
void stream_detach(struct http_stream *s);
/* Its note has arrived. */
void stream_noted(struct http_stream *s);

/* The server's own answer to what the handler shall not see. */
void request_refuse(struct request *r, int status, const char *why);

/* ---- connections ---- */

enum connection_state {
    CONNECTION_HANDSHAKE,
    CONNECTION_HEAD, /* waiting for a head, or for the rest of one */
    CONNECTION_BODY,
    CONNECTION_KEPT,   /* the request is at the handler */
    CONNECTION_ANSWER, /* its answer is on the way out */
    CONNECTION_STREAM,
    CONNECTION_LINGER, /* answered, will close; eats what the client still sends */
    CONNECTION_DEAD,   /* freed after this round of the loop */
};

enum watch_kind { WATCH_WAKE, WATCH_LISTENER, WATCH_CONNECTION };
struct watch { /* what epoll hands back */
    enum watch_kind kind;
};

struct connection {
    struct watch watch;
    struct list link; /* server.connections or .dead */
    struct http_server *server;
    struct http_transport transport;
    enum connection_state state;
    uint32_t interest; /* as epoll knows it; UINT32_MAX = not yet */
    bool eof;          /* no more input */
    bool close;        /* after this answer */
    bool head_begun;   /* the deadline is that of a head, not of a pause */
    bool blocked;      /* output waits for the client */
    struct buf in;     /* unparsed input from in_start on */
    size_t in_start, searched;
    struct request *request;
    struct http_chunks chunks;
    uint64_t body_left;
    struct buf out; /* of a stream; other answers stand in request->out */
    size_t out_sent;
    uint64_t file_offset;
    struct http_stream *stream;
    time_ms deadline_ms; /* TIME_NEVER = none */
    uint64_t progress;   /* bytes moved since the deadline was set */
    char peer[HTTP_PEER_MAX];
};

struct listener {
    struct watch watch;
    struct list link;
    int fd;
    const struct certificate *certificate;
};

void connection_new(struct http_server *s, int fd, const struct listener *from, const char *peer);
/* What epoll saw. */
void connection_event(struct connection *c, uint32_t events);
/* The answer of its request has come. */
void connection_answer(struct connection *c, struct request *r);
/* Sends what is there. */
void connection_flush(struct connection *c);
/* Closes now; frees after this round. */
void connection_close(struct connection *c, bool orderly);
void connection_expire(struct connection *c);

/* ---- the server ---- */

struct loop_timer {
    struct list link;
    http_timer *timer;
    void *context;
    int interval_ms;
    time_ms due_ms;
};

struct http_server {
    struct http_server_options options;
    int epoll, wake;
    struct watch wake_watch;
    struct list listeners;             /* listener.link */
    struct list connections;           /* connection.link */
    struct list dead;                  /* connection.link */
    struct list timers;                /* loop_timer.link */
    struct http_note *local;           /* from the loop thread itself, newest first */
    _Atomic(struct http_note *) notes; /* from others, newest first */
    atomic_bool sleeping, stopping;
    time_ms now_ms; /* monotonic, of this round */
    char date[HTTP_DATE_SIZE + 1];
    time_t date_second;
    char *scratch;         /* HTTP_SCRATCH bytes */
    struct request *spare; /* request.next_spare */
    unsigned spare_count;
    int spare_fd; /* given up for a moment where there are no more descriptors */
    int sweep_ms; /* how often deadlines are looked at */
    time_ms sweep_due_ms, closing_until_ms; /* 0 = not closing */
    _Atomic uint64_t requests, connections_total, refused;
    atomic_uint connection_count, kept;
};
