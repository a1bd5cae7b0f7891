/* SPDX-License-Identifier: Apache-2.0 */
/* Displacement: in each fabric (or the whole pool, where the level allows it) leases are lifted out in
 * order of what their loss costs per unit until the newcomer fits into a section; then those that
 * turn out not to be needed are put back, dearest first; the rest are its victims. It goes in only
 * where
 *
 *     surplus of the newcomer > surplus and stay bonus of the victims + value × notice / H
 *
 * strictly, so that at equal value nothing moves (MARKET.md sections 5 and 8). */
#include "base/sort.h"
#include "market/market_internal.h"

#define RECALL_WORTH ((int64_t)1 << 61) /* a start that was promised, milli-rate: whoever can leave in time does */

struct lift {
    const struct scratch *scratch;
    uint32_t *index; /* by node: its place in `rooms`, where `marks` says this round */
    uint32_t *marks;
    uint32_t capacity, round;
    struct room *rooms;
    bool *fits; /* the newcomer's replica, there */
    uint32_t *nodes;
    uint32_t count, room_capacity;
};

struct scratch {
    struct lift lift;
    uint32_t *victims; /* leases */
    uint32_t victim_count, victim_capacity;
    uint32_t *rack_fits;
    uint32_t rack_capacity;
    struct seat *seats;
    uint32_t seat_count, seat_capacity;
};

struct scratch *scratch_new(void)
{
    struct scratch *s = xcalloc(1, sizeof *s);
    s->lift.scratch = s;
    return s;
}

void scratch_free(struct scratch *s)
{
    if (s == NULL)
        return;
    void *arrays[] = {s->lift.index, s->lift.marks, s->lift.rooms, s->lift.fits, s->lift.nodes, s->victims, s->rack_fits, s->seats};
    for (size_t i = 0; i < ARRAY_COUNT(arrays); i++)
        xfree(arrays[i]);
    xfree(s);
}

const struct room *lift_room(const struct lift *lift, const struct market *m, uint32_t node)
{
    if (lift && lift->marks[node] == lift->round)
        return &lift->rooms[lift->index[node]];
    return &m->nodes[node].room;
}

bool lift_has(const struct lift *lift, uint32_t lease)
{
    for (uint32_t i = 0; lift && i < lift->scratch->victim_count; i++)
        if (lift->scratch->victims[i] == lease)
            return true;
    return false;
}

static void lift_begin(struct lift *l, const struct market *m)
{
    if (l->capacity < m->node_count) {
        xfree(l->index);
        xfree(l->marks);
        l->capacity = m->node_count;
        l->index = xcalloc(l->capacity, sizeof *l->index);
        l->marks = xcalloc(l->capacity, sizeof *l->marks);
        l->round = 0;
    }
    l->count = 0;
    if (++l->round == 0) {
        memset(l->marks, 0, l->capacity * sizeof *l->marks);
        l->round = 1;
    }
}

/* ---- one walk ------------------------------------------------------------------------------------------ */

struct walk {
    const struct market *m;
    struct scratch *s;
    const struct candidate *c;
    const struct line *line;
    const struct pool *p;
    struct market_placement replica; /* what each takes */
    enum market_level level;
    uint32_t first, end; /* racks */
    uint32_t replicas;   /* each on a node of its own; 1 where one node takes all */
    uint32_t fits;       /* nodes of the walk that take one */
    int64_t value;       /* milli-rate */
    uint32_t found_first, found_end; /* positions of the section that holds it */
    bool is_protected;
};

static bool room_takes(const struct walk *w, uint32_t node, const struct room *r)
{
    uint64_t gpus;
    if (!node_usable(&w->m->nodes[node]) || !room_fits(r, &w->replica, &gpus))
        return false;
    struct stand stand = {w->c, r, &w->replica, w->replicas == w->c->replicas ? 1 : w->c->replicas, MIN(w->p->post, candidate_net(w->c, w->line)), 0, candidate_net(w->c, w->line)};
    if (w->p->claims && !claim_allows(w->m, node, &stand))
        return false;
    if ((w->p->holds || w->c->subscription) && !headroom_allows(w->m, node, &w->s->lift, &stand))
        return false;
    return w->replicas == w->c->replicas || room_count(r, &w->replica, w->c->replicas) == w->c->replicas;
}

