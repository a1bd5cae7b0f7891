/* SPDX-License-Identifier: Apache-2.0 */
/* Commands in, events out: what each command may say, and the order inside a batch. */
#include "base/hash.h"
#include "base/sort.h"
#include "market/calendar.h"
#include "market/headroom.h"
#include "market/refusal.h"

static const int64_t setting_defaults[MARKET_SETTING_COUNT] = {
    [SETTING_TICK_MS] = 15000,          [SETTING_HORIZON_MS] = HOUR_MS,
    [SETTING_MINIMUM_RUN_MS] = 600000,  [SETTING_RAMP_PERMILLE] = 50,
    [SETTING_FEE_PERMILLE] = 0,         [SETTING_TERM_MS] = 4 * HOUR_MS,
    [SETTING_KILL_MS] = 10000,          [SETTING_CHECKPOINT_MS] = HOUR_MS,
    [SETTING_LARGE_TENANT_PERMILLE] = 20, [SETTING_SWEEP_CANDIDATES] = 400,
    [SETTING_HOLD] = 0,                 [SETTING_STARVING_TICKS] = 40,
    [SETTING_HOLD_FEE] = 0,             [SETTING_GUARD_MS] = 60000,
    [SETTING_LEND_IDLE_MS] = 900000,    [SETTING_TIER1_START_MS] = 2000,
    [SETTING_TIER2_START_MS] = 10000,   [SETTING_TIER3_START_MS] = 60000,
    [SETTING_TIER4_START_MS] = 300000,  [SETTING_TIER1_LOSS] = 20000000,
    [SETTING_TIER2_LOSS] = 10000000,    [SETTING_TIER3_LOSS] = 5000000,
    [SETTING_TIER4_LOSS] = 2500000,     [SETTING_PACK_BY_AMOUNTS] = 0,
};
static const struct {
    int64_t least, most;
} setting_range[MARKET_SETTING_COUNT] = {
    [SETTING_TICK_MS] = {100, HOUR_MS},         [SETTING_HORIZON_MS] = {1000, 1000 * HOUR_MS},
    [SETTING_MINIMUM_RUN_MS] = {0, 24 * HOUR_MS}, [SETTING_RAMP_PERMILLE] = {0, 1000},
    [SETTING_FEE_PERMILLE] = {0, 1000},         [SETTING_TERM_MS] = {1000, 8760 * HOUR_MS},
    [SETTING_KILL_MS] = {0, HOUR_MS},           [SETTING_CHECKPOINT_MS] = {0, 24 * HOUR_MS},
    [SETTING_LARGE_TENANT_PERMILLE] = {0, 1000}, [SETTING_SWEEP_CANDIDATES] = {0, 1000000},
    [SETTING_HOLD] = {0, 1},                    [SETTING_STARVING_TICKS] = {1, 1000000},
    [SETTING_HOLD_FEE] = {0, MARKET_RATE_MAX},  [SETTING_GUARD_MS] = {0, 24 * HOUR_MS},
    [SETTING_LEND_IDLE_MS] = {0, 8760 * HOUR_MS}, [SETTING_TIER1_START_MS] = {0, HOUR_MS},
    [SETTING_TIER2_START_MS] = {0, HOUR_MS},    [SETTING_TIER3_START_MS] = {0, HOUR_MS},
    [SETTING_TIER4_START_MS] = {0, HOUR_MS},    [SETTING_TIER1_LOSS] = {0, MARKET_RATE_MAX},
    [SETTING_TIER2_LOSS] = {0, MARKET_RATE_MAX}, [SETTING_TIER3_LOSS] = {0, MARKET_RATE_MAX},
    [SETTING_TIER4_LOSS] = {0, MARKET_RATE_MAX}, [SETTING_PACK_BY_AMOUNTS] = {0, 1},
};

