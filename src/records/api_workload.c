/* SPDX-License-Identifier: Apache-2.0 */
#include "records/api.h"
#include "records/table.h"
#include "records/workload.h"

static const struct field api_created_fields[] = {
    TEXT(api_created, id, KEEP, "Id of the workload."),
    COUNT(api_created, seq, KEEP, NULL, "Number in the journal that holds it."),
    TEXT(api_created, state, KEEP, "Its state at that moment."),
    FLAG(api_created, repeated, OMIT, "This idempotency key was used before: nothing new was made."),
};
RECORD(api_created, "The answer to a submit.");

#define P api_placement
static const struct field api_placement_fields[] = {
    COUNT(P, role, OMIT, NULL, "Role in the workload."),
    COUNT(P, rank, KEEP, NULL, "Rank in the gang."),
    TEXT(P, node, KEEP, "Id of the node."),
    TEXT(P, node_name, KEEP, "Name of the node."),
    TEXT(P, address, OMIT, "Address of the node."),
    NUMBERS(P, gpus, OMIT, 64, "Indices of its GPUs on the node."),
    TEXT(P, state, KEEP, "assigned, running or ended."),
    COUNT(P, exit_code, OMIT, NULL, "Exit code, where it has ended."),
    COUNT(P, signal, OMIT, NULL, "Signal that killed it."),
    FLAG(P, ended, OMIT, "Whether it has ended."),
    FLAG(P, oom, OMIT, "Whether it was killed for memory."),
};
RECORD(api_placement, "Where one replica runs.");

static const struct field api_step_fields[] = {
    COUNT(api_step, at_ms, KEEP, TIME_UNIT, "When."),
    TEXT(api_step, type, KEEP, "What: submitted, assigned, started, preempting and so on."),
    COUNT(api_step, attempt, OMIT, NULL, "Attempt, from 1."),
    TEXT(api_step, reason, OMIT, "Reason code."),
    TEXT(api_step, text, OMIT, "A sentence for people."),
};
RECORD(api_step, "One thing that happened to a workload.");

#define W api_workload
static const struct field api_workload_fields[] = {
    TEXT(W, id, KEEP, "Id."),
    TEXT(W, name, OMIT, "Name."),
    TEXT(W, project, KEEP, "Name of the project that pays."),
    TEXT(W, state, KEEP,
         "waiting, assigned, running, preempting, finished, failed, cancelled or rejected."),
    TEXT(W, kind, KEEP, "preemptible, firm or deadline."),
    COUNT(W, attempt, KEEP, NULL, "Attempt, from 1."),
    COUNT(W, nodes, KEEP, "replicas", "Replicas."),
    COUNT(W, units_milli, KEEP, "unit/1000", "Units that it holds, or asks for."),
    TEXT(W, pool, OMIT, "Name of the pool that it stands in."),
    COUNT(W, limit_udollar_per_hour, KEEP, UNIT_RATE, "The most it pays for a unit."),
    COUNT(W, rate_udollar_per_hour, KEEP, HOUR_RATE, "What all of it pays now."),
    COUNT(W, cost_udollar, KEEP, "µ$", "What it cost so far, refunds taken off."),
    COUNT(W, submitted_ms, KEEP, TIME_UNIT, "When it was submitted."),
    COUNT(W, started_ms, OMIT, TIME_UNIT, "When its last attempt started."),
    COUNT(W, ended_ms, OMIT, TIME_UNIT, "When it ended."),
    COUNT(W, deadline_ms, OMIT, TIME_UNIT, "When it is killed, or must be finished."),
    TEXT(W, reason, OMIT, "Reason of the last change of state."),
    FLAG(W, exited, OMIT, "Whether exit_code, signal and exit_rank say something."),
    COUNT(W, exit_code, OMIT, NULL, "Exit code."),
    COUNT(W, signal, OMIT, NULL, "Signal that killed it."),
    COUNT(W, exit_rank, OMIT, NULL, "Rank that ended it."),
    FLAG(W, oom, OMIT, "Whether it was killed for memory."),
    TEXT(W, last_lines, OMIT, "The end of the log of the rank that ended it."),
    LIST(W, placements, OMIT, api_placement, ANSWER_MOST, "Where its replicas are."),
    LIST(W, steps, OMIT, api_step, ANSWER_MOST, "What happened to it, in order."),
    {"request", FIELD_JSON, AT(W, request), .flags = OMIT,
     .doc = "What was submitted, without secrets."},
    {"tier", FIELD_ENUM, AT(W, tier), .names = workload_tier_names, .flags = OMIT, .doc = "Tier of its tight start, while it is live."},
    FLAG(W, tight, OMIT, "It started within a subscription of its project."),
};
RECORD(api_workload, "A workload.");

