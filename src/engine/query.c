/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the state that change nothing. */
#include "engine/engine_internal.h"

const struct engine_project *engine_project(const struct engine *e, engine_id id)
{
    return id && id <= e->project_count ? &e->projects[id - 1].view : NULL;
}

const struct engine_project *engine_project_named(const struct engine *e, struct str name)
{
    return engine_project(e, str_map_get(&e->project_by_name, name));
}

size_t engine_project_count(const struct engine *e)
{
    return e->project_count;
}

const struct engine_project *engine_project_at(const struct engine *e, size_t index)
{
    return engine_project(e, index + 1);
}

const struct engine_key *engine_key(const struct engine *e, engine_id id)
{
    const struct key *k = engine_key_find(e, id);
    return k ? &k->view : NULL;
}

const struct engine_key *engine_key_hashed(const struct engine *e, const unsigned char hash[ENGINE_HASH_SIZE])
{
    return engine_key(e, str_map_get(&e->key_by_hash, (struct str){(const char *)hash, ENGINE_HASH_SIZE}));
}

size_t engine_key_count(const struct engine *e)
{
    return e->key_count;
}

const struct engine_key *engine_key_at(const struct engine *e, size_t index)
{
    return index < e->key_count ? &e->keys[index]->view : NULL;
}

const struct engine_principal *engine_principal(const struct engine *e, engine_id id)
{
    return id && id <= e->principal_count ? &e->principals[id - 1].view : NULL;
}

const struct engine_node *engine_node(const struct engine *e, engine_id id)
{
    const struct node *n = engine_node_find(e, id);
    return n ? &n->view : NULL;
}

const struct engine_node *engine_node_named(const struct engine *e, struct str name)
{
    return engine_node(e, str_map_get(&e->node_by_name, name));
}

size_t engine_node_count(const struct engine *e)
{
    return e->node_count;
}

const struct engine_node *engine_node_at(const struct engine *e, size_t index)
{
    return engine_node(e, index + 1);
}

const struct engine_workload *engine_workload(const struct engine *e, engine_id id)
{
    const struct workload *w = workload_find(e, id);
    return w ? &w->view : NULL;
}

const struct engine_workload *engine_workload_before(const struct engine *e, engine_id before, engine_id project,
                                                     unsigned states)
{
    const struct id_set *set = states & WORKLOAD_STATES_ENDED ? &e->all : &e->live;
    engine_id id = before ? before : e->next_workload;
    while ((id = id_set_before(set, id))) {
        const struct engine_workload *w = &workload_find(e, id)->view;
        if ((project == 0 || w->project == project) && states >> w->state & 1)
            return w;
    }
    return NULL;
}

engine_id engine_instance_named(const struct engine *e, engine_id project, struct str name)
{
    return instance_named(e, project, name);
}

void engine_workload_counts(const struct engine *e, uint64_t ret[static WORKLOAD_STATE_COUNT])
{
    memcpy(ret, e->counts, sizeof e->counts);
}

struct str engine_name(const struct engine *e, enum engine_name kind, market_id id)
{
    return name_text(e, (int)kind, id);
}

size_t engine_name_count(const struct engine *e, enum engine_name kind)
{
    return e->names[kind].count;
}

struct str engine_name_at(const struct engine *e, enum engine_name kind, size_t index)
{
    return name_text(e, (int)kind, index + 1);
}

struct engine_outcome engine_quote(const struct engine *e, const struct engine_submit *s, struct market_quote *ret)
{
    if (s->project == 0 || s->project > e->project_count)
        return outcome_of(ENGINE_NOT_FOUND, "project");
    struct arena arena = {0};
    struct market_bid bid;
    const uint16_t *choices;
    struct engine_outcome outcome = bid_make(e, s, &arena, &bid, &choices);
    if (outcome.code == ENGINE_OK) {
        const char *field = NULL;
        int64_t numbers[3];
        bid.id = e->next_workload;
        enum market_refusal reason = market_quote(e->market, &bid, ret, &field, numbers);
        if (reason != REFUSED_NONE)
            outcome = bid_refused(s, reason, field, numbers);
    }
    arena_fini(&arena);
    return outcome;
}

bool engine_why(const struct engine *e, engine_id workload, struct market_why *ret)
{
    return market_why(e->market, workload, ret);
}
