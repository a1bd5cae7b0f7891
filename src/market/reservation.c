/* SPDX-License-Identifier: Apache-2.0 */
/* Reservations: a shape bought forward. It waits while it costs more than its limit or does not fit;
 * bought, it pays its locked rate for every moment of its slot, used or not. Its holder's bids run in
 * it for nothing more. What stands idle is lent, what is paused is resold, and the holder gets what
 * that fetched, less the fee. */
#include "market/calendar.h"
#include "market/refusal.h"

uint32_t reservation_find(const struct market *m, market_id id)
{
    return id ? (uint32_t)map_get(&m->calendar->reservation_by_id, id) : 0;
}

struct refusal reservation_refusal(const struct market *m, const struct market_bid *bid)
{
    if (bid->reservation == 0)
        return accept();
    const struct reservation *r = &m->calendar->reservations[reservation_find(m, bid->reservation)];
    if (r->id == 0)
        return refuse(REFUSED_UNKNOWN, "reservation");
    if (r->state == RESERVATION_OVER || r->returned || m->tenants[r->tenant].id != bid->tenant)
        return refuse(REFUSED_STATE, "reservation");
    return accept();
}

static void tell(struct market *m, const struct reservation *r)
{
    struct market_event *e = event_add(m, EVENT_RESERVED, 0);
    e->reserved.reservation = r->id;
    e->reserved.tenant = m->tenants[r->tenant].id;
    e->reserved.pool = m->pools[r->pool].id;
    e->reserved.state = r->state;
    e->reserved.rate = r->rate / 1000;
    e->reserved.amount = narrow_checked((int128)r->rate * (r->to - r->from) / RATE_SCALE);
}

static void state_set(struct market *m, struct reservation *r, enum market_reservation_state state)
{
    if (r->state == state)
        return;
    r->state = state;
    tell(m, r);
}

/* ---- the shape as a bid, for the search -------------------------------------------------------------------- */

struct shape {
    struct market_alternative alternative;
    struct market_role role;
    struct market_bid bid;
    struct form form;
    struct candidate candidate;
};

static void shape_make(const struct market *m, const struct reservation *r, struct shape *ret)
{
    ret->alternative = (struct market_alternative){.choices = &r->choice, .level = r->level, .racks = r->racks, .limit = r->limit};
    ret->role = (struct market_role){r->replicas, r->replicas};
    ret->bid = (struct market_bid){.tenant = m->tenants[r->tenant].id, .kind = BID_FIRM, .roles = &ret->role, .role_count = 1,
        .alternatives = &ret->alternative, .alternative_count = 1};
    form_make(m, &ret->bid, &ret->form);
    ret->candidate = (struct candidate){.form = &ret->form, .replicas = r->replicas, .tenant = ret->bid.tenant, .limit = r->limit};
}

bool claim_again(const struct market *m, uint32_t slot, struct site *ret)
{
    const struct claim *c = &m->calendar->claims[slot];
    if (c->kind != CLAIM_RESERVATION)
        return promise_place(m, slot, c->to, ret);
    struct shape shape;
    shape_make(m, &m->calendar->reservations[c->of], &shape);
    bool found = false;
    for (uint32_t i = 0; i < shape.form.line_count && !found; i++) {
        struct window window = {MAX(c->from, m->now), c->to, slot};
        struct area area = {.end = m->pools[c->pool].node_count, .window = &window};
        if (shape.form.lines[i].pool == c->pool)
            found = place_in(m, &shape.candidate, &shape.form.lines[i], area, ret);
    }
    form_fini(&shape.form);
    return found;
}

/* ---- commands -------------------------------------------------------------------------------------------------- */