struct market *market_new(uint64_t seed)
{
    struct market *m = xcalloc(1, sizeof *m);
    m->seed = seed;
    memcpy(m->settings, setting_defaults, sizeof m->settings);
    ARRAY_RESERVE(m->nodes, m->node_count, m->node_capacity);
    ARRAY_RESERVE(m->pools, m->pool_count, m->pool_capacity);
    ARRAY_RESERVE(m->forms, m->form_count, m->form_capacity);
    ARRAY_RESERVE(m->curves, m->curve_count, m->curve_capacity);
    ARRAY_RESERVE(m->classes, m->class_count, m->class_capacity);
    ARRAY_RESERVE(m->bids, m->bid_count, m->bid_capacity);
    ARRAY_RESERVE(m->leases, m->lease_count, m->lease_capacity);
    ARRAY_RESERVE(m->tenants, m->tenant_count, m->tenant_capacity);
    ARRAY_RESERVE(m->accounts, m->account_count, m->account_capacity);
    m->nodes[0] = (struct node){0};
    m->pools[0] = (struct pool){0};
    m->classes[0] = (struct class){0};
    m->forms[0] = (struct form){0};
    m->curves[0] = (struct curve){0};
    m->bids[0] = (struct bid){0};
    m->leases[0] = (struct lease){0};
    m->tenants[0] = (struct tenant){0};
    m->accounts[0] = (struct account){0};
    m->node_count = m->pool_count = m->class_count = m->form_count = m->curve_count = 1;
    m->bid_count = m->lease_count = m->tenant_count = m->account_count = 1;
    m->scratch = scratch_new();
    m->calendar = calendar_new();
    m->headroom = headroom_new();
    m->cold = true;
    return m;
}

void market_free(struct market *m)
{
    if (m == NULL)
        return;
    for (uint32_t i = 0; i < m->node_count; i++)
        xfree(m->nodes[i].leases);
    for (uint32_t i = 0; i < m->pool_count; i++) {
        xfree(m->pools[i].nodes);
        xfree(m->pools[i].sellers);
        xfree(m->pools[i].uses);
        layout_fini(&m->pools[i]);
    }
    for (uint32_t i = 0; i < m->form_count; i++)
        form_fini(&m->forms[i]);
    for (uint32_t i = 0; i < m->curve_count; i++)
        curve_fini(&m->curves[i]);
    for (uint32_t i = 0; i < m->bid_count; i++)
        xfree(m->bids[i].limits);
    for (uint32_t i = 0; i < m->lease_count; i++) {
        xfree(m->leases[i].placements);
        xfree(m->leases[i].nodes);
        xfree(m->leases[i].gone);
        xfree(m->leases[i].spans);
        xfree(m->leases[i].asks);
        xfree(m->leases[i].owed);
    }
    for (uint32_t i = 0; i < m->tenant_count; i++)
        xfree(m->tenants[i].blocks), xfree(m->tenants[i].block_at);
    void *arrays[] = {m->nodes, m->pools, m->classes, m->forms, m->curves, m->free_classes, m->free_forms, m->free_curves,
                      m->bids, m->free_bids, m->leases, m->free_leases, m->tenants, m->accounts, m->parked, m->vacating,
                      m->touched, m->fresh, m->terms, m->blocks};
    for (size_t i = 0; i < ARRAY_COUNT(arrays); i++)
        xfree(arrays[i]);
    map_fini(&m->node_by_id);
    map_fini(&m->bid_by_id);
    map_fini(&m->tenant_by_id);
    map_fini(&m->class_by_form);
    map_fini(&m->seller_owners);
    str_map_fini(&m->form_by_key);
    str_map_fini(&m->curve_by_key);
    str_map_fini(&m->pool_by_key);
    for (size_t i = 0; i < ARRAY_COUNT(m->accounts_by); i++)
        map_fini(&m->accounts_by[i]);
    scratch_free(m->scratch);
    calendar_free(m->calendar);
    headroom_free(m->headroom);
    xfree(m);
}

void market_events_clear(struct market_events *events)
{
    events->count = events->placement_count = 0;
}

void market_events_fini(struct market_events *events)
{
    xfree(events->items);
    xfree(events->placements);
    *events = (struct market_events){0};
}

struct market_event *event_add(struct market *m, enum market_event_type type, uint32_t bid)
{
    struct market_events *events = m->events;
    ARRAY_RESERVE(events->items, events->count, events->capacity);
    struct market_event *e = &events->items[events->count++];
    memset(e, 0, sizeof *e);
    e->type = type;
    e->bid = m->bids[bid].id;
    e->attempt = m->bids[bid].attempt;
    return e;
}

