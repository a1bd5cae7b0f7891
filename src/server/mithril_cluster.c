/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes clusters: objects of the engine that get a control plane of the operator's (api_cluster.c). */
#include "server/api_cluster.h"
#include "server/mithril.h"

/* Of the live workloads that join it. */
static void instances_write(struct buf *out, const struct render *r, const struct engine_object *o)
{
    const struct engine_workload *w = NULL;
    json_key(out, "instances");
    json_open(out, '[');
    while (o->used && (w = engine_workload_before(r->engine, w ? w->id : 0, o->project, WORKLOAD_STATES_LIVE)))
        for (size_t i = 0; i < w->object_count; i++)
            for (uint32_t rank = 0; w->objects[i] == o->id && w->attempt && rank < w->nodes; rank++)
                json_text(out, id_format(r->ids, "inst", instance_number(w->id, rank)).text);
    json_close(out, ']');
}

/* "host:port" of an URL. */
static struct str host_of(struct str address)
{
    const struct str scheme = STR("https://");
    if (str_starts(address, scheme))
        address = (struct str){address.data + scheme.size, address.size - scheme.size};
    return str_cut(&address, '/');
}

static void cluster_render(struct buf *out, struct api_call *call, const struct render *r, const struct engine_object *o)
{
    struct object_cluster cluster = {0};
    struct object_control_plane plane;
    (void)call;
    (void)object_unpack(&object_cluster_record, o->body, r->arena, &cluster);
    (void)cluster_control_plane(r->engine, o->id, r->arena, &plane);
    bool available = plane.ready && !o->deleted;
    json_open(out, '{');
    member_id(out, r, "fid", "clust", o->id);
    member_id(out, r, "project", "proj", o->project);
    member_text(out, "name", o->name);
    member_text(out, "region", region_shown(r, cluster.region));
    member_time(out, "created_at", MAX(o->created, 1));
    member_text_or_null(out, "kube_host", available ? host_of(plane.address) : (struct str){0});
    member_texts(out, "ssh_keys", &cluster.ssh_keys);
    instances_write(out, r, o);
    member_text_or_null(out, "join_command", available ? plane.join_command : (struct str){0});
    member_text(out, "status", o->deleted ? STR("Terminated") : available ? STR("Available") : STR("Pending"));
    member_time(out, "deleted_at", o->deleted);
    member_text(out, "k8s_version", cluster.k8s_version);
    member_id(out, r, "user_fid", "user", o->principal);
    json_close(out, '}');
}

void mithril_cluster_list(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    engine_id project = mithril_project_needed(call);
    if (project == 0)
        return;
    json_open(&out, '[');
    for (size_t i = 0; i < engine_object_count(view->engine); i++) {
        const struct engine_object *o = engine_object_at(view->engine, i);
        if (o->kind == OBJECT_CLUSTER && o->project == project && !o->deleted)
            cluster_render(&out, call, &r, o);
    }
    json_close(&out, ']');
    mithril_answer(call, 200, &out);
}

/* ---- made ---- */

/* Whether the operator has registered any that could be given to it, now or later. False: refused. */
static bool plane_registered(struct api_call *call, const struct core_view *view, const struct object_cluster *cluster)
{
    for (size_t i = 0; i < engine_object_count(view->engine); i++) {
        const struct engine_object *o = engine_object_at(view->engine, i);
        struct object_control_plane plane;
        if (o->kind == OBJECT_CONTROL_PLANE && object_unpack(&object_control_plane_record, o->body, call_arena(call), &plane) &&
            str_equal(plane.k8s_version, cluster->k8s_version) && (plane.region.size == 0 || str_equal(plane.region, cluster->region)))
            return true;
    }
    call_refuse(call, 400, "region", "no control plane of Kubernetes %.*s is registered for it: its operator has none to give",
                STR_ARGS(cluster->k8s_version));
    return false;
}

