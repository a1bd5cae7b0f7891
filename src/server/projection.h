/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One event as rows of the query tables. */

#include "server/event.h"
#include "store/table.h"

struct projection {
    struct id_key key;
    struct table_position position;
    const struct engine_event *event;
    const struct event_names *names;
    const struct engine_submit *submit; /* SUBMITTED: its command; NULL where the journal lost it */
    const struct table_node *node;      /* the event's node as the state has it, id 0 where it has none */
    struct arena *arena;
};

/* The node as a row; texts live in the state and the arena. */
struct table_node node_row(const struct engine *e, engine_id node, struct arena *arena);
int projection_put(struct tables *tables, const struct projection *p, struct error *err);
/* What was submitted, as JSON without secrets; empty where the bytes are none of ours. */
struct str request_json(struct str request, struct arena *arena);
