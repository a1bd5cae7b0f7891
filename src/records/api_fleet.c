/* SPDX-License-Identifier: Apache-2.0 */
#include "records/api.h"
#include "records/object.h"
#include "market/market.h"
#include "records/table.h"
#include "records/workload.h"

/* ---- nodes ---------------------------------------------------------------------------------------- */

#define R api_node_replica
static const struct field api_node_replica_fields[] = {
    TEXT(R, workload, KEEP, "Id of the workload."),
    TEXT(R, name, OMIT, "Its name."),
    TEXT(R, project, KEEP, "Name of its project."),
    COUNT(R, attempt, KEEP, NULL, "Attempt, from 1."),
    COUNT(R, role, OMIT, NULL, "Role in the workload."),
    COUNT(R, rank, KEEP, NULL, "Rank in the gang."),
    TEXT(R, state, KEEP, "assigned, running or ended."),
    NUMBERS(R, gpus, OMIT, 64, "Indices of its GPUs."),
    INLINE(R, amounts, agent_amounts, "What it takes."),
};
RECORD(api_node_replica, "A replica on a node.");

#define N api_node
static const struct field api_node_fields[] = {
    TEXT(N, id, KEEP, "Id."),
    TEXT(N, name, KEEP, "Name, unique in the fleet."),
    TEXT(N, state, KEEP, "up, draining or lost."),
    TEXT(N, sku, KEEP, "Make."),
    TEXT(N, accelerator, OMIT, "GPU model."),
    TEXT(N, address, KEEP, "Address at which replicas reach one another."),
    TEXT(N, pool, OMIT, "Name of its pool."),
    INLINE(N, place, agent_place, "Where it stands."),
    TEXTS(N, labels, OMIT, 16, "Labels."),
    INLINE(N, amounts, agent_amounts, "What it gives to workloads."),
    INLINE(N, free, agent_amounts, "What is free of it."),
    COUNT(N, ask_udollar_per_hour, KEEP, UNIT_RATE, "Rate under which its units do not run."),
    COUNT(N, contact_age_ms, KEEP, "ms", "Time since its last renewal."),
    TEXT(N, version, OMIT, "Version of its agent."),
    FLAG(N, unconfined, OMIT, "Work runs there as the agent's own user."),
    TEXTS(N, missing, OMIT, 64, "Capabilities that its agent goes without."),
    LIST(N, gpus, OMIT, agent_gpu, 64, "Its GPUs."),
    LIST(N, replicas, OMIT, api_node_replica, AGENT_REPLICAS_MAX, "What is on it."),
};
RECORD(api_node, "A node.");

static const struct field api_nodes_fields[] = {
    LIST(api_nodes, nodes, KEEP, api_node, ANSWER_MOST, "Nodes."),
    TEXT(api_nodes, cursor, OMIT, "Pass it as ?cursor= for more; empty at the end."),
};
RECORD(api_nodes, "A page of nodes.");

static const struct field api_nodes_add_fields[] = {
    LIST(api_nodes_add, nodes, FIELD_REQUIRED, agent_facts, 1000, "Nodes to register."),
};
RECORD(api_nodes_add, "Many nodes at once.");

static const struct field api_nodes_added_fields[] = {
    COUNT(api_nodes_added, seq, KEEP, NULL, "Number in the journal that holds them."),
    TEXTS(api_nodes_added, nodes, KEEP, ANSWER_MOST, "Their ids, in order."),
};
RECORD(api_nodes_added, "The answer to a registration of many.");

static const struct field api_renew_fields[] = {
    TEXTS(api_renew, nodes, FIELD_REQUIRED, 20000, "Ids of the nodes that are in contact."),
};
RECORD(api_renew, "A renewal for many nodes.");

static const struct field api_renewed_fields[] = {
    COUNT(api_renewed, renewed, KEEP, "nodes", "How many were renewed."),
    TEXTS(api_renewed, unknown, OMIT, ANSWER_MOST,
          "Not registered, or given up: register these again."),
};
RECORD(api_renewed, "The answer to a renewal.");

static const struct field api_drain_fields[] = {
    FLAG(api_drain, evict, OMIT, "What runs there gets its notice; else it may end by itself."),
};
RECORD(api_drain, "How a node is drained.");

static const struct field api_node_token_fields[] = {
    RANGE(api_node_token, valid_ms, OMIT, 0, 600000, "ms",
          "How long it works; 0: the most, 10 minutes."),
};
RECORD(api_node_token, "A request for a token that lets one machine join.");

