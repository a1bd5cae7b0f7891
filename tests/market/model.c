/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold of the events, whatever the market says of itself (MARKET.md section 15). The
 * model knows the commands, the events and the posted menu; it never asks the market how it
 * decided. */
#include "model.h"

#define SHARE 1000

/* ---- nodes
 * -------------------------------------------------------------------------------------------- */

void model_amounts_add(struct market_amounts *a, const struct market_amounts *b, int sign)
{
    a->gpu_milli += sign * b->gpu_milli;
    a->core_milli += sign * b->core_milli;
    a->memory_mib += sign * b->memory_mib;
    a->disk_mib += sign * b->disk_mib;
}

bool model_amounts_within(const struct market_amounts *a, const struct market_amounts *cap)
{
    return a->gpu_milli <= cap->gpu_milli && a->core_milli <= cap->core_milli &&
           a->memory_mib <= cap->memory_mib && a->disk_mib <= cap->disk_mib;
}

static void gpus_move(struct world *w, struct plot *p, const struct market_placement *at, int sign)
{
    int64_t each = MIN(at->amounts.gpu_milli, SHARE);
    for (uint64_t gpus = at->gpus; gpus; gpus &= gpus - 1) {
        int i = __builtin_ctzll(gpus);
        int64_t now = p->gpu_taken[i] + sign * each;
        if (now < 0 || now > SHARE || i >= p->spec.amounts.gpu_milli / SHARE)
            world_fail(w, "invariant 5: GPU %d of %s holds %lld thousandths", i,
                       NAME(w, p->spec.id), (long long)now);
        p->gpu_taken[i] = (uint16_t)now;
    }
}

/* Its place is taken, or free for others again. */
static void seat(struct world *w, const struct track *t, int sign)
{
    for (size_t i = 0; i < t->placement_count; i++) {
        struct plot *p = world_plot(w, t->placements[i].node);
        model_amounts_add(&p->taken, &t->placements[i].amounts, sign);
        p->units_milli += sign * t->placements[i].units_milli;
        gpus_move(w, p, &t->placements[i], sign);
        if (!model_amounts_within(&p->taken, &p->spec.amounts) ||
            p->units_milli > model_node_units(&p->spec))
            world_fail(w, "invariant 1: %s is leased beyond its capacity", NAME(w, p->spec.id));
    }
}

/* ---- what a placement must be
 * --------------------------------------------------------------------------- */

int64_t model_units(const struct market_amounts *node, const struct market_amounts *takes)
{
    int64_t units = node->gpu_milli ? node->gpu_milli : node->core_milli, most = 0;
    const int64_t pairs[][2] = {{takes->gpu_milli, node->gpu_milli},
                                {takes->core_milli, node->core_milli},
                                {takes->memory_mib, node->memory_mib},
                                {takes->disk_mib, node->disk_mib}};
    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
        if (pairs[i][0] > pairs[i][1])
            return 0;
        if (pairs[i][0])
            most =
                MAX(most, (int64_t)(((int128)pairs[i][0] * units + pairs[i][1] - 1) / pairs[i][1]));
    }
    return most;
}

static bool has_label(const struct market_node *n, market_id label)
{
    for (size_t i = 0; i < MARKET_LABELS_MAX && n->labels[i]; i++)
        if (n->labels[i] == label)
            return true;
    return false;
}

bool model_choice_matches(const struct market_choice *c, const struct market_node *n)
{
    for (size_t i = 0; i < MARKET_LABELS_MAX && c->labels[i]; i++)
        if (!has_label(n, c->labels[i]))
            return false;
    return (!c->sku || c->sku == n->sku) && (!c->accelerator || c->accelerator == n->accelerator) &&
           (!c->provider || c->provider == n->place.provider) &&
           (!c->region || c->region == n->place.region) && (!c->zone || c->zone == n->place.zone);
}

bool model_same_amounts(const struct market_amounts *a, const struct market_amounts *b)
{
    return a->gpu_milli == b->gpu_milli && a->core_milli == b->core_milli &&
           a->memory_mib == b->memory_mib && a->disk_mib == b->disk_mib;
}