/* ---- nodes ----------------------------------------------------------------------------------------- */

static struct refusal check_node(const struct market_node *n)
{
    if (!amounts_valid(&n->amounts))
        return refuse_bound("amounts", n->amounts.core_milli, 1, INT32_MAX);
    if (n->amounts.gpu_milli % 1000)
        return refuse_bound("amounts.gpu", n->amounts.gpu_milli, 0, MARKET_NODE_GPUS_MAX * 1000);
    if (n->ask < 0 || n->ask > MARKET_RATE_MAX)
        return refuse_bound("ask", n->ask, 0, MARKET_RATE_MAX);
    return accept();
}

static void node_lose(struct market *m, uint32_t node, time_ms last_contact)
{
    while (m->nodes[node].lease_count)
        lease_node_lost(m, m->nodes[node].leases[0], node, last_contact);
    if (m->nodes[node].up)
        node_down(m, node);
}

static void node_evict(struct market *m, uint32_t node)
{
    for (uint32_t i = 0; i < m->nodes[node].lease_count; i++) {
        uint32_t lease = m->nodes[node].leases[i];
        if (m->leases[lease].state != LEASE_VACATING)
            lease_preempt(m, lease, RELEASE_DRAINED, NULL);
    }
}

static struct refusal node_command(struct market *m, const struct market_command *c)
{
    uint32_t node = (uint32_t)map_get(&m->node_by_id, c->on_node.node);
    if (node == 0)
        return refuse(REFUSED_UNKNOWN, "node");
    if (c->type == MARKET_NODE_DOWN) {
        node_lose(m, node, c->on_node.last_contact);
    } else if (c->type == MARKET_ASK_SET) {
        if (c->on_node.ask < 0 || c->on_node.ask > MARKET_RATE_MAX)
            return refuse_bound("ask", c->on_node.ask, 0, MARKET_RATE_MAX);
        node_ask(m, node, c->on_node.ask);
    } else {
        node_drain(m, node, c->type == MARKET_NODE_DRAIN);
        if (c->type == MARKET_NODE_DRAIN && c->on_node.evict)
            node_evict(m, node);
    }
    return accept();
}

/* ---- leases, settings, accounts, ticks --------------------------------------------------------------- */

static struct refusal lease_command(struct market *m, const struct market_command *c)
{
    uint32_t bid = (uint32_t)map_get(&m->bid_by_id, c->lease.bid);
    if (bid == 0)
        return refuse(REFUSED_UNKNOWN, "bid");
    uint32_t lease = m->bids[bid].lease;
    if (lease == 0 || m->bids[bid].attempt != c->lease.attempt)
        return refuse(REFUSED_STATE, "attempt");
    if (c->type == MARKET_LEASE_STARTED) {
        lease_start(m, lease);
    } else if (c->type == MARKET_REPLICA_ENDED) {
        lease_replica_ended(m, lease, c->lease.role, c->lease.rank);
    } else if (c->type == MARKET_CHECKPOINTED) {
        lease_kept(m, lease);
        promise_kept(m, bid, c->lease.done_permille);
    } else {
        const struct lease *l = &m->leases[lease];
        bool told = l->state == LEASE_VACATING, cancelled = told && l->reason == RELEASE_CANCELLED;
        lease_close(m, lease, told ? l->reason : RELEASE_ENDED, MIN(c->lease.at, m->now), c->lease.requeue && !cancelled);
    }
    return accept();
}

static struct refusal setting_set(struct market *m, enum market_setting name, int64_t value)
{
    if ((unsigned)name >= MARKET_SETTING_COUNT)
        return refuse(REFUSED_UNKNOWN, "setting");
    if (value < setting_range[name].least || value > setting_range[name].most)
        return refuse_bound("value", value, setting_range[name].least, setting_range[name].most);
    if (name == SETTING_HOLD && value == 0)
        m->clear_all = true;
    m->settings[name] = value;
    if (name == SETTING_PACK_BY_AMOUNTS) /* nodes keep what they hold: it takes hold of those that come up from here on */
        for (uint32_t i = 1; i < m->node_count; i++)
            m->nodes[i].room.loose |= value != 0;
    return accept();
}