static struct refusal check_reservation(const struct market *m, const struct market_reservation *r)
{
    if (reservation_find(m, r->id))
        return refuse(REFUSED_EXISTS, "id");
    if (!amounts_valid(&r->choice.amounts))
        return refuse_bound("amounts", r->choice.amounts.gpu_milli, 1, MARKET_NODE_GPUS_MAX * 1000);
    if (r->replicas < 1 || r->replicas > MARKET_UNITS_MAX)
        return refuse_bound("nodes", r->replicas, 1, MARKET_UNITS_MAX);
    if ((unsigned)r->level > LEVEL_NODE || (r->level == LEVEL_RACKS && r->racks < 1))
        return refuse_bound("racks", r->racks, 1, INT32_MAX);
    if (r->limit < 0 || r->limit > MARKET_RATE_MAX)
        return refuse_bound("limit", r->limit, 0, MARKET_RATE_MAX);
    if (r->to <= MAX(r->from, m->now))
        return refuse_bound("to", r->to, MAX(r->from, m->now) + 1, INT64_MAX);
    if (r->to - m->now > MARKET_WINDOW_MAX_MS)
        return refuse_bound("to", r->to, m->now, m->now + MARKET_WINDOW_MAX_MS);
    return accept();
}

static struct refusal check_shape(const struct market *m, const struct reservation *r)
{
    struct shape shape;
    int64_t most = 0;
    bool fits = false;
    shape_make(m, r, &shape);
    for (uint32_t i = 0; i < shape.form.line_count; i++) {
        int64_t here = line_capacity(m, &shape.form, &shape.form.lines[i], r->replicas);
        fits |= here >= r->replicas && shape.form.lines[i].replica_milli * r->replicas <= MARKET_UNITS_MAX * 1000;
        most = MAX(most, here);
    }
    form_fini(&shape.form);
    return fits ? accept() : (struct refusal){REFUSED_IMPOSSIBLE, "resources", {r->replicas, most, 0}};
}

static struct reservation reservation_of(const struct market *m, const struct market_reservation *r)
{
    return (struct reservation){.id = r->id, .choice = r->choice, .replicas = r->replicas, .racks = r->racks, .level = r->level,
        .from = MAX(r->from, m->now), .to = r->to, .limit = r->limit, .keep_idle = r->keep_idle};
}

struct refusal reservation_add(struct market *m, const struct market_reservation *r)
{
    struct calendar *k = m->calendar;
    struct refusal refusal = check_reservation(m, r);
    if (refusal.reason)
        return refusal;
    struct reservation made = reservation_of(m, r);
    made.tenant = tenant_find(m, r->tenant);
    refusal = check_shape(m, &made);
    if (refusal.reason)
        return refusal;
    ARRAY_RESERVE(k->reservations, k->reservation_count, k->reservation_capacity);
    map_set(&k->reservation_by_id, r->id, k->reservation_count);
    k->reservations[k->reservation_count++] = made;
    return accept();
}

/* What runs in it is ordinary work from here on. */
static void own_end(struct market *m, const struct reservation *r)
{
    for (uint32_t i = 1; i < m->lease_count && r->claim; i++) {
        struct lease *l = &m->leases[i];
        if (l->claim != r->claim)
            continue;
        m->bids[l->bid].reserved = 0;
        if (l->state == LEASE_VACATING)
            l->claim = 0;
        else
            lease_term_end(m, i);
        lease_reprice(m, i);
    }
}

/* Its capacity is the market's again. */
static void give_back(struct market *m, struct reservation *r)
{
    uint32_t slot = (uint32_t)(r - m->calendar->reservations);
    own_end(m, r);
    for (uint32_t i = 1; i < m->bid_count; i++)
        if (m->bids[i].id && m->bids[i].reserved == slot)
            bid_unreserve(m, i);
    if (r->claim)
        claim_remove(m, r->claim);
    r->claim = 0;
    m->calendar->changed++;
}

/* Whether the nodes of its claim are free of everything else from its end to `to`. */
static bool extension_fits(const struct market *m, const struct reservation *r, time_ms to)
{
    const struct claim *c = &m->calendar->claims[r->claim];
    struct window window = {MAX(r->to, m->now), to, r->claim};
    for (uint32_t i = 0; i < c->count; i++) {
        struct room room;
        struct market_placement p = {.amounts = c->amounts, .units_milli = c->replica_milli};
        if (!node_usable(&m->nodes[c->nodes[i]]) || m->nodes[c->nodes[i]].pool != c->pool)
            return false;
        claim_room(m, c->nodes[i], &window, &room);
        for (uint32_t j = 0; j < c->count; j++) { /* all its replicas on that node */
            if (c->nodes[j] != c->nodes[i])
                continue;
            if (!room_fits(&room, &p, &p.gpus))
                return false;
            room_take(&room, &p);
        }
    }
    return true;
}