/* A power of two of GPUs fills one aligned block. */
static bool is_aligned(const struct market_placement *p)
{
    int64_t count = p->amounts.gpu_milli / SHARE;
    if (count <= 1 || (count & (count - 1)))
        return true;
    int first = __builtin_ctzll(p->gpus);
    uint64_t block = count >= 64 ? UINT64_MAX : ((UINT64_C(1) << count) - 1) << first;
    return first % count == 0 && p->gpus == block;
}

static void check_placement(struct world *w, const struct track *t,
                            const struct market_placement *p)
{
    const struct plot *at = world_plot(w, p->node);
    if (at == NULL || !at->up || at->draining)
        world_fail(w, "invariant 2: %s is placed on a node that is not up", NAME(w, t->id));
    const struct market_choice *c = &t->alternatives[t->alternative].choices[p->role];
    if (!model_choice_matches(c, &at->spec) ||
        (at->spec.only_tenant && at->spec.only_tenant != t->spec.tenant))
        world_fail(w, "invariant 2: %s does not meet the criteria of %s", NAME(w, p->node),
                   NAME(w, t->id));
    if (!model_same_amounts(&p->amounts, &c->amounts) ||
        p->units_milli != model_units(&at->spec.amounts, &c->amounts))
        world_fail(w, "invariant 2: %s takes other amounts of %s than it asked for", NAME(w, t->id),
                   NAME(w, p->node));
    int64_t gpus = p->amounts.gpu_milli;
    if (__builtin_popcountll(p->gpus) != (gpus >= SHARE ? gpus / SHARE : gpus > 0))
        world_fail(w, "invariant 5: %s has %d GPUs of %s", NAME(w, t->id),
                   __builtin_popcountll(p->gpus), NAME(w, p->node));
    if (w->check_alignment && !is_aligned(p))
        world_fail(w, "invariant 5: the GPUs %llx of %s are not an aligned block",
                   (unsigned long long)p->gpus, NAME(w, p->node));
}

/* All replicas of every role, each once. */
static void check_whole(struct world *w, const struct track *t)
{
    for (size_t role = 0; role < t->spec.role_count; role++) {
        uint32_t count = 0;
        for (size_t i = 0; i < t->placement_count; i++)
            count += t->placements[i].role == role;
        if (count < t->roles[role].replicas_min || count > t->roles[role].replicas_max)
            world_fail(w, "invariant 2: %s has %u replicas of role %zu", NAME(w, t->id), count,
                       role);
    }
    for (size_t i = 0; i < t->placement_count; i++) {
        if (t->placements[i].role >= t->spec.role_count)
            world_fail(w, "invariant 4: %s has a replica of no role", NAME(w, t->id));
        for (size_t j = 0; j < i; j++)
            if (t->placements[i].role == t->placements[j].role &&
                t->placements[i].rank == t->placements[j].rank)
                world_fail(w, "invariant 2: %s has rank %u twice", NAME(w, t->id),
                           t->placements[i].rank);
    }
}

market_id model_place(const struct market_node *n, enum market_level level)
{
    switch (level) {
    case LEVEL_ANY:
    case LEVEL_ZONE:
        return n->place.zone;
    case LEVEL_FABRIC:
    case LEVEL_RACKS:
        return n->place.fabric;
    case LEVEL_RACK:
        return n->place.rack;
    case LEVEL_NODE:
        return n->id;
    }
    return 0;
}

static void check_level(struct world *w, const struct track *t)
{
    const struct market_alternative *a = &t->alternatives[t->alternative];
    const struct market_node *first = &world_plot(w, t->placements[0].node)->spec;
    uint32_t racks = 0;
    for (size_t i = 0; i < t->placement_count; i++) {
        const struct market_node *n = &world_plot(w, t->placements[i].node)->spec;
        bool known = false;
        for (size_t j = 0; j < i && !known; j++)
            known = world_plot(w, t->placements[j].node)->spec.place.rack == n->place.rack;
        racks += !known;
        if (a->level != LEVEL_ANY && model_place(n, a->level) != model_place(first, a->level))
            world_fail(w, "invariant 3: %s does not hang together", NAME(w, t->id));
    }
    if (a->level == LEVEL_RACKS && racks > a->racks)
        world_fail(w, "invariant 3: %s stands in %u racks", NAME(w, t->id), racks);
}

