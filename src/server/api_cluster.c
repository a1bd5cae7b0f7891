/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api_cluster.h"

#include "net/http_client.h"
#include "records/kubeconfig.h"
#include "server/api_internal.h"
#include "server/core_thread.h"

#include <errno.h>

#define PROBE_INTERVAL_MS 2000
#define PROBE_TIMEOUT_MS 5000
#define PROBE_ANSWER_MOST 65536

struct api_clusters {
    struct core_thread thread;
    /* of the thread alone */
    struct engine_command command;
    struct arena arena; /* of one step */
    struct step {
        enum { STEP_NONE, STEP_ASSIGN, STEP_PROBE } type;
        engine_id plane, cluster;
        uint64_t revision;
        struct str name;
        struct object_control_plane body;
    } step;
    engine_id after; /* control planes up to it were probed in this pass */
    bool waits;      /* one of this pass is not ready */
};

const struct engine_object *cluster_control_plane(const struct engine *e, engine_id cluster, struct arena *arena,
                                                  struct object_control_plane *ret)
{
    for (size_t i = 0; i < engine_object_count(e); i++) {
        const struct engine_object *o = engine_object_at(e, i);
        if (o->kind == OBJECT_CONTROL_PLANE && object_unpack(&object_control_plane_record, o->body, arena, ret) &&
            ret->cluster == (int64_t)cluster)
            return o;
    }
    *ret = (struct object_control_plane){0};
    return NULL;
}

/* ---- what to do next: on a reader's thread, while the cluster's own thread waits ---- */

static bool plane_fits(const struct object_control_plane *plane, const struct object_cluster *cluster)
{
    return plane->cluster == 0 && str_equal(plane->k8s_version, cluster->k8s_version) &&
           (plane->region.size == 0 || str_equal(plane->region, cluster->region));
}

static void step_keep(struct api_clusters *c, const struct engine_object *o, const struct object_control_plane *plane)
{
    c->step.plane = o->id;
    c->step.revision = o->revision;
    c->step.name = arena_str(&c->arena, o->name);
    c->step.body = (struct object_control_plane){
        .address = arena_str(&c->arena, plane->address),       .kubeconfig = arena_str(&c->arena, plane->kubeconfig),
        .join_command = arena_str(&c->arena, plane->join_command), .region = arena_str(&c->arena, plane->region),
        .k8s_version = arena_str(&c->arena, plane->k8s_version), .cluster = plane->cluster, .ready = plane->ready};
}

/* The oldest free one that fits. */
static const struct engine_object *plane_find(struct api_clusters *c, const struct engine *e, const struct object_cluster *cluster,
                                              struct object_control_plane *ret)
{
    for (size_t i = 0; i < engine_object_count(e); i++) {
        const struct engine_object *o = engine_object_at(e, i);
        if (o->kind == OBJECT_CONTROL_PLANE && object_unpack(&object_control_plane_record, o->body, &c->arena, ret) && plane_fits(ret, cluster))
            return o;
    }
    return NULL;
}

/* For the oldest cluster without a control plane for which one is free. */
static bool assign_find(struct api_clusters *c, const struct engine *e)
{
    for (size_t i = 0; i < engine_object_count(e); i++) {
        const struct engine_object *o = engine_object_at(e, i);
        struct object_cluster cluster;
        struct object_control_plane plane;
        if (o->kind != OBJECT_CLUSTER || o->deleted || !object_unpack(&object_cluster_record, o->body, &c->arena, &cluster) ||
            cluster_control_plane(e, o->id, &c->arena, &plane))
            continue;
        const struct engine_object *p = plane_find(c, e, &cluster, &plane);
        if (p == NULL)
            continue;
        step_keep(c, p, &plane);
        c->step.type = STEP_ASSIGN;
        c->step.cluster = o->id;
        return true;
    }
    return false;
}

static bool probe_find(struct api_clusters *c, const struct engine *e)
{
    for (size_t i = 0; i < engine_object_count(e); i++) {
        const struct engine_object *o = engine_object_at(e, i);
        struct object_control_plane plane;
        if (o->kind != OBJECT_CONTROL_PLANE || o->id <= c->after || !object_unpack(&object_control_plane_record, o->body, &c->arena, &plane) ||
            plane.cluster == 0 || plane.ready)
            continue;
        const struct engine_object *cluster = engine_object(e, (engine_id)plane.cluster);
        if (cluster == NULL || cluster->deleted)
            continue;
        step_keep(c, o, &plane);
        c->step.type = STEP_PROBE;
        return true;
    }
    return false;
}

