/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api_instance.h"

#include "server/api_cluster.h"
#include "server/api_route.h"
#include "wire/base64.h"

#include <errno.h>

/* ---- what a request names ---- */

/* By id, else by name; NULL: none that the project may use. */
static const struct engine_object *object_named(const struct render *r, engine_id project, enum engine_object_kind kind, struct str text)
{
    uint64_t id = 0;
    static const char *const prefixes[ENGINE_OBJECT_KINDS] = {[OBJECT_SSH_KEY] = "sshkey", [OBJECT_VOLUME] = "vol", [OBJECT_CLUSTER] = "clust"};
    id_parse(r->ids, prefixes[kind], text, &id);
    for (size_t i = 0; i < engine_object_count(r->engine); i++) {
        const struct engine_object *o = engine_object_at(r->engine, i);
        if (o->kind == kind && o->project == project && !o->deleted && (id ? o->id == id : str_equal(o->name, text)))
            return o;
    }
    return NULL;
}

struct object_list {
    engine_id project;
    int64_t *ids;
    size_t count;
};

static void list_add(struct object_list *list, engine_id id)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->ids[i] == (int64_t)id)
            return;
    list->ids[list->count++] = (int64_t)id;
}

static int names_add(const struct render *r, enum engine_object_kind kind, const struct record_list *names, struct object_list *list,
                     struct error *err)
{
    const struct str *texts = names->items;
    const char *field = kind == OBJECT_VOLUME ? "volumes" : "ssh_keys";
    for (size_t i = 0; i < names->count; i++) {
        const struct engine_object *o = object_named(r, list->project, kind, texts[i]);
        if (o == NULL)
            return error_set(err, -ENOENT, "instance.%s[%zu]: the project has none of this id or name", field, i);
        list_add(list, o->id);
    }
    return 0;
}

static size_t required_count(const struct engine *e, engine_id project)
{
    size_t count = 0;
    for (size_t i = 0; i < engine_object_count(e); i++)
        count += engine_object_at(e, i)->kind == OBJECT_SSH_KEY && engine_object_at(e, i)->project == project;
    return count;
}

static void required_add(const struct render *r, struct object_list *list)
{
    for (size_t i = 0; i < engine_object_count(r->engine); i++) {
        const struct engine_object *o = engine_object_at(r->engine, i);
        struct object_ssh_key key;
        if (o->kind == OBJECT_SSH_KEY && o->project == list->project && !o->deleted &&
            object_unpack(&object_ssh_key_record, o->body, r->arena, &key) && key.required)
            list_add(list, o->id);
    }
}

/* Its workers join when they boot, so that it has to be there. */
static int cluster_add(const struct render *r, struct str text, struct object_list *list, struct error *err)
{
    struct object_control_plane plane;
    const struct engine_object *o = text.size ? object_named(r, list->project, OBJECT_CLUSTER, text) : NULL;
    if (text.size == 0)
        return 0;
    if (o == NULL)
        return error_set(err, -ENOENT, "instance.cluster: the project has none of this id or name");
    if (cluster_control_plane(r->engine, o->id, r->arena, &plane) == NULL || !plane.ready)
        return error_set(err, -EAGAIN, "instance.cluster: it is not available yet, try again when it is");
    list_add(list, o->id);
    return 0;
}

static void label_add(struct arena *arena, struct workload_request *request)
{
    const struct workload_choice *from = request->choices.items;
    struct workload_choice *choices = arena_alloc(arena, request->choices.count * sizeof *choices);
    for (size_t i = 0; i < request->choices.count; i++) {
        choices[i] = from[i];
        struct str *labels = arena_alloc(arena, (from[i].labels.count + 1) * sizeof *labels);
        if (from[i].labels.count)
            memcpy(labels, from[i].labels.items, from[i].labels.count * sizeof *labels);
        labels[from[i].labels.count] = STR(WORKLOAD_INSTANCE_LABEL);
        choices[i].labels = (struct record_list){labels, from[i].labels.count + 1};
    }
    request->choices.items = choices;
}

int instance_complete(const struct render *r, engine_id project, struct workload_request *request, struct error *err)
{
    const struct workload_instance *instance = &request->instance;
    if (MAX(request->nodes, request->nodes_max) > INSTANCE_RANKS)
        return error_set(err, -EINVAL, "nodes: %lld, allowed are at most %d instances", (long long)request->nodes, INSTANCE_RANKS);
    size_t most = instance->ssh_keys.count + instance->volumes.count + required_count(r->engine, project);
    struct object_list list = {.project = project, .ids = arena_alloc(r->arena, (most + 2) * sizeof *list.ids)};
    int rc = names_add(r, OBJECT_SSH_KEY, &instance->ssh_keys, &list, err);
    if (rc == 0)
        required_add(r, &list);
    if (rc == 0 && list.count == 0)
        return error_set(err, -EINVAL, "instance.ssh_keys: ssh key required: nobody could log in");
    if (rc == 0)
        rc = names_add(r, OBJECT_VOLUME, &instance->volumes, &list, err);
    if (rc == 0)
        rc = cluster_add(r, instance->cluster, &list, err);
    if (rc < 0)
        return rc;
    request->objects = (struct record_list){list.ids, list.count};
    label_add(r->arena, request);
    return 0;
}

/* ---- what an agent is told ---- */

enum agent_stop instance_stop(const struct engine_workload *w)
{
    if (w->cancelled || w->paused)
        return AGENT_STOP_END;
    switch ((int)w->reason) {
    case REASON_RELOCATED:
        return AGENT_STOP_RELOCATE;
    case REASON_PREEMPTED:
    case REASON_DRAINED:
    case REASON_BUDGET:
        return AGENT_STOP_PREEMPT;
    default:
        return AGENT_STOP_END;
    }
}

