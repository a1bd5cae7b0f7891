/* SPDX-License-Identifier: Apache-2.0 */
/* Quote, why and the views: dry, by the code that decides. */
#include "market/calendar.h"
#include "market/refusal.h"

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
        .used_milli = p->used_milli, .free_milli = p->free_milli,
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

static void view_promise(const struct market *m, const struct bid *b, struct market_bid_view *ret)
{
    const struct promise *p = &m->calendar->promises[b->promise];
    const struct claim *c = &m->calendar->claims[p->claim];
    ret->committed = p->committed;
    ret->most = p->most;
    ret->done_permille = p->done_permille;
    ret->latest = m->leases[b->lease].claim ? c->to : c->from;
}

bool market_bid_asks(const struct market *m, market_id bid, struct market_amounts *ret, market_id *ret_sku)
{
    const struct bid *b = &m->bids[map_get(&m->bid_by_id, bid)];
    *ret = (struct market_amounts){0};
    *ret_sku = 0;
    if (b->id == 0)
        return false;
    const struct form *form = class_form(m, &m->classes[b->class]);
    for (uint32_t i = 0; i < form->alternative_count; i++) {
        const struct market_choice *choice = &form->choices[i];
        ret->gpu_milli = MAX(ret->gpu_milli, choice->amounts.gpu_milli);
        ret->core_milli = MAX(ret->core_milli, choice->amounts.core_milli);
        *ret_sku = i == 0 || choice->sku == *ret_sku ? choice->sku : 0;
    }
    return true;
}

bool market_bid_view(const struct market *m, market_id bid, time_ms now, struct market_bid_view *ret)
{
    const struct bid *b = &m->bids[map_get(&m->bid_by_id, bid)];
    const struct lease *l = &m->leases[b->lease];
    *ret = (struct market_bid_view){.state = bid_state(l), .attempt = b->attempt, .limit_unit = b->limit,
        .charged = b->charged - b->refunded + b->transfer_paid + b->displaced, .menu_charged = b->charged};
    ret->charged_now = ret->charged;
    ret->menu_charged_now = ret->menu_charged;
    ret->transfer = b->transfer_paid;
    ret->displacement = b->displaced;
    ret->refunded = b->refunded;
    if (b->id == 0)
        return false;
    ret->tier = b->tier;
    if (b->promise)
        view_promise(m, b, ret);
    if (l->state == LEASE_NONE)
        return true;
    ret->alternative = l->alternative;
    ret->pool = m->pools[l->pool].id;
    ret->tight = l->subscription != 0;
    ret->units_milli = l->units_milli;
    ret->rate = l->rate / 1000;
    ret->limit = l->limit_rate / 1000;
    ret->asks = l->ask_rate / 1000;
    ret->stay = l->firm || l->state == LEASE_VACATING ? 0 : lease_bonus(m, l) / 1000;
    if (l->charging && now > l->accrued_to) {
        int128 sum = l->charge_sum + (int128)l->rate * (now - l->accrued_to);
        if (b->promise)
            sum = MAX(l->charge_sum, MIN(sum, promise_room(m, l)));
        udollar whole = narrow_checked(l->currency == CURRENCY_MONEY ? sum / RATE_SCALE : sum / 1000 * l->exchange / RATE_SCALE);
        ret->charged_now += whole - l->booked;
        ret->menu_charged_now += whole - l->booked;
    }
    return true;
}

udollar market_balance(const struct market *m, struct market_account name)
{
    for (uint32_t i = 1; i < m->account_count; i++)
        if (m->accounts[i].name.kind == name.kind && m->accounts[i].name.id == name.id &&
            m->accounts[i].name.currency == name.currency)
            return m->accounts[i].balance;
    return 0;
}

