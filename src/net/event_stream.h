/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Server-sent events (WHATWG HTML, "9.2 Server-sent events"): writing and, for clients, reading. */

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed until the callback returns. */
struct stream_event {
    struct str id;   /* the last id seen, empty while none was */
    struct str type; /* "message" where the stream named none */
    struct str data; /* lines joined by \n */
};

/* Appends one event. id and type may be empty (then left out) and hold no line end (cut off there);
 * data may be many lines. */
void event_stream_format(struct buf *out, struct str id, struct str type, struct str data);
/* A comment that keeps the connection alive. */
void event_stream_format_comment(struct buf *out, struct str text);
/* The reconnection time. */
void event_stream_format_retry(struct buf *out, int retry_ms);

/* Zeroed is a valid start, but set the limit. */
struct event_stream {
    size_t limit; /* bytes of one event; 0 = 1 MiB */
    struct buf line, data, type;
    struct buf
        id; /* the last one that an event (even an empty one) has brought: for Last-Event-ID */
    struct buf next_id; /* of the event under way */
    bool data_seen, next_id_seen, last_was_cr, bom_checked;
    int64_t retry_ms; /* as the server asked; 0 = never did */
};

/* Non-zero ends event_stream_feed with it. */
typedef int event_stream_callback(void *context, const struct stream_event *event);

/* Takes a piece of the stream, cut anywhere. 0, the callback's value, or -EMSGSIZE (an event past
 * the limit; the stream is then useless). */
int event_stream_feed(struct event_stream *s, struct str piece, event_stream_callback *callback,
                      void *context);
/* Forgets a half-received event before a reconnection; keeps the id. */
void event_stream_restart(struct event_stream *s);
void event_stream_fini(struct event_stream *s);
