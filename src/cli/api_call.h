/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Calls of the HTTP API for commands: connects at the first one, decodes answers, and turns every
 * refusal and every lost connection into a line on standard error and an exit code. */

#include "base/buf.h"
#include "cli/session.h"
#include "net/http_client.h"
#include "wire/record.h"

struct api_call {
    const char *method;         /* NULL = GET, or POST where there is a body */
    const char *path;           /* with its query, percent-encoded */
    const struct record *input; /* NULL: no body, or `body` below */
    const void *value;
    const char *content_type; /* of `body` */
    struct str body;
    const char *idempotency_key; /* makes a POST safe to repeat where the connection was lost */
    const char *subject; /* what a "not found" is about, for people; NULL: nothing in particular */
};

/* A client of one's own for a further thread or a stream; freed by the caller. EXIT_OK or
 * complained. */
int api_connect(struct cli *cli, struct http_client **ret);
/* The answer is decoded into `ret` (where given) and stands in cli->raw; both live in cli->arena.
 */
int api_call(struct cli *cli, const struct api_call *call, const struct record *output, void *ret);
int api_get(struct cli *cli, const char *path, const struct record *output, void *ret);
/* Complains of what is not a 2xx answer; from any thread. */
int api_refused(const struct cli *cli, const struct http_reply *reply, const char *subject);
/* Complains of a connection that failed. */
int api_unreached(const struct cli *cli, int code, const struct error *err);

/* A path in the arena: "/v1/workloads/" + ID + "/why", the id percent-encoded. */
const char *api_path(struct cli *cli, const char *before, const char *id, const char *after);
/* Appends "?name=value" or "&name=value"; nothing where value is NULL. */
void api_query(struct buf *path, const char *name, const char *value);