static const struct field api_workloads_fields[] = {
    LIST(api_workloads, workloads, KEEP, api_workload, ANSWER_MOST, "Workloads."),
    TEXT(api_workloads, cursor, OMIT, "Pass it as ?cursor= for more; empty at the end."),
};
RECORD(api_workloads, "A page of workloads.");

static const struct field api_bid_change_fields[] = {
    RANGE(api_bid_change, limit_udollar_per_hour, FIELD_REQUIRED, 0, RATE_MOST, UNIT_RATE,
          "The most it pays for a unit."),
};
RECORD(api_bid_change, "A new limit for a bid.");

static const struct field api_changed_fields[] = {
    COUNT(api_changed, seq, KEEP, NULL, "Number in the journal that holds the change."),
    TEXT(api_changed, state, OMIT, "State of the workload after it."),
};
RECORD(api_changed, "The answer to a change.");

static const struct field api_why_fields[] = {
    TEXT(api_why, id, KEEP, "Id of the workload."),
    TEXT(api_why, state, KEEP, "Its state."),
    TEXT(api_why, obstacle, KEEP,
         "none, no_node, price, menu, protected, contiguity, budget, window, held, forward, paused, power, owner or deadline."),
    TEXT(api_why, text, KEEP, "Sentences for people."),
    TEXT(api_why, pool, OMIT, "Name of the pool that the answer speaks of."),
    COUNT(api_why, needed_milli, OMIT, "unit/1000", "What it needs."),
    COUNT(api_why, free_milli, OMIT, "unit/1000", "What is free."),
    COUNT(api_why, largest_free_milli, OMIT, "unit/1000", "What is free together."),
    COUNT(api_why, holder_units_milli, OMIT, "unit/1000", "Size of what holds the place."),
    COUNT(api_why, holder_limit_udollar_per_hour, OMIT, UNIT_RATE, "What its holder is worth."),
    COUNT(api_why, ahead, OMIT, "workloads", "Waiting workloads of higher rank."),
    COUNT(api_why, soonest_ms, OMIT, TIME_UNIT, "The soonest start known."),
    FLAG(api_why, has_limit, OMIT, "Whether a higher limit starts it now."),
    COUNT(api_why, start_limit_udollar_per_hour, OMIT, UNIT_RATE, "That limit."),
    COUNT(api_why, latest_start_ms, OMIT, TIME_UNIT, "Promised to be done by its deadline: it starts by then."),
    COUNT(api_why, most_udollar, OMIT, "µ$", "… and costs at most this."),
};
RECORD(api_why, "What blocks a workload.");

#define B api_bill_line
static const struct field api_bill_line_fields[] = {
    COUNT(B, attempt, KEEP, NULL, "Attempt, from 1."),
    TEXT(B, kind, KEEP, "menu, transfer, displacement, refund or term."),
    TEXT(B, pool, OMIT, "Name of the pool."),
    COUNT(B, from_ms, KEEP, TIME_UNIT, "Begin of the span."),
    COUNT(B, to_ms, KEEP, TIME_UNIT, "End of the span."),
    COUNT(B, units_milli, KEEP, "unit/1000", "Units charged."),
    COUNT(B, rate_udollar_per_hour, KEEP, HOUR_RATE, "Rate of the whole workload."),
    COUNT(B, amount_udollar, KEEP, "µ$", "Amount; a refund is negative."),
};
RECORD(api_bill_line, "One line of a bill.");

