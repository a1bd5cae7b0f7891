/* SPDX-License-Identifier: Apache-2.0 */
/* Quote, why and the views: dry, by the code that decides. */
#include "market/market_internal.h"

#define CENT 10000

/* ---- views ------------------------------------------------------------------------------------------ */

size_t market_pool_count(const struct market *m)
{
    return m->pool_count - 1;
}

struct market_pool_view market_pool(const struct market *m, size_t index)
{
    CHECK(index + 1 < m->pool_count);
    const struct pool *p = &m->pools[index + 1];
    struct market_pool_view v = {.pool = p->id, .sku = p->sku, .accelerator = p->accelerator,
        .provider = p->provider, .region = p->region, .zone = p->zone, .amounts = p->sample.amounts,
        .marginal = p->marginal, .scarcity = p->post - p->marginal, .guide = p->guide,
        .lowest_ask = p->lowest_ask, .post = p->post, .units_milli = p->units_milli,
        .used_milli = p->used_milli, .free_milli = p->units_milli - p->used_milli,
        .wanted_milli = p->wanted_milli, .nodes = p->node_count, .running = p->running,
        .waiting = p->waiting, .by_core = p->by_core};
    memcpy(v.labels, p->labels, sizeof v.labels);
    return v;
}

bool market_gap(const struct market *m, udollar *ret_surplus, udollar *ret_bound)
{
    *ret_surplus = m->surplus;
    *ret_bound = m->bound;
    return m->last_tick != 0;
}

static enum market_bid_state bid_state(const struct lease *l)
{
    switch (l->state) {
    case LEASE_NONE:
        return BID_WAITING;
    case LEASE_ASSIGNED:
        return BID_ASSIGNED;
    case LEASE_RUNNING:
        return BID_RUNNING;
    case LEASE_VACATING:
        return BID_VACATING;
    }
    return BID_WAITING;
}

bool market_bid_view(const struct market *m, market_id bid, time_ms now, struct market_bid_view *ret)
{
    const struct bid *b = &m->bids[map_get(&m->bid_by_id, bid)];
    const struct lease *l = &m->leases[b->lease];
    *ret = (struct market_bid_view){.state = bid_state(l), .attempt = b->attempt, .limit_unit = b->limit,
        .charged = b->charged, .charged_now = b->charged};
    if (b->id == 0)
        return false;
    if (l->state == LEASE_NONE)
        return true;
    ret->alternative = l->alternative;
    ret->pool = m->pools[l->pool].id;
    ret->units_milli = l->units_milli;
    ret->rate = l->rate / 1000;
    ret->limit = l->limit_rate / 1000;
    ret->asks = l->ask_rate / 1000;
    if (l->charging && now > l->accrued_to)
        ret->charged_now += narrow_checked((l->charge_sum + (int128)l->rate * (now - l->accrued_to)) / RATE_SCALE) - l->booked;
    return true;
}

udollar market_balance(const struct market *m, struct market_account name)
{
    for (uint32_t i = 1; i < m->account_count; i++)
        if (m->accounts[i].name.kind == name.kind && m->accounts[i].name.id == name.id)
            return m->accounts[i].balance;
    return 0;
}

udollar market_spent(const struct market *m, market_id tenant)
{
    return m->tenants[map_get(&m->tenant_by_id, tenant)].spent;
}

bool market_reservation_view(const struct market *m, market_id reservation, struct market_reservation_view *ret)
{
    (void)m;
    (void)reservation;
    *ret = (struct market_reservation_view){0};
    return false;
}

size_t market_forward(const struct market *m, market_id pool, struct market_forward_slot *ret, size_t most)
{
    (void)m;
    (void)pool;
    (void)ret;
    (void)most;
    return 0;
}

bool market_node_free(const struct market *m, market_id node, struct market_amounts *ret)
{
    const struct node *n = &m->nodes[map_get(&m->node_by_id, node)];
    *ret = n->room.free;
    return n->spec.id != 0;
}

market_id market_node_pool(const struct market *m, market_id node)
{
    uint32_t slot = (uint32_t)map_get(&m->node_by_id, node);
    return slot ? m->pools[m->nodes[slot].pool].id : 0;
}

/* ---- quote ------------------------------------------------------------------------------------------- */

