/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the HTTP API takes and answers (docs of each field: api*.c; the whole as /openapi.json).
 * Inputs of a submit stand in records/workload.h, messages of agents in records/agent.h.
 *
 * Ids are text on both sides: only the server has the id key, and clients decode answers with these
 * same records. Rates are µ$ per hour (`_udollar_per_hour`, of a unit unless said otherwise), money
 * is µ$, times are ms since 1970, amounts thousandths of a unit (`_milli`) or MiB. A field that an
 * answer leaves out is zero, empty or does not apply. */

#include "records/agent.h"

/* ---- errors: {"error": {...}} ------------------------------------------------------------------- */

struct api_error {
    struct str code;  /* invalid, unauthorized, forbidden, not_found, conflict, too_large, busy, unavailable */
    struct str field; /* path of the offending field */
    struct str message;
};
struct api_error_body {
    struct api_error error;
};

/* ---- workloads (api_workload.c) -------------------------------------------------------------------- */

struct api_created {
    struct str id;
    int64_t seq;      /* journal number that holds it */
    struct str state; /* of that moment */
    bool repeated;    /* this idempotency key was used before: nothing new was made */
};

struct api_placement {
    int64_t role, rank;
    struct str node, node_name, address;
    struct record_list gpus; /* of int64_t */
    struct str state;        /* assigned, running, ended */
    int64_t exit_code, signal;
    bool ended, oom;
};

/* What happened to a workload, in order. */
struct api_step {
    int64_t at_ms;
    struct str type; /* an event's type without "workload_" */
    int64_t attempt;
    struct str reason, text;
};

struct api_workload {
    struct str id, name, project, state, kind; /* kind: preemptible, firm, deadline */
    int64_t attempt, nodes, units_milli;
    struct str pool;                           /* name of the pool it stands in */
    int64_t limit_udollar_per_hour;            /* per unit */
    int64_t rate_udollar_per_hour;             /* of the whole workload, now */
    int64_t cost_udollar;                      /* so far, refunds taken off */
    int64_t submitted_ms, started_ms, ended_ms, deadline_ms;
    struct str reason;                         /* of the last change of state */
    bool exited;                               /* exit_code, signal, exit_rank say something */
    int64_t exit_code, signal, exit_rank;
    bool oom;
    struct str last_lines;
    struct record_list placements; /* of struct api_placement; one workload's page alone */
    struct record_list steps;      /* of struct api_step; likewise */
    struct str request;            /* JSON as submitted, without secrets; likewise */
    int32_t tier;                  /* enum workload_tier, while it is live … */
    bool tight;                    /* … and whether it started within a subscription */
};
struct api_workloads {
    struct record_list workloads; /* of struct api_workload */
    struct str cursor;            /* pass it as ?cursor= for more; empty at the end */
};
struct api_bid_change {
    int64_t limit_udollar_per_hour;
};
struct api_changed {
    int64_t seq;
    struct str state;
};

struct api_why {
    struct str id, state;
    struct str obstacle; /* none, no_node, price, menu, protected, contiguity, budget, window, held, forward, paused, power, owner, deadline */
    struct str text;     /* sentences for people */
    struct str pool;
    int64_t needed_milli, free_milli, largest_free_milli;
    int64_t holder_units_milli, holder_limit_udollar_per_hour;
    int64_t ahead;       /* waiting workloads of higher rank */
    int64_t soonest_ms;  /* soonest start known; absent where none is */
    bool has_limit;      /* a higher limit starts it now: this one */
    int64_t start_limit_udollar_per_hour;
    int64_t latest_start_ms, most_udollar; /* a deadline that is promised */
};

struct api_bill_line {
    int64_t attempt;
    struct str kind; /* menu, transfer, displacement, refund, term */
    struct str pool;
    int64_t from_ms, to_ms, units_milli;
    int64_t rate_udollar_per_hour; /* of the whole workload */
    int64_t amount_udollar;
};
struct api_bill {
    struct str id;
    struct record_list lines; /* of struct api_bill_line */
    int64_t sum_udollar;      /* of the lines */
    int64_t open_udollar;     /* charged since, not yet a line */
};