static int64_t extension_rate(const struct market *m, const struct reservation *r, time_ms to)
{
    int64_t asks = 0;
    const struct claim *c = &m->calendar->claims[r->claim];
    for (uint32_t i = 0; i < c->count; i++)
        asks += m->nodes[c->nodes[i]].spec.ask * c->replica_milli;
    return MAX(mul_checked(forward_price(m, r->pool, r->to, to), r->units_milli), asks);
}

bool market_extension(const struct market *m, market_id reservation, time_ms to, udollar *ret_rate)
{
    const struct reservation *r = &m->calendar->reservations[reservation_find(m, reservation)];
    if (r->claim == 0 || to <= r->to || to - m->now > MARKET_WINDOW_MAX_MS || !extension_fits(m, r, to))
        return false;
    *ret_rate = extension_rate(m, r, to) / 1000;
    return true;
}

static int64_t mean_rate(int64_t before, time_ms span, int64_t added, time_ms more)
{
    return narrow_checked(((int128)before * span + (int128)added * more + span + more - 1) / (span + more));
}

/* What runs in it stays as long as it does. */
static void leases_extend(struct market *m, const struct reservation *r, time_ms to)
{
    for (uint32_t i = 1; i < m->lease_count; i++) {
        struct lease *l = &m->leases[i];
        if (l->claim != r->claim)
            continue;
        l->term_until = l->term_until == r->to ? to : l->term_until;
        l->protected_until = l->protected_until == r->to ? to : l->protected_until;
    }
}

static struct refusal extend(struct market *m, struct reservation *r, const struct market_command *c)
{
    time_ms to = c->reservation_change.to;
    if (to <= r->to || to - m->now > MARKET_WINDOW_MAX_MS)
        return refuse_bound("to", to, r->to + 1, m->now + MARKET_WINDOW_MAX_MS);
    if (!extension_fits(m, r, to))
        return refuse(REFUSED_IMPOSSIBLE, "to");
    int64_t added = extension_rate(m, r, to);
    udollar limit = c->reservation_change.limit ? c->reservation_change.limit : r->limit;
    int128 escrow = (int128)added * (to - r->to) / RATE_SCALE + 1;
    struct purse *purse = &m->tenants[r->tenant].purses[CURRENCY_MONEY];
    if (added > (int128)limit * r->units_milli)
        return refuse_bound("limit", limit, div_ceil(added, r->units_milli), MARKET_RATE_MAX);
    if (!purse_covers(purse, escrow))
        return refuse(REFUSED_STATE, "budget");
    reservation_accrue(m, r);
    time_ms span = r->to - MAX(r->accrued_to, r->from), more = to - r->to;
    int64_t scarcity = MAX(added - mul_checked(m->pools[r->pool].marginal, r->units_milli), 0);
    r->rate = mean_rate(r->rate, span, added, more);
    r->locked_scarcity = mean_rate(r->locked_scarcity, span, scarcity, more);
    if (purse->limited) {
        r->escrow += narrow_checked(escrow);
        purse->held += narrow_checked(escrow);
    }
    leases_extend(m, r, to);
    m->calendar->claims[r->claim].to = r->to = to;
    m->calendar->changed++;
    tell(m, r);
    return accept();
}

