/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: registered, lost, restarted, draining, and what they ask. */
#include "engine/engine_internal.h"

struct node *engine_node_find(const struct engine *e, engine_id id)
{
    return id && id <= e->node_count ? e->nodes[id - 1] : NULL;
}

void engine_node_free(struct node *n)
{
    xfree(n->block);
    xfree(n->refs);
    xfree(n);
}

struct node *engine_node_new(struct engine *e, struct str name)
{
    ARRAY_RESERVE(e->nodes, e->node_count, e->node_capacity);
    struct node *n = xcalloc(1, sizeof *n);
    e->nodes[e->node_count++] = n;
    n->view.id = e->node_count;
    n->view.version_desired = 1;
    str_map_set(&e->node_by_name, name, n->view.id);
    return n;
}

void engine_node_state_set(struct node *n)
{
    n->view.state = n->lost ? NODE_LOST : n->draining ? NODE_DRAINING : NODE_UP;
}

static void node_event(struct engine *e, enum engine_event_type type, struct node *n)
{
    engine_node_state_set(n);
    n->view.changed = e->now;
    struct engine_event *event = engine_event_add(e, type);
    event->node = n->view.id;
    event->state = n->view.state;
    event->limit = n->view.ask;
    event->text = text_keep(e, n->view.name);
}

/* At most one command about a node in a clearing: their order there is the market's, not ours. */
static void node_tell(struct engine *e, struct node *n, struct market_command c)
{
    if (n->pending)
        batch_flush(e);
    struct pending *p = batch_add(e, &c);
    p->id = n->view.id;
    p->kind = c.type == MARKET_NODE_UP ? PENDING_NODE : PENDING_NONE;
    struct batch *b = &e->batch;
    ARRAY_RESERVE(b->told, b->told_count, b->told_capacity);
    b->told[b->told_count++] = n;
    n->pending = true;
}

static void tell_simple(struct engine *e, struct node *n, enum market_command_type type, bool evict)
{
    node_tell(e, n, (struct market_command){.type = type, .on_node = {.node = n->view.id, .evict = evict}});
}

static void node_tell_up(struct engine *e, struct node *n)
{
    n->spec = n->want;
    node_tell(e, n, (struct market_command){.type = MARKET_NODE_UP, .node = n->spec});
    if (n->held && !n->draining)
        tell_simple(e, n, MARKET_NODE_UNDRAIN, false);
    n->held = false;
}

/* ---- loss ------------------------------------------------------------------------------------------------- */

/* Its replicas are gone, and with each its gang. */
static void node_lose(struct engine *e, struct node *n, enum engine_reason reason, time_ms last_contact)
{
    if (e->batch.has_other)
        batch_flush(e);
    while (n->view.replica_count) {
        struct engine_replica_ref ref = n->refs[n->view.replica_count - 1];
        struct workload *w = workload_find(e, ref.workload);
        if (w->lost_reason == REASON_NONE)
            w->lost_reason = reason;
        workload_replica_end(e, w, workload_replica_find(w, ref.role, ref.rank), last_contact);
    }
    node_tell(e, n, (struct market_command){.type = MARKET_NODE_DOWN, .on_node = {.node = n->view.id, .last_contact = last_contact}});
}

struct engine_outcome engine_node_lost_set(struct engine *e, engine_id id, time_ms last_contact)
{
    struct node *n = engine_node_find(e, id);
    if (n == NULL)
        return outcome_of(ENGINE_NOT_FOUND, "node");
    if (n->lost)
        return outcome_ok(id);
    n->lost = true;
    node_lose(e, n, REASON_NODE_LOST, MIN(last_contact, e->now));
    node_event(e, ENGINE_EVENT_NODE_LOST, n);
    engine_node_touch(e, n);
    return outcome_ok(id);
}

struct engine_outcome engine_node_refused(struct engine *e, engine_id id, const struct market_event *event)
{
    struct node *n = engine_node_find(e, id);
    n->lost = true;
    node_event(e, ENGINE_EVENT_NODE_LOST, n);
    struct engine_outcome outcome = outcome_of(ENGINE_INVALID, event->refused.field ? event->refused.field : "amounts");
    outcome.refusal = event->refused.reason;
    memcpy(outcome.numbers, event->refused.numbers, sizeof outcome.numbers);
    return outcome;
}

/* ---- registration -------------------------------------------------------------------------------------------- */

static bool node_idle(const struct engine *e, const struct node *n)
{
    struct market_amounts free;
    bool known = market_node_free(e->market, n->view.id, &free);
    return n->view.replica_count == 0 && (!known || facts_amounts_hold(&free, &n->spec.amounts));
}