static const struct field api_node_token_made_fields[] = {
    TEXT(api_node_token_made, token, KEEP, "The token, good once."),
    COUNT(api_node_token_made, expires_ms, KEEP, TIME_UNIT, "When it stops working."),
    TEXT(api_node_token_made, command, OMIT, "What to type on the other machine."),
    TEXT(api_node_token_made, text, OMIT, "Why there is no command, and what to do."),
};
RECORD(api_node_token_made, "A token that lets one machine join.");

/* ---- projects and keys ---------------------------------------------------------------------------- */

const char *const api_quota_kind_names[] = {"instances", "gpus", "cores", "bids", "reserved", "volumes", "storage", NULL};

static const struct field api_quota_fields[] = {
    {"kind", FIELD_ENUM, AT(api_quota, kind), .names = api_quota_kind_names, .doc = "Of what."},
    TEXT(api_quota, type, OMIT, "Make of node that it is of; empty: all together."),
    COUNT(api_quota, total, KEEP, "of it, storage in GB", "The most at a time."),
    COUNT(api_quota, used_milli, KEEP, "1/1000", "In use now."),
};
RECORD(api_quota, "What a project may have at a time.");

static const struct field api_quota_set_fields[] = {
    {"kind", FIELD_ENUM, AT(api_quota_set, kind), .flags = FIELD_REQUIRED, .names = api_quota_kind_names, .doc = "Of what."},
    SHORT(api_quota_set, type, OMIT, 63, "Make of node that it is of; empty: all together. Volumes and storage have none."),
    PRESENT(api_quota_set, total, total_present, 0, INT64_C(1000000000000), "of it, storage in GB", "The most at a time; absent: no limit."),
};
RECORD(api_quota_set, "A quota.");

static const struct field api_quotas_set_fields[] = {
    LIST(api_quotas_set, quotas, FIELD_REQUIRED, api_quota_set, 256, "Each as it is to be; others stay."),
};
RECORD(api_quotas_set, "Quotas of a project.");

static const struct field api_project_fields[] = {
    TEXT(api_project, id, KEEP, "Id."),
    TEXT(api_project, name, KEEP, "Name."),
    FLAG(api_project, limited, KEEP, "False: billed without limit."),
    COUNT(api_project, budget_udollar, OMIT, "µ$", "What it may spend in all."),
    COUNT(api_project, spent_udollar, KEEP, "µ$", "What it spent, refunds taken off."),
    LIST(api_project, quotas, OMIT, api_quota, ANSWER_MOST, "Its quotas."),
};
RECORD(api_project, "A project.");

static const struct field api_projects_fields[] = {
    LIST(api_projects, projects, KEEP, api_project, ANSWER_MOST, "Projects."),
};
RECORD(api_projects, "Projects.");

static const struct field api_project_create_fields[] = {
    SHORT(api_project_create, name, FIELD_REQUIRED, 63,
          "Name: small letters, digits and `-`, unique."),
    PRESENT(api_project_create, budget_udollar, budget_present, 0, MONEY_MOST, "µ$",
            "What it may spend in all; absent: no limit."),
};
RECORD(api_project_create, "A new project.");

static const struct field api_project_change_fields[] = {
    PRESENT(api_project_change, budget_udollar, budget_present, 0, MONEY_MOST, "µ$",
            "What it may spend in all; this or unlimited."),
    FLAG(api_project_change, unlimited, OMIT, "Takes its budget away: billed without limit."),
};
RECORD(api_project_change, "A change of a project.");

#define S api_subscription_set
static const struct field api_subscription_set_fields[] = {
    SHORT(S, project, FIELD_REQUIRED, NAME_MOST, "Project, by name or id."),
    {"tier", FIELD_ENUM, AT(S, tier), .names = workload_tier_names, .flags = FIELD_REQUIRED,
     .doc = "How soon its work starts: the operator's settings say the time of each tier."},
    RANGE(S, units, FIELD_REQUIRED, 0, MARKET_UNITS_MAX, "units", "Units that it may start so; 0 ends the subscription."),
    RANGE(S, rate_udollar_per_hour, OMIT, 0, RATE_MOST, UNIT_RATE, "What it pays for each unit while that is held and not in use."),
    SHORT(S, sku, OMIT, NAME_MOST, "Make of the nodes; empty: any."),
    SHORT(S, accelerator, OMIT, NAME_MOST, "GPU model; empty: any."),
    SHORT(S, provider, OMIT, NAME_MOST, "Who supplies the nodes; empty: any."),
    SHORT(S, region, OMIT, NAME_MOST, "Region; empty: any."),
    SHORT(S, zone, OMIT, NAME_MOST, "Zone; empty: any."),
    TEXTS(S, labels, OMIT, MARKET_LABELS_MAX, "Labels that must stand on the nodes."),
};
RECORD(api_subscription_set, "How many units a project may start within a tier's time, in which pools. One of the same project, tier and "
       "pools is changed.");

