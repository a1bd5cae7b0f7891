/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Contact with nodes: when each renewed last. In memory alone; after a start all count as just
 * renewed. The network loop renews, the writer looks for those overdue. Every function locks. */

#include "engine/engine.h"

struct contacts;

struct contacts *contacts_new(void);
void contacts_free(struct contacts *c);

/* A moment on both clocks: spans are measured on the monotonic one, journaled by the other. */
struct contact_time {
    time_ms monotonic, server;
};

/* Every node of the state that is not lost. */
void contacts_load(struct contacts *c, const struct engine *e, struct contact_time now);
/* What the events of one group changed: registered, lost. */
void contacts_follow(struct contacts *c, const struct engine_event *events, size_t count, struct contact_time now);
/* False: not registered or given up. */
bool contacts_renew(struct contacts *c, engine_id node, struct contact_time now);
/* The server itself was away: nobody is to blame. */
void contacts_renew_all(struct contacts *c, struct contact_time now);
/* Monotonic age of the last renewal, -1 where there is none. */
time_ms contacts_age(struct contacts *c, engine_id node, time_ms monotonic);

struct contact_lost {
    engine_id node;
    time_ms last; /* last renewal, by the server's clock */
};
/* Those at least `timeout` old, at most `most` of them; their number. */
size_t contacts_overdue(struct contacts *c, time_ms monotonic, time_ms timeout, struct contact_lost *ret, size_t most);
/* Gives one up if it still is so old: from here on its renewals are refused, so that no agent
 * believes in a contact that the server has ended. */
bool contacts_give_up(struct contacts *c, engine_id node, time_ms monotonic, time_ms timeout);