void engine_node_settle(struct engine *e, struct node *n)
{
    if (!n->lost && !facts_spec_equal(&n->spec, &n->want) && node_idle(e, n))
        node_tell_up(e, n);
}

/* The same boot, still up: its agent started again. What runs there goes on. */
static void node_refresh(struct engine *e, struct node *n)
{
    if (n->spec.ask != n->want.ask) {
        n->spec.ask = n->want.ask;
        node_tell(e, n, (struct market_command){.type = MARKET_ASK_SET, .on_node = {.node = n->view.id, .ask = n->want.ask}});
    }
    if (facts_spec_equal(&n->spec, &n->want))
        return;
    if (node_idle(e, n)) {
        node_tell_up(e, n);
        return;
    }
    bool grows = facts_amounts_hold(&n->want.amounts, &n->spec.amounts) && memcmp(n->want.labels, n->spec.labels, sizeof n->spec.labels) == 0;
    if (!grows && !n->held) {
        n->held = true;
        tell_simple(e, n, MARKET_NODE_DRAIN, false);
    }
}

static void key_bind(struct engine *e, struct node *n, engine_id key)
{
    n->view.key = key;
    if (key)
        engine_key_find(e, key)->view.node = n->view.id;
}

struct engine_outcome engine_node_register(struct engine *e, const struct engine_command *c)
{
    struct node *n = engine_node_find(e, str_map_get(&e->node_by_name, c->node.name));
    struct engine_outcome outcome = facts_check(e, c, n);
    if (outcome.code != ENGINE_OK)
        return outcome;
    bool is_new = n == NULL;
    if (is_new)
        n = engine_node_new(e, c->node.name);
    bool was_lost = n->lost, same_boot = !is_new && str_equal(n->view.boot, c->node.boot);
    if (!is_new && !was_lost && !same_boot)
        node_lose(e, n, REASON_NODE_RESTARTED, e->now);
    n->want = facts_spec(e, c, n);
    n->ask_told = c->node.ask_present ? c->node.ask : n->ask_told;
    n->view.ask = n->want.ask;
    facts_own(e, n, c);
    key_bind(e, n, c->node.key);
    n->lost = false;
    n->view.registered = e->now;
    if (!is_new && !was_lost && same_boot)
        node_refresh(e, n);
    else
        node_tell_up(e, n);
    node_event(e, ENGINE_EVENT_NODE_REGISTERED, n);
    return outcome_ok(n->view.id);
}

/* ---- operators ------------------------------------------------------------------------------------------------ */

struct engine_outcome engine_node_drain_set(struct engine *e, engine_id id, bool draining, bool evict)
{
    struct node *n = engine_node_find(e, id);
    if (n == NULL)
        return outcome_of(ENGINE_NOT_FOUND, "node");
    bool changes = n->draining != draining;
    n->draining = draining;
    if (draining ? changes || evict : changes && !n->held)
        tell_simple(e, n, draining ? MARKET_NODE_DRAIN : MARKET_NODE_UNDRAIN, evict);
    if (changes)
        node_event(e, ENGINE_EVENT_NODE_CHANGED, n);
    return outcome_ok(id);
}

static void node_ask(struct engine *e, struct node *n, udollar ask)
{
    if (n->view.ask == ask)
        return;
    n->view.ask = n->spec.ask = n->want.ask = ask;
    node_tell(e, n, (struct market_command){.type = MARKET_ASK_SET, .on_node = {.node = n->view.id, .ask = ask}});
    node_event(e, ENGINE_EVENT_NODE_CHANGED, n);
}

struct engine_outcome engine_ask_set(struct engine *e, const struct engine_command *c)
{
    udollar ask = c->on_node.ask;
    if (ask < 0 || ask > MARKET_RATE_MAX)
        return outcome_bound("ask_udollar_per_hour", ask, 0, MARKET_RATE_MAX);
    struct engine_outcome outcome = outcome_ok(c->on_node.node);
    struct node *one = engine_node_find(e, c->on_node.node);
    if (one) {
        node_ask(e, one, ask);
        outcome.count = 1;
        return outcome;
    }
    for (size_t i = 0; c->on_node.node == 0 && c->on_node.pool && i < e->node_count; i++)
        if (e->nodes[i]->view.pool == c->on_node.pool) {
            node_ask(e, e->nodes[i], ask);
            outcome.count++;
        }
    return outcome.count ? outcome : outcome_of(ENGINE_NOT_FOUND, c->on_node.node ? "node" : "pool");
}