/* ---- leases
 * ------------------------------------------------------------------------------------------------
 */

static void activate(struct world *w, const struct track *t)
{
    ARRAY_RESERVE(w->active, w->active_count, w->active_capacity);
    w->active[w->active_count++] = (uint32_t)(t - w->tracks);
}

static void deactivate(struct world *w, const struct track *t)
{
    size_t i = 0;
    while (w->active[i] != (uint32_t)(t - w->tracks))
        i++;
    memmove(w->active + i, w->active + i + 1, (w->active_count - i - 1) * sizeof *w->active);
    w->active_count--;
}

static void on_allocated(struct world *w, struct track *t, const struct market_event *e)
{
    if (t->state != TRACK_WAITING)
        world_fail(w, "invariant 4: %s is allocated while it has a lease", NAME(w, t->id));
    if (e->allocated.placement_count == 0 || e->allocated.alternative >= t->spec.alternative_count)
        world_fail(w, "%s is allocated nothing", NAME(w, t->id));
    t->state = e->allocated.ready ? TRACK_READY : TRACK_ASSIGNED;
    t->attempt = e->attempt;
    t->out_since = 0;
    t->alternative = e->allocated.alternative;
    t->pool = e->allocated.pool;
    t->units_milli = e->allocated.units_milli;
    t->placement_count = e->allocated.placement_count;
    t->placements = xrealloc(t->placements, t->placement_count, sizeof *t->placements);
    t->gone = xrealloc(t->gone, t->placement_count, sizeof *t->gone);
    memcpy(t->placements, w->events.placements + e->allocated.placement_first,
           t->placement_count * sizeof *t->placements);
    memset(t->gone, 0, t->placement_count * sizeof *t->gone);
    t->started_told = t->runs = false;
    t->stands = e->allocated.ready;
    t->attempt_charged = 0;
    t->charged_before = t->menu_charged;
    t->charged_until = TIME_NEVER;
    t->span_count = 0;
    w->count.allocations++;
    check_whole(w, t);
    int64_t units = 0;
    for (size_t i = 0; i < t->placement_count; i++) {
        check_placement(w, t, &t->placements[i]);
        units += t->placements[i].units_milli;
    }
    if (units != t->units_milli)
        world_fail(w, "%s is charged for %lld units and has %lld", NAME(w, t->id),
                   (long long)t->units_milli, (long long)units);
    check_level(w, t);
    seat(w, t, 1);
    activate(w, t);
    w->asks_known &= model_is_simple(t);
    t->asks = model_asks(w, t);
    t->top_limit = e->allocated.limit * 1000;
}

/* Nothing that is still there may stand in its way. */
static void check_ready(struct world *w, const struct track *t)
{
    for (size_t i = 0; i < t->placement_count; i++)
        for (size_t j = 0; j < w->active_count; j++) {
            const struct track *other = &w->tracks[w->active[j]];
            for (size_t k = 0;
                 other->state == TRACK_VACATING && other->stands && k < other->placement_count; k++)
                if (!other->gone[k] && other->placements[k].node == t->placements[i].node &&
                    (other->placements[k].gpus & t->placements[i].gpus) &&
                    other->placements[k].amounts.gpu_milli >= SHARE)
                    world_fail(w, "%s is ready while %s still runs there", NAME(w, t->id),
                               NAME(w, other->id));
        }
}

static void on_preempting(struct world *w, struct track *t, const struct market_event *e)
{
    if (t->state == TRACK_WAITING || t->state == TRACK_OVER || t->state == TRACK_VACATING)
        world_fail(w, "%s is preempted and has no lease", NAME(w, t->id));
    if (e->preempting.deadline < w->now)
        world_fail(w, "%s has a deadline that is over", NAME(w, t->id));
    bool price = e->preempting.reason == RELEASE_PREEMPTED;
    if (price && w->laws)
        model_check_eviction(w, t);
    w->count.evictions += price;
    t->preemptions += price;
    t->leave_by = e->preempting.deadline;
    t->told = w->now;
    t->spoiled |= !price;
    t->reason = e->preempting.reason;
    t->state = TRACK_VACATING;
    seat(w, t, -1);
}