struct api_quote_line {
    struct str freedom; /* as_is, preemptible, any_rack, other_skus, later */
    struct str text;    /* one sentence */
    bool offered;       /* false: it gives this freedom already, or it would change nothing */
    bool fits, starts_now;
    bool above_limit; /* it does not start at its limit, however much is free */
    struct str pool;
    int64_t units_milli;
    int64_t rate_udollar_per_hour;      /* of the whole workload; the parts below add up to it */
    int64_t unit_rate_udollar_per_hour; /* per unit */
    int64_t saves_udollar_per_hour;     /* against as_is */
    int64_t ask_udollar_per_hour, scarcity_udollar_per_hour, premium_udollar_per_hour;
    int64_t credit_udollar_per_hour, transfer_udollar_per_hour, displacement_udollar_per_hour;
    bool promised;        /* with a deadline: it would be done by then … */
    int64_t most_udollar; /* … and cost at most this … */
    int64_t latest_start_ms, finish_by_ms;
};
struct api_quote {
    struct str name, kind;
    int64_t nodes, limit_udollar_per_hour;
    int32_t tier; /* enum workload_tier */
    struct record_list lines; /* of struct api_quote_line, as_is first */
};

/* ---- prices (api_price.c) -------------------------------------------------------------------------- */

/* What of a tier is held in a pool, as last posted. */
struct api_headroom {
    int32_t tier; /* enum workload_tier */
    int64_t held_milli, free_milli, eligible_milli; /* free: of it, on nobody's node; eligible: work that leaves in the tier's time */
    int64_t price_udollar_per_hour, credit_udollar_per_hour;
};
struct api_pool {
    struct str id, name; /* SKU@provider/region/zone */
    struct str sku, accelerator, provider, region, zone;
    struct record_list labels; /* of struct str */
    struct str unit;           /* gpu or core */
    int64_t price_udollar_per_hour; /* posted: marginal + scarcity */
    int64_t marginal_udollar_per_hour, scarcity_udollar_per_hour, guide_udollar_per_hour;
    int64_t lowest_ask_udollar_per_hour;
    int64_t units_milli, used_milli, free_milli, wanted_milli;
    int64_t nodes, running, waiting;
    struct record_list headroom; /* of struct api_headroom: tiers that somebody is subscribed to */
};
struct api_gap {
    int64_t surplus_udollar_per_hour, bound_udollar_per_hour;
    int64_t at_ms;
};
struct api_prices {
    int64_t at_ms, tick_ms;
    struct record_list pools; /* of struct api_pool */
    struct api_gap gap;
};
struct api_price_point {
    int64_t at_ms, price_udollar_per_hour, marginal_udollar_per_hour, scarcity_udollar_per_hour;
    int64_t guide_udollar_per_hour, free_milli, wanted_milli;
};
struct api_price_history {
    struct str pool;
    struct record_list points; /* of struct api_price_point, oldest first */
};
struct api_ask {
    struct str pool, node; /* one of the two: id or name */
    int64_t ask_udollar_per_hour;
};
struct api_ask_set {
    int64_t seq, nodes; /* how many nodes ask this now */
};

/* ---- nodes (api_node.c) ----------------------------------------------------------------------------- */

struct api_node_replica {
    struct str workload, name, project;
    int64_t attempt, role, rank;
    struct str state;
    struct record_list gpus; /* of int64_t */
    struct agent_amounts amounts;
};
struct api_node {
    struct str id, name, state; /* up, draining, lost */
    struct str sku, accelerator, address, pool;
    struct agent_place place;
    struct record_list labels; /* of struct str */
    struct agent_amounts amounts, free;
    int64_t ask_udollar_per_hour;
    int64_t contact_age_ms; /* since the last renewal */
    struct str version;     /* of its agent */
    bool unconfined;
    struct record_list missing;  /* of struct str */
    struct record_list gpus;     /* of struct agent_gpu */
    struct record_list replicas; /* of struct api_node_replica */
};
struct api_nodes {
    struct record_list nodes; /* of struct api_node */
    struct str cursor;
};
struct api_nodes_add {
    struct record_list nodes; /* of struct agent_facts */
};
struct api_nodes_added {
    int64_t seq;
    struct record_list nodes; /* of struct str: ids, in order */
};
struct api_renew {
    struct record_list nodes; /* of struct str: ids */
};
struct api_renewed {
    int64_t renewed;
    struct record_list unknown; /* of struct str: not registered, or given up: register again */
};
struct api_drain {
    bool evict; /* what runs there gets its notice; else it may end by itself */
};
struct api_node_token {
    int64_t valid_ms; /* at most and by default 10 minutes */
};
struct api_node_token_made {
    struct str token;
    int64_t expires_ms;
    struct str command; /* to type on the other machine; empty on loopback alone */
    struct str text;    /* why there is no command and what to do */
};

/* ---- settings, projects, keys (api_project.c, api_key.c) ----------------------------------------------- */

