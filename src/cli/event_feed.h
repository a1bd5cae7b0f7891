/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The server's stream of events, held open and resumed where it broke. */

#include "cli/session.h"
#include "net/event_stream.h"
#include "records/api.h"

struct http_client;

struct event_feed {
    struct cli *cli;
    struct http_client *client; /* of its own; api_connect */
    const char *query;          /* "workload=…&types=…" percent-encoded, may be empty */
    const char *after;          /* id to go on from at first; NULL: from now on */
    /* Non-zero ends the feed with it. `raw` is the event's JSON; *event is decoded, its type is
     * "reset" where the server no longer has what was missed. */
    int (*take)(void *context, const struct api_event *event, const struct stream_event *raw);
    void *context;
    bool contacted; /* the server answered a moment ago: where it does not now, it is waited for */
    int once_ms; /* > 0: ends with FEED_SILENT where the stream stands and is silent for so long */
};

#define FEED_SILENT 2

/* What take returned; or -1, complained, *ret_exit is the code to end with. -ECANCELED
 * where the client was aborted. */
int event_feed_run(struct event_feed *feed, int *ret_exit);

/* One line about an event, without time and line end: "won 0.5 units on 2 nodes of …". */
void event_describe(const struct api_event *event, struct buf *out);
/* What a sentence adds to the type beside it: "failed: rank 1 …" beside "failed" is "rank 1 …". */
struct str event_addition(struct str type, struct str text);