/* It gets its notice, and has another place. */
static void on_moved(struct world *w, struct track *t, const struct market_event *e)
{
    on_preempting(w, t, e);
    t->moves++;
    t->moving = true;
    w->moving++;
    w->count.moves++;
}

static void on_released(struct world *w, struct track *t, const struct market_event *e)
{
    if (t->state == TRACK_OVER)
        world_fail(w, "%s is released twice", NAME(w, t->id));
    if (t->state != TRACK_WAITING) {
        if (t->state != TRACK_VACATING)
            seat(w, t, -1);
        deactivate(w, t);
        w->asks_due += model_asks_sum(t, MIN(t->charged_until, e->released.at));
        if (w->watch_rates && model_is_simple(t))
            model_check_bill(w, t, MIN(t->charged_until, e->released.at));
    }
    w->moving -= t->moving;
    t->moving = false;
    t->spoiled |= e->released.reason != RELEASE_PREEMPTED && e->released.waits;
    t->reason = e->released.reason;
    t->released = w->now;
    if (!e->released.waits)
        model_check_deadline(w, t);
    t->state = e->released.waits ? TRACK_WAITING : TRACK_OVER;
    t->placement_count = t->span_count = 0;
    if (t->pending >= 0) {
        t->first_limit = t->pending;
        t->pending = -1;
    }
}

/* A victim never gets back more than it paid, and that was since its last checkpoint. What its entrant
 * paid after its contact was lost goes back. */
static void on_compensation(struct world *w, struct track *t, udollar amount)
{
    t->refunded -= amount;
    w->compensation -= amount;
    if (t->refunded < 0 || (amount < 0 && t->refunded > t->menu_charged))
        world_fail(w, "invariant 28: %s got back %lld of %lld", NAME(w, t->id),
                   (long long)t->refunded, (long long)t->menu_charged);
}

static void on_charged(struct world *w, struct track *t, const struct market_event *e)
{
    enum market_charge kind = e->charged.kind;
    if (e->charged.tenant != t->spec.tenant)
        world_fail(w, "%s is billed to another tenant", NAME(w, t->id));
    bool may_sink = kind == CHARGE_REFUND || kind == CHARGE_COMPENSATION || kind == CHARGE_RESALE || kind == CHARGE_TRANSFER ||
                    (kind == CHARGE_DISPLACEMENT && t->displacement + e->charged.amount >= 0);
    if (!may_sink && e->charged.amount < 0)
        world_fail(w, "%s is charged less than nothing", NAME(w, t->id));
    t->charged += e->charged.amount;
    if (kind == CHARGE_MENU || kind == CHARGE_REFUND) {
        t->attempt_charged += e->charged.amount;
        t->menu_charged += e->charged.amount;
    }
    if (kind == CHARGE_REFUND)
        w->taken_back -= e->charged.amount;
    if (kind == CHARGE_DISPLACEMENT) {
        t->displacement += e->charged.amount;
        w->displacement += e->charged.amount;
    }
    if (kind == CHARGE_COMPENSATION)
        on_compensation(w, t, e->charged.amount);
}

/* ---- money
 * ---------------------------------------------------------------------------------------------------
 */

static udollar *sum_of(struct world *w, struct market_account name)
{
    for (size_t i = 0; i < w->sum_count; i++)
        if (w->sums[i].name.kind == name.kind && w->sums[i].name.id == name.id &&
            w->sums[i].name.currency == name.currency)
            return &w->sums[i].balance;
    ARRAY_RESERVE(w->sums, w->sum_count, w->sum_capacity);
    w->sums[w->sum_count] = (struct account_sum){.name = name};
    return &w->sums[w->sum_count++].balance;
}

static void on_entry(struct world *w, const struct market_event *e)
{
    if (e->entry.amount < 0)
        world_fail(w, "invariant 25: a ledger entry of %lld", (long long)e->entry.amount);
    *sum_of(w, e->entry.debit) -= e->entry.amount;
    *sum_of(w, e->entry.credit) += e->entry.amount;
}