struct refusal reservation_change(struct market *m, const struct market_command *c)
{
    uint32_t slot = reservation_find(m, c->reservation_change.reservation);
    struct reservation *r = &m->calendar->reservations[slot];
    if (slot == 0)
        return refuse(REFUSED_UNKNOWN, "reservation");
    if (r->state == RESERVATION_OVER || r->returned)
        return refuse(REFUSED_STATE, "reservation");
    if (c->reservation_change.action == RESERVATION_CANCEL) {
        reservation_accrue(m, r);
        give_back(m, r);
        r->returned = r->state != RESERVATION_WAITING;
        state_set(m, r, RESERVATION_OVER);
        return accept();
    }
    if (r->state == RESERVATION_WAITING)
        return refuse(REFUSED_STATE, "reservation");
    if (c->reservation_change.action == RESERVATION_EXTEND)
        return extend(m, r, c);
    bool pauses = c->reservation_change.action == RESERVATION_PAUSE;
    uint32_t replicas = c->reservation_change.replicas ? c->reservation_change.replicas : r->replicas;
    time_ms from = MAX(c->reservation_change.from, m->now), to = c->reservation_change.to ? c->reservation_change.to : r->to;
    if (pauses && (replicas > r->replicas))
        return refuse_bound("nodes", replicas, 1, r->replicas);
    if (pauses && (to <= from || to > r->to))
        return refuse_bound("to", to, from + 1, r->to);
    if (pauses && (c->reservation_change.floor < 0 || c->reservation_change.floor > MARKET_RATE_MAX))
        return refuse_bound("floor", c->reservation_change.floor, 0, MARKET_RATE_MAX);
    reservation_accrue(m, r);
    r->paused = pauses ? replicas : 0;
    r->pause_from = from;
    r->pause_to = pauses ? to : 0;
    r->floor = pauses ? c->reservation_change.floor : 0;
    r->idle_since = m->now;
    return accept();
}

/* ---- buying --------------------------------------------------------------------------------------------------------- */

/* The cheapest pool that has the nodes for it. */
static int64_t best_site(const struct market *m, const struct reservation *r, struct shape *shape, struct site *ret)
{
    int64_t best = INT64_MAX;
    for (uint32_t i = 0; i < shape->form.used_count; i++) {
        const struct line *line = &shape->form.lines[i];
        int64_t units = mul_checked(line->replica_milli, r->replicas);
        int64_t rate = mul_checked(forward_price(m, line->pool, r->from, r->to), units);
        struct wish wish = {&shape->candidate, line, r->from, r->to};
        struct site site;
        if (rate >= best || rate > (int128)r->limit * units || !claim_find(m, &wish, &site))
            continue;
        rate = MAX(rate, site.ask_rate);
        if (rate < best && rate <= (int128)r->limit * units) {
            site_fini(ret);
            *ret = site;
            best = rate;
        } else {
            site_fini(&site);
        }
    }
    return best;
}

enum market_refusal market_reservation_quote(const struct market *m, const struct market_reservation *reservation,
                                             struct market_reservation_quote *ret, const char **ret_field, int64_t ret_numbers[3])
{
    struct refusal refusal = check_reservation(m, reservation);
    struct reservation r = reservation_of(m, reservation);
    *ret = (struct market_reservation_quote){0};
    r.limit = MARKET_RATE_MAX;
    r.tenant = (uint32_t)map_get(&m->tenant_by_id, reservation->tenant);
    if (refusal.reason == REFUSED_NONE)
        refusal = check_shape(m, &r);
    *ret_field = refusal.field;
    memcpy(ret_numbers, refusal.numbers, sizeof refusal.numbers);
    if (refusal.reason)
        return refusal.reason;
    struct shape shape;
    struct site site = {0};
    shape_make(m, &r, &shape);
    int64_t rate = best_site(m, &r, &shape, &site);
    if (site.count) {
        *ret = (struct market_reservation_quote){.fits = true, .pool = m->pools[site.pool].id, .rate = rate / 1000,
            .amount = narrow_checked((int128)rate * (r.to - r.from) / RATE_SCALE)};
    }
    site_fini(&site);
    form_fini(&shape.form);
    return REFUSED_NONE;
}

static void buy(struct market *m, uint32_t slot)
{
    struct reservation *r = &m->calendar->reservations[slot];
    struct shape shape;
    struct site site = {0};
    if (r->from < m->now)
        r->from = m->now;
    shape_make(m, r, &shape);
    int64_t rate = best_site(m, r, &shape, &site);
    int128 escrow = site.count ? (int128)rate * (r->to - r->from) / RATE_SCALE + 1 : 0;
    if (site.count && purse_covers(&m->tenants[r->tenant].purses[CURRENCY_MONEY], escrow)) {
        struct claim claim = {.kind = CLAIM_RESERVATION, .of = slot, .from = r->from, .to = r->to};
        r->claim = claim_add(m, &claim, &site);
        r->pool = site.pool;
        r->units_milli = site.units_milli;
        r->rate = rate;
        r->locked_scarcity = MAX(rate - mul_checked(m->pools[site.pool].marginal, site.units_milli), 0);
        r->accrued_to = r->idle_since = r->from;
        struct purse *purse = &m->tenants[r->tenant].purses[CURRENCY_MONEY];
        r->escrow = purse->limited ? narrow_checked(escrow) : 0;
        purse->held += r->escrow;
        m->calendar->changed++;
        state_set(m, r, RESERVATION_BOUGHT);
    }
    site_fini(&site);
    form_fini(&shape.form);
}