static bool keys_there(struct api_call *call, const struct engine *e, engine_id project, const struct record_list *keys)
{
    const struct str *fids = keys->items;
    for (size_t i = 0; i < keys->count; i++) {
        uint64_t id;
        const struct engine_object *o = id_parse(call->api->ids, "sshkey", fids[i], &id) ? engine_object(e, id) : NULL;
        if (o && o->kind == OBJECT_SSH_KEY && o->project == project && !o->deleted)
            continue;
        call_refuse(call, 404, NULL, "ssh key not found");
        return false;
    }
    if (keys->count == 0)
        call_refuse(call, 400, "ssh_keys", "is empty, at least one is needed");
    return keys->count > 0;
}

static void cluster_made(struct api_call *call, const struct core_answer *answer)
{
    object_answer(call, answer, 201, cluster_render);
}

void mithril_cluster_create(struct api_call *call, const struct core_view *view)
{
    const struct mithril_cluster_create *create = call->input;
    struct render r = call_render(call, view);
    struct offers offers = offers_find(&r);
    engine_id project = mithril_project(call, create->project);
    struct object_cluster cluster = {.region = region_own(&r, create->region), .instance_type = create->instance_type, .ssh_keys = create->ssh_keys,
                                     .k8s_version = create->k8s_version.size ? create->k8s_version : STR("1.34")};
    if (project == 0 || !order_name_valid(call, create->name) || !keys_there(call, view->engine, project, &create->ssh_keys))
        return;
    if (!str_is(cluster.k8s_version, "1.34") && !str_is(cluster.k8s_version, "1.29")) {
        call_refuse(call, 400, "k8s_version", "allowed are 1.34 and 1.29");
        return;
    }
    if (offer_named(&r, &offers, create->instance_type, create->region) == NULL) {
        call_refuse(call, 404, NULL, "instance type not found in that region");
        return;
    }
    if (!plane_registered(call, view, &cluster))
        return;
    struct engine_command *c = object_put(call, OBJECT_CLUSTER, project, create->name);
    c->object.unique = true;
    c->object.body = object_pack(&object_cluster_record, &cluster, call_arena(call));
    call_push(call, c, 1, cluster_made);
}

/* ---- seen and deleted ---- */

/* The one that the caller sees; NULL: refused. */
static const struct engine_object *cluster_open(struct api_call *call, const struct engine *e)
{
    uint64_t id = mithril_path_id(call, "clust", "cluster");
    const struct engine_object *o = id ? engine_object(e, id) : NULL;
    if (id == 0 || (o && o->kind == OBJECT_CLUSTER && call_sees(call, o->project)))
        return o;
    call_refuse(call, 404, NULL, "cluster not found");
    return NULL;
}

void mithril_cluster_get(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    const struct engine_object *o = cluster_open(call, view->engine);
    if (o == NULL)
        return;
    cluster_render(&out, call, &r, o);
    mithril_answer(call, 200, &out);
}

static void cluster_gone(struct api_call *call, const struct core_answer *answer)
{
    if (answer->outcomes[0].code == ENGINE_OK)
        mithril_answer_empty(call);
    else if (answer->outcomes[0].code == ENGINE_CONFLICT)
        call_refuse(call, 409, NULL, "bids or reservations join it: end those first");
    else
        call_refuse(call, 404, NULL, "cluster not found");
}

void mithril_cluster_delete(struct api_call *call, const struct core_view *view)
{
    const struct engine_object *o = cluster_open(call, view->engine);
    if (o) /* it is kept, so that its control plane goes to nobody else */
        object_delete(call, o, true, cluster_gone);
}

/* Of control planes: they are the operator's, whatever they run. */
void mithril_cluster_images(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(64);
    (void)view;
    if (!http_request_query(call->request, "region").size) {
        call_refuse(call, 400, "region", "is missing");
        return;
    }
    json_open(&out, '[');
    json_close(&out, ']');
    mithril_answer(call, 200, &out);
}