static void on_posted(struct world *w, const struct market_event *e)
{
    struct tag *tag = world_tag(w, e->posted.pool);
    if (tag == NULL) {
        ARRAY_RESERVE(w->tags, w->tag_count, w->tag_capacity);
        tag = &w->tags[w->tag_count++];
        *tag = (struct tag){.pool = e->posted.pool, .marginal = -1};
    }
    if (tag->marginal >= 0)
        model_check_ramp(w, tag, e);
    bool same = tag->marginal == e->posted.marginal && tag->scarcity == e->posted.scarcity &&
                tag->guide == e->posted.guide;
    *tag = (struct tag){e->posted.pool,       e->posted.marginal,        e->posted.scarcity,
                        e->posted.guide,      e->posted.lowest_ask,      e->posted.units_milli,
                        e->posted.free_milli, same ? tag->steady + 1 : 0};
    if (tag->scarcity < 0 || tag->scarcity > tag->guide - tag->marginal)
        world_fail(w, "invariant 21: scarcity %lld is posted, guide %lld, marginal %lld",
                   (long long)tag->scarcity, (long long)tag->guide, (long long)tag->marginal);
}

/* A large tenant's entry lies between the marginal ask and the pool's own; of two, the larger block's
 * is no dearer. */
static void on_block_posted(struct world *w, const struct market_event *e)
{
    const struct tag *tag = world_tag(w, e->block.pool);
    if (e->block.post < tag->marginal || e->block.post > tag->marginal + tag->scarcity)
        world_fail(w, "invariant 21: a block of %s pays %lld, the pool's menu is %lld", NAME(w, e->block.tenant),
                   (long long)e->block.post, (long long)(tag->marginal + tag->scarcity));
    for (size_t i = 0; i < w->block_count; i++) {
        const struct block_tag *b = &w->blocks[i];
        if (b->pool == e->block.pool && (b->units_milli < e->block.units_milli) != (b->post > e->block.post) &&
            b->units_milli != e->block.units_milli && b->post != e->block.post)
            world_fail(w, "invariant 24: of two blocks the larger one pays more: %lld and %lld", (long long)b->post,
                       (long long)e->block.post);
    }
    ARRAY_RESERVE(w->blocks, w->block_count, w->block_capacity);
    w->blocks[w->block_count++] = (struct block_tag){e->block.tenant, e->block.pool, e->block.units_milli, e->block.post};
}

/* ---- after a batch
 * ------------------------------------------------------------------------------------------- */

static void check_accounts(struct world *w)
{
    int128 sum = 0;
    for (size_t i = 0; i < w->sum_count; i++) {
        sum += w->sums[i].balance;
        if (market_balance(w->m, w->sums[i].name) != w->sums[i].balance)
            world_fail(w, "invariant 25: account %d:%s has %lld, its entries make %lld",
                       (int)w->sums[i].name.kind, NAME(w, w->sums[i].name.id),
                       (long long)market_balance(w->m, w->sums[i].name),
                       (long long)w->sums[i].balance);
    }
    for (size_t i = 0; i < w->sum_count; i++) {
        const struct account_sum *a = &w->sums[i];
        if (a->name.kind == ACCOUNT_TENANT && a->name.currency == CURRENCY_MONEY &&
            market_spent(w->m, a->name.id) != -a->balance)
            world_fail(w, "invariant 25: %s has spent %lld, its account says %lld",
                       NAME(w, a->name.id), (long long)market_spent(w->m, a->name.id),
                       (long long)-a->balance);
    }
    if (sum != 0)
        world_fail(w, "invariant 25: the ledger does not add up to zero");
    for (size_t i = 0; i < w->limited_count; i++) {
        struct budget *b = &w->limited[i];
        udollar spent = market_spent(w->m, b->tenant);
        if (b->unlimited)
            b->most = MAX(b->most, spent);
        if (spent > b->most)
            world_fail(w, "invariant 27: %s has spent %lld of a budget of %lld", NAME(w, b->tenant),
                       (long long)spent, (long long)b->most);
    }
}

static enum market_bid_state state_of(const struct track *t)
{
    switch (t->state) {
    case TRACK_ASSIGNED:
    case TRACK_READY:
        return BID_ASSIGNED;
    case TRACK_RUNNING:
        return BID_RUNNING;
    case TRACK_VACATING:
        return BID_VACATING;
    case TRACK_WAITING:
    case TRACK_OVER:
        return BID_WAITING;
    }
    return BID_WAITING;
}