static uint32_t lift_node(struct walk *w, uint32_t node)
{
    struct lift *l = &w->s->lift;
    if (l->marks[node] == l->round)
        return l->index[node];
    if (l->count == l->room_capacity) {
        l->room_capacity = l->room_capacity ? l->room_capacity * 2 : 64;
        l->rooms = xrealloc(l->rooms, l->room_capacity, sizeof *l->rooms);
        l->fits = xrealloc(l->fits, l->room_capacity, sizeof *l->fits);
        l->nodes = xrealloc(l->nodes, l->room_capacity, sizeof *l->nodes);
    }
    l->marks[node] = l->round;
    l->index[node] = l->count;
    l->rooms[l->count] = w->m->nodes[node].room;
    l->fits[l->count] = room_takes(w, node, &w->m->nodes[node].room);
    l->nodes[l->count] = node;
    return l->count++;
}

/* Takes a lease out of the rooms, or puts it back; tells where a node came to fit. */
static void lift_lease(struct walk *w, const struct lease *lease, bool out)
{
    struct lift *l = &w->s->lift;
    for (uint32_t i = 0; i < lease->placement_count; i++) {
        uint32_t node = lease->nodes[i], rack = w->m->nodes[node].rack;
        if (rack < w->first || rack >= w->end)
            continue;
        uint32_t at = lift_node(w, node);
        if (out)
            room_give(&l->rooms[at], &lease->placements[i]);
        else
            room_take(&l->rooms[at], &lease->placements[i]);
        bool fits = room_takes(w, node, &l->rooms[at]);
        if (fits != l->fits[at]) {
            w->fits = fits ? w->fits + 1 : w->fits - 1;
            w->s->rack_fits[rack - w->first] += fits ? 1 : UINT32_MAX;
        }
        l->fits[at] = fits;
    }
}

static uint32_t count_free(const struct walk *w, uint32_t rack)
{
    const struct rack *r = &w->p->racks[rack];
    uint32_t count = 0, step = pool_step(w->p, &w->replica.amounts);
    for (uint32_t row = step; row <= row_untouched(w->p); row++)
        for (uint32_t at = r->first; w->p->counts[row] && (at = row_next(w->p, row, at, r->end)) < r->end; at++)
            count += room_takes(w, w->p->nodes[at], &w->m->nodes[w->p->nodes[at]].room);
    return count;
}

static void walk_begin(struct walk *w)
{
    struct scratch *s = w->s;
    lift_begin(&s->lift, w->m);
    s->victim_count = 0;
    if (s->rack_capacity < w->end - w->first) {
        s->rack_capacity = w->end - w->first;
        s->rack_fits = xrealloc(s->rack_fits, s->rack_capacity, sizeof *s->rack_fits);
    }
    w->fits = 0;
    w->found_end = 0;
    for (uint32_t i = w->first; i < w->end; i++)
        w->fits += s->rack_fits[i - w->first] = count_free(w, i);
}

/* The `most` racks that offer most, together. */
static uint32_t racks_offer(const struct walk *w, uint32_t most)
{
    uint32_t count = w->end - w->first, sum = 0;
    _cleanup_free_ bool *used = xcalloc(count, sizeof *used);
    for (uint32_t k = 0; k < MIN(most, count); k++) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < count; i++)
            if (used[best] || (!used[i] && w->s->rack_fits[i] > w->s->rack_fits[best]))
                best = i;
        used[best] = true;
        sum += w->s->rack_fits[best];
    }
    return sum;
}

/* Whether the newcomer fits into what is now free around this node; remembers the section. */
static bool section_holds(struct walk *w, uint32_t node)
{
    const struct node *n = &w->m->nodes[node];
    const struct rack *r = &w->p->racks[n->rack];
    if (w->replicas == 1) {
        w->found_first = n->position;
        w->found_end = n->position + 1;
        return w->s->lift.fits[lift_node(w, node)];
    }
    if (w->s->rack_fits[n->rack - w->first] >= w->replicas) {
        w->found_first = r->first;
        w->found_end = r->end;
        return true;
    }
    w->found_first = w->p->racks[w->first].first;
    w->found_end = w->p->racks[w->end - 1].end;
    if (w->level == LEVEL_RACK || w->fits < w->replicas)
        return false;
    return w->level != LEVEL_RACKS || racks_offer(w, w->c->form->alternatives[w->line->alternative].racks) >= w->replicas;
}

