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
/* "preempted", "node_lost", … */
const char *reason_name(enum engine_reason reason);
/* "SKU@provider/region/zone", with "+label,…" where pools of one zone differ by labels, and a
 * number where they differ by size; "" for 0. Lives in the arena. */
struct str pool_name(const struct engine *e, market_id pool, struct arena *arena);
/* 0 where there is none of this name. */
market_id pool_named(const struct engine *e, struct str name, struct arena *arena);
/* "project:NAME", "pool:NAME", "carry:NAME", "seller:ID", "fee", "external". */
struct str account_name(const struct engine *e, struct id_key key, struct market_account account, struct arena *arena);

/* Fills the record; names are looked up in the state as it is now, text is a sentence. */
void event_render(const struct engine *e, struct id_key key, const struct engine_event *event, struct arena *arena,
                  struct api_event *ret);
