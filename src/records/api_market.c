/* SPDX-License-Identifier: Apache-2.0 */
#include "records/api.h"
#include "records/table.h"
#include "records/workload.h"

/* ---- prices --------------------------------------------------------------------------------------- */

static const struct field api_headroom_fields[] = {
    {"tier", FIELD_ENUM, AT(api_headroom, tier), .names = workload_tier_names, .doc = "Tier."},
    COUNT(api_headroom, held_milli, KEEP, "unit/1000", "Units held for tight starts."),
    COUNT(api_headroom, free_milli, KEEP, "unit/1000", "Of these, units that nobody uses."),
    COUNT(api_headroom, eligible_milli, KEEP, "unit/1000", "Units of running work that could leave in the tier's time."),
    COUNT(api_headroom, price_udollar_per_hour, KEEP, UNIT_RATE, "What is paid for what is held, on average."),
    COUNT(api_headroom, credit_udollar_per_hour, KEEP, UNIT_RATE, "What work that could leave in time pays less."),
};
RECORD(api_headroom, "What is held in a pool for tight starts of one tier.");

#define P api_pool
static const struct field api_pool_fields[] = {
    TEXT(P, id, KEEP, "Id."),
    TEXT(P, name, KEEP, "SKU@provider/region/zone; taken wherever a pool is named."),
    TEXT(P, sku, KEEP, "Make of its nodes."),
    TEXT(P, accelerator, OMIT, "GPU model."),
    TEXT(P, provider, KEEP, "Who supplies the nodes."),
    TEXT(P, region, KEEP, "Region."),
    TEXT(P, zone, KEEP, "Zone."),
    TEXTS(P, labels, OMIT, 16, "Labels of its nodes."),
    TEXT(P, unit, KEEP, "gpu or core."),
    COUNT(P, price_udollar_per_hour, KEEP, UNIT_RATE, "Posted price: marginal and scarcity."),
    COUNT(P, marginal_udollar_per_hour, KEEP, UNIT_RATE, "Ask of the next unit."),
    COUNT(P, scarcity_udollar_per_hour, KEEP, UNIT_RATE, "What scarcity adds."),
    COUNT(P, guide_udollar_per_hour, KEEP, UNIT_RATE, "The price that admits newcomers."),
    COUNT(P, lowest_ask_udollar_per_hour, KEEP, UNIT_RATE, "Lowest ask of its nodes."),
    COUNT(P, units_milli, KEEP, "unit/1000", "Units of its nodes that are up."),
    COUNT(P, used_milli, KEEP, "unit/1000", "Units in use."),
    COUNT(P, free_milli, KEEP, "unit/1000", "Units free."),
    COUNT(P, wanted_milli, KEEP, "unit/1000", "Units that waiting bids at or above the price want."),
    COUNT(P, nodes, KEEP, "nodes", "Nodes."),
    COUNT(P, running, KEEP, "workloads", "Workloads that run."),
    COUNT(P, waiting, KEEP, "workloads", "Workloads that wait."),
    LIST(P, headroom, OMIT, api_headroom, 4, "Tiers of which something is held."),
};
RECORD(api_pool, "Nodes of one SKU in one zone, with one price.");

static const struct field api_gap_fields[] = {
    COUNT(api_gap, surplus_udollar_per_hour, KEEP, HOUR_RATE, "Value of what runs."),
    COUNT(api_gap, bound_udollar_per_hour, KEEP, HOUR_RATE, "What no placement can exceed."),
    COUNT(api_gap, at_ms, KEEP, TIME_UNIT, "Tick that certified it."),
};
RECORD(api_gap, "How far the placement is from the best possible, at most.");

static const struct field api_prices_fields[] = {
    COUNT(api_prices, at_ms, KEEP, TIME_UNIT, "When they were posted."),
    COUNT(api_prices, tick_ms, KEEP, "ms", "Time between two postings."),
    LIST(api_prices, pools, KEEP, api_pool, ANSWER_MOST, "Pools."),
    INLINE(api_prices, gap, api_gap, "The certified gap."),
};
RECORD(api_prices, "The posted prices.");

#define H api_price_point
static const struct field api_price_point_fields[] = {
    COUNT(H, at_ms, KEEP, TIME_UNIT, "When it was posted."),
    COUNT(H, price_udollar_per_hour, KEEP, UNIT_RATE, "Posted price."),
    COUNT(H, marginal_udollar_per_hour, KEEP, UNIT_RATE, "Ask of the next unit."),
    COUNT(H, scarcity_udollar_per_hour, KEEP, UNIT_RATE, "What scarcity adds."),
    COUNT(H, guide_udollar_per_hour, KEEP, UNIT_RATE, "The price that admits newcomers."),
    COUNT(H, free_milli, KEEP, "unit/1000", "Units free."),
    COUNT(H, wanted_milli, KEEP, "unit/1000", "Units wanted at that price."),
};
RECORD(api_price_point, "A price as it was posted.");

static const struct field api_price_history_fields[] = {
    TEXT(api_price_history, pool, KEEP, "Name of the pool."),
    LIST(api_price_history, points, KEEP, api_price_point, ANSWER_MOST, "Oldest first."),
};
RECORD(api_price_history, "The prices of a pool.");