/* All named settings; in a change only those present count. */
struct api_settings {
    int64_t tick_ms, horizon_ms, minimum_run_ms, ramp_permille, fee_permille, term_ms, kill_ms;
    int64_t checkpoint_ms, large_tenant_permille, sweep_candidates;
    int64_t contact_timeout_ms, retain_ms;
    int64_t names_burn; /* 0 or 1 */
    int64_t limit_low_permille, limit_normal_permille, limit_high_permille, limit_critical_permille;
    /* tight starts: the time that a tier promises, and what a unit-hour of it is worth that cannot start */
    int64_t tier_instant_start_ms, tier_seconds_start_ms, tier_minute_start_ms, tier_minutes_start_ms;
    int64_t tier_instant_loss_udollar_per_hour, tier_seconds_loss_udollar_per_hour;
    int64_t tier_minute_loss_udollar_per_hour, tier_minutes_loss_udollar_per_hour;
    bool tick_present, horizon_present, minimum_run_present, ramp_present, fee_present, term_present;
    bool kill_present, checkpoint_present, large_tenant_present, sweep_present;
    bool contact_timeout_present, retain_present;
    bool low_present, normal_present, high_present, critical_present;
    bool names_burn_present;
    bool instant_start_present, seconds_start_present, minute_start_present, minutes_start_present;
    bool instant_loss_present, seconds_loss_present, minute_loss_present, minutes_loss_present;
};

extern const char *const api_quota_kind_names[]; /* by enum engine_quota_kind */
struct api_quota {
    int32_t kind;
    struct str type; /* empty: all together */
    int64_t total, used_milli;
};
struct api_quota_set {
    int32_t kind;
    struct str type;
    int64_t total; /* present: the new one; absent: lifted */
    bool total_present;
};
struct api_quotas_set {
    struct record_list quotas; /* of struct api_quota_set */
};
struct api_project {
    struct str id, name;
    bool limited; /* false: billed without limit, budget_udollar says nothing */
    int64_t budget_udollar, spent_udollar;
    struct record_list quotas; /* of struct api_quota */
};
struct api_projects {
    struct record_list projects; /* of struct api_project */
};
struct api_project_create {
    struct str name;
    int64_t budget_udollar; /* present: limited */
    bool budget_present;
};
struct api_project_change {
    int64_t budget_udollar;
    bool budget_present, unlimited; /* one of the two */
};

/* Tight starts (api_subscription.c). */
struct api_subscription_set {
    struct str project; /* name or id */
    int32_t tier;       /* enum workload_tier */
    int64_t units;      /* 0 ends it */
    int64_t rate_udollar_per_hour;
    struct str sku, accelerator, provider, region, zone; /* in which pools; empty: any */
    struct record_list labels; /* of struct str */
};
struct api_subscription {
    struct str project; /* name */
    int32_t tier;
    int64_t start_ms;   /* promised */
    struct str sku, accelerator, provider, region, zone;
    struct record_list labels; /* of struct str */
    int64_t units_milli, held_milli, used_milli, ready_milli;
    int64_t rate_udollar_per_hour; /* per unit-hour of what is held */
    int64_t charged_udollar;       /* since it began */
    bool unpaid;        /* its project cannot pay for it: nothing is held */
};
struct api_subscriptions {
    struct record_list subscriptions; /* of struct api_subscription */
};

struct api_control_plane_create {
    struct str name, address, kubeconfig, join_command;
    struct str region, k8s_version;
};
struct api_control_plane {
    struct str id, name, address, region, k8s_version;
    struct str state;   /* free, assigned, ready, used */
    struct str cluster; /* id */
    int64_t created_ms;
};
struct api_control_planes {
    struct record_list control_planes; /* of struct api_control_plane */
};

struct api_provider_create {
    struct str name, url, key, pin, project;
    bool insecure;
    int64_t margin_permille, nodes, idle_ms, poll_ms;
    bool margin_present;
};
struct api_bought {
    struct str node, bid, status, type, region;
    int64_t limit_udollar_per_hour, price_udollar_per_hour;
};
struct api_provider {
    struct str name, url, state, problem;
    int64_t margin_permille, nodes, idle_ms, poll_ms;
    struct record_list bought; /* of struct api_bought */
};
struct api_providers {
    struct record_list providers; /* of struct api_provider */
};

