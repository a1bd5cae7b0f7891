/* SPDX-License-Identifier: Apache-2.0 */
/* What a workload pays (MARKET.md section 7), from its own bid, its place and the posted menu
 * alone. */
#include "model.h"

#define RATE_SCALE ((int128)1000 * HOUR_MS) /* µ$ × milli-units an hour × ms -> µ$ */

/* ---- pools, empty
 * ---------------------------------------------------------------------------------- */

bool model_node_of_pool(const struct market_node *n, const struct market_pool_view *p)
{
    return n->sku == p->sku && n->accelerator == p->accelerator &&
           n->place.provider == p->provider && n->place.region == p->region &&
           n->place.zone == p->zone && model_same_amounts(&n->amounts, &p->amounts) &&
           memcmp(n->labels, p->labels, sizeof n->labels) == 0;
}

/* Nodes of the pool that stand in the same place of that level as this one. */
static uint32_t nodes_beside(const struct world *w, const struct market_pool_view *p,
                             const struct market_node *n, enum market_level level)
{
    uint32_t here = 0;
    for (size_t j = 0; j < w->plot_count; j++)
        here += model_node_of_pool(&w->plots[j].spec, p) &&
                model_place(&w->plots[j].spec, level) == model_place(n, level);
    return here;
}

static void rack_sizes_insert(uint32_t sizes[GROUND_RACKS_MAX], uint32_t size)
{
    for (size_t i = 0; i < GROUND_RACKS_MAX; i++)
        if (size > sizes[i]) {
            uint32_t smaller = sizes[i];
            sizes[i] = size;
            size = smaller;
        }
}

/* The largest racks of the fabric that this node stands in. */
static void fabric_racks(const struct world *w, const struct market_pool_view *p,
                         const struct market_node *n, uint32_t sizes[GROUND_RACKS_MAX])
{
    memset(sizes, 0, GROUND_RACKS_MAX * sizeof *sizes);
    for (size_t j = 0; j < w->plot_count; j++) {
        const struct market_node *other = &w->plots[j].spec;
        bool known = !model_node_of_pool(other, p) || other->place.fabric != n->place.fabric;
        for (size_t k = 0; k < j && !known; k++)
            known = model_node_of_pool(&w->plots[k].spec, p) &&
                    w->plots[k].spec.place.rack == other->place.rack;
        if (!known)
            rack_sizes_insert(sizes, nodes_beside(w, p, other, LEVEL_RACK));
    }
}

static void ground_measure(const struct world *w, struct ground *g)
{
    for (size_t i = 0; i < w->plot_count; i++) {
        const struct market_node *n = &w->plots[i].spec;
        if (!model_node_of_pool(n, &g->view))
            continue;
        g->sample = *n;
        for (int level = LEVEL_ANY; level <= LEVEL_NODE; level++)
            g->largest[level] =
                MAX(g->largest[level], nodes_beside(w, &g->view, n, (enum market_level)level));
        uint32_t sizes[GROUND_RACKS_MAX], sum = 0;
        fabric_racks(w, &g->view, n, sizes);
        for (size_t k = 0; k < GROUND_RACKS_MAX; k++) {
            sum += sizes[k];
            g->racks[k] = MAX(g->racks[k], sum);
        }
    }
}

/* What there is of each pool, up or down; worked out again when nodes have come. */
void model_survey(struct world *w)
{
    size_t count = market_pool_count(w->m);
    if (w->ground_count == count && !w->ground_stale)
        return;
    w->ground = xrealloc(w->ground, count + 1, sizeof *w->ground);
    w->ground_count = count;
    w->ground_stale = false;
    for (size_t i = 0; i < count; i++) {
        w->ground[i] = (struct ground){.view = market_pool(w->m, i)};
        ground_measure(w, &w->ground[i]);
    }
}

static int64_t replicas_in_a_node(const struct market_amounts *node,
                                  const struct market_amounts *takes)
{
    int64_t most = INT32_MAX;
    const int64_t pairs[][2] = {{takes->gpu_milli, node->gpu_milli},
                                {takes->core_milli, node->core_milli},
                                {takes->memory_mib, node->memory_mib},
                                {takes->disk_mib, node->disk_mib}};
    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++)
        if (pairs[i][0])
            most = MIN(most, pairs[i][1] / pairs[i][0]);
    return most;
}

/* Whether all replicas could stand together in the pool, were it empty. */
static bool fits_empty(const struct track *t, size_t alternative, const struct ground *g)
{
    const struct market_alternative *a = &t->alternatives[alternative];
    uint32_t replicas = t->roles[0].replicas_min;
    if (a->level == LEVEL_NODE)
        return replicas_in_a_node(&g->view.amounts, &a->choices[0].amounts) >= replicas;
    if (a->level == LEVEL_RACKS)
        return g->racks[MIN(a->racks, GROUND_RACKS_MAX) - 1] >= replicas;
    return g->largest[a->level] >= replicas;
}