static const struct field api_bill_fields[] = {
    TEXT(api_bill, id, KEEP, "Id of the workload."),
    LIST(api_bill, lines, KEEP, api_bill_line, ANSWER_MOST, "Lines, in order of time."),
    COUNT(api_bill, sum_udollar, KEEP, "µ$", "Sum of the lines."),
    COUNT(api_bill, open_udollar, KEEP, "µ$", "Charged since, not yet a line."),
};
RECORD(api_bill, "What a workload cost.");

#define Q api_quote_line
static const struct field api_quote_line_fields[] = {
    TEXT(Q, freedom, KEEP, "as_is, preemptible, any_rack, other_skus or later."),
    TEXT(Q, text, KEEP, "One sentence."),
    FLAG(Q, offered, KEEP, "False: it gives this freedom already, or it would change nothing."),
    FLAG(Q, fits, KEEP, "Whether the hardware exists, even if busy."),
    FLAG(Q, starts_now, KEEP, "Whether it would start at once."),
    FLAG(Q, above_limit, OMIT, "Whether the price is above its limit: it would wait for a lower one."),
    TEXT(Q, pool, OMIT, "Name of the pool."),
    COUNT(Q, units_milli, KEEP, "unit/1000", "Units that it would take."),
    COUNT(Q, rate_udollar_per_hour, KEEP, HOUR_RATE, "Price of all of it."),
    COUNT(Q, unit_rate_udollar_per_hour, KEEP, UNIT_RATE, "Price of a unit."),
    COUNT(Q, saves_udollar_per_hour, KEEP, HOUR_RATE, "What it saves against as_is."),
    COUNT(Q, ask_udollar_per_hour, KEEP, HOUR_RATE, "Part of the price: the asks."),
    COUNT(Q, scarcity_udollar_per_hour, KEEP, HOUR_RATE, "Part of the price: scarcity."),
    COUNT(Q, premium_udollar_per_hour, KEEP, HOUR_RATE, "Part of the price: being firm."),
    COUNT(Q, credit_udollar_per_hour, KEEP, HOUR_RATE, "Taken off the price: its flexibility."),
    COUNT(Q, transfer_udollar_per_hour, KEEP, HOUR_RATE, "Part of the price: moving data."),
    COUNT(Q, displacement_udollar_per_hour, KEEP, HOUR_RATE,
          "Part of the price: what those whom it displaces lose."),
    FLAG(Q, promised, OMIT, "With a deadline: whether it would be promised, at this price."),
    COUNT(Q, most_udollar, OMIT, "µ$", "With a deadline: the most that its declared run costs; absent where there is no room by then."),
    COUNT(Q, latest_start_ms, OMIT, TIME_UNIT, "With a deadline: it starts by then."),
    COUNT(Q, finish_by_ms, OMIT, TIME_UNIT, "The deadline of this line."),
};
RECORD(api_quote_line, "What a workload would cost under one freedom.");

static const struct field api_quote_fields[] = {
    TEXT(api_quote, name, OMIT, "Name of the workload."),
    TEXT(api_quote, kind, KEEP, "preemptible, firm or deadline."),
    COUNT(api_quote, nodes, KEEP, "replicas", "Replicas."),
    COUNT(api_quote, limit_udollar_per_hour, KEEP, UNIT_RATE, "The most it would pay for a unit."),
    {"tier", FIELD_ENUM, AT(api_quote, tier), .names = workload_tier_names, .flags = OMIT, .doc = "Tier of its tight start."},
    LIST(api_quote, lines, KEEP, api_quote_line, 64, "Prices, as it stands first."),
};
RECORD(api_quote, "What a workload would cost now.");
