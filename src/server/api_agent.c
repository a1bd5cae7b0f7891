/* SPDX-License-Identifier: Apache-2.0 */
/* What agents say: joining, registration, reports. Polls: api_poll.c; logs: api_log.c. */
#include "server/api_route.h"

#include "base/clock.h"
#include "wire/record.h"

#define DEFAULT_PROJECT 1
#define RENEW_MOST_MS 30000
#define RENEWALS_IN_TIMEOUT 4
#define SNIPPET 9 /* "fkey_" and four letters */

/* ---- join ---- */

static void join_then(struct api_call *call, const struct core_answer *answer)
{
    if (answer->outcomes[0].code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, &answer->outcomes[0]);
        return;
    }
    struct agent_joined joined = {.key = str_from(call->own)};
    call_answer(call, 201, &agent_joined_record, &joined);
}

void route_agent_join(struct api_call *call)
{
    const struct agent_join *join = call->input;
    struct engine_command *command = call_alloc(call, sizeof *command);
    char *key = call->own = call_alloc(call, CORE_KEY_SIZE);
    core_make_key(key);
    command->type = ENGINE_JOIN;
    command->join.token = call->who.key;
    core_hash_key(call->api->core, str_from(key), command->join.hash);
    command->join.snippet = (struct str){key, SNIPPET};
    command->join.name = join->name;
    command->join.machine = join->machine;
    call_push(call, command, 1, join_then);
}

/* ---- registration ---- */

static const struct engine_gpu *gpus_of(struct api_call *call, const struct record_list *list)
{
    struct engine_gpu *gpus = call_alloc(call, MAX(list->count, 1) * sizeof *gpus);
    const struct agent_gpu *given = list->items;
    for (size_t i = 0; i < list->count; i++)
        gpus[i] = (struct engine_gpu){.index = given[i].index,
                                      .memory_mib = given[i].memory_mib,
                                      .uuid = given[i].uuid,
                                      .model = given[i].model};
    return gpus;
}

void node_command(struct api_call *call, const struct agent_facts *facts,
                  struct engine_command *ret)
{
    *ret = (struct engine_command){.type = ENGINE_NODE_REGISTER};
    ret->node.key = call->who.role == ROLE_AGENT ? call->who.key : 0;
    ret->node.name = facts->name;
    ret->node.version = facts->version;
    ret->node.boot = facts->boot;
    ret->node.address = facts->address;
    ret->node.sku = facts->sku;
    ret->node.accelerator = facts->accelerator;
    ret->node.provider = facts->place.provider;
    ret->node.region = facts->place.region;
    ret->node.zone = facts->place.zone;
    ret->node.fabric = facts->place.fabric;
    ret->node.rack = facts->place.rack;
    ret->node.amounts = (struct market_amounts){facts->amounts.gpu_milli, facts->amounts.core_milli,
                                                facts->amounts.memory_mib, facts->amounts.disk_mib};
    ret->node.labels = facts->labels.items;
    ret->node.label_count = facts->labels.count;
    ret->node.missing = facts->missing.items;
    ret->node.missing_count = facts->missing.count;
    ret->node.gpus = gpus_of(call, &facts->gpus);
    ret->node.gpu_count = facts->gpus.count;
    ret->node.unconfined = facts->unconfined;
    ret->node.project =
        facts->unconfined ? (call->who.project ? call->who.project : DEFAULT_PROJECT) : 0;
    ret->node.ask_present = facts->ask_present;
    ret->node.ask = facts->ask_udollar_per_hour;
}

static void register_then(struct api_call *call, const struct core_answer *answer)
{
    const struct engine_outcome *outcome = &answer->outcomes[0];
    if (outcome->code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, outcome);
        return;
    }
    int64_t timeout = engine_setting(answer->engine, SETTING_CONTACT_TIMEOUT_MS);
    struct id_text id = id_format(call->api->ids, "node", outcome->id);
    struct agent_registered registered = {.node = str_from(id.text),
                                          .contact_timeout_ms = timeout,
                                          .renew_ms =
                                              MIN(timeout / RENEWALS_IN_TIMEOUT, RENEW_MOST_MS),
                                          .now_ms = answer->now};
    call_answer(call, 200, &agent_registered_record, &registered);
}