udollar market_spent(const struct market *m, market_id tenant)
{
    return m->tenants[map_get(&m->tenant_by_id, tenant)].purses[CURRENCY_MONEY].spent;
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

market_id market_node_block(const struct market *m, market_id node, time_ms *ret_from)
{
    uint32_t slot = (uint32_t)map_get(&m->node_by_id, node);
    market_id bid = 0;
    for (uint32_t i = 1; i < m->calendar->claim_count && claims_stand_on(m, slot); i++) {
        const struct claim *c = &m->calendar->claims[i];
        for (uint32_t j = 0; j < c->count && c->kind == CLAIM_STARVING; j++)
            if (c->nodes[j] == slot) {
                bid = m->bids[c->of].id;
                *ret_from = c->from;
            }
    }
    return bid;
}

/* ---- quote ------------------------------------------------------------------------------------------- */

/* The line whose posted price is lowest for the whole bid. */
static const struct line *line_cheapest(const struct market *m, const struct candidate *c)
{
    const struct line *at = NULL;
    int64_t least = 0;
    for (uint32_t i = 0; i < c->form->line_count; i++) {
        const struct line *line = &c->form->lines[i];
        int64_t cost = mul_checked(candidate_price(m, c, line) + line->transfer, candidate_units(c, line));
        if (candidate_fits(m, c, line) && (at == NULL || cost < least)) {
            at = line;
            least = cost;
        }
    }
    return at;
}

static void line_fill(const struct market *m, const struct candidate *c, const struct line *at, const struct site *site,
                      struct market_quote_line *ret)
{
    const struct line *best_at;
    int64_t best = menu_best(m, c, &best_at), units = site->count ? site->units_milli : candidate_units(c, at);
    const struct pool *p = &m->pools[site->count ? site->pool : at->pool];
    int64_t value = mul_checked(candidate_net(c, at), units), post = mul_checked(candidate_price(m, c, at), units);
    int64_t rate = site->count ? site->rate : best > 0 ? value - best : post;
    ret->fits = true;
    ret->starts_now = site->count > 0;
    ret->alternative = site->count ? site->alternative : at->alternative;
    ret->pool = p->id;
    ret->units_milli = units;
    ret->above_limit = rate > value && site->count == 0;
    ret->transfer = mul_div_floor(c->form->alternatives[ret->alternative].transfer, units, 1000);
    ret->rate = rate / 1000 + ret->transfer;
    ret->ask = MIN(site->count ? site->ask_rate / 1000 : mul_div_floor(p->lowest_ask, units, 1000), rate / 1000);
    ret->credit = site->count ? 0 : mul_div_floor(headroom_credit(m, c, at->pool), units, 1000);
    ret->scarcity = ret->rate - ret->transfer - ret->ask + ret->credit;
}

static struct candidate candidate_of(const struct market *m, const struct market_bid *bid, const struct form *form, uint32_t *limits)
{
    uint32_t tenant = (uint32_t)map_get(&m->tenant_by_id, bid->tenant);
    for (size_t i = 0; i < bid->alternative_count; i++)
        limits[i] = (uint32_t)bid->alternatives[i].limit;
    time_ms term = bid->kind != BID_FIRM ? 0 : bid->term ? bid->term : m->settings[SETTING_TERM_MS];
    return (struct candidate){.form = form, .term = term, .replicas = bid->roles[0].replicas_min, .tenant = bid->tenant,
        .limit = bid->alternatives[0].limit, .limits = limits, .notice = bid->notice, .minimum_run = bid->minimum_run,
        .urgent = bid->urgent, .credits = bid->credits, .tenant_slot = tenant, .tier = bid->tier};
}

static void line_menu(const struct market *m, struct scratch *s, const struct candidate *c, struct market_quote_line *line)
{
    struct plan plan;
    plan_make(m, s, c, &plan);
    const struct line *at;
    (void)menu_best(m, c, &at);
    if (at == NULL) /* every price is above the limit: the cheapest says what it would take */
        at = line_cheapest(m, c);
    if (at)
        line_fill(m, c, at, &plan.site, line);
    plan_fini(&plan);
}

/* With a deadline: what it would be promised, and whether it starts now at that price; where it would not be,
 * what it meets as an ordinary bid. */
static void line_promise(const struct market *m, struct scratch *s, const struct market_bid *bid, const struct candidate *c,
                         struct market_quote_line *line)
{
    struct promise p = promise_of(bid);
    struct offer o;
    struct plan plan;
    offer_find(m, c, &p, &o);
    if (o.line && !o.above_limit) {
        struct candidate early = *c;
        early.limit = o.rate / o.site.units_milli;
        early.limits = NULL;
        plan_make(m, s, &early, &plan);
        const struct pool *at = &m->pools[o.line->pool];
        *line = (struct market_quote_line){.freedom = line->freedom, .offered = line->offered, .fits = true, .promised = true,
            .starts_now = plan.site.count > 0 && bid->earliest <= m->now, .alternative = o.line->alternative, .pool = at->id,
            .units_milli = o.site.units_milli, .rate = o.rate / 1000, .latest = o.from};
        line->ask = MIN(mul_checked(at->marginal, o.site.units_milli) / 1000, line->rate);
        line->scarcity = line->rate - line->ask;
        plan_fini(&plan);
    } else {
        line_menu(m, s, c, line);
    }
    line->deadline = bid->latest;
    line->most = o.most;
    offer_fini(&o);
}

static void line_price(const struct market *m, struct scratch *s, const struct market_bid *bid, struct market_quote_line *line)
{
    struct form form;
    uint32_t limits[MARKET_ALTERNATIVES_MAX];
    form_make(m, bid, &form);
    struct candidate c = candidate_of(m, bid, &form, limits);
    if (bid->kind == BID_DEADLINE)
        line_promise(m, s, bid, &c, line);
    else
        line_menu(m, s, &c, line);
    form_fini(&form);
}

/* Twice the time; without a deadline, a day or three times its run where that is more. What does not go
 * with one has not this freedom. */
static bool bid_later(const struct market *m, struct market_bid *bid)
{
    struct market_bid later = *bid;
    struct form form;
    if (bid->kind == BID_PREEMPTIBLE)
        return false;
    time_ms span = bid->kind == BID_DEADLINE ? 2 * (bid->latest - m->now) : MAX(24 * HOUR_MS, 3 * bid->run_time);
    later.kind = BID_DEADLINE;
    later.latest = m->now + MIN(span, MARKET_WINDOW_MAX_MS);
    form_make(m, &later, &form);
    bool allowed = later.latest > bid->latest || bid->kind != BID_DEADLINE;
    allowed = allowed && promise_refusal(m, &later, &form).reason == REFUSED_NONE;
    form_fini(&form);
    if (allowed)
        *bid = later;
    return allowed;
}

/* The bid with one more freedom; false where it has it already. `alternatives` and `choices` have
 * room for all. */
static bool bid_free(const struct market *m, struct market_bid *bid, enum market_freedom freedom, struct market_alternative *alternatives,
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
    if (freedom == FREEDOM_LATER)
        changed = bid_later(m, bid);
    if (freedom == FREEDOM_PREEMPTIBLE && bid->kind == BID_FIRM) {
        bid->kind = BID_PREEMPTIBLE;
        changed = true;
    }
    return changed;
}

/* A promise costs more than the moment where the curve is dear: then it is no freedom. */
static void later_keep(struct market_quote *q)
{
    const struct market_quote_line *own = &q->lines[FREEDOM_NONE];
    struct market_quote_line *later = &q->lines[FREEDOM_LATER];
    bool met = own->fits && !own->above_limit && (own->deadline == 0 || own->promised);
    if (later->offered && met && (!later->promised || later->rate > own->rate))
        *later = (struct market_quote_line){.freedom = FREEDOM_LATER};
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
    struct scratch *s = scratch_new();
    for (int i = 0; i < MARKET_FREEDOM_COUNT; i++) {
        struct market_quote_line *line = &ret->lines[i];
        struct market_bid freer = *bid;
        line->freedom = (enum market_freedom)i;
        line->offered = i == FREEDOM_NONE || bid_free(m, &freer, line->freedom, alternatives, choices);
        if (line->offered)
            line_price(m, s, &freer, line);
    }
    later_keep(ret);
    scratch_free(s);
    return REFUSED_NONE;
}

/* ---- why ----------------------------------------------------------------------------------------------- */

/* Whether a batch of this reprice alone would start it. */
static bool starts_at(const struct market *m, struct scratch *s, const struct bid *bid, int64_t limit)
{
    struct bid at = *bid;
    const struct class *class = &m->classes[bid->class];
    enum promise_start start = bid->promise ? promise_start_at(m, bid, &limit) : START_COMPETES;
    if (start != START_COMPETES || bid->parked)
        return start == START_NOW;
    at.limit = limit;
    at.value = value_at(class_form(m, class), bid->limits, limit);
    uint32_t rival = bid->waiting ? tree_first_but(m, class->waiting, bid) : tree_first(m, class->waiting);
    if (rival && bid_compare(&m->bids[rival], &at) < 0) /* it would be looked at first, and has been tried in vain */
        return false;
    struct candidate c = bid_candidate(m, &at);
    struct plan plan;
    plan_make(m, s, &c, &plan);
    bool starts = plan.site.count > 0 && bid_affords(m, &at, &plan.site);
    plan_fini(&plan);
    return starts;
}

/* From 0 on: what has come free or lost its protection since it was tried last may let it in at the
 * limit that it has. */
static void why_limit(const struct market *m, const struct bid *b, struct market_why *ret)
{
    int64_t low = 0, high = MARKET_RATE_MAX / CENT;
    if (b->limits && b->limits[0] == 0)
        return;
    struct scratch *s = scratch_new();
    if (starts_at(m, s, b, high * CENT)) {
        while (low < high) {
            int64_t middle = low + (high - low) / 2;
            if (starts_at(m, s, b, middle * CENT))
                high = middle;
            else
                low = middle + 1;
        }
        ret->has_limit = true;
        ret->go_live = low * CENT;
    }
    scratch_free(s);
}

/* What stands in its pools at less than it, or at more: the class that holds the place. */
static void why_holders(const struct market *m, const struct bid *b, struct market_why *ret, bool *ret_protected)
{
    const struct form *f = class_form(m, &m->classes[b->class]);
    _cleanup_free_ bool *here = xcalloc(m->pool_count, sizeof *here);
    for (uint32_t i = 0; i < f->line_count; i++)
        here[f->lines[i].pool] = true;
    *ret_protected = false;
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        if (l->state == LEASE_NONE || !here[l->pool])
            continue;
        int64_t limit = l->limit_rate / l->units_milli;
        if (ret->holder_units_milli == 0 || limit < ret->holder_limit) {
            ret->holder_limit = limit;
            ret->holder_units_milli = l->units_milli;
        }
        time_ms until = l->state == LEASE_VACATING ? l->vacate_by : l->firm ? l->term_until : l->protected_until;
        if (l->state != LEASE_VACATING && !lease_evictable(m, l) && limit < b->value)
            *ret_protected = true;
        if ((l->state == LEASE_VACATING || limit < b->value) && until > m->now)
            ret->soonest = MIN(ret->soonest, until);
    }
}

