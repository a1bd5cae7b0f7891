/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Requests to one server, over libcurl; the connection is kept between calls. One call at a time
 * on each client; a thread of its own wants a client of its own. Only http_client_abort may be
 * called from another thread.
 *
 * With a pin the server's public key must match it and no authority is asked; without one the
 * certificate is verified against the system's authorities. Plain http goes to loopback only,
 * unless `insecure`. Redirects are not followed, proxies are not used for loopback, and the key
 * stands in the Authorization header, nowhere else. */

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_client;

struct http_client_options {
    const char *server; /* "http://127.0.0.1:7070", "https://host:port"; a path is a prefix of every
                           call's */
    const char *key;    /* NULL or the bearer key */
    const char *pin;    /* NULL or "sha256//…" */
    const char *authority; /* NULL or PEM: who vouches for the server, in place of the system's */
    const char *certificate, *certificate_key; /* NULL or PEM: who is calling */
    bool insecure;      /* allow plain http beyond loopback */
    bool stranger; /* its address is other people's choice: https alone, through no proxy, and to no address
                      but those of the public internet (outbound.h), unless allow_private */
    bool allow_private;
    int connect_timeout_ms; /* 0 = 10 s */
};

/* Copies the options. -EINVAL: not a URL; -EPERM: plain http beyond loopback, or to a stranger. */
int http_client_new(struct http_client **ret, const struct http_client_options *options,
                    struct error *err);
void http_client_free(struct http_client *c);

/* Replaces the bearer key (join gives one); NULL = none. */
void http_client_set_key(struct http_client *c, const char *key);

/* A piece of a 2xx body as it arrives; non-zero ends the call with -ECANCELED. */
typedef int http_client_sink(void *context, struct str piece);

struct http_call {
    const char *method; /* NULL = GET, or POST where there is a body */
    const char *path;   /* "/v1/nodes?limit=3", already percent-encoded (http_escape) */
    const char *content_type;
    const char *const *headers; /* "Name: value" lines */
    size_t header_count;
    struct str body;
    int body_file; /* > 0: an open file is the body, from its start, body_file_size bytes */
    uint64_t body_file_size;
    int timeout_ms;    /* for all of it; 0 = 30 s, negative = none (streams; abort ends them) */
    int silence_ms;    /* streams: no byte for so long ends it with -ETIMEDOUT; 0 = none */
    size_t body_limit; /* of the reply; 0 = 16 MiB; more is -EMSGSIZE */
    http_client_sink *sink; /* NULL = the body is collected in the reply */
    void *sink_context;
};

struct http_reply {
    int status;      /* 100 to 599 */
    bool sent;       /* the server may have got the request, whether an answer came or not */
    struct buf body; /* of a status outside 2xx also where there is a sink */
    struct buf head; /* header lines as received */
};
void http_reply_fini(struct http_reply *r);
/* By name, letters in any case; borrowed; absent: data is NULL. */
struct str http_reply_header(const struct http_reply *r, const char *name);

/* 0 where an answer came, whatever its status. *reply starts zeroed or used before; the caller ends
 * it with http_reply_fini. -ECONNREFUSED: nobody there or connection lost; -ETIMEDOUT; -ECANCELED:
 * aborted or the sink's wish; -EKEYREJECTED: TLS refused (the pin does not match, not verified);
 * -EMSGSIZE; -EACCES: a stranger's name that leads to no public address; -EIO: anything else. */
int http_client_call(struct http_client *c, const struct http_call *call, struct http_reply *reply,
                     struct error *err);

/* From any thread: the call that runs, or else the next one, ends with -ECANCELED, soon. */
void http_client_abort(struct http_client *c);

/* Appends text percent-encoded, for a path segment or a query value. */
void http_escape(struct buf *out, struct str text);
/* Whether a URL's host or an address is this machine's loopback ("localhost", 127/8, ::1). */
bool http_host_is_loopback(const char *host);