static void step_see(void *context, const struct core_view *view)
{
    struct api_clusters *c = context;
    if (!assign_find(c, view->engine))
        probe_find(c, view->engine);
}

/* ---- the thread ---- */

static bool step_next(struct api_clusters *c)
{
    arena_clear(&c->arena);
    c->step = (struct step){0};
    return core_thread_read(&c->thread, false, step_see, c);
}

/* Where somebody else was first, the next pass sees what is. */
static bool step_write(struct api_clusters *c)
{
    c->command = (struct engine_command){.type = ENGINE_OBJECT_PUT};
    c->command.object.kind = OBJECT_CONTROL_PLANE;
    c->command.object.id = c->step.plane;
    c->command.object.revision = c->step.revision;
    c->command.object.name = c->step.name;
    c->command.object.body = object_pack(&object_control_plane_record, &c->step.body, &c->arena);
    return core_thread_write(&c->thread, &c->command, 1, NULL, NULL);
}

static int probe_open(struct api_clusters *c, struct http_client **ret, struct error *err)
{
    struct kubeconfig config;
    int rc = kubeconfig_parse(c->step.body.kubeconfig, &c->arena, &config, err);
    const struct http_client_options options = {.server = c->step.body.address.data, .key = config.token.data, .authority = config.authority.data,
        .certificate = config.certificate.data, .certificate_key = config.certificate_key.data, .connect_timeout_ms = PROBE_TIMEOUT_MS};
    return rc ? rc : http_client_new(ret, &options, err);
}

static bool probe_ready(struct api_clusters *c)
{
    struct http_client *client = NULL;
    struct http_reply reply = {0};
    struct error err = {0};
    const struct http_call call = {.path = "/readyz", .timeout_ms = PROBE_TIMEOUT_MS, .body_limit = PROBE_ANSWER_MOST};
    int rc = probe_open(c, &client, &err);
    if (rc == 0 && core_thread_call(&c->thread, client))
        rc = http_client_call(client, &call, &reply, &err);
    bool ready = rc == 0 && reply.status == 200;
    core_thread_call(&c->thread, NULL);
    if (rc < 0 && rc != -ECANCELED)
        log_debug("control plane %.*s is not ready: %s", STR_ARGS(c->step.name), err.text);
    http_reply_fini(&reply);
    http_client_free(client);
    return ready;
}

/* One pass over all that waits. False: the server stops. */
static bool pass(struct api_clusters *c)
{
    c->after = 0;
    c->waits = false;
    while (step_next(c)) {
        if (c->step.type == STEP_NONE)
            return true;
        if (c->step.type == STEP_ASSIGN) {
            c->step.body.cluster = (int64_t)c->step.cluster;
        } else {
            c->after = c->step.plane;
            if (!probe_ready(c)) {
                c->waits = true;
                continue;
            }
            c->step.body.ready = true;
            log_info("control plane %.*s is ready", STR_ARGS(c->step.name));
        }
        if (!step_write(c))
            return false;
    }
    return false;
}

static void *clusters_main(void *context)
{
    struct api_clusters *c = context;
    while (core_thread_sleep(&c->thread, c->waits ? PROBE_INTERVAL_MS : TIME_NEVER) && pass(c))
        ;
    return NULL;
}

int api_clusters_new(struct api_clusters **ret, struct api *api, struct error *err)
{
    struct api_clusters *c = *ret = xcalloc(1, sizeof *c);
    core_thread_init(&c->thread, api->core);
    c->thread.look = true; /* what waited at the last stop */
    return core_thread_start(&c->thread, "clusters", clusters_main, c, err);
}

void api_clusters_commit(struct api_clusters *c, const struct core_commit *commit)
{
    bool changed = false;
    for (size_t i = 0; i < commit->result->event_count; i++) {
        const struct engine_event *event = &commit->result->events[i];
        changed |= (event->type == ENGINE_EVENT_OBJECT_CREATED || event->type == ENGINE_EVENT_OBJECT_CHANGED ||
                    event->type == ENGINE_EVENT_OBJECT_DELETED) &&
                   (event->state == OBJECT_CLUSTER || event->state == OBJECT_CONTROL_PLANE);
    }
    if (changed)
        core_thread_wake(&c->thread);
}

void api_clusters_stop(struct api_clusters *c)
{
    core_thread_stop(&c->thread);
}

void api_clusters_free(struct api_clusters *c)
{
    if (c == NULL)
        return;
    core_thread_fini(&c->thread);
    arena_fini(&c->arena);
    xfree(c);
}
