/* SPDX-License-Identifier: Apache-2.0 */
/* Webhooks of projects: made, seen, tested, taken away. What they are sent: api_delivery.c. */
#include "server/api_delivery.h"
#include "server/api_route.h"
#include "server/webhook.h"

#include "net/outbound.h"
#include "records/object.h"
#include "wire/record.h"

#include <stdio.h>

#define HOOKS_MOST 20 /* of a project */
#define NAME_LONGEST 63
#define DEFAULT_PROJECT 1

static bool hook_read(const struct engine_object *o, struct arena *arena, struct object_webhook *ret)
{
    return o->kind == OBJECT_WEBHOOK && !o->deleted && object_unpack(&object_webhook_record, o->body, arena, ret);
}

static struct api_webhook hook_render(struct api_call *call, const struct engine *e, const struct engine_object *o, const struct object_webhook *hook)
{
    const struct engine_project *project = engine_project(e, o->project);
    struct delivery_state state;
    api_delivery_state(call->api->delivery, o->id, &state);
    const struct outbox_lane *lane = &state.lane;
    return (struct api_webhook){
        .id = call_id(call, "hook", o->id),
        .name = o->name,
        .project = project ? project->name : STR(""),
        .url = hook->url,
        .types = hook->types,
        .state = str_from(lane->disabled ? "disabled" : lane->failing ? "failing" : "active"),
        .error = arena_str(call_arena(call), str_from(lane->error)),
        .status = lane->status,
        .attempts = lane->attempts,
        .waiting = lane->disabled ? 0 : lane->waiting,
        .next_ms = lane->attempts && !lane->disabled ? lane->due : 0,
        .failing_ms = lane->failing,
        .disabled_ms = lane->disabled,
        .delivered = lane->delivered,
        .delivered_ms = lane->delivered_at,
        .tested = arena_str(call_arena(call), str_from(state.tested)),
        .created_ms = o->created,
    };
}

void route_webhook_list(struct api_call *call, const struct core_view *view)
{
    size_t count = engine_object_count(view->engine), shown = 0;
    engine_id project;
    if (!call_project(call, &project))
        return;
    struct api_webhook *rows = call_alloc(call, (count + 1) * sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        const struct engine_object *o = engine_object_at(view->engine, i);
        struct object_webhook hook;
        if ((project == 0 || o->project == project) && hook_read(o, call_arena(call), &hook))
            rows[shown++] = hook_render(call, view->engine, o, &hook);
    }
    struct api_webhooks list = {.webhooks = {rows, shown}};
    call_answer(call, 200, &api_webhooks_record, &list);
}

/* ---- made ---- */

static void create_then(struct api_call *call, const struct core_answer *answer)
{
    const struct engine_outcome *outcome = &answer->outcomes[0];
    struct object_webhook hook;
    if (outcome->code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, outcome);
        return;
    }
    const struct engine_object *o = engine_object(answer->engine, outcome->id);
    CHECK(hook_read(o, call_arena(call), &hook));
    struct api_webhook record = hook_render(call, answer->engine, o, &hook);
    record.secret = hook.secret; /* this once */
    call_answer(call, 201, &api_webhook_record, &record);
}

static bool name_good(struct str name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && c != '_' && c != '-')
            return false;
    }
    return name.size > 0 && name.size <= NAME_LONGEST;
}

static bool types_good(struct api_call *call, const struct record_list *types)
{
    const struct str *names = types->items;
    for (size_t i = 0; i < types->count; i++)
        if (!webhook_type_known(names[i])) {
            _cleanup_buf_ struct buf known = BUF_INIT(1024);
            for (size_t k = 0; webhook_types[k]; k++)
                buf_printf(&known, "%s%s", k ? ", " : "", webhook_types[k]);
            call_refuse(call, 400, "types", "\"%.*s\" is not known, allowed are %s", (int)MIN(names[i].size, 40), names[i].data, buf_text(&known));
            return false;
        }
    return true;
}

static bool url_good(struct api_call *call, struct str url)
{
    _cleanup_buf_ struct buf server = BUF_INIT(OUTBOUND_URL_MOST * 2), path = BUF_INIT(OUTBOUND_URL_MOST * 2);
    struct error err = {0};
    if (outbound_url_split(url, call->api->options.webhook_allow_private, &server, &path, &err) == 0)
        return true;
    call_refuse(call, 400, "url", "%s", err.text);
    return false;
}

/* The project that is to have it; 0: refused. */
static engine_id project_chosen(struct api_call *call, struct str name)
{
    engine_id project = name.size ? core_project(call->api->core, name) : call->who.project ? call->who.project : DEFAULT_PROJECT;
    if (project && call_sees(call, project))
        return project;
    call_refuse(call, 404, "project", "no such project");
    return 0;
}