/* ---- money -------------------------------------------------------------------------------------------------------------- */

static void tell_charged(struct market *m, const struct reservation *r, enum market_charge kind, udollar amount)
{
    struct market_event *e = event_add(m, EVENT_CHARGED, 0);
    e->charged.kind = kind;
    e->charged.tenant = m->tenants[r->tenant].id;
    e->charged.pool = m->pools[r->pool].id;
    e->charged.from = r->accrued_to;
    e->charged.to = MIN(m->now, r->to);
    e->charged.units_milli = r->units_milli;
    e->charged.rate = r->rate / 1000;
    e->charged.amount = amount;
    e->charged.reservation = r->id;
}

static void charge(struct market *m, struct reservation *r, time_ms span)
{
    const struct pool *p = &m->pools[r->pool];
    int64_t scarcity = mul_checked(p->post - p->marginal, r->units_milli);
    r->sum += (int128)(r->returned ? MAX(r->locked_scarcity - scarcity, 0) : r->rate) * span;
    udollar due = narrow_checked(r->sum / RATE_SCALE) - r->booked;
    struct tenant *t = &m->tenants[r->tenant];
    udollar from_escrow = MIN(due, r->escrow);
    r->booked += due;
    r->escrow -= from_escrow;
    t->purses[CURRENCY_MONEY].held -= from_escrow;
    t->purses[CURRENCY_MONEY].spent += due;
    if (due == 0)
        return;
    ledger_move(m, (struct market_account){.kind = ACCOUNT_TENANT, .id = t->id}, (struct market_account){.kind = ACCOUNT_POOL, .id = p->id},
                due, r->pool);
    tell_charged(m, r, CHARGE_RESERVATION, due);
}

/* What those pay who stand on lent nodes, of the time since it was last counted. */
static int128 lent_pays(const struct market *m, const struct reservation *r)
{
    const struct claim *c = &m->calendar->claims[r->claim];
    int128 sum = 0;
    for (uint32_t i = c->count - c->lent; i < c->count; i++) {
        const struct node *n = &m->nodes[c->nodes[i]];
        for (uint32_t j = 0; j < n->lease_count; j++) {
            const struct lease *l = &m->leases[n->leases[j]];
            if (l->state != LEASE_RUNNING || !l->charging || l->claim || l->span_count == 0)
                continue;
            time_ms since = MAX(r->accrued_to, l->spans[l->span_count - 1].from);
            for (uint32_t k = 0; k < l->placement_count && since < m->now; k++)
                if (l->nodes[k] == c->nodes[i])
                    sum += (int128)(l->rate / l->units_milli) * MIN(l->placements[k].units_milli, c->replica_milli) * (m->now - since);
        }
    }
    return sum;
}

static void resell(struct market *m, struct reservation *r)
{
    const struct claim *c = &m->calendar->claims[r->claim];
    if (r->claim == 0 || c->lent == 0 || c->lent_from > r->accrued_to)
        return;
    r->resold_sum += lent_pays(m, r) * (1000 - m->settings[SETTING_FEE_PERMILLE]) / 1000;
    udollar due = narrow_checked(r->resold_sum / RATE_SCALE) - r->resold;
    if (due <= 0)
        return;
    struct tenant *t = &m->tenants[r->tenant];
    r->resold += due;
    t->purses[CURRENCY_MONEY].spent -= due;
    ledger_move(m, (struct market_account){.kind = ACCOUNT_POOL, .id = m->pools[r->pool].id},
                (struct market_account){.kind = ACCOUNT_TENANT, .id = t->id}, due, r->pool);
    tell_charged(m, r, CHARGE_RESALE, -due);
}