#undef S
#define S api_subscription
static const struct field api_subscription_fields[] = {
    TEXT(S, project, KEEP, "Name of the project."),
    {"tier", FIELD_ENUM, AT(S, tier), .names = workload_tier_names, .doc = "Tier."},
    COUNT(S, start_ms, KEEP, "ms", "Within so long its work starts."),
    TEXT(S, sku, OMIT, "Make of the nodes; absent: any."),
    TEXT(S, accelerator, OMIT, "GPU model; absent: any."),
    TEXT(S, provider, OMIT, "Who supplies the nodes; absent: any."),
    TEXT(S, region, OMIT, "Region; absent: any."),
    TEXT(S, zone, OMIT, "Zone; absent: any."),
    TEXTS(S, labels, OMIT, MARKET_LABELS_MAX, "Labels of the nodes."),
    COUNT(S, units_milli, KEEP, "unit/1000", "Units that it may start so."),
    COUNT(S, held_milli, KEEP, "unit/1000", "Units held for it now."),
    COUNT(S, used_milli, KEEP, "unit/1000", "Units of work that started so and runs."),
    COUNT(S, ready_milli, KEEP, "unit/1000", "The most that is held for it on one node."),
    COUNT(S, rate_udollar_per_hour, KEEP, UNIT_RATE, "What it pays for each unit while that is held and not in use."),
    COUNT(S, charged_udollar, KEEP, "µ$", "What was paid for what was held, since it began."),
    FLAG(S, unpaid, OMIT, "Its project cannot pay for another tick: nothing is held."),
};
RECORD(api_subscription, "What a project is subscribed to of a tier.");

static const struct field api_subscriptions_fields[] = {
    LIST(api_subscriptions, subscriptions, KEEP, api_subscription, ANSWER_MOST, "Subscriptions."),
};
RECORD(api_subscriptions, "Subscriptions to tiers.");

static const struct field api_control_plane_create_fields[] = {
    SHORT(api_control_plane_create, name, FIELD_REQUIRED, NAME_MOST, "Name, unique."),
    SHORT(api_control_plane_create, address, OMIT, 1024, "Where it answers, `https://HOST:PORT`; absent: as the kubeconfig says."),
    SHORT(api_control_plane_create, kubeconfig, FIELD_REQUIRED, OBJECT_KUBECONFIG_MOST,
          "A kubeconfig with its certificates and token in it; read to ask whether it is ready, never shown again."),
    SHORT(api_control_plane_create, join_command, FIELD_REQUIRED, OBJECT_JOIN_MOST, "What a worker runs, as root, to join."),
    SHORT(api_control_plane_create, region, OMIT, NAME_MOST, "The one region of its workers; absent: any."),
    SHORT(api_control_plane_create, k8s_version, OMIT, 16, "1.34 or 1.29; absent: 1.34."),
};
RECORD(api_control_plane_create, "A control plane of Kubernetes, for a cluster to have.");

static const struct field api_control_plane_fields[] = {
    TEXT(api_control_plane, id, KEEP, "Id."),
    TEXT(api_control_plane, name, KEEP, "Name."),
    TEXT(api_control_plane, address, KEEP, "Where it answers."),
    TEXT(api_control_plane, region, OMIT, "The one region of its workers."),
    TEXT(api_control_plane, k8s_version, KEEP, "Version of Kubernetes."),
    TEXT(api_control_plane, state, KEEP, "free; assigned: not yet seen to be ready; ready; used: its cluster was deleted, remove it and register it anew."),
    TEXT(api_control_plane, cluster, OMIT, "The cluster that has it."),
    COUNT(api_control_plane, created_ms, KEEP, TIME_UNIT, "When it was registered."),
};
RECORD(api_control_plane, "A control plane of Kubernetes.");

