/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of what may be asked, of whom, with what and for what. */
#include "server/api_route.h"

#define MAY(role) (1u << ROLE_##role)
#define ADMIN MAY(ADMIN)
#define OPERATOR (ADMIN | MAY(OPERATOR))
#define MEMBER (OPERATOR | MAY(MEMBER))
#define VIEWER (MEMBER | MAY(VIEWER))
#define AGENT MAY(AGENT)
#define JOIN MAY(JOIN)
#define ANYBODY 0

#define PAGE "limit cursor"

/* clang-format off */
const struct api_route api_routes[] = {
    /* workloads */
    {HTTP_POST, "/v1/workloads", MEMBER, &workload_request_record, &api_created_record, NULL,
     "Submits a workload: JSON, or a task file as application/yaml. 201 where it was made, 200 where "
     "its Idempotency-Key was known.",
     .handle = route_workload_submit, .takes = "application/json application/yaml", .status = 201},
    {HTTP_GET, "/v1/workloads", VIEWER, NULL, &api_workloads_record, "project state " PAGE,
     "Lists workloads, newest first.",
     .read = route_workload_list, .tables = true},
    {HTTP_GET, "/v1/workloads/{id}", VIEWER, NULL, &api_workload_record, NULL,
     "One workload with its placements and its history.",
     .read = route_workload_get, .tables = true},
    {HTTP_PATCH, "/v1/workloads/{id}", MEMBER, &api_bid_change_record, &api_changed_record, NULL,
     "Changes the limit of its bid.",
     .read = route_workload_bid},
    {HTTP_POST, "/v1/workloads/{id}/cancel", MEMBER, NULL, &api_changed_record, NULL,
     "Cancels it: gone where it waits, ended with its notice where it runs.",
     .read = route_workload_cancel},
    {HTTP_POST, "/v1/workloads/{id}/pause", MEMBER, NULL, &api_changed_record, NULL,
     "Pauses it: ended with its notice where it runs, and held back until it is resumed.",
     .read = route_workload_pause},
    {HTTP_POST, "/v1/workloads/{id}/resume", MEMBER, NULL, &api_changed_record, NULL,
     "Resumes it: it competes again, with the rank that it had.",
     .read = route_workload_resume},
    {HTTP_GET, "/v1/workloads/{id}/why", VIEWER, NULL, &api_why_record, NULL,
     "What blocks it, the soonest start known, and the limit that starts it now.",
     .read = route_workload_why},
    {HTTP_GET, "/v1/workloads/{id}/bill", VIEWER, NULL, &api_bill_record, NULL,
     "What it cost, line by line.",
     .read = route_workload_bill, .tables = true},
    {HTTP_GET, "/v1/workloads/{id}/logs", VIEWER, NULL, NULL, "rank role attempt offset follow",
     "The log of one replica, from a byte on; with follow=1 until it has ended.",
     .read = route_log_get, .gives = "text/plain"},
    {HTTP_POST, "/v1/quote", VIEWER, &workload_request_record, &api_quote_record, NULL,
     "What a workload would cost now, and what each freedom would save.",
     .handle = route_workload_quote, .takes = "application/json application/yaml"},
    /* prices */
    {HTTP_GET, "/v1/prices", VIEWER, NULL, &api_prices_record, NULL,
     "The posted price of each pool.",
     .read = route_price_list},
    {HTTP_GET, "/v1/prices/history", VIEWER, NULL, &api_price_history_record, "pool from_ms to_ms step_ms",
     "What a pool posted, oldest first.",
     .read = route_price_history},
    {HTTP_POST, "/v1/asks", OPERATOR, &api_ask_record, &api_ask_set_record, NULL,
     "Sets the ask of a node, or of every node of a pool.",
     .read = route_ask_set},
    /* nodes */
    {HTTP_GET, "/v1/nodes", OPERATOR, NULL, &api_nodes_record, PAGE,
     "Lists nodes with what runs on them.",
     .read = route_node_list},
    {HTTP_POST, "/v1/nodes", OPERATOR, &api_nodes_add_record, &api_nodes_added_record, NULL,
     "Registers many nodes at once.",
     .handle = route_node_add},
    {HTTP_POST, "/v1/nodes/renew", OPERATOR, &api_renew_record, &api_renewed_record, NULL,
     "Renews the contact of many nodes.",
     .handle = route_node_renew},
    {HTTP_GET, "/v1/nodes/{node}", OPERATOR, NULL, &api_node_record, NULL,
     "One node, by id or name.",
     .read = route_node_get},
    {HTTP_POST, "/v1/nodes/{node}/drain", OPERATOR, &api_drain_record, &api_changed_record, NULL,
     "The node takes nothing new.",
     .read = route_node_drain},
    {HTTP_POST, "/v1/nodes/{node}/undrain", OPERATOR, NULL, &api_changed_record, NULL,
     "The node takes work again.",
     .read = route_node_undrain},
    {HTTP_POST, "/v1/node-tokens", OPERATOR, &api_node_token_record, &api_node_token_made_record, NULL,
     "Makes a token with which one machine may join.",
     .handle = route_token_make, .status = 201},
    /* settings, projects, keys */
    {HTTP_GET, "/v1/settings", VIEWER, NULL, &api_settings_record, NULL,
     "The operator's settings.",
     .read = route_settings_get},
    {HTTP_PATCH, "/v1/settings", OPERATOR, &api_settings_record, &api_settings_record, NULL,
     "Changes the settings that are present.",
     .handle = route_settings_set},
    {HTTP_GET, "/v1/projects", VIEWER, NULL, &api_projects_record, NULL,
     "Lists the projects that the key sees.",
     .read = route_project_list},
    {HTTP_POST, "/v1/projects", ADMIN, &api_project_create_record, &api_project_record, NULL,
     "Makes a project.",
     .handle = route_project_create, .status = 201},
    {HTTP_GET, "/v1/projects/{project}", VIEWER, NULL, &api_project_record, NULL,
     "One project, by name or id.",
     .read = route_project_get},
    {HTTP_PATCH, "/v1/projects/{project}", ADMIN, &api_project_change_record, &api_project_record, NULL,
     "Changes its budget.",
     .handle = route_project_set},
    {HTTP_POST, "/v1/projects/{project}/quotas", OPERATOR, &api_quotas_set_record, &api_project_record, NULL,
     "Sets what the project may have at a time; what runs goes on.",
     .handle = route_project_quotas},
    {HTTP_GET, "/v1/subscriptions", VIEWER, NULL, &api_subscriptions_record, "project",
     "Lists subscriptions to tiers of tight starts: all, or of the key's own project.",
     .read = route_subscription_list},
    {HTTP_PUT, "/v1/subscriptions", OPERATOR, &api_subscription_set_record, &api_subscriptions_record, NULL,
     "Says how many units a project may start within a tier's time; answers all that it is subscribed to.",
     .handle = route_subscription_set},
    {HTTP_GET, "/v1/control-planes", OPERATOR, NULL, &api_control_planes_record, NULL,
     "Lists the control planes of Kubernetes that clusters have or may have.",
     .read = route_control_plane_list},
    {HTTP_POST, "/v1/control-planes", OPERATOR, &api_control_plane_create_record, &api_control_plane_record, NULL,
     "Registers a control plane; its kubeconfig and join command are not shown again.",
     .read = route_control_plane_create, .status = 201},
    {HTTP_DELETE, "/v1/control-planes/{control_plane}", OPERATOR, NULL, &api_changed_record, NULL,
     "Takes a control plane away, by name or id; refused while a cluster has it.",
     .read = route_control_plane_delete},
    {HTTP_GET, "/v1/providers", OPERATOR, NULL, &api_providers_record, NULL,
     "Lists the servers that capacity is bought from, with what was bought.",
     .read = route_provider_list},
    {HTTP_POST, "/v1/providers", OPERATOR, &api_provider_create_record, &api_provider_record, NULL,
     "Adds a server that speaks Mithril's API to buy from; its key is not shown again.",
     .read = route_provider_create, .status = 201},
    {HTTP_DELETE, "/v1/providers/{provider}", OPERATOR, NULL, &api_changed_record, NULL,
     "Buys nothing there any more: what was bought gets its notice and is given back, then it is forgotten.",
     .read = route_provider_delete},
    {HTTP_GET, "/v1/webhooks", MEMBER, NULL, &api_webhooks_record, "project",
     "Lists the webhooks of the projects that the key sees, without their secrets.",
     .read = route_webhook_list},
    {HTTP_POST, "/v1/webhooks", MEMBER, &api_webhook_create_record, &api_webhook_record, NULL,
     "Makes a webhook; the answer alone shows its secret.",
     .read = route_webhook_create, .status = 201},
    {HTTP_GET, "/v1/webhooks/{webhook}", MEMBER, NULL, &api_webhook_record, "project",
     "One webhook, by id or name, and how it stands.",
     .read = route_webhook_get},
    {HTTP_DELETE, "/v1/webhooks/{webhook}", MEMBER, NULL, &api_changed_record, "project",
     "Takes a webhook away, with what still waits for it.",
     .read = route_webhook_delete},
    {HTTP_POST, "/v1/webhooks/{webhook}/test", MEMBER, NULL, &api_webhook_tested_record, "project",
     "Sends it a message of type `test`, behind those that wait.",
     .read = route_webhook_test},
    {HTTP_GET, "/v1/keys", ADMIN, NULL, &api_keys_record, NULL,
     "Lists keys, without their secrets.",
     .read = route_key_list},
    {HTTP_POST, "/v1/keys", ADMIN, &api_key_create_record, &api_key_created_record, NULL,
     "Makes a key; the answer alone shows it.",
     .handle = route_key_create, .status = 201},
    {HTTP_DELETE, "/v1/keys/{key}", ADMIN, NULL, &api_changed_record, NULL,
     "Revokes a key.",
     .handle = route_key_revoke},
    {HTTP_GET, "/v1/whoami", VIEWER, NULL, &api_whoami_record, NULL,
     "Who is asking, and whom.",
     .read = route_whoami},
    /* history */
    {HTTP_GET, "/v1/ledger", VIEWER, NULL, &api_ledger_record, "project workload sums from_ms to_ms " PAGE,
     "The entries of the ledger, oldest first; or their sums.",
     .read = route_ledger_list, .tables = true},
    {HTTP_GET, "/v1/events", VIEWER, NULL, &api_event_record, "after types workload project",
     "Server-sent events, from now on or from after an id.",
     .handle = route_event_stream, .gives = "text/event-stream"},
    /* archives */
    {HTTP_PUT, "/v1/archives/{sha256}", MEMBER, NULL, NULL, NULL,
     "Uploads an archive of at most 256 MiB: 201 made, 200 there already.",
     .handle = route_archive_put, .admit = route_archive_admit, .takes = "application/octet-stream", .status = 201},
    {HTTP_GET, "/v1/archives/{sha256}", MEMBER | AGENT, NULL, NULL, NULL,
     "An archive; HEAD says whether it is there.",
     .read = route_archive_get, .gives = "application/octet-stream"},
    /* the console */
    {HTTP_POST, "/v1/console/codes", VIEWER, NULL, &api_console_code_record, NULL,
     "Makes a code to sign in to the console with, good once.",
     .handle = route_console_code, .status = 201},
    {HTTP_POST, "/v1/console/session", ANYBODY, &api_console_sign_in_record, NULL, NULL,
     "Signs in: the answer sets a cookie.",
     .handle = route_console_sign_in},
    {HTTP_DELETE, "/v1/console/session", VIEWER, NULL, NULL, NULL,
     "Signs out.",
     .handle = route_console_sign_out},
    /* agents */
    {HTTP_POST, "/v1/agent/join", JOIN, &agent_join_record, &agent_joined_record, NULL,
     "Turns a token into the key of an agent, once.",
     .handle = route_agent_join, .status = 201},
    {HTTP_POST, "/v1/agent/register", AGENT, &agent_facts_record, &agent_registered_record, NULL,
     "Registers the agent's node.",
     .handle = route_agent_register},
    {HTTP_POST, "/v1/agent/poll", AGENT, &agent_poll_record, &agent_desired_record, NULL,
     "Renews contact; answers what should run when that changes.",
     .handle = route_agent_poll},
    {HTTP_POST, "/v1/agent/report", AGENT, &agent_reports_record, &agent_outcomes_record, NULL,
     "Reports starts and ends of replicas.",
     .handle = route_agent_report},
    {HTTP_POST, "/v1/agent/disks", AGENT, &agent_disks_record, &agent_disks_gone_record, NULL,
     "Which of the disks that a node keeps nobody will want again.",
     .read = route_agent_disks},
    {HTTP_POST, "/v1/agent/logs", AGENT, NULL, &agent_log_size_record, "workload attempt role rank offset",
     "Appends to the log of a replica.",
     .handle = route_log_append, .takes = "application/octet-stream"},
    {HTTP_GET, "/v1/binary", AGENT | JOIN, NULL, NULL, NULL,
     "The server's own executable; its ETag is its SHA-256.",
     .read = route_binary_get, .gives = "application/octet-stream"},
    /* the server itself */
    {HTTP_GET, "/openapi.json", ANYBODY, NULL, NULL, NULL,
     "This document.",
     .handle = route_openapi_get, .gives = "application/json"},
    {HTTP_GET, "/healthz", ANYBODY, NULL, NULL, NULL,
     "Whether the server answers.",
     .handle = route_health_get, .gives = "text/plain"},
    {HTTP_GET, "/readyz", ANYBODY, NULL, NULL, NULL,
     "Whether it can write its journal.",
     .handle = route_ready_get, .gives = "text/plain"},
    {HTTP_GET, "/metrics", OPERATOR, NULL, NULL, NULL,
     "Prometheus metrics.",
     .read = route_metrics_get, .gives = "text/plain"},
    {HTTP_GET, "/", ANYBODY, NULL, NULL, NULL,
     "The console.",
     .handle = route_console_page, .gives = "text/html"},
    {HTTP_GET, "/assets/{file}", ANYBODY, NULL, NULL, NULL,
     "What the console's page needs.",
     .handle = route_console_page, .gives = "application/octet-stream"},
};
/* clang-format on */
const size_t api_route_count = ARRAY_COUNT(api_routes);