static void check_track(struct world *w, struct track *t)
{
    struct market_bid_view v;
    bool known = market_bid_view(w->m, t->id, w->now, &v);
    if (known != (t->state != TRACK_OVER))
        world_fail(w, "%s is %s the book", NAME(w, t->id), known ? "still in" : "not in");
    if (known && v.state != state_of(t))
        world_fail(w, "%s is in state %d, its events say %d", NAME(w, t->id), (int)v.state,
                   (int)state_of(t));
}

static void check_node(struct world *w, const struct plot *p)
{
    struct market_amounts free, own = p->spec.amounts;
    if (!market_node_free(w->m, p->spec.id, &free))
        return;
    model_amounts_add(&own, &p->taken, -1);
    bool holds =
        w->moving > 0 && free.gpu_milli <= own.gpu_milli && free.core_milli <= own.core_milli;
    if (p->up && !holds && !model_same_amounts(&own, &free))
        world_fail(w, "invariant 1: %s has %lld GPU thousandths free, a recount says %lld",
                   NAME(w, p->spec.id), (long long)free.gpu_milli, (long long)own.gpu_milli);
}

void model_check(struct world *w)
{
    model_survey(w);
    for (size_t i = 0; i < w->plot_count; i++)
        check_node(w, &w->plots[i]);
    for (size_t i = 0; i < w->track_count; i++)
        check_track(w, &w->tracks[i]);
    for (size_t i = 0; i < w->active_count && w->watch_rates; i++)
        if (model_is_simple(&w->tracks[w->active[i]]))
            model_check_rate(w, &w->tracks[w->active[i]]);
    check_accounts(w);
    for (size_t i = 0; i < w->active_count; i++)
        if (w->tracks[w->active[i]].state == TRACK_READY)
            check_ready(w, &w->tracks[w->active[i]]);
    if (!w->laws)
        return;
    model_check_standing(w);
    model_check_headroom(w);
    model_check_promises(w);
    model_check_idle(w);
    model_check_stay(w);
    if (w->watch_rates && w->just_ticked) {
        model_check_freedom(w);
        model_check_sellers(w);
        model_check_spare(w);
    }
}

/* ---- events and commands
 * ---------------------------------------------------------------------------------------- */

static void on_refused(struct world *w, const struct market_event *e)
{
    w->count.refusals++;
    w->last_refused = *e;
    if (e->refused.index >= w->batch_count)
        world_fail(w, "a command is refused that was not in the batch");
    const struct market_command *c = &w->batch[e->refused.index];
    struct track *t = c->type == MARKET_BID_ADD ? world_track(w, c->bid.id) : NULL;
    if (t && c->bid.roles == t->roles)
        t->state = TRACK_OVER;
}

static bool is_refused(const struct world *w, size_t index)
{
    for (size_t i = 0; i < w->events.count; i++)
        if (w->events.items[i].type == EVENT_REFUSED && w->events.items[i].refused.index == index)
            return true;
    return false;
}

static void on_node_down(struct world *w, struct plot *p, time_ms last_contact)
{
    p->up = false;
    w->last_loss = w->now;
    for (size_t i = 0; i < w->active_count; i++) {
        struct track *t = &w->tracks[w->active[i]];
        for (size_t j = 0; j < t->placement_count; j++)
            if (t->placements[j].node == p->spec.id && !t->gone[j]) {
                t->charged_until = MIN(t->charged_until, MIN(last_contact, w->now));
                t->gone[j] = true;
            }
    }
}

static void on_node_command(struct world *w, const struct market_command *c)
{
    struct plot *p = world_plot(w, c->type == MARKET_NODE_UP ? c->node.id : c->on_node.node);
    if (c->type == MARKET_NODE_DOWN) {
        on_node_down(w, p, c->on_node.last_contact);
    } else if (c->type == MARKET_NODE_UP) {
        if (p->up)
            on_node_down(w, p, w->now);
        p->spec = c->node;
        w->ground_stale = true;
        p->up = true; /* a drain outlives a loss */
    } else if (c->type == MARKET_ASK_SET) {
        p->spec.ask = c->on_node.ask;
    } else {
        p->draining = c->type == MARKET_NODE_DRAIN;
        w->last_loss = p->draining ? w->now : w->last_loss;
    }
}