void reservation_accrue(struct market *m, struct reservation *r)
{
    time_ms to = MIN(m->now, r->to);
    if (r->rate == 0 || to <= r->accrued_to || (r->state == RESERVATION_OVER && !r->returned))
        return;
    resell(m, r);
    charge(m, r, to - r->accrued_to);
    r->accrued_to = to;
    if (to == r->to) {
        m->tenants[r->tenant].purses[CURRENCY_MONEY].held -= r->escrow;
        r->escrow = 0;
        r->returned = false;
    }
}

void reservations_tick(struct market *m)
{
    for (uint32_t i = 1; i < m->calendar->reservation_count; i++)
        reservation_accrue(m, &m->calendar->reservations[i]);
}

/* ---- its slot runs --------------------------------------------------------------------------------------------------------- */

static uint32_t replicas_used(const struct market *m, const struct reservation *r)
{
    uint32_t used = 0;
    for (uint32_t i = 1; i < m->lease_count && r->claim; i++)
        if (m->leases[i].claim == r->claim && m->leases[i].state != LEASE_VACATING)
            used += m->leases[i].placement_count;
    return used;
}

static bool is_paused(const struct market *m, const struct reservation *r)
{
    return r->paused && r->pause_from <= m->now && m->now < r->pause_to;
}

/* How many of its replicas others may use. Those are the last ones, its own work takes the first. */
static uint32_t lends(const struct market *m, struct reservation *r, uint32_t used)
{
    if (r->paused && m->now < r->pause_to)
        return MIN(r->paused, r->replicas - used);
    if (used)
        r->idle_since = m->now;
    bool idle = used == 0 && m->now - r->idle_since >= m->settings[SETTING_LEND_IDLE_MS];
    return idle && !r->keep_idle ? r->replicas : 0;
}

static void lend(struct market *m, struct reservation *r)
{
    struct claim *c = &m->calendar->claims[r->claim];
    bool pauses = r->paused && m->now < r->pause_to;
    uint32_t before = c->lent, lent = lends(m, r, replicas_used(m, r));
    if (lent != before)
        reservation_accrue(m, r);
    c->lent = lent;
    c->floor = pauses ? r->floor : 0;
    c->lent_from = pauses ? MAX(r->pause_from, c->from) : lent == before ? c->lent_from : m->now;
    c->lent_until = pauses ? r->pause_to : c->to;
    if (lent > before)
        m->pools[r->pool].dirty = true;
    if (c->from <= m->now)
        state_set(m, r, is_paused(m, r) ? RESERVATION_PAUSED : lent && !pauses ? RESERVATION_LENT : RESERVATION_OPEN);
}

static bool amounts_within(const struct market_amounts *a, const struct market_amounts *most)
{
    return a->gpu_milli <= most->gpu_milli && a->core_milli <= most->core_milli && a->memory_mib <= most->memory_mib &&
           a->disk_mib <= most->disk_mib;
}

static bool node_is_used(const struct market *m, const struct reservation *r, uint32_t node)
{
    const struct node *n = &m->nodes[node];
    for (uint32_t i = 0; i < n->lease_count; i++)
        if (m->leases[n->leases[i]].claim == r->claim && m->leases[n->leases[i]].state != LEASE_VACATING)
            return true;
    return false;
}

/* The nodes of its claim for one bid, one replica each, in order of place. */
static bool own_site(const struct market *m, const struct reservation *r, const struct candidate *c, struct site *ret)
{
    const struct claim *k = &m->calendar->claims[r->claim];
    const struct line *line = NULL;
    for (uint32_t i = 0; i < c->form->used_count && line == NULL; i++) {
        const struct market_alternative *a = &c->form->alternatives[c->form->lines[i].alternative];
        bool near = c->replicas == 1 || (a->level <= r->level && (a->level != LEVEL_RACKS || r->level != LEVEL_RACKS || a->racks >= r->racks));
        if (c->form->lines[i].pool == r->pool && near && amounts_within(&c->form->choices[c->form->lines[i].alternative].amounts, &k->amounts))
            line = &c->form->lines[i];
    }
    if (line == NULL)
        return false;
    uint32_t most = k->count - (is_paused(m, r) ? k->lent : 0);
    *ret = (struct site){.alternative = line->alternative, .pool = r->pool, .claim = r->claim,
        .placements = xcalloc(c->replicas, sizeof *ret->placements), .nodes = xcalloc(c->replicas, sizeof *ret->nodes),
        .units_milli = candidate_units(c, line), .limit_rate = mul_checked(candidate_net(c, line), candidate_units(c, line))};
    for (uint32_t i = 0; i < most && ret->count < c->replicas; i++) {
        const struct node *n = &m->nodes[k->nodes[i]];
        if (!node_usable(n) || n->pool != k->pool || node_is_used(m, r, k->nodes[i]) || (ret->count && ret->nodes[ret->count - 1] == k->nodes[i]))
            continue;
        ret->placements[ret->count] = (struct market_placement){.rank = ret->count, .node = n->spec.id,
            .amounts = c->form->choices[line->alternative].amounts, .units_milli = line->replica_milli};
        ret->ask_rate += n->spec.ask * line->replica_milli;
        ret->nodes[ret->count++] = k->nodes[i];
    }
    if (ret->count == c->replicas)
        return true;
    site_fini(ret);
    return false;
}

