/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Buys capacity from servers that speak the Mithril v2 API (docs/providers.md): a thread that looks at what
 * waits here and what is offered there, places bids, and gives back what has nothing to do. */

#include "providers/book.h"
#include "server/core.h"

struct api;
struct api_buyer;

/* Reads DATA/providers.json. */
int api_buyer_new(struct api_buyer **ret, struct api *api, struct error *err);
/* On the writer's thread: looks again where work waits or nodes changed. */
void api_buyer_commit(struct api_buyer *b, const struct core_commit *commit);
/* Ends what it waits for; any thread. */
void api_buyer_stop(struct api_buyer *b);
/* After the core is closed. */
void api_buyer_free(struct api_buyer *b);

/* ---- for the routes; any thread ---- */

/* Takes the provider over where 0 is returned. -EEXIST: the name is taken; -ENOSPC: there are too many. */
int api_buyer_add(struct api_buyer *b, struct provider *p, struct error *err);
/* -ENOENT. It leaves once all is given back. */
int api_buyer_remove(struct api_buyer *b, struct str name, struct error *err);
/* The providers stand still during `look`. */
void api_buyer_look(struct api_buyer *b, void (*look)(void *context, const struct book *book), void *context);