static void on_lease_command(struct world *w, const struct market_command *c)
{
    struct track *t = world_track(w, c->lease.bid);
    if (c->type == MARKET_LEASE_STARTED && t->state == TRACK_READY) {
        t->state = TRACK_RUNNING;
        t->started = w->now;
        t->runs = true;
        t->protected_until =
            w->now + (t->spec.minimum_run ? t->spec.minimum_run
                                          : market_setting(w->m, SETTING_MINIMUM_RUN_MS));
        t->starts++;
        w->count.starts++;
    }
    for (size_t i = 0; i < t->placement_count && c->type == MARKET_REPLICA_ENDED; i++)
        if (t->placements[i].role == c->lease.role && t->placements[i].rank == c->lease.rank)
            t->gone[i] = true;
}

static void on_change(struct world *w, const struct market_command *c)
{
    struct track *t = world_track(w, c->change.bid);
    if (c->change.limit < t->first_limit)
        t->cut_at = w->now;
    if (t->state == TRACK_WAITING)
        t->first_limit = c->change.limit;
    else
        t->pending = c->change.limit;
}

static void on_account(struct world *w, const struct market_command *c)
{
    size_t i = 0;
    if (c->account.credits)
        return;
    while (i < w->limited_count && w->limited[i].tenant != c->account.tenant)
        i++;
    if (i == w->limited_count) {
        ARRAY_RESERVE(w->limited, w->limited_count, w->limited_capacity);
        w->limited[w->limited_count++] = (struct budget){.tenant = c->account.tenant};
    }
    struct budget *b = &w->limited[i];
    b->unlimited = !c->account.limited;
    /* what runs already must be paid to the end of its notice, whatever the new budget is */
    for (size_t k = 0; k < w->active_count; k++)
        b->unlimited |= w->tracks[w->active[k]].spec.tenant == b->tenant;
    b->most = MAX(b->most, MAX(c->account.budget, market_spent(w->m, b->tenant)));
}

static void on_command(struct world *w, const struct market_command *c)
{
    switch ((int)c->type) {
    case MARKET_NODE_UP:
    case MARKET_NODE_DOWN:
    case MARKET_NODE_DRAIN:
    case MARKET_NODE_UNDRAIN:
    case MARKET_ASK_SET:
        on_node_command(w, c);
        return;
    case MARKET_LEASE_STARTED:
    case MARKET_REPLICA_ENDED:
        on_lease_command(w, c);
        return;
    case MARKET_BID_CHANGE:
        on_change(w, c);
        return;
    case MARKET_ACCOUNT_SET:
        on_account(w, c);
        return;
    default:
        return;
    }
}

void model_commands(struct world *w)
{
    /* the order of a batch: what goes, then what comes */
    for (size_t i = 0; i < w->batch_count; i++)
        if ((w->batch[i].type == MARKET_NODE_DOWN || w->batch[i].type == MARKET_NODE_DRAIN) &&
            !is_refused(w, i))
            on_command(w, &w->batch[i]);
    for (size_t i = 0; i < w->batch_count; i++)
        if (w->batch[i].type != MARKET_NODE_DOWN && w->batch[i].type != MARKET_NODE_DRAIN &&
            !is_refused(w, i))
            on_command(w, &w->batch[i]);
}

static void resize_grow(struct world *w, struct track *t, const struct market_event *e)
{
    size_t count = e->resized.placement_count, first = t->placement_count;
    t->placements = xrealloc(t->placements, first + count, sizeof *t->placements);
    t->gone = xrealloc(t->gone, first + count, sizeof *t->gone);
    memcpy(t->placements + first, w->events.placements + e->resized.placement_first,
           count * sizeof *t->placements);
    memset(t->gone + first, 0, count * sizeof *t->gone);
    t->placement_count += count;
    struct track more = *t;
    more.placements += first;
    more.placement_count = count;
    seat(w, &more, 1);
    for (size_t i = first; i < t->placement_count; i++)
        check_placement(w, t, &t->placements[i]);
}