static void line_price(const struct market *m, const struct market_bid *bid, struct market_quote_line *line)
{
    struct class class;
    class_make(m, bid, &class);
    struct candidate c = {.class = &class, .tenant = bid->tenant, .limit = bid->alternatives[0].limit,
        .notice = bid->notice, .urgent = bid->urgent};
    struct plan plan;
    plan_make(m, &c, &plan);
    const struct class_pool *at = NULL;
    int64_t best = menu_best(m, &c, &at);
    if (at == NULL) /* every price is above the limit: the cheapest says what it would take */
        for (uint32_t i = 0; i < class.pool_count; i++)
            if (class.pools[i].fits && (at == NULL || m->pools[class.pools[i].pool].post * class.pools[i].units_milli <
                                                          m->pools[at->pool].post * at->units_milli))
                at = &class.pools[i];
    if (at) {
        const struct pool *p = &m->pools[plan.site.count ? plan.site.pool : at->pool];
        line->fits = true;
        line->starts_now = plan.site.count > 0;
        line->alternative = plan.site.count ? plan.site.alternative : at->alternative;
        line->pool = p->id;
        line->units_milli = plan.site.count ? plan.site.units_milli : at->units_milli;
        int64_t value = mul_checked(candidate_limit(&c, at), at->units_milli);
        int64_t rate = plan.site.count ? plan.site.rate : best > 0 ? value - best : mul_checked(p->post, at->units_milli);
        line->above_limit = rate > value;
        line->rate = rate / 1000;
        line->ask = plan.site.count ? plan.site.ask_rate / 1000 : mul_div_floor(p->lowest_ask, line->units_milli, 1000);
        line->ask = MIN(line->ask, line->rate);
        line->scarcity = line->rate - line->ask;
    }
    plan_fini(&plan);
    class_fini(&class);
}

/* The bid with one more freedom; false where it has it already. `alternatives` and `choices` have
 * room for all. */
static bool bid_free(struct market_bid *bid, enum market_freedom freedom, struct market_alternative *alternatives,
                     struct market_choice *choices)
{
    bool changed = false;
    for (size_t i = 0; i < bid->alternative_count; i++) {
        alternatives[i] = bid->alternatives[i];
        choices[i] = bid->alternatives[i].choices[0];
        alternatives[i].choices = &choices[i];
        if (freedom == FREEDOM_ANY_LEVEL && alternatives[i].level != LEVEL_ANY) {
            alternatives[i].level = LEVEL_ANY;
            changed = true;
        }
        if (freedom == FREEDOM_OTHER_SKUS && (choices[i].sku || choices[i].accelerator)) {
            choices[i].sku = choices[i].accelerator = 0;
            changed = true;
        }
    }
    bid->alternatives = alternatives;
    if (freedom == FREEDOM_PREEMPTIBLE && bid->kind == BID_FIRM) {
        bid->kind = BID_PREEMPTIBLE;
        changed = true;
    }
    return changed;
}

enum market_refusal market_quote(const struct market *m, const struct market_bid *bid, struct market_quote *ret,
                                 const char **ret_field, int64_t ret_numbers[3])
{
    *ret = (struct market_quote){0};
    enum market_refusal refusal = bid_refusal(m, bid, ret_field, ret_numbers);
    if (refusal)
        return refusal;
    struct market_alternative alternatives[MARKET_ALTERNATIVES_MAX];
    struct market_choice choices[MARKET_ALTERNATIVES_MAX];
    for (int i = 0; i < MARKET_FREEDOM_COUNT; i++) {
        struct market_quote_line *line = &ret->lines[i];
        struct market_bid freer = *bid;
        line->freedom = (enum market_freedom)i;
        line->offered = i == FREEDOM_NONE || bid_free(&freer, line->freedom, alternatives, choices);
        if (line->offered)
            line_price(m, &freer, line);
    }
    return REFUSED_NONE;
}

/* ---- why ----------------------------------------------------------------------------------------------- */

