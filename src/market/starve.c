/* SPDX-License-Identifier: Apache-2.0 */
/* Gangs that starve: what they offer is above the menu, and the place that they need never comes together,
 * because one node or another of it is always taken by work that price may not move. After so many ticks
 * (SETTING_STARVING_TICKS) the nodes where that ends first are claimed for the best of such a class: until then
 * whoever is gone in time may use them, nobody who is not starts there, and no term is renewed there beyond it.
 * Nobody is sent away and nobody pays for it: at that time the gang competes like any other bid, on nodes that
 * price may have. One at a time in a pool, on a small part of it. */
#include "base/sort.h"
#include "market/calendar.h"

#define POOL_SHARE 20 /* of a pool's units, one part at most */
#define TRIES_MAX 1   /* classes that are tried at a tick, */
#define LINES_MAX 4   /* and pools that each looks at: finding a time is a search */

void starve_end(struct market *m, uint32_t bid)
{
    uint32_t claim = TAKE(m->bids[bid].block);
    if (claim)
        claim_remove(m, claim);
}

bool starve_index(struct market *m)
{
    bool single = true;
    for (uint32_t i = 1; i < m->calendar->claim_count; i++)
        if (m->calendar->claims[i].kind == CLAIM_STARVING) {
            uint32_t *block = &m->bids[m->calendar->claims[i].of].block;
            single &= *block == 0;
            *block = i;
        }
    return single;
}

/* ---- who starves ----------------------------------------------------------------------------------------- */

static bool is_gang(const struct form *f, const struct class *c, const struct line *line)
{
    return c->replicas > 1 && f->alternatives[line->alternative].level != LEVEL_NODE;
}

/* What it offers there is no less than what it would pay. */
static bool pays(const struct market *m, const struct candidate *c, const struct line *line)
{
    return candidate_net(c, line) >= MAX(candidate_price(m, c, line), m->pools[line->pool].lowest_ask);
}

static bool head_starves(const struct market *m, const struct class *k)
{
    if (k->form == 0 || k->waiting == 0 || k->replicas < 2)
        return false;
    const struct bid *head = &m->bids[tree_first(m, k->waiting)];
    struct candidate c = bid_candidate(m, head);
    if (bid_is_promised(m, head))
        return false;
    for (uint32_t i = 0; i < c.form->used_count; i++)
        if (is_gang(c.form, k, &c.form->lines[i]) && pays(m, &c, &c.form->lines[i]) && candidate_fits(m, &c, &c.form->lines[i]))
            return true;
    return false;
}

/* ---- when it could stand ----------------------------------------------------------------------------------- */

/* From then on price may have its place. */
static time_ms lease_leaves(const struct market *m, const struct lease *l)
{
    time_ms until = l->firm ? l->term_until : l->protected_until;
    if (l->state == LEASE_VACATING)
        return l->vacate_by;
    if (l->claim)
        until = m->calendar->claims[l->claim].to;
    return add_checked(MAX(until, m->now), m->bids[l->bid].notice + m->settings[SETTING_KILL_MS]);
}

struct moments {
    time_ms *at;
    uint32_t count, capacity;
};

static void moment_add(struct moments *t, time_ms at)
{
    ARRAY_RESERVE(t->at, t->count, t->capacity);
    t->at[t->count++] = at;
}

static int moment_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    return COMPARE(*(const time_ms *)x, *(const time_ms *)y);
}

/* When something of the pool is free of what price may not move. */
static void moments_find(const struct market *m, uint32_t pool, struct moments *ret)
{
    const struct pool *p = &m->pools[pool];
    moment_add(ret, m->now);
    for (uint32_t i = 0; i < p->node_count; i++) {
        const struct node *n = &m->nodes[p->nodes[i]];
        time_ms last = m->now;
        for (uint32_t j = 0; j < n->lease_count; j++)
            last = MAX(last, lease_leaves(m, &m->leases[n->leases[j]]));
        moment_add(ret, last);
    }
    for (uint32_t i = 1; p->claims && i < m->calendar->claim_count; i++)
        if (m->calendar->claims[i].kind && m->calendar->claims[i].pool == pool)
            moment_add(ret, MAX(m->calendar->claims[i].to, m->now));
    sort(ret->at, ret->count, sizeof *ret->at, moment_compare, NULL);
}

/* How long it is kept once it is free: as long as it took to come about. */
static time_ms keep_time(const struct market *m)
{
    return mul_checked(m->settings[SETTING_STARVING_TICKS], m->settings[SETTING_TICK_MS]);
}

static bool stands_from(const struct market *m, const struct candidate *c, const struct line *line, time_ms from, struct site *ret)
{
    return claim_find(m, &(struct wish){c, line, from, add_checked(from, keep_time(m))}, ret);
}

/* The earliest such time in the pool, and where; TIME_NEVER where there is none. Later there is room for no
 * less, but for what is sold forward. */
