/* SPDX-License-Identifier: Apache-2.0 */
/* Where a bid would go, dry: nothing here changes the market, so that `why` and `quote` ask the very
 * code that decides. Free capacity first, at the lines by what is left of the bid's value after the
 * posted price; then displacement, best gain first. Most arrivals at a full market end here after a
 * few compares a pool: no node is free, and nothing that stands there is worth less. */
#include "base/sort.h"
#include "market/market_internal.h"

#define EVICT_LINES 8 /* pools that one bid looks at for victims */

void plan_fini(struct plan *plan)
{
    site_fini(&plan->site);
}

void site_fini(struct site *site)
{
    xfree(site->placements);
    xfree(site->nodes);
    xfree(site->victims);
    *site = (struct site){0};
}

bool candidate_fits(const struct market *m, const struct candidate *c, const struct line *line)
{
    return line_capacity(m, c->form, line, c->replicas) >= c->replicas;
}

/* Nothing below this says more than "not here", at the cost of a few additions. */
bool line_may_be_free(const struct market *m, const struct candidate *c, const struct line *line)
{
    const struct pool *p = &m->pools[line->pool];
    uint32_t step = pool_step(p, &c->form->choices[line->alternative].amounts);
    uint32_t need = c->form->alternatives[line->alternative].level == LEVEL_NODE ? 1 : c->replicas;
    return pool_nodes_from(p, step) >= need;
}

/* One that was preempted comes back only where that is worth another start. */
int64_t reentry_cost(const struct market *m, const struct candidate *c, int64_t limit_rate)
{
    return c->startup ? mul_div_floor(limit_rate, c->startup, MAX(m->settings[SETTING_HORIZON_MS], 1)) : 0;
}

/* Whether the menu lets it in there, and at what rate (MARKET.md section 7, "Admissible site"). */
static bool site_admit(const struct market *m, const struct candidate *c, const struct line *line, struct plan *plan)
{
    struct site *site = &plan->site;
    const struct line *at;
    int64_t best = menu_best_common(m, c, &at);
    site->limit_rate = mul_checked(candidate_net(c, line), site->units_milli);
    site->transfer_rate = mul_checked(line->transfer, site->units_milli);
    if (!claim_allows_site(m, c, NULL, site))
        return false;
    if (site->limit_rate - reentry_cost(m, c, site->limit_rate) < site->ask_rate)
        return false;
    site->rate = site->limit_rate - best;
    if (site->rate >= site->ask_rate) {
        site_large(m, c, site);
        return true;
    }
    if (c->urgent || site->subscription) {
        site->rate = site->ask_rate;
        return true;
    }
    /* The post of the pool that gave `best`, at which this site would just be let in. */
    int64_t units = candidate_units(c, at), there = mul_checked(candidate_net(c, at), units);
    udollar price = div_ceil(there - (site->limit_rate - site->ask_rate), units) + headroom_credit(m, c, at->pool);
    bool is_left_out = m->seller_owners.count && pool_sold_by(m, at->pool, m->tenants[c->tenant_slot].owner);
    if (c->term == 0 && price <= m->pools[at->pool].guide && !is_left_out) {
        plan->noted_pool = at->pool;
        plan->noted_price = price;
    }
    return false;
}

bool plan_at(const struct market *m, const struct candidate *c, const struct line *line, struct plan *ret)
{
    struct area all = {NULL, 0, m->pools[line->pool].node_count};
    if (!line_may_be_free(m, c, line) || !place_in(m, c, line, all, &ret->site))
        return false;
    if (site_admit(m, c, line, ret))
        return true;
    site_fini(&ret->site);
    return false;
}

/* Sites that are free and that the menu does not let in. */
struct dear {
    struct site site; /* the one that leaves most */
    int64_t net;
    bool cheapest; /* one of them is in the pool whose price is best: its nodes at that price cannot hold the shape */
};

static void dear_add(const struct market *m, const struct candidate *c, const struct line *line, struct dear *dear)
{
    struct area all = {NULL, 0, m->pools[line->pool].node_count};
    struct plan plan = {0};
    const struct line *best;
    if (!place_in(m, c, line, all, &plan.site))
        return;
    struct site *site = &plan.site;
    (void)site_admit(m, c, line, &plan);
    if (!claim_allows_site(m, c, NULL, site)) {
        site_fini(site);
        return;
    }
    (void)menu_best_common(m, c, &best);
    int64_t net = site->limit_rate - site->ask_rate;
    dear->cheapest |= best && best->pool == line->pool;
    if (net >= reentry_cost(m, c, site->limit_rate) && (dear->site.count == 0 || net > dear->net)) {
        site_fini(&dear->site);
        site->rate = site->ask_rate;
        dear->net = net;
        dear->site = TAKE(*site);
    }
    site_fini(site);
}

struct option {
    const struct line *line;
    int64_t expected, most; /* milli-rate: over the guide or the post; at best */
};

static int option_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct option *a = x, *b = y;
    int c = COMPARE(b->expected, a->expected);
    return c ? c : COMPARE(a->line, b->line);
}

/* The guide adds up units and does not see that a shape cannot stand on the cheapest ones alone (a gang
 * spread over nodes that ask differently, a rest too small). Where the best price is of a pool that has
 * room for it there is nothing to wait for: it takes the site that leaves it most, of all that it
 * declares, at the asks, as a running lease would. More alternatives never make that dearer. */
