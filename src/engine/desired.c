/* SPDX-License-Identifier: Apache-2.0 */
/* What should run on each node, and the ports that gangs meet at. */
#include "engine/engine_internal.h"

#define PORT_FIRST 20000
#define PORT_COUNT 10000

void engine_node_touch(struct engine *e, struct node *n)
{
    struct engine_result *result = e->result;
    n->view.version_desired++;
    if (n->touched)
        return;
    n->touched = true;
    ARRAY_RESERVE(result->nodes, result->node_count, result->node_capacity);
    result->nodes[result->node_count++] = n->view.id;
}

void workload_touch(struct engine *e, const struct workload *w)
{
    for (size_t i = 0; i < w->view.replica_count; i++)
        if (w->replicas[i].state != REPLICA_ENDED)
            engine_node_touch(e, engine_node_find(e, w->replicas[i].node));
}

static int ref_compare(const struct engine_replica_ref *a, const struct engine_replica_ref *b)
{
    int c = COMPARE(a->workload, b->workload);
    if (c == 0)
        c = COMPARE(a->attempt, b->attempt);
    if (c == 0)
        c = COMPARE(a->role, b->role);
    return c ? c : COMPARE(a->rank, b->rank);
}

static struct engine_replica_ref ref_of(const struct workload *w, const struct engine_replica *r)
{
    return (struct engine_replica_ref){w->view.id, w->view.attempt, r->role, r->rank};
}

/* Where the ref stands among the node's, or would. */
static size_t ref_index(const struct node *n, const struct engine_replica_ref *ref)
{
    size_t low = 0, high = n->view.replica_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ref_compare(&n->refs[middle], ref) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool ref_stands(const struct engine *e, const struct workload *w, const struct engine_replica *r)
{
    const struct node *n = engine_node_find(e, r->node);
    struct engine_replica_ref ref = ref_of(w, r);
    size_t at = ref_index(n, &ref);
    return at < n->view.replica_count && ref_compare(&n->refs[at], &ref) == 0;
}

void ref_add(struct engine *e, const struct workload *w, const struct engine_replica *r)
{
    struct node *n = engine_node_find(e, r->node);
    struct engine_replica_ref ref = ref_of(w, r);
    ARRAY_RESERVE(n->refs, n->view.replica_count, n->ref_capacity);
    size_t at = ref_index(n, &ref);
    memmove(n->refs + at + 1, n->refs + at, (n->view.replica_count - at) * sizeof *n->refs);
    n->refs[at] = ref;
    n->view.replica_count++;
    n->view.replicas = n->refs;
    if (e->result)
        engine_node_touch(e, n);
}

void ref_remove(struct engine *e, const struct workload *w, const struct engine_replica *r)
{
    struct node *n = engine_node_find(e, r->node);
    struct engine_replica_ref ref = ref_of(w, r);
    size_t at = ref_index(n, &ref);
    if (at == n->view.replica_count || ref_compare(&n->refs[at], &ref) != 0)
        return;
    n->view.replica_count--;
    memmove(n->refs + at, n->refs + at + 1, (n->view.replica_count - at) * sizeof *n->refs);
    engine_node_touch(e, n);
}

/* ---- ports ---------------------------------------------------------------------------------------------- */

static uint64_t port_key(market_id address, int64_t port)
{
    return address << 16 | (uint64_t)port;
}

void port_release(struct engine *e, struct workload *w)
{
    if (w->port_address)
        map_remove(&e->ports, port_key(w->port_address, w->view.master_port));
    w->port_address = 0;
}

void port_hold(struct engine *e, const struct workload *w)
{
    if (w->port_address)
        map_set(&e->ports, port_key(w->port_address, w->view.master_port), w->view.id);
}

/* From a hash of the attempt on; `busy` (0: none) is passed over. No port where all are taken. */
void port_draw(struct engine *e, struct workload *w, int64_t busy)
{
    market_id address = engine_node_find(e, w->replicas[0].node)->address;
    uint64_t what[] = {w->view.id, w->view.attempt};
    uint64_t start = busy ? (uint64_t)(busy - PORT_FIRST) + 1 : hash_bytes(what, sizeof what);
    port_release(e, w);
    w->view.master_port = 0;
    for (uint64_t i = 0; i < PORT_COUNT; i++) {
        int64_t port = PORT_FIRST + (int64_t)((start + i) % PORT_COUNT);
        if (port == busy || map_find(&e->ports, port_key(address, port)))
            continue;
        map_set(&e->ports, port_key(address, port), w->view.id);
        w->view.master_port = port;
        w->port_address = address;
        return;
    }
}
