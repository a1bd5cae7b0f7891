/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants that need no history, walked for tests and simulation. */
#include "engine/engine_internal.h"

static void check_replicas(const struct engine *e, const struct workload *w)
{
    uint32_t live = 0, begun = 0;
    for (size_t i = 0; i < w->view.replica_count; i++) {
        const struct engine_replica *r = &w->replicas[i];
        live += r->state != REPLICA_ENDED;
        begun += r->started != 0;
        CHECK(workload_replica_find(w, r->role, r->rank) == r);
        CHECK(engine_node_find(e, r->node) != NULL);
        if (r->state == REPLICA_ENDED)
            CHECK(!ref_stands(e, w, r));
        else if (r->state != REPLICA_STOPPING)
            CHECK(ref_stands(e, w, r) && !engine_node_find(e, r->node)->lost);
        if (r->state == REPLICA_STOPPING)
            CHECK(w->view.state == WORKLOAD_PREEMPTING || r->dropped);
    }
    CHECK(live == w->live && begun == w->begun);
}

static void check_state(const struct engine *e, const struct workload *w)
{
    struct market_bid_view bid;
    bool known = market_bid_view(e->market, w->view.id, e->now, &bid);
    CHECK(known == !workload_state_ended(w->view.state));
    CHECK(!w->provisional && !w->leaving);
    if (workload_has_lease(w)) {
        CHECK(w->live > 0 && w->view.attempt == bid.attempt && w->view.pool == bid.pool);
        CHECK((w->view.state == WORKLOAD_RUNNING) <= (bid.state == BID_RUNNING));
        CHECK((w->view.state == WORKLOAD_ASSIGNED) <= (bid.state == BID_ASSIGNED));
        CHECK((w->view.state == WORKLOAD_PREEMPTING) == (w->noticed != 0));
        CHECK(w->failing || (w->view.state == WORKLOAD_PREEMPTING) == (bid.state == BID_VACATING));
    } else {
        CHECK(w->live == 0 && !w->failing && (w->timer == TIMER_NONE || w->timer == TIMER_RETRY) && w->port_address == 0);
        CHECK(!known || bid.state == BID_WAITING);
    }
    if (w->view.state == WORKLOAD_RUNNING)
        CHECK(w->begun > 0);
    if (w->view.state == WORKLOAD_WAITING || w->view.state == WORKLOAD_PAUSED)
        CHECK(w->view.paused == (w->view.state == WORKLOAD_PAUSED));
}

static void check_workload(const struct engine *e, const struct workload *w)
{
    CHECK(workload_at(e, w->slot) == w);
    CHECK(id_set_has(&e->live, w->view.id) == !workload_state_ended(w->view.state));
    check_replicas(e, w);
    check_state(e, w);
    CHECK((w->timer == TIMER_NONE) == (w->heap_at == 0));
    if (w->heap_at)
        CHECK(e->heap[w->heap_at - 1].slot == w->slot && e->heap[w->heap_at - 1].due == w->due);
    if (w->port_address)
        CHECK(map_get(&e->ports, w->port_address << 16 | (uint64_t)w->view.master_port) == w->view.id);
}

static void check_workloads(const struct engine *e)
{
    uint64_t counts[WORKLOAD_STATE_COUNT] = {0}, timers = 0, ports = 0;
    size_t count = 0;
    for (engine_id id = 0; (id = id_set_after(&e->all, id)); count++) {
        const struct workload *w = workload_find(e, id);
        CHECK(w && w->view.id == id && id < e->next_workload);
        counts[w->view.state]++;
        timers += w->heap_at != 0;
        ports += w->port_address != 0;
        check_workload(e, w);
    }
    CHECK(count == e->workload_by_id.count && timers == e->heap_count && ports == e->ports.count);
    CHECK(memcmp(counts, e->counts, sizeof counts) == 0);
    for (uint32_t slot = e->free_slot; slot; slot = workload_at(e, slot)->next_slot)
        count++;
    CHECK(count + 1 == MAX(e->slot_count, 1u));
}

static void check_ended(const struct engine *e)
{
    uint64_t count = 0;
    time_ms last = 0;
    for (uint32_t slot = e->ended_first; slot; slot = workload_at(e, slot)->next_slot) {
        const struct workload *w = workload_at(e, slot);
        CHECK(workload_state_ended(w->view.state) && w->view.ended >= last);
        last = w->view.ended;
        CHECK(w->next_slot != 0 || e->ended_last == slot);
        count++;
    }
    CHECK(count == e->counts[WORKLOAD_FINISHED] + e->counts[WORKLOAD_FAILED] + e->counts[WORKLOAD_CANCELLED]);
}

static void check_node(const struct engine *e, const struct node *n)
{
    CHECK(!n->touched && !n->pending);
    CHECK(!n->lost || n->view.replica_count == 0);
    for (size_t i = 0; i < n->view.replica_count; i++) {
        const struct engine_replica_ref *ref = &n->refs[i];
        const struct workload *w = workload_find(e, ref->workload);
        CHECK(w && ref->attempt == w->view.attempt);
        const struct engine_replica *r = workload_replica_find(w, ref->role, ref->rank);
        CHECK(r && r->node == n->view.id && r->state != REPLICA_ENDED && ref_stands(e, w, r));
    }
    struct market_amounts free;
    CHECK(market_node_free(e->market, n->view.id, &free));
    CHECK(n->view.pool == market_node_pool(e->market, n->view.id));
}

static void check_heap(const struct engine *e)
{
    for (uint32_t i = 1; i < e->heap_count; i++)
        CHECK(e->heap[(i - 1) / 2].due <= e->heap[i].due);
}

static void check_objects(const struct engine *e)
{
    uint64_t used = 0, counted = 0;
    for (engine_id id = 0; (id = id_set_after(&e->all, id));)
        counted += workload_find(e, id)->view.object_count;
    for (size_t i = 0; i < e->object_count; i++) {
        const struct engine_object *o = &e->objects[i]->view;
        CHECK(o->id < e->next_object && object_find(e, o->id) == e->objects[i]);
        CHECK(!o->deleted || o->used == 0);
        CHECK(!o->exclusive || o->used <= 1);
        used += o->used;
    }
    CHECK(used == counted);
}

void engine_check(const struct engine *e)
{
    check_objects(e);
    for (size_t i = 0; i < e->reservation_count; i++) {
        struct market_reservation_view view;
        CHECK(!e->reservations[i]->provisional && e->reservations[i]->view.id == i + 1);
        if (market_reservation_view(e->market, i + 1, &view))
            CHECK((view.state == RESERVATION_OVER) == (e->reservations[i]->view.ended != 0) && view.to == e->reservations[i]->view.to);
    }
    for (size_t i = 0; i < e->node_count; i++)
        check_node(e, e->nodes[i]);
    check_workloads(e);
    check_ended(e);
    check_heap(e);
    for (size_t i = 0; i < e->key_count; i++)
        CHECK(i == 0 || e->keys[i - 1]->view.id < e->keys[i]->view.id);
    CHECK(e->recent_by_hash.count <= e->recent_end - e->recent_first);
    market_check(e->market);
}