static bool choice_meets_pool(const struct market_choice *c, const struct market_pool_view *p)
{
    struct market_node n = {
        .sku = p->sku,
        .accelerator = p->accelerator,
        .place = {.provider = p->provider, .region = p->region, .zone = p->zone}};
    memcpy(n.labels, p->labels, sizeof n.labels);
    return model_choice_matches(c, &n) && model_units(&p->amounts, &c->amounts) > 0;
}

/* The limit of an alternative where the first one's is `limit`. */
static int64_t limit_at(const struct track *t, size_t alternative, udollar limit)
{
    udollar first = t->alternatives[0].limit, own = t->alternatives[alternative].limit;
    return limit == first ? own
           : own == first ? limit
                          : (int64_t)((int128)limit * own / MAX(first, 1));
}

static int64_t units_there(const struct track *t, size_t alternative,
                           const struct market_amounts *node)
{
    return model_units(node, &t->alternatives[alternative].choices[0].amounts) *
           t->roles[0].replicas_min;
}

bool model_eligible(const struct track *t, size_t alternative, const struct ground *g)
{
    return choice_meets_pool(&t->alternatives[alternative].choices[0], &g->view) &&
           fits_empty(t, alternative, g);
}

/* What the menu asks of a tenant in a pool. */
static int64_t post_of(const struct world *w, const struct ground *g, market_id tenant)
{
    const struct tag *tag = world_tag(w, g->view.pool);
    int64_t post = tag ? tag->marginal + tag->scarcity : g->view.post;
    for (size_t i = 0; i < w->block_count; i++)
        if (w->blocks[i].tenant == tenant && w->blocks[i].pool == g->view.pool)
            return MIN(post, w->blocks[i].post);
    return post;
}

/* best of section 7: what it could have had at the posted prices over its own alternatives. */
static int64_t best_of(const struct world *w, const struct track *t, udollar limit, market_id tenant)
{
    int64_t best = 0;
    for (size_t i = 0; i < w->ground_count; i++) {
        const struct ground *g = &w->ground[i];
        const struct tag *tag = world_tag(w, g->view.pool);
        int64_t post = post_of(w, g, tenant);
        if (tag)
            post = MAX(post - model_credit(w, t, g->view.pool), MIN(tag->marginal, post));
        for (size_t a = 0; a < t->spec.alternative_count; a++) {
            int64_t margin = limit_at(t, a, limit) - t->alternatives[a].transfer - post;
            if (margin <= 0 || !model_eligible(t, a, g))
                continue;
            best = MAX(best, margin * units_there(t, a, &g->view.amounts));
        }
    }
    return best;
}

int64_t model_asks(const struct world *w, const struct track *t)
{
    int64_t asks = 0;
    for (size_t i = 0; i < t->placement_count; i++)
        asks += world_plot(w, t->placements[i].node)->spec.ask * t->placements[i].units_milli;
    return asks;
}

static int64_t limit_rate(const struct track *t, udollar limit)
{
    return (limit_at(t, t->alternative, limit) - t->alternatives[t->alternative].transfer) *
           t->units_milli;
}

int64_t model_rate_at(const struct world *w, const struct track *t, size_t alternative,
                      const struct ground *g, udollar limit)
{
    int64_t value = limit_at(t, alternative, limit) - t->alternatives[alternative].transfer;
    return value * units_there(t, alternative, &g->view.amounts) - best_of(w, t, limit, 0);
}

int64_t model_rate(const struct world *w, const struct track *t, udollar limit)
{
    return limit_rate(t, limit) - best_of(w, t, limit, t->spec.tenant);
}

/* What the model can recompute: one role of fixed size, whose price is that of the moment. */
bool model_is_simple(const struct track *t)
{
    return t->spec.kind == BID_PREEMPTIBLE && t->spec.reservation == 0 && t->spec.role_count == 1 &&
           t->roles[0].replicas_min == t->roles[0].replicas_max && !t->spec.urgent && t->spec.tier == 0;
}

static int128 span_sum(const struct track *t, time_ms to, bool of_limits)
{
    int128 sum = 0;
    for (size_t i = 0; i < t->span_count; i++) {
        time_ms end = i + 1 < t->span_count ? MIN(t->spans[i + 1].from, to) : to;
        if (end > t->spans[i].from)
            sum += (int128)(of_limits ? t->spans[i].limit : t->spans[i].rate) *
                   (end - t->spans[i].from);
    }
    return sum;
}