struct api_webhook_create {
    struct str name, project, url;
    struct record_list types; /* of struct str; none = all */
};
struct api_webhook {
    struct str id, name, project, url;
    struct record_list types; /* of struct str */
    struct str secret;        /* in the answer to its making alone */
    struct str state;         /* active, failing, disabled */
    struct str error;
    int64_t status, attempts, waiting;
    int64_t next_ms, failing_ms, disabled_ms;
    int64_t delivered, delivered_ms;
    struct str tested;
    int64_t created_ms;
};
struct api_webhooks {
    struct record_list webhooks; /* of struct api_webhook */
};
struct api_webhook_tested {
    struct str id;
};

struct api_key {
    struct str id, snippet; /* the first letters */
    struct str role;        /* admin, operator, member, viewer, agent */
    struct str project;     /* name; empty = all */
    struct str principal;   /* name of whom it was made for */
    struct str node;        /* of an agent's key: bound to it */
    int64_t created_ms, expires_ms; /* expires 0 = never */
    bool revoked;
};
struct api_keys {
    struct record_list keys; /* of struct api_key */
};
struct api_key_create {
    struct str role, project, name;
    int64_t valid_ms; /* 0 = until it is revoked */
};
struct api_key_created {
    struct str id, key; /* shown this once */
};
struct api_whoami {
    struct str role, project, principal, version;
    int64_t seq, now_ms;
};

/* ---- ledger, events (api_ledger.c, api_event.c) -------------------------------------------------------- */

struct api_entry {
    struct str id; /* of its event: SEQ-POSITION */
    int64_t at_ms;
    struct str debit, credit; /* project:NAME, pool:NAME, carry:NAME, seller:ID, fee, external */
    int64_t amount_udollar;
    struct str workload, pool;
};
struct api_ledger {
    struct record_list entries; /* of struct api_entry, oldest first */
    struct str cursor;
};

/* The data of a server-sent event; its `event:` is type, its `id:` is SEQ-POSITION. */
struct api_event {
    struct str type;
    int64_t at_ms;
    struct str project, workload, name, node, node_name, pool; /* project, pool: by name */
    int64_t attempt, rank;
    struct str state, reason, text;
    int64_t rate_udollar_per_hour, amount_udollar, units_milli, from_ms, to_ms;
    int64_t limit_udollar_per_hour, deadline_ms, exit_code, signal;
    int64_t price_udollar_per_hour, marginal_udollar_per_hour, scarcity_udollar_per_hour;
    int64_t guide_udollar_per_hour, free_milli, wanted_milli, used_milli;
    int64_t surplus_udollar_per_hour, bound_udollar_per_hour;
    struct str debit, credit;
    struct str setting;
    int64_t value, budget_udollar;
    struct str tier;                 /* of a subscription, of headroom … */
    int64_t credit_udollar_per_hour; /* … and the credit that comes with it */
};

/* ---- console -------------------------------------------------------------------------------------------- */

struct api_console_code {
    struct str code; /* once, for two minutes */
    struct str url;
    int64_t expires_ms;
};
struct api_console_sign_in {
    struct str code;
};

extern const struct record api_error_record, api_error_body_record;
extern const struct record api_created_record, api_placement_record, api_step_record;
extern const struct record api_workload_record, api_workloads_record, api_bid_change_record;
extern const struct record api_changed_record, api_why_record;
extern const struct record api_bill_line_record, api_bill_record;
extern const struct record api_quote_line_record, api_quote_record;
extern const struct record api_headroom_record, api_pool_record, api_gap_record, api_prices_record;
extern const struct record api_price_point_record, api_price_history_record;
extern const struct record api_ask_record, api_ask_set_record;
extern const struct record api_node_replica_record, api_node_record, api_nodes_record;
extern const struct record api_nodes_add_record, api_nodes_added_record;
extern const struct record api_renew_record, api_renewed_record, api_drain_record;
extern const struct record api_node_token_record, api_node_token_made_record;
extern const struct record api_settings_record;
extern const struct record api_quota_record, api_quota_set_record, api_quotas_set_record;
extern const struct record api_project_record, api_projects_record;
extern const struct record api_project_create_record, api_project_change_record;
extern const struct record api_provider_create_record, api_provider_record, api_providers_record;
extern const struct record api_subscription_set_record, api_subscription_record, api_subscriptions_record;
extern const struct record api_control_plane_create_record, api_control_plane_record, api_control_planes_record;
extern const struct record api_webhook_create_record, api_webhook_record, api_webhooks_record, api_webhook_tested_record;
extern const struct record api_key_record, api_keys_record;
extern const struct record api_key_create_record, api_key_created_record, api_whoami_record;
extern const struct record api_entry_record, api_ledger_record, api_event_record;
extern const struct record api_console_code_record, api_console_sign_in_record;