static bool lease_touches(const struct walk *w, const struct lease *l)
{
    for (uint32_t i = 0; i < l->placement_count; i++) {
        const struct node *n = &w->m->nodes[l->nodes[i]];
        if (n->pool == w->line->pool && n->position >= w->found_first && n->position < w->found_end)
            return true;
    }
    return false;
}

/* Puts back whoever is not in the way, dearest first. */
static void victims_prune(struct walk *w, uint32_t node)
{
    struct scratch *s = w->s;
    uint32_t first = w->found_first, end = w->found_end, kept = s->victim_count;
    for (uint32_t i = s->victim_count; i-- > 0;) {
        const struct lease *l = &w->m->leases[s->victims[i]];
        uint32_t victim = TAKE(s->victims[i]); /* as it stands again */
        bool needed = false;
        lift_lease(w, l, false);
        w->found_first = first;
        w->found_end = end;
        if (lease_touches(w, l)) {
            needed = !section_holds(w, node) || w->found_first != first || w->found_end != end;
            if (needed) {
                s->victims[i] = victim;
                lift_lease(w, l, true);
            }
        }
        kept -= !needed;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->victim_count; i++)
        if (s->victims[i])
            s->victims[count++] = s->victims[i];
    s->victim_count = count;
    CHECK(count == kept);
    w->found_first = first;
    w->found_end = end;
}

/* What it will have paid to its victims by the end of its minimum run, spread over H; milli-rate. */
static int64_t displaced_cost(const struct walk *w, const struct site *site)
{
    udollar back = 0;
    for (uint32_t i = 0; i < w->s->victim_count; i++) {
        const struct lease *l = &w->m->leases[w->s->victims[i]];
        bool own = w->c->tenant_slot && tenants_related(w->m, w->c->tenant_slot, w->m->bids[l->bid].tenant);
        if (!l->fresh && !own && l->currency == (w->c->credits ? CURRENCY_CREDITS : CURRENCY_MONEY))
            back += charge_refundable(w->m, l);
    }
    int128 most = (int128)MAX(w->value - site->rate, 0) * w->c->minimum_run / RATE_SCALE;
    int128 paid = MIN((int128)back, most);
    return narrow_checked(paid * 1000 * HOUR_MS / MAX(w->m->settings[SETTING_HORIZON_MS], 1));
}

static int64_t walk_gain(const struct walk *w, const struct site *site)
{
    int128 gain = (int128)(w->c->subscription ? RECALL_WORTH : w->value) - site->ask_rate;
    time_ms wait = 0;
    for (uint32_t i = 0; i < w->s->victim_count; i++) {
        const struct lease *l = &w->m->leases[w->s->victims[i]];
        gain -= lease_loss(w->m, l);
        if (!l->fresh)
            wait = MAX(wait, w->m->bids[l->bid].notice);
    }
    int64_t horizon = MAX(w->m->settings[SETTING_HORIZON_MS], 1);
    gain -= displaced_cost(w, site) + reentry_cost(w->m, w->c, w->value);
    return narrow_checked(gain) - mul_div_ceil(w->value, wait, horizon);
}

static void walk_offer(struct walk *w, struct plan *best)
{
    struct site site;
    struct area area = {&w->s->lift, w->found_first, w->found_end};
    if (!place_in(w->m, w->c, w->line, area, &site))
        return;
    const struct line *at;
    site.limit_rate = w->value;
    site.transfer_rate = mul_checked(w->line->transfer, site.units_milli);
    site.rate = w->value - menu_best_common(w->m, w->c, &at);
    if (w->c->urgent || w->c->subscription)
        site.rate = MAX(site.rate, site.ask_rate);
    int64_t gain = walk_gain(w, &site);
    if (gain <= best->gain || site.rate < site.ask_rate || w->value < site.ask_rate) {
        site_fini(&site);
        return;
    }
    site.victims = xcalloc(w->s->victim_count + 1, sizeof *site.victims);
    for (uint32_t i = 0; i < w->s->victim_count; i++)
        site.victims[site.victim_count++] = w->s->victims[i];
    if (!claim_allows_site(w->m, w->c, &w->s->lift, &site)) {
        site_fini(&site);
        return;
    }
    site_large(w->m, w->c, &site);
    site_fini(&best->site);
    best->site = site;
    best->gain = gain;
}