static struct refusal account_set(struct market *m, const struct market_command *c)
{
    if (c->account.credits && (c->account.refill < 0 || c->account.refill > (int64_t)1 << 50))
        return refuse_bound("refill", c->account.refill, 0, (int64_t)1 << 50);
    if (c->account.credits && (c->account.most < 0 || c->account.most > (int64_t)1 << 50))
        return refuse_bound("most", c->account.most, 0, (int64_t)1 << 50);
    if (!c->account.credits && c->account.limited && c->account.budget < 0)
        return refuse_bound("budget", c->account.budget, 0, INT64_MAX);
    uint32_t slot = tenant_find(m, c->account.tenant); /* may move the array */
    struct tenant *t = &m->tenants[slot];
    if (c->account.credits) {
        t->refill = c->account.refill;
        t->most = c->account.most;
        return accept();
    }
    t->purses[CURRENCY_MONEY].limited = c->account.limited;
    t->purses[CURRENCY_MONEY].budget = c->account.budget;
    return accept();
}

static void tenant_own(struct market *m, uint32_t tenant, market_id owner)
{
    m->tenants[tenant].owner = owner;
}

/* Affiliates: tenants by their own, sellers by their asks. */
static struct refusal owner_set(struct market *m, const struct market_command *c)
{
    if (c->owner.seller)
        map_set(&m->seller_owners, c->owner.account + 1, c->owner.owner);
    else
        tenant_own(m, tenant_find(m, c->owner.account), c->owner.owner);
    return accept();
}

/* What was worked out outside the writer. */
static struct refusal computed_take(struct market *m, const struct market_command *c)
{
    if (c->computed.work != WORK_LARGE_TENANTS)
        return refuse(REFUSED_UNSUPPORTED, "work");
    return large_take(m, c->computed.result) ? accept() : refuse(REFUSED_STATE, "result");
}

/* Bids that their project could not pay for try again. */
static void parked_release(struct market *m)
{
    uint32_t count = m->parked_count;
    uint32_t *parked = TAKE(m->parked);
    m->parked_count = m->parked_capacity = 0;
    for (uint32_t i = 0; i < count; i++) {
        m->bids[parked[i]].parked = false; /* what waits for its slot is parked again */
        bid_enqueue(m, parked[i]);
    }
    xfree(parked);
}

static void tick(struct market *m)
{
    time_ms since = m->last_tick;
    m->last_tick = m->now;
    m->tick_wanted = false;
    m->ticked = true;
    layout_build(m);
    ledger_book_all(m);
    reservations_tick(m);
    settle_terms(m);
    settle_credits(m);
    settle_subscriptions(m);
    settle_sellers(m);
    menu_post(m, since);
    headroom_post(m);
    forward_tick(m, since);
    lease_tick(m);
    settle_budgets(m);
    parked_release(m);
    starve_tick(m);
    for (uint32_t i = 1; i < m->pool_count; i++)
        m->pools[i].dirty = true;
}

/* ---- a batch ------------------------------------------------------------------------------------------ */

#define ORDER_BOOK 4 /* from here on commands look at pools as a whole */
/* Settings, loss, releases, gain, cancels, reprices, arrivals; the tick last. */
static int command_order(enum market_command_type type)
{
    switch (type) {
    case MARKET_SETTING_SET:
    case MARKET_ACCOUNT_SET:
    case MARKET_OWNER_SET:
    case MARKET_POWER_SET:
        return 0;
    case MARKET_NODE_DOWN:
    case MARKET_NODE_DRAIN:
        return 1;
    case MARKET_LEASE_STARTED:
    case MARKET_REPLICA_ENDED:
    case MARKET_LEASE_ENDED:
    case MARKET_CHECKPOINTED:
        return 2;
    case MARKET_NODE_UP:
    case MARKET_NODE_UNDRAIN:
    case MARKET_ASK_SET:
        return 3;
    case MARKET_BID_CANCEL:
    case MARKET_BID_PAUSE:
        return 4;
    case MARKET_BID_CHANGE:
        return 5;
    case MARKET_BID_ADD:
    case MARKET_RESERVATION_ADD:
    case MARKET_RESERVATION_CHANGE:
    case MARKET_SUBSCRIPTION_SET:
        return 6;
    case MARKET_TICK:
        return 7;
    case MARKET_CLEAR:
    case MARKET_COMPUTED:
        return 8;
    }
    return 8;
}

