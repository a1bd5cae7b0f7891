/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The load side of an HTTP/1.1 benchmark: many keep-alive connections to loopback on one thread, one
 * request in flight on each. It does as little as it can, since it shares the machine with what it
 * measures: one send and one recv a request, no parsing beyond status and length. */

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct load_client;

struct load_connection {
    int fd;
    unsigned index;
    struct str request; /* what is being sent; borrowed, or scratch's bytes */
    size_t sent;
    bool busy, want_write;
    uint64_t began_us;
    struct buf scratch, in;
};

/* Sets c->request (whole, head and body) and returns true; false: nothing to send for now, it is asked
 * again within 20 ms. */
typedef bool load_next(struct load_client *client, struct load_connection *c);
typedef void load_answer(struct load_client *client, struct load_connection *c, int status,
                         struct str body);

struct load_options {
    int port;
    const char *key; /* bearer */
    unsigned connections;
    load_next *next;
    load_answer *answer;
    void *context;
};

struct load_client {
    struct load_options options;
    int epoll;
    unsigned busy;
    struct load_connection *connections;
    volatile bool stop; /* no more requests; load_run returns when none is in flight */
    uint64_t answered;
};

int load_open(struct load_client *client, const struct load_options *options, struct error *err);
/* Runs until `stop`, or the deadline (monotonic µs; 0 = none), and then until every answer is there,
 * at most drain_ms. Returns how many answers are still missing, or -1 where a connection broke. */
int load_run(struct load_client *client, uint64_t deadline_us, int drain_ms);
void load_close(struct load_client *client);

/* A whole request into `out`; the body may be empty. */
struct load_request {
    const char *method;
    struct str path, body;
    const char *key; /* bearer, may be NULL */
    int port;
};
void load_write(struct buf *out, const struct load_request *r);
