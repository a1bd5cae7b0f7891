/* SPDX-License-Identifier: Apache-2.0 */
/* Projects and their budgets. */
#include "server/api_route.h"

#include "wire/record.h"

static struct api_project render(struct api_call *call, const struct engine *e,
                                 const struct engine_project *project)
{
    return (struct api_project){
        .id = call_id(call, "proj", project->id),
        .name = project->name,
        .limited = project->limited,
        .budget_udollar = project->limited ? project->budget : 0,
        .spent_udollar = market_spent(engine_market(e), project->id),
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
