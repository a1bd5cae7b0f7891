/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An engine event as people and programs see it: for the event stream, the tables and the steps of
 * a workload's page. */

#include "base/arena.h"
#include "engine/engine.h"
#include "records/api.h"
#include "wire/id.h"

/* Type name in the stream: "workload_started", "price_posted", "charged", "ledger_entry", … */
const char *event_type_name(enum engine_event_type type);
const char *workload_state_name(enum engine_workload_state state);
/* Of a bid: preemptible, firm or deadline. */
const char *workload_kind_name(bool due, bool preemptible);
const char *reservation_state_name(enum market_reservation_state state);
/* "preempted", "node_lost", … */
const char *reason_name(enum engine_reason reason);
/* "tick_ms", …; "" for none. */
const char *setting_name(int64_t setting);
/* "instant", …; "" for none. */
const char *tier_name(int64_t tier);
/* "menu", "refund", … */
const char *charge_name(int64_t charge);
/* "SKU@provider/region/zone", with "+label,…" where its nodes carry labels, and "#2", "#3" … where an
 * older pool has that name already: a pool's name never changes. "" for 0. Lives in the arena. */
struct str pool_name(const struct engine *e, market_id pool, struct arena *arena);
/* 0 where there is none of this name. */
market_id pool_named(const struct engine *e, struct str name, struct arena *arena);
/* "project:NAME", "pool:NAME", "carry:NAME", "seller:ID", "fee", "external". */
struct str account_name(const struct engine *e, struct id_key key, struct market_account account, struct arena *arena);

/* The names that an event speaks of; what does not apply is empty. */
struct event_names {
    struct str project, workload, node, pool, key, debit, credit;
};
/* As they are in the state now; they live in the state and the arena. */
void event_names_find(const struct engine *e, struct id_key key, const struct engine_event *event, struct arena *arena,
                      struct event_names *ret);
/* Fills the record; text is a sentence. Texts live in the arena and the names. */
void event_render_named(struct id_key key, const struct engine_event *event, const struct event_names *names, struct arena *arena,
                        struct api_event *ret);
/* Both together: names are looked up in the state as it is now. */
void event_render(const struct engine *e, struct id_key key, const struct engine_event *event, struct arena *arena,
                  struct api_event *ret);