static void keys_render(const struct render *r, const struct engine_workload *w, struct agent_instance *ret)
{
    struct str *keys = arena_alloc(r->arena, (w->object_count + 1) * sizeof *keys);
    size_t count = 0;
    for (size_t i = 0; i < w->object_count; i++) {
        const struct engine_object *o = engine_object(r->engine, w->objects[i]);
        struct object_ssh_key key;
        if (o->kind == OBJECT_SSH_KEY && object_unpack(&object_ssh_key_record, o->body, r->arena, &key))
            keys[count++] = arena_str(r->arena, key.public_key);
    }
    ret->ssh_keys = (struct record_list){keys, count};
}

static void volumes_render(const struct render *r, const struct engine_workload *w, struct agent_instance *ret)
{
    struct agent_volume *volumes = arena_alloc(r->arena, (w->object_count + 1) * sizeof *volumes);
    size_t count = 0;
    for (size_t i = 0; i < w->object_count; i++) {
        const struct engine_object *o = engine_object(r->engine, w->objects[i]);
        struct object_volume volume;
        if (o->kind != OBJECT_VOLUME || !object_unpack(&object_volume_record, o->body, r->arena, &volume))
            continue;
        volumes[count++] = (struct agent_volume){.id = arena_id(r->arena, r->ids, "vol", o->id),
                                                 .name = arena_str(r->arena, o->name),
                                                 .kind = volume.interface == VOLUME_BLOCK ? AGENT_VOLUME_BLOCK : AGENT_VOLUME_FILE,
                                                 .size_mib = volume.size_gb * 1000000000 / (1 << 20)};
    }
    ret->volumes = (struct record_list){volumes, count};
}

/* A worker joins before its owner's script runs: with `set -e` there, or an `exec`, it would not get to it. */
static struct str startup_script(const struct render *r, const struct engine_workload *w, struct str own)
{
    struct object_control_plane plane = {0};
    for (size_t i = 0; i < w->object_count; i++) {
        const struct engine_object *o = engine_object(r->engine, w->objects[i]);
        if (o && o->kind == OBJECT_CLUSTER)
            cluster_control_plane(r->engine, o->id, r->arena, &plane);
    }
    if (plane.join_command.size == 0)
        return own;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LIMIT_DEFAULT);
    buf_printf(&text, "#!/bin/bash\n%.*s\n", STR_ARGS(plane.join_command));
    if (own.size) {
        buf_append_text(&text, "base64 -d >/var/lib/tessera/own.sh <<'END'\n");
        base64_encode(own, &text);
        buf_append_text(&text, "\nEND\nexec /bin/bash /var/lib/tessera/own.sh\n");
    }
    return arena_str(r->arena, buf_str(&text));
}

struct str instance_name(const struct render *r, const struct engine_workload *w, uint32_t rank)
{
    if (w->reservation && w->nodes == 1 && w->name.size) /* one of its own workload each, numbered already */
        return arena_str(r->arena, w->name);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct id_text id = id_format(r->ids, "work", w->id);
    buf_printf(&text, "%.*s-%u", STR_ARGS(w->name.size ? w->name : str_from(id.text)), rank + 1);
    return arena_str(r->arena, buf_str(&text));
}

void instance_render(const struct render *r, const struct engine_workload *w, const struct workload_request *request,
                     const struct engine_replica *replica, struct agent_instance *ret)
{
    const struct engine_node *node = engine_node(r->engine, replica->node);
    *ret = (struct agent_instance){
        .id = arena_id(r->arena, r->ids, "inst", instance_number(w->id, replica->rank)),
        .name = instance_name(r, w, replica->rank),
        .order = w->reservation ? arena_id(r->arena, r->ids, "res", w->reservation) : arena_id(r->arena, r->ids, "bid", w->id),
        .project = arena_id(r->arena, r->ids, "proj", w->project),
        .region = node ? arena_str(r->arena, node->zone) : (struct str){0},
        .type = node ? arena_str(r->arena, node->sku) : (struct str){0},
        .image = request->instance.image,
        .startup_script = startup_script(r, w, request->instance.startup_script),
        .boot = 1 + request->instance.boot_disks,
    };
    keys_render(r, w, ret);
    volumes_render(r, w, ret);
}

/* ---- disks that nodes keep ---- */

/* The order has ended, or has left the state. */
static bool order_gone(const struct engine *e, engine_id workload)
{
    const struct engine_workload *w = engine_workload(e, workload), *newest = engine_workload_before(e, 0, 0, ~0u);
    if (w)
        return workload_state_ended(w->state);
    return newest && workload < newest->id;
}

static bool disk_gone(const struct api_call *call, const struct engine *e, struct str disk)
{
    uint64_t id;
    if (id_parse(call->api->ids, "inst", disk, &id))
        return order_gone(e, id / INSTANCE_RANKS);
    const struct engine_object *o = id_parse(call->api->ids, "vol", disk, &id) ? engine_object(e, id) : NULL;
    return o && o->deleted;
}

void route_agent_disks(struct api_call *call, const struct core_view *view)
{
    const struct agent_disks *kept = call->input;
    const struct str *disks = kept->disks.items;
    struct str *gone = call_alloc(call, (kept->disks.count + 1) * sizeof *gone);
    size_t count = 0;
    for (size_t i = 0; i < kept->disks.count; i++)
        if (disk_gone(call, view->engine, disks[i]))
            gone[count++] = disks[i];
    struct agent_disks_gone answer = {.gone = {gone, count}};
    call_answer(call, 200, &agent_disks_gone_record, &answer);
}