/* Its holder's bids, in order of rank. */
static void own_start(struct market *m, uint32_t slot)
{
    struct reservation *r = &m->calendar->reservations[slot];
    for (;;) {
        uint32_t best = 0;
        struct plan plan = {0};
        for (uint32_t i = 0; i < m->parked_count; i++) {
            const struct bid *b = &m->bids[m->parked[i]];
            if (b->reserved == slot && !b->held && (best == 0 || bid_compare(b, &m->bids[best]) < 0)) {
                struct candidate c = bid_candidate(m, b);
                struct site site;
                if (!own_site(m, r, &c, &site))
                    continue;
                best = m->parked[i];
                site_fini(&plan.site);
                plan.site = site;
            }
        }
        if (best == 0)
            return;
        if (claim_make_room(m, &plan.site))
            lease_open(m, best, &plan);
        else
            best = 0;
        plan_fini(&plan);
        if (best == 0)
            return;
    }
}

static void finish(struct market *m, struct reservation *r)
{
    reservation_accrue(m, r);
    give_back(m, r);
    state_set(m, r, RESERVATION_OVER);
}

time_ms reservations_run(struct market *m)
{
    time_ms due = TIME_NEVER;
    bool forward = m->ticked;
    for (uint32_t i = 1; i < m->calendar->reservation_count; i++) {
        struct reservation *r = &m->calendar->reservations[i];
        if (r->state == RESERVATION_WAITING && (forward || !r->tried)) {
            r->tried = true;
            if (r->to <= m->now)
                state_set(m, r, RESERVATION_OVER);
            else
                buy(m, i);
        }
        if (r->claim == 0)
            continue;
        if (r->to <= m->now) {
            finish(m, r);
            continue;
        }
        if (m->settings[SETTING_HOLD] == 0 && r->from <= m->now)
            own_start(m, i);
        lend(m, r);
        time_ms pause = r->pause_from > m->now ? r->pause_from : r->pause_to > m->now ? r->pause_to : TIME_NEVER;
        due = MIN(due, r->paused ? pause : TIME_NEVER);
    }
    return due;
}

bool market_reservation_view(const struct market *m, market_id reservation, struct market_reservation_view *ret)
{
    const struct reservation *r = &m->calendar->reservations[reservation_find(m, reservation)];
    *ret = (struct market_reservation_view){.tenant = m->tenants[r->tenant].id, .pool = m->pools[r->pool].id, .state = r->state,
        .replicas = r->replicas, .paused = r->paused, .used = replicas_used(m, r), .from = r->from, .to = r->to, .rate = r->rate / 1000,
        .charged = r->booked, .resold = r->resold};
    if (r->claim == 0)
        return r->id != 0;
    const struct claim *c = &m->calendar->claims[r->claim];
    for (uint32_t i = c->count - c->lent; i < c->count; i++) {
        const struct node *n = &m->nodes[c->nodes[i]];
        bool taken = false;
        for (uint32_t j = 0; j < n->lease_count; j++)
            taken |= m->leases[n->leases[j]].state != LEASE_VACATING && m->leases[n->leases[j]].claim != r->claim;
        ret->sold += taken;
    }
    return true;
}
