/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An HTTP/1.1 server: one thread, one epoll loop, any number of listeners, plain or TLS.
 *
 * The handler gets each whole request on the loop thread and either answers it there or keeps it
 * and has it answered later from any thread. Whoever keeps a request owes it exactly one answer
 * (http_respond*, http_batch_add or http_stream_begin), also after its client is gone, and may not
 * touch it afterwards. Answers from other threads are best given in a batch: one wake-up of the
 * loop for the whole group.
 *
 * What is malformed never reaches the handler; it is answered with the status that says why and
 * `{"error":{"code":…,"message":…}}`. Methods other than those of enum http_method get 501. */

#include "base/arena.h"
#include "base/error.h"
#include "base/number.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct http_stream;
struct certificate;

enum http_method {
    HTTP_GET,
    HTTP_HEAD, /* answer as for GET: the server leaves the body out itself */
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
};

/* A header, a query parameter. */
struct http_pair {
    struct str name, value;
};

#define HTTP_SEGMENTS_MAX 16
#define HTTP_HEADERS_MAX 64
#define HTTP_QUERY_MAX 32
#define HTTP_PEER_MAX 64
#define HTTP_BODY_DEFAULT ((size_t)(1024 + 64) * 1024)

/* Everything is borrowed from the request and lives until it is answered. Texts are not
 * terminated. */
struct http_request {
    enum http_method method;
    struct str path;                        /* as sent, without the query */
    struct str segments[HTTP_SEGMENTS_MAX]; /* between the slashes, percent-decoded:
                                               "/v1/nodes/a%2Fb" is v1, nodes, a/b; never empty, "."
                                               or "..", no byte below 32 */
    size_t segment_count;
    struct http_pair query[HTTP_QUERY_MAX]; /* decoded (%XX and '+'), in the order sent */
    size_t query_count;
    struct http_pair headers[HTTP_HEADERS_MAX];
    size_t header_count;
    struct str host;    /* the Host header; with its port, as sent */
    struct str body;    /* empty where a sink took it */
    uint64_t body_size; /* of the body, sink or not */
    bool tls;
    char peer[HTTP_PEER_MAX]; /* the client's address, without port */
    struct arena arena; /* for what lives as long as this request; used by one thread at a time */
    void *data;         /* the handler's own */
};

/* By name, letters in any case. Absent: data is NULL. */
struct str http_request_header(const struct http_request *r, const char *name);
/* The first parameter of that name. Absent: data is NULL; present without value: size 0. */
struct str http_request_query(const struct http_request *r, const char *name);
/* The value of a cookie. Absent: data is NULL. */
struct str http_request_cookie(const struct http_request *r, const char *name);
/* "GET", … */
const char *http_method_name(enum http_method method);

/* ---- before the body: only inside `admit` ---- */

/* Allows a body of up to `bytes` instead of the server's limit. */
void http_request_allow(struct http_request *r, uint64_t bytes);
/* Hands the body over in pieces as it arrives instead of keeping it. A sink that returns non-zero
 * ends the request with 500. Where the body does not come to its end (the client goes away or falls
 * silent, the rest is refused, the sink fails) the gone callback says so and the handler is never
 * called: the request then owes no answer. */
typedef int http_sink(void *context, struct http_request *r, struct str piece);
void http_request_sink(struct http_request *r, http_sink *sink, void *context);

/* Called on the loop thread, at most once, when the client goes away before the answer has come to
 * the loop; another thread may be giving it at that moment. A client that only ends its sending
 * side counts as gone, but is still sent the answer. A kept request owes its answer all the same.
 * Set it in `admit` or the handler, before anybody else knows the request. */
typedef void http_gone(void *context, struct http_request *r);
void http_request_on_gone(struct http_request *r, http_gone *gone, void *context);

/* ---- answers: from any thread ---- */

struct http_response {
    int status;                      /* 200 to 599 */
    struct str content_type;         /* empty: no such header */
    const struct http_pair *headers; /* more of them; no CR or LF in any */
    size_t header_count;
    struct str body;
    bool close; /* end the connection after this answer */
};

/* Everything in `response` is copied before the call returns. */
void http_respond(struct http_request *r, const struct http_response *response);
/* For the many: a body of one type and nothing else. */
void http_respond_text(struct http_request *r, int status, const char *content_type,
                       struct str body);
/* The body is `size` bytes of the file from its start; the server closes `file`. response->body is
 * ignored. */