static void victim_add(struct scratch *s, uint32_t lease)
{
    ARRAY_RESERVE(s->victims, s->victim_count, s->victim_capacity);
    s->victims[s->victim_count++] = lease;
}

/* Lifts one lease; true where the newcomer then fits. */
static bool walk_step(struct walk *w, uint32_t lease, uint32_t *ret_node)
{
    const struct lease *l = &w->m->leases[lease];
    uint32_t within = w->c->subscription;
    if ((within == 0 && (int128)l->density * l->units_milli >= (int128)w->value * 1000) || lease == w->c->lease)
        return false;
    if (within ? !headroom_recalls(w->m, l, headroom_time(w->m, within)) : !lease_evictable(w->m, l)) {
        w->is_protected = true;
        return false;
    }
    victim_add(w->s, lease);
    lift_lease(w, l, true);
    for (uint32_t i = 0; i < l->placement_count; i++) {
        uint32_t rack = w->m->nodes[l->nodes[i]].rack;
        *ret_node = l->nodes[i];
        if (rack >= w->first && rack < w->end && section_holds(w, l->nodes[i]))
            return true;
    }
    return false;
}

static void walk_seats(struct walk *w, const struct seat *seats, uint32_t count, struct plan *best)
{
    walk_begin(w);
    uint32_t node;
    for (uint32_t i = 0; i < count; i++) {
        if (!walk_step(w, seats[i].lease, &node))
            continue;
        victims_prune(w, node);
        walk_offer(w, best);
        return;
    }
}

/* ---- all of a pool -------------------------------------------------------------------------------------------- */

static int seat_order(const void *x, const void *y, const void *context)
{
    const struct market *m = context;
    const struct seat *a = x, *b = y;
    int c = COMPARE(a->density, b->density);
    return c ? c : bid_compare(&m->bids[m->leases[b->lease].bid], &m->bids[m->leases[a->lease].bid]);
}

static void walk_pool(struct walk *w, struct plan *best)
{
    struct scratch *s = w->s;
    s->seat_count = 0;
    for (uint32_t i = 0; i < w->p->fabric_count; i++)
        for (uint32_t j = 0; j < w->p->fabrics[i].seat_count; j++) {
            ARRAY_RESERVE(s->seats, s->seat_count, s->seat_capacity);
            s->seats[s->seat_count++] = w->p->fabrics[i].seats[j];
        }
    sort(s->seats, s->seat_count, sizeof *s->seats, seat_order, w->m);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->seat_count; i++)
        if (kept == 0 || s->seats[kept - 1].lease != s->seats[i].lease)
            s->seats[kept++] = s->seats[i];
    w->first = 0;
    w->end = w->p->rack_count;
    walk_seats(w, s->seats, kept, best);
}

void evict_at(const struct market *m, struct scratch *s, const struct candidate *c, const struct line *line, struct plan *best)
{
    const struct pool *p = &m->pools[line->pool];
    enum market_level level = c->form->alternatives[line->alternative].level;
    struct candidate own = *c;
    own.subscription = headroom_entitles(m, c, line, 0);
    struct walk w = {.m = m, .s = s, .c = &own, .line = line, .p = p, .level = level,
        .replica = {.amounts = c->form->choices[line->alternative].amounts, .units_milli = line->replica_milli}, .replicas = level == LEVEL_NODE ? 1 : c->replicas,
        .value = mul_checked(candidate_net(c, line), candidate_units(c, line))};
    bool wide = w.replicas > 1 && (level == LEVEL_ANY || level == LEVEL_ZONE);
    int64_t before = best->gain;
    for (uint32_t i = 0; i < p->fabric_count; i++) {
        const struct fabric *f = &p->fabrics[i];
        if (f->seat_count == 0 || f->end_node - f->first_node < w.replicas)
            continue;
        w.first = f->first;
        w.end = f->end;
        walk_seats(&w, f->seats, f->seat_count, best);
    }
    if (wide && p->fabric_count > 1 && best->gain == before)
        walk_pool(&w, best);
    best->is_protected |= w.is_protected;
}