static const struct field api_ask_fields[] = {
    SHORT(api_ask, pool, OMIT, 1024, "Pool, by name or id; this or node."),
    SHORT(api_ask, node, OMIT, NAME_MOST, "Node, by name or id; this or pool."),
    RANGE(api_ask, ask_udollar_per_hour, FIELD_REQUIRED, 0, RATE_MOST, UNIT_RATE,
          "Rate under which its units do not run."),
};
RECORD(api_ask, "An ask for one node or for all nodes of a pool.");

static const struct field api_ask_set_fields[] = {
    COUNT(api_ask_set, seq, KEEP, NULL, "Number in the journal that holds the change."),
    COUNT(api_ask_set, nodes, KEEP, "nodes", "How many nodes ask this now."),
};
RECORD(api_ask_set, "The answer to an ask.");

/* ---- ledger --------------------------------------------------------------------------------------- */

static const struct field api_entry_fields[] = {
    TEXT(api_entry, id, KEEP, "Id of its event: SEQ-POSITION. Empty for a sum."),
    COUNT(api_entry, at_ms, KEEP, TIME_UNIT, "When it was booked."),
    TEXT(api_entry, debit, KEEP,
         "Account that pays: project:NAME, pool:NAME, carry:NAME, seller:ID, fee or external."),
    TEXT(api_entry, credit, KEEP, "Account that receives."),
    COUNT(api_entry, amount_udollar, KEEP, "µ$", "Amount."),
    TEXT(api_entry, workload, OMIT, "Id of the workload."),
    TEXT(api_entry, pool, OMIT, "Name of the pool."),
};
RECORD(api_entry, "One entry of the ledger.");

static const struct field api_ledger_fields[] = {
    LIST(api_ledger, entries, KEEP, api_entry, ANSWER_MOST, "Oldest first."),
    TEXT(api_ledger, cursor, OMIT, "Pass it as ?cursor= for more; empty at the end."),
};
RECORD(api_ledger, "A page of the ledger.");

/* ---- events --------------------------------------------------------------------------------------- */

#define E api_event
static const struct field api_event_fields[] = {
    TEXT(E, type, KEEP, "What happened."),
    COUNT(E, at_ms, KEEP, TIME_UNIT, "When."),
    TEXT(E, project, OMIT, "Name of the project."),
    TEXT(E, workload, OMIT, "Id of the workload."),
    TEXT(E, name, OMIT, "Name of the workload, key or project."),
    TEXT(E, node, OMIT, "Id of the node."),
    TEXT(E, node_name, OMIT, "Name of the node."),
    TEXT(E, pool, OMIT, "Name of the pool."),
    COUNT(E, attempt, OMIT, NULL, "Attempt, from 1."),
    COUNT(E, rank, OMIT, NULL, "Rank in the gang."),
    TEXT(E, state, OMIT, "State after it."),
    TEXT(E, reason, OMIT, "Reason code."),
    TEXT(E, text, OMIT, "A sentence for people."),
    COUNT(E, rate_udollar_per_hour, OMIT, HOUR_RATE, "Rate of the whole workload."),
    COUNT(E, amount_udollar, OMIT, "µ$", "Amount booked; a refund is negative."),
    COUNT(E, units_milli, OMIT, "unit/1000", "Units."),
    COUNT(E, from_ms, OMIT, TIME_UNIT, "Begin of the span charged."),
    COUNT(E, to_ms, OMIT, TIME_UNIT, "End of the span charged."),
    COUNT(E, limit_udollar_per_hour, OMIT, UNIT_RATE, "Limit of the bid, or of who takes its place."),
    COUNT(E, deadline_ms, OMIT, TIME_UNIT, "When it is killed."),
    COUNT(E, exit_code, OMIT, NULL, "Exit code."),
    COUNT(E, signal, OMIT, NULL, "Signal that killed it."),
    COUNT(E, price_udollar_per_hour, OMIT, UNIT_RATE, "Posted price."),
    COUNT(E, marginal_udollar_per_hour, OMIT, UNIT_RATE, "Ask of the next unit."),
    COUNT(E, scarcity_udollar_per_hour, OMIT, UNIT_RATE, "What scarcity adds."),
    COUNT(E, guide_udollar_per_hour, OMIT, UNIT_RATE, "The price that admits newcomers."),
    COUNT(E, free_milli, OMIT, "unit/1000", "Units free."),
    COUNT(E, wanted_milli, OMIT, "unit/1000", "Units wanted at that price."),
    COUNT(E, used_milli, OMIT, "unit/1000", "Units in use."),
    COUNT(E, surplus_udollar_per_hour, OMIT, HOUR_RATE, "Value of what runs."),
    COUNT(E, bound_udollar_per_hour, OMIT, HOUR_RATE, "What no placement can exceed."),
    TEXT(E, debit, OMIT, "Account that pays."),
    TEXT(E, credit, OMIT, "Account that receives."),
    TEXT(E, setting, OMIT, "Name of the setting."),
    COUNT(E, value, OMIT, NULL, "Its value; of a budget, the per cent that were crossed."),
    COUNT(E, budget_udollar, OMIT, "µ$", "The budget."),
    TEXT(E, tier, OMIT, "Tier of a subscription, or of the headroom of which units_milli is held, free_milli free and wanted_milli "
         "work that could leave in time."),
    COUNT(E, credit_udollar_per_hour, OMIT, UNIT_RATE, "Headroom: what work that could leave in time pays less."),
};
RECORD(api_event, "One event of the stream; a field left out is zero or does not apply.");