static const struct field api_control_planes_fields[] = {
    LIST(api_control_planes, control_planes, KEEP, api_control_plane, ANSWER_MOST, "Control planes, oldest first."),
};
RECORD(api_control_planes, "Control planes.");

#define P api_provider_create
static const struct field api_provider_create_fields[] = {
    SHORT(P, name, FIELD_REQUIRED, 24, "Name, unique: small letters, digits and `-`; the provider in the place of its nodes."),
    SHORT(P, url, FIELD_REQUIRED, 1000, "Where it answers, without `/v2`."),
    SHORT(P, key, FIELD_REQUIRED, 500, "API key there; never shown again."),
    SHORT(P, pin, OMIT, 120, "`sha256//…` of its certificate, where no authority vouches for it."),
    SHORT(P, project, OMIT, 64, "Project there that pays; absent: the first that the key sees."),
    FLAG(P, insecure, OMIT, "Allow plain http beyond this machine."),
    PRESENT(P, margin_permille, margin_present, 0, 1000000, "thousandths", "By so much work must be worth more than it costs there; absent: 100."),
    RANGE(P, nodes, OMIT, 0, 64, "nodes", "The most at one time; absent: 4."),
    RANGE(P, idle_ms, OMIT, 0, 24 * 3600 * 1000, "ms", "A node without work is given back after it; absent: 5 minutes."),
    RANGE(P, poll_ms, OMIT, 0, 3600 * 1000, "ms", "How often the seller is asked; absent: 10 seconds."),
};
RECORD(api_provider_create, "A server to buy capacity from.");
#undef P

static const struct field api_bought_fields[] = {
    TEXT(api_bought, node, KEEP, "Name of the node, and of the bid there."),
    TEXT(api_bought, bid, OMIT, "Id of the bid there."),
    TEXT(api_bought, status, KEEP, "wanted, open, allocated, preempting, paused, ended, ending."),
    TEXT(api_bought, type, KEEP, "Instance type."),
    TEXT(api_bought, region, KEEP, "Region there."),
    COUNT(api_bought, limit_udollar_per_hour, KEEP, HOUR_RATE, "Bid, per instance."),
    COUNT(api_bought, price_udollar_per_hour, KEEP, HOUR_RATE, "Posted there, per instance."),
};
RECORD(api_bought, "A node that was bought, or is bid for.");

static const struct field api_provider_fields[] = {
    TEXT(api_provider, name, KEEP, "Name."),
    TEXT(api_provider, url, KEEP, "Where it answers."),
    TEXT(api_provider, state, KEEP, "buying; resting: what it sold last was of no use, it buys again after a while; leaving."),
    TEXT(api_provider, problem, OMIT, "What went wrong at the last look."),
    COUNT(api_provider, margin_permille, KEEP, "thousandths", "By so much work must be worth more than it costs there."),
    COUNT(api_provider, nodes, KEEP, "nodes", "The most at one time."),
    COUNT(api_provider, idle_ms, KEEP, "ms", "A node without work is given back after it."),
    COUNT(api_provider, poll_ms, KEEP, "ms", "How often the seller is asked."),
    LIST(api_provider, bought, KEEP, api_bought, ANSWER_MOST, "What is bought there."),
};
RECORD(api_provider, "A server that capacity is bought from.");

static const struct field api_providers_fields[] = {
    LIST(api_providers, providers, KEEP, api_provider, ANSWER_MOST, "Providers, oldest first."),
};
RECORD(api_providers, "Providers.");

static const struct field api_webhook_create_fields[] = {
    SHORT(api_webhook_create, name, FIELD_REQUIRED, 63, "Name: letters, digits, `.`, `_`, `-`; unique in its project."),
    SHORT(api_webhook_create, project, OMIT, NAME_MOST, "Project whose events it is told, by name or id; empty: the key's, else `default`."),
    SHORT(api_webhook_create, url, FIELD_REQUIRED, 2048, "Where it is told: https://HOST/PATH, on the public internet unless the operator allows others."),
    TEXTS(api_webhook_create, types, OMIT, 16, "Types of events: workload_started, workload_preempting, workload_finished, workload_failed, workload_cancelled, "
          "budget; absent: all of them."),
};
RECORD(api_webhook_create, "A new webhook.");

