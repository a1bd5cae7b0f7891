/* SPDX-License-Identifier: Apache-2.0 */
/* Desired state: what should run on a node, as its agent is told. */
#include "server/api_instance.h"

#include "wire/record.h"

static enum agent_action replica_action(const struct engine_replica *replica)
{
    if (replica->state == REPLICA_STOPPING)
        return AGENT_STOP;
    return replica->state == REPLICA_RUNNING || replica->ready ? AGENT_RUN : AGENT_PREPARE;
}

static struct str node_address(const struct engine *e, engine_id id)
{
    const struct engine_node *node = engine_node(e, id);
    return node ? node->address : (struct str){0};
}

/* Addresses of a role's replicas, by rank. */
static struct record_list role_addresses(const struct render *r, const struct engine_workload *w,
                                         uint32_t role)
{
    struct record_list list = {0};
    struct str *items = arena_alloc(r->arena, MAX(w->replica_count, 1) * sizeof *items);
    for (size_t i = 0; i < w->replica_count; i++)
        if (w->replicas[i].role == role)
            items[list.count++] = node_address(r->engine, w->replicas[i].node);
    list.items = items;
    return list;
}

static int64_t whole_gpus(const struct market_amounts *amounts)
{
    return amounts->gpu_milli == 0 ? 0 : MAX(amounts->gpu_milli / 1000, 1);
}

/* The request was checked when it came; what cannot be read now runs nothing. */
static bool spec_of(const struct render *r, const struct engine_workload *w,
                    const struct engine_replica *replica, struct agent_replica *ret)
{
    struct workload_request request;
    struct error err = {0};
    struct unpack in = unpack_from(w->request);
    if (record_unpack(&workload_request_record, &in, r->arena, &request, &err) < 0) {
        log_error("the request of workload %llu cannot be read: %s", (unsigned long long)w->id,
                  err.text);
        return false;
    }
    if (w->instance)
        instance_render(r, w, &request, replica, &ret->instance);
    ret->spec = (struct agent_spec){
        .name = request.name,
        .project = render_project(r, w->project),
        .setup = request.setup,
        .run = request.run,
        .envs = request.envs,
        .secrets = request.secrets,
        .archive = request.archive,
        .workdir = request.workdir,
        .mounts = request.mounts,
        .nodes = w->nodes,
        .gpus_per_node = whole_gpus(&replica->amounts),
        .notice_ms = w->notice,
        .signal = w->signal,
        .on_lost_contact = request.on_lost_contact,
    };
    return true;
}

static bool render_replica(const struct render *r, const struct engine_replica_ref *ref,
                           struct agent_replica *ret)
{
    const struct engine_workload *w = engine_workload(r->engine, ref->workload);
    const struct engine_replica *replica = replica_of(w, ref);
    if (!replica || replica->state == REPLICA_ENDED)
        return false;
    *ret = (struct agent_replica){
        .workload = arena_id(r->arena, r->ids, "work", w->id),
        .attempt = w->attempt,
        .role = replica->role,
        .rank = replica->rank,
        .action = replica_action(replica),
        .amounts = render_amounts(&replica->amounts),
        .gpus = render_gpus(r, replica->gpus),
        .ips = role_addresses(r, w, replica->role),
        .master_address = node_address(r->engine, w->replicas[0].node),
        .master_port = w->master_port,
    };
    if (replica->state == REPLICA_STOPPING) {
        ret->deadline_ms = replica->deadline;
        ret->stop_in_ms = MAX(replica->deadline - r->now, 0);
        ret->stop = instance_stop(w);
    }
    return spec_of(r, w, replica, ret);
}

void render_desired(const struct render *r, const struct engine_node *node, struct record_list *ret)
{
    struct agent_replica *items =
        arena_alloc(r->arena, MAX(node->replica_count, 1) * sizeof *items);
    *ret = (struct record_list){.items = items};
    for (size_t i = 0; i < node->replica_count; i++)
        ret->count += render_replica(r, &node->replicas[i], &items[ret->count]);
}