static void why_room(const struct market *m, const struct bid *b, struct market_why *ret, bool *ret_node)
{
    const struct class *class = &m->classes[b->class];
    const struct form *f = class_form(m, class);
    *ret_node = false;
    for (uint32_t i = 0; i < f->line_count; i++) {
        const struct pool *p = &m->pools[f->lines[i].pool];
        if (p->units_milli == 0)
            continue;
        *ret_node = true;
        int64_t free = p->free_milli;
        if (ret->pool && free <= ret->free_milli)
            continue;
        ret->pool = p->id;
        ret->post = tenant_post(m, b->tenant, f->lines[i].pool);
        ret->alternative = f->lines[i].alternative;
        ret->needed_milli = mul_checked(f->lines[i].replica_milli, class->replicas);
        ret->free_milli = free;
        ret->largest_free_milli = 0;
        for (uint32_t j = 0; j < p->node_count; j++) {
            const struct node *n = &m->nodes[p->nodes[j]];
            int64_t on_it = p->by_core ? n->room.free.core_milli : n->room.free.gpu_milli;
            if (node_usable(n))
                ret->largest_free_milli = MAX(ret->largest_free_milli, on_it);
        }
    }
}

static enum market_obstacle obstacle(const struct market *m, const struct bid *b, const struct market_why *why,
                                     bool has_node, bool is_protected)
{
    if (b->held)
        return OBSTACLE_OWNER;
    if (bid_is_promised(m, b))
        return OBSTACLE_DEADLINE;
    if (b->parked)
        return b->reserved || b->earliest > m->now ? OBSTACLE_WINDOW : OBSTACLE_BUDGET;
    if (m->settings[SETTING_HOLD])
        return OBSTACLE_PAUSED;
    if (!has_node)
        return OBSTACLE_NO_NODE;
    struct candidate c = bid_candidate(m, b);
    if (!candidate_affords(m, &c))
        return OBSTACLE_FORWARD;
    if (is_protected || b->block)
        return OBSTACLE_PROTECTED;
    /* Headroom gives way to a limit above what it is worth: what stands in the way of one above the post is the headroom. */
    const struct pool *p = &m->pools[why->pool];
    bool outbid = why->has_limit && !(p->holds && b->limit >= MAX(why->post, p->guide));
    if (why->free_milli >= why->needed_milli && (p->claims || p->holds) && !outbid)
        return OBSTACLE_HELD;
    if (why->free_milli >= why->needed_milli)
        return b->limit < m->pools[why->pool].lowest_ask ? OBSTACLE_MENU : why->has_limit ? OBSTACLE_MENU : OBSTACLE_CONTIGUITY;
    return OBSTACLE_PRICE;
}

