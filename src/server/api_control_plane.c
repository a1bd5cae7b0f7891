/* SPDX-License-Identifier: Apache-2.0 */
/* Control planes of Kubernetes: registered by the operator, given to clusters (api_cluster.c). */
#include "server/api_cluster.h"
#include "server/api_route.h"

#include "records/kubeconfig.h"
#include "wire/record.h"

static const char *state_name(const struct engine *e, const struct object_control_plane *plane)
{
    const struct engine_object *cluster = plane->cluster ? engine_object(e, (engine_id)plane->cluster) : NULL;
    if (plane->cluster == 0)
        return "free";
    if (cluster == NULL || cluster->deleted)
        return "used";
    return plane->ready ? "ready" : "assigned";
}

static bool plane_read(const struct engine_object *o, struct arena *arena, struct object_control_plane *ret)
{
    return o->kind == OBJECT_CONTROL_PLANE && object_unpack(&object_control_plane_record, o->body, arena, ret);
}

static struct api_control_plane plane_render(struct api_call *call, const struct engine *e, const struct engine_object *o,
                                             const struct object_control_plane *plane)
{
    return (struct api_control_plane){
        .id = call_id(call, "cp", o->id),
        .name = o->name,
        .address = plane->address,
        .region = plane->region,
        .k8s_version = plane->k8s_version,
        .state = str_from(state_name(e, plane)),
        .cluster = plane->cluster ? call_id(call, "clust", (uint64_t)plane->cluster) : (struct str){0},
        .created_ms = o->created,
    };
}

void route_control_plane_list(struct api_call *call, const struct core_view *view)
{
    size_t count = engine_object_count(view->engine), shown = 0;
    struct api_control_plane *rows = call_alloc(call, MAX(count, 1) * sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        const struct engine_object *o = engine_object_at(view->engine, i);
        struct object_control_plane plane;
        if (plane_read(o, call_arena(call), &plane))
            rows[shown++] = plane_render(call, view->engine, o, &plane);
    }
    struct api_control_planes list = {.control_planes = {rows, shown}};
    call_answer(call, 200, &api_control_planes_record, &list);
}

/* ---- registered ---- */

static void create_then(struct api_call *call, const struct core_answer *answer)
{
    const struct engine_outcome *outcome = &answer->outcomes[0];
    struct object_control_plane plane;
    if (outcome->code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, outcome);
        return;
    }
    const struct engine_object *o = engine_object(answer->engine, outcome->id);
    CHECK(plane_read(o, call_arena(call), &plane));
    struct api_control_plane record = plane_render(call, answer->engine, o, &plane);
    call_answer(call, 201, &api_control_plane_record, &record);
}

/* Where it answers: as asked, else as its kubeconfig says. False: refused. */
static bool address_find(struct api_call *call, struct str *ret)
{
    const struct api_control_plane_create *create = call->input;
    struct kubeconfig config;
    struct error err = {0};
    if (kubeconfig_parse(create->kubeconfig, call_arena(call), &config, &err) < 0) {
        call_refuse_error(call, 400, &err);
        return false;
    }
    *ret = create->address.size ? create->address : config.server;
    if (str_starts(*ret, STR("https://")) && ret->size > 8)
        return true;
    call_refuse(call, 400, create->address.size ? "address" : "kubeconfig", "the address is \"%.*s\", allowed is https://HOST:PORT",
                (int)MIN(ret->size, 80), ret->size ? ret->data : "");
    return false;
}

void route_control_plane_create(struct api_call *call, const struct core_view *view)
{
    const struct api_control_plane_create *create = call->input;
    struct str version = create->k8s_version.size ? create->k8s_version : STR("1.34"), address;
    (void)view;
    if (create->name.size == 0 || create->join_command.size == 0) {
        call_refuse(call, 400, create->name.size ? "join_command" : "name", "is empty, at least one letter is needed");
        return;
    }
    if (!str_is(version, "1.34") && !str_is(version, "1.29")) {
        call_refuse(call, 400, "k8s_version", "allowed are 1.34 and 1.29");
        return;
    }
    if (!address_find(call, &address))
        return;
    struct object_control_plane plane = {.address = address, .kubeconfig = create->kubeconfig, .join_command = create->join_command,
                                         .region = create->region, .k8s_version = version};
    struct engine_command *c = call_alloc(call, sizeof *c);
    c->type = ENGINE_OBJECT_PUT;
    c->object.kind = OBJECT_CONTROL_PLANE;
    c->object.key = call->who.key;
    c->object.name = create->name;
    c->object.unique = true;
    c->object.body = object_pack(&object_control_plane_record, &plane, call_arena(call));
    call_push(call, c, 1, create_then);
}

/* ---- taken away ---- */

static void delete_then(struct api_call *call, const struct core_answer *answer)
{
    if (answer->outcomes[0].code == ENGINE_CONFLICT) {
        call_refuse(call, 409, NULL, "it changed meanwhile: try again");
        return;
    }
    if (answer->outcomes[0].code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, &answer->outcomes[0]);
        return;
    }
    struct api_changed changed = {.seq = (int64_t)answer->seq};
    call_answer(call, 200, &api_changed_record, &changed);
}

void route_control_plane_delete(struct api_call *call, const struct core_view *view)
{
    uint64_t id = 0;
    id_parse(call->api->ids, "cp", call->name, &id);
    for (size_t i = 0; i < engine_object_count(view->engine); i++) {
        const struct engine_object *o = engine_object_at(view->engine, i);
        struct object_control_plane plane;
        if (!plane_read(o, call_arena(call), &plane) || !(id ? o->id == id : str_equal(o->name, call->name)))
            continue;
        const struct engine_object *cluster = plane.cluster ? engine_object(view->engine, (engine_id)plane.cluster) : NULL;
        if (cluster && !cluster->deleted) {
            call_refuse(call, 409, NULL, "cluster %.*s has it: delete that first", STR_ARGS(cluster->name));
            return;
        }
        struct engine_command *c = call_alloc(call, sizeof *c);
        c->type = ENGINE_OBJECT_DELETE;
        c->object.id = o->id;
        c->object.revision = o->revision;
        call_push(call, c, 1, delete_then);
        return;
    }
    call_not_found(call, "control plane");
}