/* Whether a batch of this reprice alone would start it. */
static bool starts_at(const struct market *m, const struct bid *bid, int64_t limit)
{
    struct bid at = *bid;
    at.limit = limit;
    const struct class *class = &m->classes[bid->class];
    uint32_t head = tree_first(m, class->waiting);
    if (head && &m->bids[head] != bid && bid_compare(&m->bids[head], &at) < 0)
        return false;
    struct candidate c = bid_candidate(m, &at);
    struct plan plan;
    plan_make(m, &c, &plan);
    bool starts = plan.site.count > 0;
    plan_fini(&plan);
    return starts;
}

static void why_limit(const struct market *m, const struct bid *b, struct market_why *ret)
{
    int64_t low = b->limit / CENT + 1, high = MARKET_RATE_MAX / CENT;
    if (low > high || !starts_at(m, b, high * CENT))
        return;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (starts_at(m, b, middle * CENT))
            high = middle;
        else
            low = middle + 1;
    }
    ret->has_limit = true;
    ret->go_live = low * CENT;
}

/* What stands in its pools at less than it, or at more: the class that holds the place. */
static void why_holders(const struct market *m, const struct bid *b, struct market_why *ret, bool *ret_protected)
{
    const struct class *class = &m->classes[b->class];
    *ret_protected = false;
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        bool here = false;
        for (uint32_t j = 0; j < class->pool_count && l->state != LEASE_NONE; j++)
            here |= class->pools[j].pool == l->pool;
        if (!here)
            continue;
        int64_t limit = l->limit_rate / l->units_milli;
        if (ret->holder_units_milli == 0 || limit < ret->holder_limit) {
            ret->holder_limit = limit;
            ret->holder_units_milli = l->units_milli;
        }
        time_ms until = l->state == LEASE_VACATING ? l->vacate_by : l->firm ? l->term_until : l->protected_until;
        if (l->state != LEASE_VACATING && !lease_evictable(m, l) && limit < b->limit)
            *ret_protected = true;
        if ((l->state == LEASE_VACATING || limit < b->limit) && until > m->now)
            ret->soonest = MIN(ret->soonest, until);
    }
}

static void why_room(const struct market *m, const struct class *class, struct market_why *ret, bool *ret_node)
{
    *ret_node = false;
    for (uint32_t i = 0; i < class->pool_count; i++) {
        const struct pool *p = &m->pools[class->pools[i].pool];
        if (p->units_milli == 0)
            continue;
        *ret_node = true;
        int64_t free = p->units_milli - p->used_milli;
        if (ret->pool && free <= ret->free_milli)
            continue;
        ret->pool = p->id;
        ret->alternative = class->pools[i].alternative;
        ret->needed_milli = class->pools[i].units_milli;
        ret->free_milli = free;
        ret->largest_free_milli = 0;
        for (uint32_t j = 0; j < p->node_count; j++) {
            const struct node *n = &m->nodes[p->nodes[j]];
            int64_t here = p->by_core ? n->room.free.core_milli : n->room.free.gpu_milli;
            if (node_usable(n))
                ret->largest_free_milli = MAX(ret->largest_free_milli, here);
        }
    }
}

static enum market_obstacle obstacle(const struct market *m, const struct bid *b, const struct market_why *why,
                                     bool has_node, bool is_protected)
{
    if (b->parked)
        return OBSTACLE_BUDGET;
    if (!has_node)
        return OBSTACLE_NO_NODE;
    if (is_protected)
        return OBSTACLE_PROTECTED;
    if (why->free_milli >= why->needed_milli)
        return b->limit < m->pools[why->pool].lowest_ask ? OBSTACLE_MENU : why->has_limit ? OBSTACLE_MENU : OBSTACLE_CONTIGUITY;
    return OBSTACLE_PRICE;
}

bool market_why(const struct market *m, market_id bid, struct market_why *ret)
{
    const struct bid *b = &m->bids[map_get(&m->bid_by_id, bid)];
    *ret = (struct market_why){.soonest = TIME_NEVER};
    if (b->id == 0)
        return false;
    if (b->lease)
        return true;
    const struct class *class = &m->classes[b->class];
    bool has_node, is_protected;
    why_room(m, class, ret, &has_node);
    why_holders(m, b, ret, &is_protected);
    ret->ahead = b->waiting ? tree_rank(m, class->waiting, b) : 0;
    if (!b->parked)
        why_limit(m, b, ret);
    ret->obstacle = obstacle(m, b, ret, has_node, is_protected);
    return true;
}
