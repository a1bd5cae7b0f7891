/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The HTTP API of `tessera serve`: from requests to the core and back (docs/api.md). What may be
 * asked stands in one table of routes (api_route.c), from which come dispatch, authorisation and
 * /openapi.json. Nothing here blocks the network loop. */

#include "net/http_server.h"
#include "server/core.h"

struct api;
struct mail_server;

/* Everything is borrowed for the life of the api. */
struct api_options {
    struct core *core;        /* open, not started yet */
    struct http_server *http; /* not running yet: timers are set on it */
    const char *console;      /* folder of the built console, NULL = none */
    const char *const
        *hosts; /* allowed values of Host, with a port or without; loopback's names always are */
    size_t host_count;
    const char *url;       /* where this machine reaches it: "http://127.0.0.1:7070" */
    const char *advertise; /* where other machines reach it, NULL = loopback only */
    const char *region_names; /* "ZONE=NAME,…": how /v2 shows zones; NULL = as they are */
    const char *pin;       /* "sha256//…" of its certificate, NULL without TLS */
    const struct mail_server *mail; /* NULL: no mail goes out */
    const char *mail_from;          /* address */
    bool webhook_allow_private;    /* webhooks may lead to private addresses */
    const char *webhook_authority; /* NULL or PEM: who vouches for those they lead to, in place of the system's */
};

/* Makes DATA/archives and DATA/logs. */
int api_new(struct api **ret, const struct api_options *options, struct error *err);
/* http_server_options.handler and .admit: on the loop thread. */
void api_handler(void *api, struct http_request *r);
void api_admit(void *api, struct http_request *r);
/* core_options.committed: on the writer's thread. Streams events, answers long polls. */
void api_committed(void *api, const struct core_commit *commit);
/* On the loop thread: answers the long polls and ends the streams; from now on every request is
 * answered 503. */
void api_stop(void *api);
/* After http_server_run has returned. */
void api_free(struct api *a);
