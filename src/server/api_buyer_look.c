/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api_buyer_look.h"

#include "server/mithril.h"

#define WHY_MOST 64 /* each is a clearing of its own */

/* ---- one order ---- */

static void key_see(const struct engine *e, engine_id id, struct bought_view *ret)
{
    const struct engine_key *key = engine_key(e, id);
    if (key && !key->revoked && ret->key_count < SEEN_KEYS_MOST)
        ret->keys[ret->key_count++] = id;
}

void bought_look(const struct engine *e, const char *name, struct bought_view *ret)
{
    const struct engine_node *node = engine_node_named(e, str_from(name));
    *ret = (struct bought_view){0};
    if (node) {
        ret->node = node->id;
        ret->up = node->state != NODE_LOST;
        ret->draining = node->state == NODE_DRAINING;
        ret->replicas = node->replica_count;
        ret->ask = node->ask;
        key_see(e, node->key, ret);
    }
    for (size_t i = 0; i < engine_key_count(e); i++) {
        const struct engine_key *key = engine_key_at(e, i);
        if (key->role == ROLE_JOIN && str_is(key->name, name))
            key_see(e, key->id, ret);
    }
}

/* ---- what waits ---- */

static bool choices_take(const struct workload_request *request, struct arena *arena, struct plan_demand *ret)
{
    const struct workload_choice *given = request->choices.items;
    struct plan_choice *choices = arena_alloc(arena, MAX(request->choices.count, 1) * sizeof *choices);
    if (choices == NULL)
        return false;
    for (size_t i = 0; i < request->choices.count; i++)
        choices[i] = (struct plan_choice){.sku = given[i].sku, .accelerator = given[i].accelerator, .provider = given[i].provider,
            .region = given[i].region, .zone = given[i].zone, .labelled = given[i].labels.count > 0, .gpu_milli = given[i].amounts.gpu_milli,
            .core_milli = given[i].amounts.core_milli, .memory_mib = given[i].amounts.memory_mib, .disk_mib = given[i].amounts.disk_mib};
    ret->choices = choices;
    ret->choice_count = request->choices.count;
    return true;
}

static bool demand_pays(const struct demand_look *d, const struct plan_demand *demand)
{
    for (size_t o = 0; o < d->plan.offers->count; o++) {
        const struct seller_offer *offer = &d->plan.offers->items[o];
        udollar rate = plan_unit_rate(offer, d->plan.margin_permille);
        for (size_t k = 0; rate >= 0 && demand->limit >= rate && k < demand->choice_count; k++)
            if (plan_fits(&demand->choices[k], offer, d->plan.provider))
                return true;
    }
    return false;
}

/* Instances never: two servers that sell to each other would go round in circles. */
static bool may_be_bought_for(const struct engine_workload *w)
{
    return !w->instance && w->preemptible && w->nodes == 1 && w->limit > 0 && !w->cancelled && !w->paused && w->reservation == 0;
}

static bool blocked(const struct engine *e, engine_id workload)
{
    struct market_why why;
    return engine_why(e, workload, &why) &&
           (why.obstacle == OBSTACLE_NO_NODE || why.obstacle == OBSTACLE_PRICE || why.obstacle == OBSTACLE_MENU);
}

struct candidate {
    struct plan_demand demand;
    engine_id workload;
};

/* Kept by limit, highest first; those of equal limits as they came. */
static void candidate_add(struct candidate *list, size_t *count, const struct candidate *c)
{
    size_t at = *count;
    if (at == DEMANDS_MOST && list[at - 1].demand.limit >= c->demand.limit)
        return;
    at -= at == DEMANDS_MOST;
    for (*count = at + 1; at > 0 && list[at - 1].demand.limit < c->demand.limit; at--)
        list[at] = list[at - 1];
    list[at] = *c;
}

void demand_look(const struct core_view *view, struct id_key ids, struct arena *arena, struct demand_look *d)
{
    struct render r = {.engine = view->engine, .ids = ids, .arena = arena, .now = view->now};
    struct candidate *list = xcalloc(DEMANDS_MOST, sizeof *list);
    const struct engine_workload *w = NULL;
    size_t count = 0;
    d->count = 0;
    while ((w = engine_workload_before(view->engine, w ? w->id : 0, 0, 1u << WORKLOAD_WAITING))) {
        struct workload_request request;
        struct candidate c = {.workload = w->id, .demand.limit = w->limit};
        if (!may_be_bought_for(w))
            continue;
        if (d->plan.offers->count == 0) {
            d->count = 1;
            break;
        }
        if (order_request(&r, w, &request) && choices_take(&request, arena, &c.demand) && demand_pays(d, &c.demand))
            candidate_add(list, &count, &c);
    }
    for (size_t i = 0; i < count && i < WHY_MOST; i++)
        if (blocked(view->engine, list[i].workload))
            d->demands[d->count++] = list[i].demand;
    xfree(list);
}
