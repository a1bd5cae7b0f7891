/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The log of one replica, as it grows, to standard output; goes on at its offset where it broke. */

#include "cli/session.h"

#include <stdatomic.h>
#include <stdint.h>

struct http_client;

struct log_stream {
    struct cli *cli;
    struct http_client *client; /* of its own; api_connect */
    const char *workload;
    int64_t attempt, rank; /* attempt 0: the newest */
    int64_t offset;        /* bytes printed */
    atomic_bool in_line;   /* the last byte printed was no line end */
    const atomic_bool
        *stop; /* NULL, or set: print no more; http_client_abort makes it felt at once */
};

enum log_end {
    LOG_CLOSED, /* the server closed the stream: what there was has been printed */
    LOG_ABSENT, /* nothing there, or not yet */
    LOG_LOST,   /* the connection broke, or the client was aborted */
    LOG_FAILED, /* complained; *ret_exit */
};

/* One request: what there is, or with `follow` what comes until the server closes the stream. */
enum log_end log_stream_read(struct log_stream *log, bool follow, int *ret_exit);