static void resize_shrink(struct world *w, struct track *t, const struct market_event *e)
{
    for (size_t i = 0; i < e->resized.placement_count; i++) {
        const struct market_placement *p = &w->events.placements[e->resized.placement_first + i];
        size_t j = 0;
        while (j < t->placement_count &&
               (t->placements[j].role != p->role || t->placements[j].rank != p->rank))
            j++;
        if (j == t->placement_count)
            world_fail(w, "%s loses a replica that it has not", NAME(w, t->id));
        ARRAY_RESERVE(w->replies, w->reply_count, w->reply_capacity);
        w->replies[w->reply_count++] = (struct market_command){.type = MARKET_REPLICA_ENDED,
                                                               .lease = {.bid = t->id,
                                                                         .attempt = t->attempt,
                                                                         .role = p->role,
                                                                         .rank = p->rank,
                                                                         .at = w->now}};
        struct track one = *t;
        one.placements += j;
        one.placement_count = 1;
        seat(w, &one, -1);
        memmove(t->placements + j, t->placements + j + 1,
                (t->placement_count - j - 1) * sizeof *t->placements);
        memmove(t->gone + j, t->gone + j + 1, (t->placement_count - j - 1) * sizeof *t->gone);
        t->placement_count--;
    }
}

/* Elastic: replicas come or go. */
static void model_resize(struct world *w, struct track *t, const struct market_event *e)
{
    if (t->state == TRACK_WAITING || t->state == TRACK_OVER || t->state == TRACK_VACATING)
        world_fail(w, "%s is resized and has no lease", NAME(w, t->id));
    if (e->resized.grows)
        resize_grow(w, t, e);
    else
        resize_shrink(w, t, e);
    t->units_milli = e->resized.units_milli;
    check_whole(w, t);
    check_level(w, t);
}

static void on_lease_event(struct world *w, struct track *t, const struct market_event *e)
{
    if (e->type == EVENT_ALLOCATED)
        on_allocated(w, t, e);
    else if (e->type == EVENT_PREEMPTING)
        on_preempting(w, t, e);
    else if (e->type == EVENT_RELEASED)
        on_released(w, t, e);
    else if (e->type == EVENT_CHARGED)
        on_charged(w, t, e);
    if (e->type == EVENT_READY) {
        if (t->state != TRACK_ASSIGNED)
            world_fail(w, "%s is ready and was not assigned", NAME(w, t->id));
        t->state = TRACK_READY;
        t->stands = true;
    } else if (e->type == EVENT_MOVED)
        on_moved(w, t, e);
}

void model_event(struct world *w, const struct market_event *e)
{
    struct track *t = world_track(w, e->bid);
    switch ((int)e->type) {
    case EVENT_ALLOCATED:
    case EVENT_READY:
    case EVENT_PREEMPTING:
    case EVENT_RELEASED:
    case EVENT_MOVED:
    case EVENT_CHARGED:
        if (t == NULL && (e->charged.kind == CHARGE_RESERVATION || e->charged.kind == CHARGE_RESALE || e->charged.kind == CHARGE_SUBSCRIPTION) &&
            e->type == EVENT_CHARGED)
            return; /* of a reservation, which is no bid */
        if (t == NULL)
            world_fail(w, "an event of a bid that there is not");
        on_lease_event(w, t, e);
        return;
    case EVENT_REFUSED:
        on_refused(w, e);
        return;
    case EVENT_PRICE_POSTED:
        on_posted(w, e);
        return;
    case EVENT_BLOCK_POSTED:
        on_block_posted(w, e);
        return;
    case EVENT_HEADROOM_POSTED:
        model_headroom_posted(w, e);
        return;
    case EVENT_SUBSCRIPTION:
        w->asks_known = false; /* free nodes are paid, too */
        return;
    case EVENT_ENTRY:
        on_entry(w, e);
        return;
    case EVENT_TICK_WANTED:
        w->tick_wanted = true;
        w->count.ticks_wanted++;
        return;
    case EVENT_QUOTED:
        t->quoted = e->quoted.most;
        t->latest = e->quoted.latest;
        t->committed = e->quoted.committed;
        return;
    case EVENT_RESIZED:
        model_resize(w, t, e);
        return;
    case EVENT_GAP:
        if (e->gap.bound < e->gap.surplus)
            world_fail(w, "invariant 9: the surplus %lld is above the bound %lld",
                       (long long)e->gap.surplus, (long long)e->gap.bound);
        w->gap = *e;
        return;
    }
}