static bool room_left(struct api_call *call, const struct engine *e, engine_id project)
{
    size_t there = 0;
    for (size_t i = 0; i < engine_object_count(e); i++) {
        const struct engine_object *o = engine_object_at(e, i);
        there += o->kind == OBJECT_WEBHOOK && o->project == project && !o->deleted;
    }
    if (there >= HOOKS_MOST)
        call_refuse(call, 409, NULL, "the project has %d webhooks, which is the most: remove one", HOOKS_MOST);
    return there < HOOKS_MOST;
}

static struct record_list types_all(struct api_call *call)
{
    size_t count = 0;
    while (webhook_types[count])
        count++;
    struct str *types = call_alloc(call, count * sizeof *types);
    for (size_t i = 0; i < count; i++)
        types[i] = str_from(webhook_types[i]);
    return (struct record_list){types, count};
}

void route_webhook_create(struct api_call *call, const struct core_view *view)
{
    const struct api_webhook_create *create = call->input;
    engine_id project = project_chosen(call, create->project);
    if (project == 0)
        return;
    if (!name_good(create->name)) {
        call_refuse(call, 400, "name", "allowed are 1 to %d letters, digits, `.`, `_` and `-`", NAME_LONGEST);
        return;
    }
    if (!types_good(call, &create->types) || !url_good(call, create->url) || !room_left(call, view->engine, project))
        return;
    struct object_webhook hook = {.url = create->url, .types = create->types.count ? create->types : types_all(call),
                                  .secret = webhook_secret_make(call_arena(call))};
    struct engine_command *c = call_alloc(call, sizeof *c);
    c->type = ENGINE_OBJECT_PUT;
    c->object.kind = OBJECT_WEBHOOK;
    c->object.key = call->who.key;
    c->object.project = project;
    c->object.name = create->name;
    c->object.unique = true;
    c->object.body = object_pack(&object_webhook_record, &hook, call_arena(call));
    call_push(call, c, 1, create_then);
}

/* ---- one of them ---- */

/* By id, or by name in ?project=; NULL: refused. */
static const struct engine_object *hook_open(struct api_call *call, const struct engine *e, struct object_webhook *ret)
{
    const struct engine_object *found = NULL;
    uint64_t id = 0;
    engine_id project;
    bool by_id = id_parse(call->api->ids, "hook", call->name, &id);
    if (!call_project(call, &project))
        return NULL;
    for (size_t i = 0; i < engine_object_count(e); i++) {
        const struct engine_object *o = engine_object_at(e, i);
        struct object_webhook hook;
        if (!call_sees(call, o->project) || (project && o->project != project) || !(by_id ? o->id == id : str_equal(o->name, call->name)) ||
            !hook_read(o, call_arena(call), &hook))
            continue;
        if (found) {
            call_refuse(call, 409, "project", "several projects have a webhook of this name: say which, or give its id");
            return NULL;
        }
        found = o;
        *ret = hook;
    }
    if (found == NULL)
        call_not_found(call, "webhook");
    return found;
}

void route_webhook_get(struct api_call *call, const struct core_view *view)
{
    struct object_webhook hook;
    const struct engine_object *o = hook_open(call, view->engine, &hook);
    if (o == NULL)
        return;
    struct api_webhook record = hook_render(call, view->engine, o, &hook);
    call_answer(call, 200, &api_webhook_record, &record);
}

static void delete_then(struct api_call *call, const struct core_answer *answer)
{
    if (answer->outcomes[0].code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, &answer->outcomes[0]);
        return;
    }
    struct api_changed changed = {.seq = (int64_t)answer->seq};
    call_answer(call, 200, &api_changed_record, &changed);
}

void route_webhook_delete(struct api_call *call, const struct core_view *view)
{
    struct object_webhook hook;
    const struct engine_object *o = hook_open(call, view->engine, &hook);
    if (o == NULL)
        return;
    struct engine_command *c = call_alloc(call, sizeof *c);
    c->type = ENGINE_OBJECT_DELETE;
    c->object.id = o->id;
    call_push(call, c, 1, delete_then);
}

void route_webhook_test(struct api_call *call, const struct core_view *view)
{
    struct object_webhook hook;
    const struct engine_object *o = hook_open(call, view->engine, &hook);
    struct delivery_state state;
    if (o == NULL)
        return;
    api_delivery_state(call->api->delivery, o->id, &state);
    if (state.lane.disabled) {
        call_refuse(call, 409, NULL, "it was given up (%s): remove it and add it anew", state.lane.error);
        return;
    }
    struct api_webhook_tested tested = {.id = call_text(call, "test_%.16s", webhook_secret_make(call_arena(call)).data + 6)};
    for (char *c = (char *)(uintptr_t)tested.id.data; *c; c++) /* base64's other letters */
        *c = *c == '+' || *c == '/' ? 'x' : *c;
    api_delivery_test(call->api->delivery, o->id, tested.id);
    call_answer(call, 200, &api_webhook_tested_record, &tested);
}
