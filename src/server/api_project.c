/* SPDX-License-Identifier: Apache-2.0 */
/* Projects and their budgets. */
#include "server/api_route.h"

#include "wire/record.h"

static struct record_list quotas_render(struct api_call *call, const struct engine *e, const struct engine_project *project)
{
    struct api_quota *rows = call_alloc(call, MAX(project->quota_count, 1) * sizeof *rows);
    for (size_t i = 0; i < project->quota_count; i++) {
        const struct engine_quota *q = &project->quotas[i];
        rows[i] = (struct api_quota){.kind = (int32_t)q->kind, .type = q->type, .total = q->total,
                                     .used_milli = engine_quota_used(e, project->id, q->kind, q->type)};
    }
    return (struct record_list){rows, project->quota_count};
}

static struct api_project render(struct api_call *call, const struct engine *e,
                                 const struct engine_project *project)
{
    return (struct api_project){
        .id = call_id(call, "proj", project->id),
        .name = project->name,
        .limited = project->limited,
        .budget_udollar = project->limited ? project->budget : 0,
        .spent_udollar = market_spent(engine_market(e), project->id),
        .quotas = quotas_render(call, e, project),
    };
}

void route_project_list(struct api_call *call, const struct core_view *view)
{
    size_t count = engine_project_count(view->engine), shown = 0;
    struct api_project *rows = call_alloc(call, MAX(count, 1) * sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        const struct engine_project *project = engine_project_at(view->engine, i);
        if (call_sees(call, project->id))
            rows[shown++] = render(call, view->engine, project);
    }
    struct api_projects list = {.projects = {rows, shown}};
    call_answer(call, 200, &api_projects_record, &list);
}

void route_project_get(struct api_call *call, const struct core_view *view)
{
    engine_id id = core_project(call->api->core, call->name);
    const struct engine_project *project =
        id && call_sees(call, id) ? engine_project(view->engine, id) : NULL;
    if (!project) {
        call_not_found(call, "project");
        return;
    }
    struct api_project record = render(call, view->engine, project);
    call_answer(call, 200, &api_project_record, &record);
}

/* ---- changes ---- */

static void change_then(struct api_call *call, const struct core_answer *answer)
{
    const struct engine_outcome *outcome = &answer->outcomes[0];
    const struct engine_command *command = call->push.commands;
    engine_id id = command->type == ENGINE_PROJECT_CREATE ? outcome->id : command->project.project;
    const struct engine_project *project =
        outcome->code == ENGINE_OK ? engine_project(answer->engine, id) : NULL;
    if (!project) {
        call_refuse_outcome(call, answer->engine, outcome);
        return;
    }
    struct api_project record = render(call, answer->engine, project);
    call_answer(call, command->type == ENGINE_PROJECT_CREATE ? 201 : 200, &api_project_record,
                &record);
}

static bool name_ok(struct str name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && i > 0)))
            return false;
    }
    return name.size > 0;
}

void route_project_create(struct api_call *call)
{
    const struct api_project_create *create = call->input;
    if (!name_ok(create->name)) {
        call_refuse(call, 400, "name",
                    "allowed are small letters, digits and `-`, the last not first");
        return;
    }
    struct engine_command *command = call_alloc(call, sizeof *command);
    command->type = ENGINE_PROJECT_CREATE;
    command->project.name = create->name;
    command->project.limited = create->budget_present;
    command->project.budget = create->budget_udollar;
    call_push(call, command, 1, change_then);
}

void route_project_set(struct api_call *call)
{
    const struct api_project_change *change = call->input;
    engine_id id = core_project(call->api->core, call->name);
    if (!id || !call_sees(call, id)) {
        call_not_found(call, "project");
        return;
    }
    if (change->budget_present == change->unlimited) {
        call_refuse(call, 400, "budget_udollar", "give one of budget_udollar and unlimited");
        return;
    }
    struct engine_command *command = call_alloc(call, sizeof *command);
    command->type = ENGINE_PROJECT_SET;
    command->project.project = id;
    command->project.limited = change->budget_present;
    command->project.budget = change->budget_udollar;
    call_push(call, command, 1, change_then);
}

/* ---- quotas ---- */

static void quotas_then(struct api_call *call, const struct core_answer *answer)
{
    const struct engine_command *commands = call->push.commands;
    for (size_t i = 0; i < call->push.count; i++)
        if (answer->outcomes[i].code != ENGINE_OK) {
            call_refuse_outcome(call, answer->engine, &answer->outcomes[i]);
            return;
        }
    struct api_project record = render(call, answer->engine, engine_project(answer->engine, commands[0].quota.project));
    call_answer(call, 200, &api_project_record, &record);
}

static bool quota_valid(struct api_call *call, const struct api_quota_set *quota)
{
    if (quota->type.size == 0 || engine_quota_typed((enum engine_quota_kind)quota->kind))
        return true;
    call_refuse(call, 400, "quotas.type", "%s has no types, allowed is none", api_quota_kind_names[quota->kind]);
    return false;
}

void route_project_quotas(struct api_call *call)
{
    const struct api_quotas_set *set = call->input;
    const struct api_quota_set *quotas = set->quotas.items;
    engine_id id = core_project(call->api->core, call->name);
    if (!id || !call_sees(call, id)) {
        call_not_found(call, "project");
        return;
    }
    if (set->quotas.count == 0) {
        call_refuse(call, 400, "quotas", "is empty, at least one is needed");
        return;
    }
    struct engine_command *commands = call_alloc(call, set->quotas.count * sizeof *commands);
    for (size_t i = 0; i < set->quotas.count; i++) {
        if (!quota_valid(call, &quotas[i]))
            return;
        commands[i].type = ENGINE_QUOTA_SET;
        commands[i].quota.project = id;
        commands[i].quota.kind = (enum engine_quota_kind)quotas[i].kind;
        commands[i].quota.type = quotas[i].type;
        commands[i].quota.limited = quotas[i].total_present;
        commands[i].quota.total = quotas[i].total;
    }
    call_push(call, commands, set->quotas.count, quotas_then);
}