static struct refusal command_apply(struct market *m, const struct market_command *c)
{
    struct refusal r;
    switch (c->type) {
    case MARKET_NODE_UP:
        r = check_node(&c->node);
        if (r.reason == REFUSED_NONE) {
            uint32_t node = (uint32_t)map_get(&m->node_by_id, c->node.id);
            if (node)
                node_lose(m, node, m->now);
            node_up(m, &c->node);
        }
        return r;
    case MARKET_NODE_DOWN:
    case MARKET_NODE_DRAIN:
    case MARKET_NODE_UNDRAIN:
    case MARKET_ASK_SET:
        return node_command(m, c);
    case MARKET_SETTING_SET:
        return setting_set(m, c->setting.name, c->setting.value);
    case MARKET_ACCOUNT_SET:
        return account_set(m, c);
    case MARKET_BID_ADD:
        return bid_add(m, &c->bid);
    case MARKET_BID_CHANGE:
        return bid_change(m, c->change.bid, c->change.limit);
    case MARKET_BID_CANCEL:
        return bid_cancel(m, c->change.bid);
    case MARKET_BID_PAUSE:
        return bid_pause(m, c->change.bid, c->change.held);
    case MARKET_LEASE_STARTED:
    case MARKET_REPLICA_ENDED:
    case MARKET_LEASE_ENDED:
    case MARKET_CHECKPOINTED:
        return lease_command(m, c);
    case MARKET_TICK:
        tick(m);
        return accept();
    case MARKET_RESERVATION_ADD:
        return reservation_add(m, &c->reservation);
    case MARKET_RESERVATION_CHANGE:
        return reservation_change(m, c);
    case MARKET_SUBSCRIPTION_SET:
        return subscription_set(m, c);
    case MARKET_OWNER_SET:
        return owner_set(m, c);
    case MARKET_POWER_SET:
        return refuse(REFUSED_UNSUPPORTED, "watts");

    case MARKET_CLEAR:
        m->clear_all = true;
        return accept();
    case MARKET_COMPUTED:
        return computed_take(m, c);
    }
    return refuse(REFUSED_UNKNOWN, "type");
}

struct place_in_batch {
    int order;
    market_id of; /* arrivals: so that their order in the batch is nothing */
    size_t index;
};

static int place_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct place_in_batch *a = x, *b = y;
    int c = COMPARE(a->order, b->order);
    if (c == 0)
        c = COMPARE(a->of, b->of);
    return c ? c : COMPARE(a->index, b->index);
}

static void headroom_words(const struct market_event *e, uint64_t words[8])
{
    bool posted = e->type == EVENT_HEADROOM_POSTED;
    words[4] = posted ? e->headroom.pool : e->subscription.tenant;
    words[5] = posted ? e->headroom.tier : e->subscription.tier;
    words[6] = (uint64_t)(posted ? e->headroom.held_milli : e->subscription.units_milli);
    words[7] = (uint64_t)(posted ? e->headroom.credit : e->subscription.rate);
}

