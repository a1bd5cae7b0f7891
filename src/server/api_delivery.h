/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Deliveries: one thread looks through the events for what somebody wants to be told and puts it into the outbox, a few
 * others send it, each lane in its order, again and again with growing pauses until it arrives. */

#include "server/core.h"
#include "server/outbox.h"

struct api;
struct api_delivery;

int api_delivery_new(struct api_delivery **ret, struct api *api, struct error *err);
/* On the writer's thread: looks again where something happened that may be wanted. */
void api_delivery_commit(struct api_delivery *d, const struct core_commit *commit);
/* Ends what it waits for; any thread. */
void api_delivery_stop(struct api_delivery *d);
/* After the core is closed. */
void api_delivery_free(struct api_delivery *d);

#define DELIVERY_ID_MOST 48
struct delivery_state {
    struct outbox_lane lane;       /* zero where it was not looked at yet */
    char tested[DELIVERY_ID_MOST]; /* the last test that arrived since the start; else empty */
};
/* How a webhook stands; any thread. */
void api_delivery_state(struct api_delivery *d, engine_id hook, struct delivery_state *ret);
/* Sends a test behind what waits, under this id; any thread. It does not outlive the server before it is in the outbox. */
void api_delivery_test(struct api_delivery *d, engine_id hook, struct str id);