void route_agent_register(struct api_call *call)
{
    struct engine_command *command = call_alloc(call, sizeof *command);
    node_command(call, call->input, command);
    call_push(call, command, 1, register_then);
}

/* ---- reports ---- */

struct reporting {
    size_t count;
    bool *sent; /* one a report: its command is among those pushed */
};

static time_ms happened_at(const struct agent_report *report, time_ms now)
{
    if (report->ago_ms >= 0)
        return MAX(now - report->ago_ms, 0);
    return report->at_ms > 0 ? MIN(report->at_ms, now) : now;
}

/* False: it names no workload of ours or what no replica has. */
static bool report_command(struct api_call *call, const struct agent_report *report, time_ms now,
                           struct engine_command *ret)
{
    uint64_t workload;
    if (!id_parse(call->api->ids, "work", report->workload, &workload) || report->attempt < 1 ||
        report->attempt > UINT32_MAX || report->role < 0 || report->role > UINT32_MAX ||
        report->rank < 0 || report->rank > UINT32_MAX)
        return false;
    static const enum engine_report_kind kinds[] = {[AGENT_STARTED] = ENGINE_STARTED,
                                                    [AGENT_ENDED] = ENGINE_ENDED,
                                                    [AGENT_PORT_BUSY] = ENGINE_PORT_BUSY,
                                                    [AGENT_PHASE] = ENGINE_PHASE};
    *ret = (struct engine_command){.type = ENGINE_REPORT};
    ret->report.kind = kinds[report->kind];
    ret->report.node = call->who.node;
    ret->report.workload = workload;
    ret->report.attempt = (uint32_t)report->attempt;
    ret->report.role = (uint32_t)report->role;
    ret->report.rank = (uint32_t)report->rank;
    ret->report.exit_code = report->exit_code;
    ret->report.signal = report->signal;
    ret->report.port = report->port;
    ret->report.oom = report->oom;
    ret->report.text = report->text;
    ret->report.last_lines = report->last_lines;
    ret->report.at = happened_at(report, now);
    ret->report.phase = 1 + report->phase;
    ret->report.address = report->ssh_destination;
    ret->report.private_address = report->private_ip;
    return true;
}

static void answer_outcomes(struct api_call *call, const struct engine_outcome *outcomes)
{
    const struct reporting *reporting = call->own;
    struct agent_outcome *verdicts = call_alloc(call, MAX(reporting->count, 1) * sizeof *verdicts);
    size_t at = 0;
    for (size_t i = 0; i < reporting->count; i++)
        verdicts[i].verdict =
            reporting->sent[i] && outcomes[at++].code == ENGINE_OK ? AGENT_OK : AGENT_STALE;
    struct agent_outcomes answer = {.outcomes = {verdicts, reporting->count}};
    call_answer(call, 200, &agent_outcomes_record, &answer);
}

static void report_then(struct api_call *call, const struct core_answer *answer)
{
    answer_outcomes(call, answer->outcomes);
}

void route_agent_report(struct api_call *call)
{
    const struct agent_reports *reports = call->input;
    const struct agent_report *items = reports->reports.items;
    if (call->who.node == 0) {
        call_refuse(call, 409, NULL, "register first");
        return;
    }
    struct reporting *reporting = call->own = call_alloc(call, sizeof *reporting);
    reporting->count = reports->reports.count;
    reporting->sent = call_alloc(call, MAX(reporting->count, 1) * sizeof *reporting->sent);
    struct engine_command *commands = call_alloc(call, MAX(reporting->count, 1) * sizeof *commands);
    size_t count = 0;
    for (size_t i = 0; i < reporting->count; i++)
        count += reporting->sent[i] =
            report_command(call, &items[i], clock_wall_ms(), &commands[count]);
    if (count)
        call_push(call, commands, count, report_then);
    else
        answer_outcomes(call, NULL);
}