static void plan_dear(const struct market *m, const struct candidate *c, const struct option *options, uint32_t count,
                      struct plan *ret)
{
    struct dear dear = {0};
    for (uint32_t i = 0; i < count; i++)
        dear_add(m, c, options[i].line, &dear);
    if (dear.cheapest)
        ret->site = TAKE(dear.site);
    site_fini(&dear.site);
    ret->is_dear = ret->site.count > 0;
}

/* Who is large pays entries of its own: of the sites that are let in the one that leaves it most. For the
 * others the first one does, they leave all the same. */
static void plan_large(const struct market *m, const struct candidate *c, const struct option *options, uint32_t count,
                       struct plan *ret)
{
    int64_t most = -1;
    for (uint32_t i = 0; i < count; i++) {
        struct plan here = {0};
        bool found = plan_at(m, c, options[i].line, &here);
        if (found && here.site.limit_rate - here.site.rate > most) {
            plan_fini(ret);
            *ret = here;
            most = ret->site.limit_rate - ret->site.rate;
        } else if (found) {
            plan_fini(&here);
        } else if (ret->site.count == 0 && here.noted_pool) {
            ret->noted_pool = here.noted_pool;
            ret->noted_price = here.noted_price;
        }
    }
}

static void plan_free(const struct market *m, const struct candidate *c, struct option *options, struct plan *ret)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->form->used_count; i++) {
        const struct line *line = &c->form->lines[i];
        if (line_may_be_free(m, c, line))
            options[count++] = (struct option){.line = line,
                .expected = mul_checked(candidate_net(c, line) - m->pools[line->pool].post, candidate_units(c, line))};
    }
    sort(options, count, sizeof *options, option_compare, NULL);
    bool is_large = m->tenants[c->tenant_slot].block_count > 0;
    if (is_large)
        plan_large(m, c, options, count, ret);
    for (uint32_t i = 0; i < count && ret->site.count == 0 && !is_large; i++)
        plan_at(m, c, options[i].line, ret);
    if (ret->site.count == 0 && ret->noted_pool == 0)
        plan_dear(m, c, options, count, ret);
}

/* The most that displacement could gain at this line: what is not free costs at least the least. */
static int64_t gain_most(const struct market *m, const struct candidate *c, const struct line *line)
{
    const struct pool *p = &m->pools[line->pool];
    int64_t worth = headroom_entitles(m, c, line, 0) ? MARKET_RATE_MAX : candidate_net(c, line);
    int64_t least = INT64_MAX, net = worth - p->lowest_ask;
    for (uint32_t i = 0; i < p->fabric_count; i++)
        if (p->fabrics[i].seat_count)
            least = MIN(least, p->fabrics[i].seats[0].density);
    if (least == INT64_MAX || net <= 0)
        return 0;
    int64_t units = candidate_units(c, line), taken = MAX(units - p->free_milli, 0);
    int128 most = (int128)net * units - (int128)least * taken / 1000;
    return narrow_checked(MAX(most, 0));
}

/* The lines where the guides promise most come first; after EVICT_LINES of them it is given up. */
static void plan_evict(const struct market *m, struct scratch *s, const struct candidate *c, struct plan *ret)
{
    uint32_t count = 0, tried = 0;
    struct option *options = NULL;
    for (uint32_t i = 0; i < c->form->used_count; i++) {
        const struct line *line = &c->form->lines[i];
        int64_t most = gain_most(m, c, line);
        if (most <= 0)
            continue;
        if (options == NULL)
            options = xcalloc(c->form->used_count, sizeof *options);
        options[count++] = (struct option){line,
            mul_checked(candidate_net(c, line) - m->pools[line->pool].guide, candidate_units(c, line)), most};
    }
    sort(options, count, sizeof *options, option_compare, NULL);
    for (uint32_t i = 0; i < count && tried < EVICT_LINES; i++)
        if (options[i].most > ret->gain && candidate_fits(m, c, options[i].line)) {
            evict_at(m, s, c, options[i].line, ret);
            tried++;
        }
    xfree(options);
}

/* So dear a site is left for one that others have to leave first where that costs less: as if it could not stand
 * on the dear one at all. */
static void plan_dear_evict(const struct market *m, struct scratch *s, const struct candidate *c, struct plan *ret)
{
    struct candidate eager = *c;
    struct plan other = {0};
    eager.urgent = true; /* at the asks there, too */
    plan_evict(m, s, &eager, &other);
    bool better = other.site.count && other.site.limit_rate - other.site.rate > ret->site.limit_rate - ret->site.rate;
    if (better) {
        plan_fini(ret);
        *ret = other;
    } else {
        plan_fini(&other);
    }
}

static void plan_once(const struct market *m, struct scratch *s, const struct candidate *c, struct plan *ret)
{
    *ret = (struct plan){0};
    if (!candidate_affords(m, c))
        return;
    struct option *options = NULL;
    bool free = false;
    for (uint32_t i = 0; i < c->form->used_count && !free; i++)
        free = line_may_be_free(m, c, &c->form->lines[i]);
    if (free) {
        options = xcalloc(c->form->used_count, sizeof *options);
        plan_free(m, c, options, ret);
        xfree(options);
    }
    if (ret->site.count == 0)
        plan_evict(m, s, c, ret);
    else if (ret->is_dear)
        plan_dear_evict(m, s, c, ret);
}

/* A tight start goes where it starts in time; else it is a bid like any other. */
void plan_make(const struct market *m, struct scratch *s, const struct candidate *c, struct plan *ret)
{
    plan_once(m, s, c, ret);
    if (c->tier == 0 || ret->site.count)
        return;
    plan_fini(ret);
    struct candidate plain = *c;
    plain.tier = 0;
    plan_once(m, s, &plain, ret);
}