static time_ms earliest(const struct market *m, const struct candidate *c, const struct line *line, struct site *ret)
{
    struct moments t = {0};
    moments_find(m, line->pool, &t);
    uint32_t low = 0, high = t.count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        struct site site = {0};
        if (stands_from(m, c, line, t.at[middle], &site))
            high = middle;
        else
            low = middle + 1;
        site_fini(&site);
    }
    time_ms at = low < t.count && stands_from(m, c, line, t.at[low], ret) ? t.at[low] : TIME_NEVER;
    xfree(t.at);
    return at;
}

/* ---- its place ------------------------------------------------------------------------------------------------ */

static bool pool_is_taken(const struct market *m, uint32_t pool)
{
    const struct calendar *k = m->calendar;
    bool taken = false;
    for (uint32_t i = 1; i < k->claim_count && m->pools[pool].claims; i++)
        taken |= k->claims[i].kind == CLAIM_STARVING && k->claims[i].pool == pool;
    return taken;
}

/* Claims where it could stand first; false where that is nowhere. */
static bool starve_try(struct market *m, uint32_t class)
{
    const struct class *k = &m->classes[class];
    uint32_t bid = tree_first(m, k->waiting);
    struct candidate c = bid_candidate(m, &m->bids[bid]);
    struct site best = {0};
    time_ms from = TIME_NEVER;
    uint32_t looks = 0;
    for (uint32_t i = 0; i < c.form->used_count && looks < LINES_MAX; i++) {
        const struct line *line = &c.form->lines[i];
        struct site site = {0};
        if (!is_gang(c.form, k, line) || !pays(m, &c, line) || pool_is_taken(m, line->pool) ||
            candidate_units(&c, line) > m->pools[line->pool].units_milli / POOL_SHARE)
            continue;
        looks++;
        time_ms at = earliest(m, &c, line, &site);
        if (at < from) {
            site_fini(&best);
            best = TAKE(site);
            from = at;
        }
        site_fini(&site);
    }
    if (from == TIME_NEVER)
        return false;
    struct claim claim = {.kind = CLAIM_STARVING, .of = bid, .from = from, .to = add_checked(from, keep_time(m))};
    m->bids[bid].block = claim_add(m, &claim, &best);
    site_fini(&best);
    return true;
}

/* ---- in time ---------------------------------------------------------------------------------------------------- */

struct starving {
    uint32_t class;
    uint32_t ticks;
};

static int longest_first(const void *x, const void *y, const void *context)
{
    const struct market *m = context;
    const struct starving *a = x, *b = y;
    int c = COMPARE(b->ticks, a->ticks);
    return c ? c : bid_compare(&m->bids[tree_first(m, m->classes[a->class].waiting)], &m->bids[tree_first(m, m->classes[b->class].waiting)]);
}

void starve_tick(struct market *m)
{
    struct starving *all = NULL;
    uint32_t count = 0, capacity = 0;
    for (uint32_t i = 1; i < m->class_count; i++) {
        struct class *k = &m->classes[i];
        k->starved = head_starves(m, k) ? MIN(k->starved + 1, (uint32_t)INT32_MAX) : 0;
        if (k->starved < m->settings[SETTING_STARVING_TICKS] || m->bids[tree_first(m, k->waiting)].block)
            continue;
        ARRAY_RESERVE(all, count, capacity);
        all[count++] = (struct starving){i, k->starved};
    }
    sort(all, count, sizeof *all, longest_first, m);
    for (uint32_t i = 0; i < MIN(count, TRIES_MAX); i++)
        if (!starve_try(m, all[i].class))
            m->classes[all[i].class].starved = 0; /* it is tried anew after as long again */
    xfree(all);
}

/* Whether it is still wanted, and stands. */
static bool is_sound(const struct market *m, const struct claim *c)
{
    const struct bid *b = &m->bids[c->of];
    bool sound = b->waiting && c->to > m->now;
    for (uint32_t i = 0; i < c->count && sound; i++)
        sound = node_usable(&m->nodes[c->nodes[i]]) && m->nodes[c->nodes[i]].pool == c->pool;
    return sound && (!m->ticked || head_starves(m, &m->classes[b->class]));
}

/* A better bid of the class has come: it would use the place as well, and is the one that is tried. */
static void hand_over(struct market *m, uint32_t claim)
{
    struct claim *c = &m->calendar->claims[claim];
    uint32_t head = tree_first(m, m->classes[m->bids[c->of].class].waiting);
    if (head == c->of || m->bids[head].block)
        return;
    m->bids[c->of].block = 0;
    m->bids[head].block = claim;
    c->of = head;
}

time_ms starve_run(struct market *m)
{
    time_ms due = TIME_NEVER;
    for (uint32_t i = 1; i < m->calendar->claim_count; i++) {
        const struct claim *c = &m->calendar->claims[i];
        if (c->kind != CLAIM_STARVING)
            continue;
        struct class *k = &m->classes[m->bids[c->of].class];
        if (!is_sound(m, c)) {
            k->starved = 0;
            starve_end(m, c->of);
            continue;
        }
        hand_over(m, i);
        if (c->from <= m->now && (m->ticked || c->from > m->last_tick)) { /* price may have it now */
            k->failed = false;
            class_touch(m, m->bids[c->of].class);
        }
        due = MIN(due, c->from > m->now ? c->from : c->to);
    }
    return due;
}