/* What was decided, number by number: structs have holes between their fields. */
static void digest_batch(struct market *m, size_t first)
{
    for (size_t i = first; i < m->events->count; i++) {
        const struct market_event *e = &m->events->items[i];
        uint64_t words[8] = {m->digest, (uint64_t)e->type, e->bid, e->attempt};
        switch (e->type) {
        case EVENT_ALLOCATED:
            words[4] = e->allocated.pool;
            words[5] = (uint64_t)e->allocated.rate;
            words[6] = m->events->placements[e->allocated.placement_first].node;
            break;
        case EVENT_PREEMPTING:
            words[4] = (uint64_t)e->preempting.deadline;
            words[5] = (uint64_t)e->preempting.reason;
            break;
        case EVENT_RELEASED:
            words[4] = (uint64_t)e->released.at;
            words[5] = (uint64_t)e->released.reason;
            break;
        case EVENT_PRICE_POSTED:
            words[4] = e->posted.pool;
            words[5] = (uint64_t)e->posted.guide;
            words[6] = (uint64_t)e->posted.scarcity;
            break;
        case EVENT_BLOCK_POSTED:
            words[4] = e->block.pool;
            words[5] = e->block.tenant;
            words[6] = (uint64_t)e->block.post;
            break;
        case EVENT_CHARGED:
            words[4] = (uint64_t)e->charged.amount;
            words[5] = (uint64_t)e->charged.to;
            break;
        case EVENT_ENTRY:
            words[4] = (uint64_t)e->entry.amount;
            words[5] = (uint64_t)e->entry.debit.kind << 32 | (uint64_t)e->entry.credit.kind;
            words[6] = e->entry.debit.id ^ e->entry.credit.id << 32;
            break;
        case EVENT_GAP:
            words[4] = (uint64_t)e->gap.surplus;
            words[5] = (uint64_t)e->gap.bound;
            break;
        case EVENT_RESIZED:
            words[4] = (uint64_t)e->resized.units_milli;
            break;
        case EVENT_QUOTED:
            words[4] = (uint64_t)e->quoted.most;
            words[5] = (uint64_t)e->quoted.latest;
            break;
        case EVENT_RESERVED:
            words[4] = e->reserved.reservation;
            words[5] = (uint64_t)e->reserved.state;
            words[6] = (uint64_t)e->reserved.amount;
            break;
        case EVENT_SUBSCRIPTION:
        case EVENT_HEADROOM_POSTED:
            headroom_words(e, words);
            break;
        case EVENT_REFUSED:
            words[4] = e->refused.index;
            words[5] = (uint64_t)e->refused.reason;
            break;
        case EVENT_READY:
        case EVENT_MOVED:
        case EVENT_TICK_WANTED:
            break;
        }
        m->digest = siphash((struct hash_key){m->seed, 0}, words, sizeof words);
    }
}

void market_apply(struct market *m, time_ms now, const struct market_command *commands,
                  size_t count, struct market_events *events)
{
    CHECK(now >= m->now);
    m->now = now;
    m->batch++;
    m->events = events;
    size_t first_event = events->count;
    struct place_in_batch *order = xcalloc(count + 1, sizeof *order);
    for (size_t i = 0; i < count; i++)
        order[i] = (struct place_in_batch){command_order(commands[i].type), commands[i].type == MARKET_BID_ADD ? commands[i].bid.id : 0, i};
    sort(order, count, sizeof *order, place_compare, NULL);
    m->ticked = false;
    lease_due(m);
    for (size_t i = 0; i < count; i++) {
        if (command_order(commands[order[i].index].type) >= ORDER_BOOK) {
            layout_build(m);
            forms_refresh(m);
        }
        struct refusal r = command_apply(m, &commands[order[i].index]);
        if (r.reason == REFUSED_NONE)
            continue;
        struct market_event *e = event_add(m, EVENT_REFUSED, 0);
        e->refused.index = order[i].index;
        e->refused.reason = r.reason;
        e->refused.field = r.field;
        memcpy(e->refused.numbers, r.numbers, sizeof r.numbers);
    }
    layout_build(m);
    forms_refresh(m);
    calendar_run(m);
    headroom_run(m);
    if (m->settings[SETTING_HOLD] == 0)
        clear_batch(m);
    if (m->settings[SETTING_HOLD] == 0 && m->headroom->live && headroom_settle(m))
        pools_refill(m);
    clear_finish(m);
    if (m->headroom->live)
        headroom_build(m);
    if (m->ticked)
        menu_gap(m);
    xfree(order);
    digest_batch(m, first_event);
    m->events = NULL;
}

uint64_t market_digest(const struct market *m)
{
    return m->digest;
}

void market_compute(const struct market *m, enum market_work work, struct buf *out)
{
    buf_clear(out);
    if (work == WORK_LARGE_TENANTS)
        large_compute(m, out);
}

time_ms market_deadline(const struct market *m)
{
    time_ms next = m->calendar->due;
    for (uint32_t i = 0; i < m->vacating_count; i++)
        next = MIN(next, m->leases[m->vacating[i]].vacate_by);
    return next;
}

int64_t market_setting(const struct market *m, enum market_setting name)
{
    CHECK((unsigned)name < MARKET_SETTING_COUNT);
    return m->settings[name];
}