void model_check_bill(struct world *w, const struct track *t, time_ms to)
{
    udollar due = (udollar)(span_sum(t, to, false) / RATE_SCALE);
    if (t->attempt_charged != due)
        world_fail(w, "invariant 19: the bill of %s for attempt %u is %lld, the menus make it %lld",
                   NAME(w, t->id), t->attempt, (long long)t->attempt_charged, (long long)due);
}

/* ---- the running charge, at every batch
 * ------------------------------------------------------------------- */

int128 model_asks_sum(const struct track *t, time_ms to)
{
    int128 sum = 0;
    for (size_t i = 0; i < t->span_count; i++) {
        time_ms end = i + 1 < t->span_count ? MIN(t->spans[i + 1].from, to) : to;
        if (end > t->spans[i].from)
            sum += (int128)t->spans[i].asks * (end - t->spans[i].from);
    }
    return sum;
}

static void span_add(struct world *w, struct track *t, int64_t rate, int64_t limit)
{
    struct rate_span *last = t->span_count ? &t->spans[t->span_count - 1] : NULL;
    if (last && last->rate == rate && last->limit == limit && last->asks == t->asks)
        return;
    if (last && last->from == w->now) {
        *last = (struct rate_span){w->now, rate, limit, t->asks};
        return;
    }
    ARRAY_RESERVE(t->spans, t->span_count, t->span_capacity);
    t->spans[t->span_count++] = (struct rate_span){w->now, rate, limit, t->asks};
}

/* A change of the limit reaches a lease when its minimum run ends, at the latest with the next
 * tick. */
static void take_pending(struct world *w, struct track *t, const struct market_bid_view *v)
{
    if (t->pending >= 0 && v->limit_unit == t->pending) {
        t->first_limit = t->pending;
        t->pending = -1;
    }
    if (v->limit_unit != t->first_limit)
        world_fail(w, "%s stands at the limit %lld, it said %lld", NAME(w, t->id),
                   (long long)v->limit_unit, (long long)t->first_limit);
}

/* So does a changed ask. */
static void take_asks(struct world *w, struct track *t, const struct market_bid_view *v)
{
    if (v->asks != t->asks / 1000 && w->now >= t->protected_until)
        t->asks = model_asks(w, t);
    if (v->asks != t->asks / 1000)
        world_fail(w, "%s stands at asks of %lld µ$ an hour, its nodes asked %lld", NAME(w, t->id),
                   (long long)v->asks, (long long)(t->asks / 1000));
}

static void check_charged(struct world *w, const struct track *t, const struct market_bid_view *v)
{
    time_ms to = MIN(w->now, t->charged_until);
    udollar due = (udollar)(span_sum(t, to, false) / RATE_SCALE),
            most = (udollar)(span_sum(t, to, true) / RATE_SCALE);
    udollar charged = v->menu_charged_now - t->charged_before;
    if (charged != due)
        world_fail(w, "invariant 19: %s was charged %lld in attempt %u, the menus make it %lld",
                   NAME(w, t->id), (long long)charged, t->attempt, (long long)due);
    charged += v->displacement - t->displaced_before;
    if (charged < 0 || charged > most)
        world_fail(w, "invariant 14: %s was charged %lld, its limit allows %lld", NAME(w, t->id),
                   (long long)charged, (long long)most);
}

void model_check_rate(struct world *w, struct track *t)
{
    struct market_bid_view v;
    if (!market_bid_view(w->m, t->id, w->now, &v))
        world_fail(w, "%s is not in the book any more", NAME(w, t->id));
    if (t->span_count == 0)
        t->displaced_before = v.displacement;
    check_charged(w, t, &v);
    /* who leaves does so at the rate that it had, or got with the tick that sent it away */
    bool keeps = t->span_count ? v.rate == t->spans[t->span_count - 1].rate / 1000 : !t->runs;
    if (t->state == TRACK_VACATING && (keeps || t->told != w->now))
        return;
    take_pending(w, t, &v);
    take_asks(w, t, &v);
    int64_t asks = t->asks, limit = limit_rate(t, t->first_limit);
    int64_t rate = MAX(model_rate(w, t, t->first_limit), asks);
    if (v.rate != rate / 1000)
        world_fail(w, "invariant 19: %s is charged %lld µ$ an hour, section 7 says %lld",
                   NAME(w, t->id), (long long)v.rate, (long long)(rate / 1000));
    /* its own cut of the limit below the asks sends it away, at the asks, which its old limit
     * covers */
    limit = MAX(limit, t->span_count ? t->spans[t->span_count - 1].limit : t->top_limit);
    if (rate > limit)
        world_fail(w, "invariant 14: %s is charged %lld µ$ an hour, its limit is %lld",
                   NAME(w, t->id), (long long)(rate / 1000), (long long)(limit / 1000));
    if (t->state == TRACK_RUNNING || t->state == TRACK_VACATING)
        span_add(w, t, rate, limit);
}