static const struct api_parameter parameters[] = {
    {"project", "string", "Name or id of a project; the key's own where it is bound to one."},
    {"state", "string", "States, separated by commas."},
    {"limit", "integer", "How many at most."},
    {"cursor", "string", "From the answer before."},
    {"rank", "integer", "Rank of the replica, 0 where absent."},
    {"role", "integer", "Role of the replica, 0 where absent."},
    {"attempt", "integer", "Attempt, from 1; the newest where absent."},
    {"offset", "integer", "Byte to begin at."},
    {"follow", "integer", "1: go on until the replica has ended."},
    {"pool", "string", "Name or id of a pool."},
    {"from_ms", "integer", "Not before this time, ms since 1970."},
    {"to_ms", "integer", "Before this time, ms since 1970."},
    {"step_ms", "integer", "The last one of each span of this length."},
    {"workload", "string", "Id of a workload."},
    {"sums", "integer", "1: one entry for all that went from one account to another, all on one page."},
    {"types", "string", "Types of events, separated by commas."},
    {"after", "string",
     "A journal number that the answer must include; for events, the id to go on from."},
};

const struct api_parameter *api_parameter(struct str name)
{
    for (size_t i = 0; i < ARRAY_COUNT(parameters); i++)
        if (str_is(name, parameters[i].name))
            return &parameters[i];
    return NULL;
}