void http_respond_file(struct http_request *r, const struct http_response *response, int file,
                       uint64_t size);

/* A group of answers and stream writes of one server, given with one wake-up: `struct http_batch
 * group = {0}; http_batch_add(&group, …); …; http_batch_send(&group);`. Send it soon: what is in an
 * unsent batch waits. An empty batch may be sent. */
struct http_note;
struct http_batch {
    struct http_note *first, *last;
    struct http_server *server;
};
void http_batch_add(struct http_batch *b, struct http_request *r,
                    const struct http_response *response);
int http_batch_write(struct http_batch *b, struct http_stream *s, struct str data);
void http_batch_send(struct http_batch *b);

/* ---- streams: a body without a known end (server-sent events, a log that grows) ---- */

struct http_stream_options {
    size_t limit; /* bytes waiting for the client before it is cut off; 0 = 1 MiB */
    /* On the loop thread, at most once: the client is gone or was cut off. Not after
     * http_stream_end has returned on the loop thread; where another thread ends the stream, the
     * call may be under way. The stream still wants its http_stream_end. */
    void (*closed)(void *context, struct http_stream *s);
    void *context;
};
/* Answers the request with a stream; response->body is its first piece. Every stream wants exactly
 * one http_stream_end. To a HEAD request only the head is sent and writes are dropped. */
struct http_stream *http_stream_begin(struct http_request *r, const struct http_response *response,
                                      const struct http_stream_options *options);
/* Queues a copy. A client that ends its sending side is gone. -EPIPE: the client is gone; -ENOBUFS:
 * it did not read and has just been cut off.
 */
int http_stream_write(struct http_stream *s, struct str data);
/* Bytes queued that the client has not taken. */
size_t http_stream_waiting(struct http_stream *s);
/* Sends what is queued, ends the answer, and gives up the caller's hold. */
void http_stream_end(struct http_stream *s);

/* ---- the server ---- */

typedef void http_handler(void *context, struct http_request *r);

struct http_server_options {
    http_handler
        *handler;        /* called when a request is complete, on the loop thread; must not block */
    http_handler *admit; /* NULL or called when the head is complete and a body is to come; may
                            answer at once, then the body is not read and the connection ends */
    void *context;
    size_t body_limit;         /* 0 = HTTP_BODY_DEFAULT; more is 413 */
    size_t head_limit;         /* request line and headers together; 0 = 16 KiB; more is 431 */
    unsigned connection_limit; /* 0 = 4096; more are answered 503 and closed */
    int head_timeout_ms;  /* from a request's first byte (or the accept) to the end of its head; 0 =
                             10 s */
    int idle_timeout_ms;  /* between requests; 0 = 75 s */
    int stall_timeout_ms; /* for a body or an answer that makes no progress; 0 = 30 s */
};

int http_server_new(struct http_server **ret, const struct http_server_options *options,
                    struct error *err);
/* After http_server_run has returned and every kept request and stream was answered and ended. */
void http_server_free(struct http_server *s);

struct http_listen {
    const char *address;                   /* "127.0.0.1", "::1", "0.0.0.0" */
    int port;                              /* 0 = one that is free */
    const struct certificate *certificate; /* NULL = plain; else it must outlive the server */
    bool insecure; /* plain beyond loopback is refused with -EPERM unless this is set */
};
/* Before or while it runs (then on the loop thread only). *ret_port (may be NULL) is the port in
 * use. */
int http_server_listen(struct http_server *s, const struct http_listen *listen, int *ret_port,
                       struct error *err);

/* Calls `timer` each interval_ms on the loop thread. Before http_server_run only. */
typedef void http_timer(void *context);
void http_server_timer(struct http_server *s, int interval_ms, http_timer *timer, void *context);
/* Runs `job` once on the loop thread, soon; from any thread. */
void http_server_post(struct http_server *s, http_timer *job, void *context);

/* The loop; blocks SIGPIPE in its thread. Returns after http_server_stop, when what had been
 * answered by then is sent (or 1 s has passed) and all connections are closed. */
void http_server_run(struct http_server *s);
/* From any thread. (Not from a signal handler: use signalfd or a thread that waits.) */
void http_server_stop(struct http_server *s);

struct http_server_stats {
    uint64_t requests, connections_total, refused; /* refused: answered by the server itself */
    unsigned connections, kept; /* now open; kept: at the handler, not yet answered */
};
/* From any thread. */
struct http_server_stats http_server_stats(struct http_server *s);
