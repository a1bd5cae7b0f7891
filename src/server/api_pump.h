/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Streams that readers fill: a log, the past of the event stream. A pump runs on a reader's thread
 * until there is nothing more or its client has enough to read, sleeps, and is woken. Whoever wants
 * to end one says so; its stream is ended and it is freed on the loop thread, where nobody else can
 * be in it. */

#include "server/core.h"

#include "base/list.h"

#include <pthread.h>

#define PUMP_WINDOW                                                                                \
    ((size_t)2 << 20)                /* bytes that may wait for a client before its pump sleeps    \
                                      */
#define PUMP_LIMIT ((size_t)8 << 20) /* and before it is cut off */

struct pumps {
    pthread_mutex_t lock; /* of the pumps and whatever they share */
    struct list all;      /* pump.link */
    size_t count;
    struct core *core;
    struct http_server *http;
};

enum pump_result {
    PUMP_IDLE, /* nothing more now */
    PUMP_FULL, /* the client must read first: woken by pumps_tick */
    PUMP_DONE,
};

struct pump {
    struct list link;
    struct pumps *owner;
    struct http_stream *stream;
    struct core_read read;
    bool busy, again, full, closed, finished;
    enum pump_result (*run)(struct pump *p, const struct core_view *view); /* without the lock */
    void (*free)(struct pump *p);                                          /* on the loop thread */
};

void pumps_init(struct pumps *ps, struct core *core, struct http_server *http);
void pumps_fini(struct pumps *ps);
/* Wakes those whose clients have read. */
void pumps_tick(struct pumps *ps);
/* Ends all of them. */
void pumps_stop(struct pumps *ps);

/* Answers the request with a stream and runs the pump. From any thread. */
void pump_begin(struct pumps *ps, struct pump *p, struct http_request *r,
                const struct http_response *head);
/* Both under the lock. */
void pump_wake(struct pump *p);
void pump_close(struct pump *p);