bool route_takes_parameter(const struct api_route *route, struct str name)
{
    if (route->read && str_is(name, "after"))
        return true;
    struct str rest = str_from(route->query);
    while (rest.size)
        if (str_equal(str_cut(&rest, ' '), name))
            return true;
    return false;
}

static bool pattern_matches(const char *pattern, const struct http_request *r, struct str *ret_name)
{
    struct str rest = str_from(pattern + 1);
    size_t at = 0;
    for (; rest.size; at++) {
        struct str piece = str_cut(&rest, '/');
        if (at == r->segment_count)
            return false;
        if (piece.data[0] == '{')
            *ret_name = r->segments[at];
        else if (!str_equal(piece, r->segments[at]))
            return false;
    }
    return at == r->segment_count;
}

bool path_is_mithril(struct str path)
{
    return str_starts(path, STR("/v2/"));
}

const struct api_route *route_find(const struct http_request *r, struct str *ret_name,
                                   bool *ret_path)
{
    enum http_method method = r->method == HTTP_HEAD ? HTTP_GET : r->method;
    bool mithril = path_is_mithril(r->path);
    const struct api_route *routes = mithril ? mithril_routes : api_routes;
    for (size_t i = 0; i < (mithril ? mithril_route_count : api_route_count); i++) {
        struct str name = {0};
        if (!pattern_matches(routes[i].pattern, r, &name))
            continue;
        *ret_path = true;
        if (routes[i].method != method)
            continue;
        *ret_name = name;
        return &routes[i];
    }
    return NULL;
}