#define H api_webhook
static const struct field api_webhook_fields[] = {
    TEXT(H, id, KEEP, "Id."),
    TEXT(H, name, KEEP, "Name, unique in its project."),
    TEXT(H, project, KEEP, "Name of the project whose events it is told."),
    TEXT(H, url, KEEP, "Where it is told."),
    TEXTS(H, types, KEEP, 16, "Types of events."),
    TEXT(H, secret, OMIT, "With which its messages are signed; shown this once."),
    TEXT(H, state, KEEP, "active; failing: the next attempt follows; disabled: given up, remove it and add it anew."),
    TEXT(H, error, OMIT, "Why the last attempt was in vain."),
    COUNT(H, status, OMIT, NULL, "Status of the last answer; absent: none came."),
    COUNT(H, attempts, OMIT, "attempts", "In vain, at the first message that waits."),
    COUNT(H, waiting, OMIT, "messages", "How many wait."),
    COUNT(H, next_ms, OMIT, TIME_UNIT, "When it is tried again."),
    COUNT(H, failing_ms, OMIT, TIME_UNIT, "Since when nothing arrives."),
    COUNT(H, disabled_ms, OMIT, TIME_UNIT, "When it was given up."),
    COUNT(H, delivered, KEEP, "messages", "How many arrived."),
    COUNT(H, delivered_ms, OMIT, TIME_UNIT, "When the last one arrived."),
    TEXT(H, tested, OMIT, "Id of the last test that arrived."),
    COUNT(H, created_ms, KEEP, TIME_UNIT, "When it was made."),
};
RECORD(api_webhook, "A webhook.");

static const struct field api_webhooks_fields[] = {
    LIST(api_webhooks, webhooks, KEEP, api_webhook, ANSWER_MOST, "Webhooks, oldest first."),
};
RECORD(api_webhooks, "Webhooks.");

static const struct field api_webhook_tested_fields[] = {
    TEXT(api_webhook_tested, id, KEEP, "Id of the test; the webhook shows it as `tested` once it has arrived."),
};
RECORD(api_webhook_tested, "A test on its way.");

#define K api_key
static const struct field api_key_fields[] = {
    TEXT(K, id, KEEP, "Id."),
    TEXT(K, snippet, KEEP, "Its first letters."),
    TEXT(K, role, KEEP, "admin, operator, member, viewer or agent."),
    TEXT(K, project, OMIT, "Name of the project that it is bound to; empty: all."),
    TEXT(K, principal, OMIT, "Whom it was made for."),
    TEXT(K, node, OMIT, "Node that an agent's key is bound to."),
    COUNT(K, created_ms, KEEP, TIME_UNIT, "When it was made."),
    COUNT(K, expires_ms, OMIT, TIME_UNIT, "When it stops working; 0: never."),
    FLAG(K, revoked, OMIT, "Whether it was revoked."),
};
RECORD(api_key, "A key, without its secret.");

static const struct field api_keys_fields[] = {
    LIST(api_keys, keys, KEEP, api_key, ANSWER_MOST, "Keys."),
};
RECORD(api_keys, "Keys.");

static const struct field api_key_create_fields[] = {
    SHORT(api_key_create, role, FIELD_REQUIRED, 16, "admin, operator, member or viewer."),
    SHORT(api_key_create, project, OMIT, NAME_MOST, "Project that it is bound to; empty: all."),
    SHORT(api_key_create, name, OMIT, NAME_MOST, "Whom it is made for."),
    RANGE(api_key_create, valid_ms, OMIT, 0, SPAN_MOST * 10, "ms",
          "How long it works; 0: until it is revoked."),
};
RECORD(api_key_create, "A new key.");

static const struct field api_key_created_fields[] = {
    TEXT(api_key_created, id, KEEP, "Id."),
    TEXT(api_key_created, key, KEEP, "The key, shown this once."),
};
RECORD(api_key_created, "A key that was made.");

static const struct field api_whoami_fields[] = {
    TEXT(api_whoami, role, KEEP, "Role of the key."),
    TEXT(api_whoami, project, OMIT, "Project that the key is bound to; empty: all."),
    TEXT(api_whoami, principal, OMIT, "Whom the key was made for."),
    TEXT(api_whoami, version, KEEP, "Version of the server."),
    COUNT(api_whoami, seq, KEEP, NULL, "Number in the journal that was applied last."),
    COUNT(api_whoami, now_ms, KEEP, TIME_UNIT, "The server's clock."),
};
RECORD(api_whoami, "Who is asking, and whom.");