/* No limit starts it sooner: the price that it competes at is locked. */
static void why_promise(const struct market *m, const struct bid *b, struct market_why *ret)
{
    const struct promise *p = &m->calendar->promises[b->promise];
    const struct claim *c = &m->calendar->claims[p->claim];
    ret->latest = MAX(c->from, m->now);
    ret->most = p->most;
    ret->locked = b->limit;
    ret->soonest = MIN(ret->soonest, ret->latest);
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
    why_room(m, b, ret, &has_node);
    why_holders(m, b, ret, &is_protected);
    ret->ahead = b->waiting ? tree_rank(m, class->waiting, b) : 0;
    if (bid_is_promised(m, b))
        why_promise(m, b, ret);
    else if (!b->parked || b->promise)
        why_limit(m, b, ret);
    if (b->earliest > m->now)
        ret->soonest = b->earliest;
    ret->starving = b->block != 0;
    if (b->block)
        ret->soonest = MIN(ret->soonest, MAX(m->calendar->claims[b->block].from, m->now));
    if (bid_term(m, b) && ret->pool)
        ret->forward = forward_price(m, (uint32_t)ret->pool, m->now, m->now + bid_term(m, b));
    ret->obstacle = obstacle(m, b, ret, has_node, is_protected);
    return true;
}
