/* SPDX-License-Identifier: Apache-2.0 */
/* The whole state as bytes. One description serves both ways: each function codes a field, which is
 * packed or unpacked. Slots and the order of every list are kept, so that a restored market decides
 * exactly as the one it came from; trees and maps are built again. */
#include "base/sort.h"
#include "market/calendar.h"
#include "market/headroom.h"

#define SNAPSHOT_FORMAT 10
#define SNAPSHOT_FORMAT_LEAST 6 /* without bids that their owners hold */
#define SNAPSHOT_FORMAT_PROMISES 8 /* from here on with deadlines and windows */
#define SNAPSHOT_FORMAT_TIERS 9    /* … and subscriptions to tiers, at the end */
#define SNAPSHOT_FORMAT_STARVING 10 /* … and classes that count how long they starve */

struct codec {
    struct buf *out; /* NULL: reading */
    struct unpack *in;
    uint64_t format;
};

static void code_i64(struct codec *c, int64_t *value)
{
    if (c->out)
        pack_i64(c->out, *value);
    else
        *value = unpack_i64(c->in);
}

static void code_u64(struct codec *c, uint64_t *value)
{
    if (c->out)
        pack_u64(c->out, *value);
    else
        *value = unpack_u64(c->in);
}

static void code_u32(struct codec *c, uint32_t *value)
{
    uint64_t wide = *value;
    code_u64(c, &wide);
    if (wide > UINT32_MAX)
        c->in->bad = true;
    *value = (uint32_t)wide;
}

static void code_bool(struct codec *c, bool *value)
{
    uint64_t wide = *value;
    code_u64(c, &wide);
    *value = wide != 0;
}

static void code_i128(struct codec *c, int128 *value)
{
    uint64_t low = (uint64_t)*value;
    int64_t high = (int64_t)(*value >> 64);
    code_u64(c, &low);
    code_i64(c, &high);
    *value = (int128)(((unsigned __int128)(uint64_t)high << 64) | low);
}

/* A count whose elements follow; allocates when reading. `size` bytes each in memory. */
static void *code_array(struct codec *c, void *items, uint32_t *count, uint32_t *capacity, size_t size)
{
    uint64_t wide = *count;
    if (c->out) {
        pack_u64(c->out, wide);
        return items;
    }
    wide = unpack_count(c->in, 1);
    if (wide > UINT32_MAX / 2)
        c->in->bad = true;
    *count = c->in->bad ? 0 : (uint32_t)wide;
    if (capacity)
        *capacity = *count;
    xfree(items);
    return *count ? xcalloc(*count, size) : NULL;
}

static void code_slots(struct codec *c, uint32_t **items, uint32_t *count, uint32_t *capacity)
{
    *items = code_array(c, *items, count, capacity, sizeof **items);
    for (uint32_t i = 0; i < *count; i++)
        code_u32(c, &(*items)[i]);
}

static void code_amounts(struct codec *c, struct market_amounts *a)
{
    code_i64(c, &a->gpu_milli);
    code_i64(c, &a->core_milli);
    code_i64(c, &a->memory_mib);
    code_i64(c, &a->disk_mib);
}

static void code_labels(struct codec *c, market_id *labels)
{
    for (size_t i = 0; i < MARKET_LABELS_MAX; i++) {
        code_u64(c, &labels[i]);
        if (labels[i] == 0)
            return;
    }
}

static void code_spec(struct codec *c, struct market_node *n)
{
    code_u64(c, &n->id);
    code_u64(c, &n->sku);
    code_u64(c, &n->accelerator);
    code_u64(c, &n->place.provider);
    code_u64(c, &n->place.region);
    code_u64(c, &n->place.zone);
    code_u64(c, &n->place.fabric);
    code_u64(c, &n->place.rack);
    code_amounts(c, &n->amounts);
    code_labels(c, n->labels);
    code_i64(c, &n->ask);
    code_u64(c, &n->seller);
    code_u64(c, &n->only_tenant);
    code_u32(c, &n->gpu_group);
    code_u32(c, &n->slices);
    code_u64(c, &n->site);
    code_i64(c, &n->watts);
    code_i64(c, &n->credit_permille);
}

static void code_node(struct codec *c, struct node *n)
{
    code_spec(c, &n->spec);
    code_amounts(c, &n->room.free);
    code_i64(c, &n->room.units);
    code_bool(c, &n->room.loose);
    n->room.group = n->spec.gpu_group;
    for (int64_t i = 0; i < MIN(n->spec.amounts.gpu_milli / 1000, MARKET_NODE_GPUS_MAX); i++) {
        uint32_t share = n->room.share[i];
        code_u32(c, &share);
        n->room.share[i] = (uint16_t)share;
        n->room.whole |= (uint64_t)(share == 1000) << i;
    }
    code_u32(c, &n->pool);
    code_bool(c, &n->up);
    code_bool(c, &n->draining);
    code_slots(c, &n->leases, &n->lease_count, &n->lease_capacity);
    code_u32(c, &n->vacating);
    code_i64(c, &n->firm_milli);
}

static void code_currency(struct codec *c, enum market_currency *currency)
{
    uint32_t wide = *currency;
    code_u32(c, &wide);
    if (wide > CURRENCY_CREDITS)
        c->in->bad = true;
    *currency = wide ? CURRENCY_CREDITS : CURRENCY_MONEY;
}

static void code_seller(struct codec *c, struct seller *s)
{
    code_u64(c, &s->id);
    code_currency(c, &s->currency);
    code_i128(c, &s->ask_sum);
    code_i64(c, &s->ask_paid);
    code_i128(c, &s->rent_weight);
    code_i128(c, &s->used);
}

static void code_pool(struct codec *c, struct pool *p)
{
    code_u64(c, &p->id);
    code_u64(c, &p->sku);
    code_u64(c, &p->accelerator);
    code_u64(c, &p->provider);
    code_u64(c, &p->region);
    code_u64(c, &p->zone);
    code_labels(c, p->labels);
    code_spec(c, &p->sample);
    code_bool(c, &p->by_core);
    code_slots(c, &p->nodes, &p->node_count, &p->node_capacity);
    code_u32(c, &p->steps);
    if (p->steps == 0 || p->steps > NODE_STEPS_MAX)
        c->in->bad = true;
    int64_t *numbers[] = {&p->used_milli, &p->firm_milli, &p->lowest_ask, &p->highest_ask, &p->marginal, &p->guide,
                          &p->scarcity, &p->post, &p->noted, &p->wanted_milli};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        code_i64(c, numbers[i]);
    code_u64(c, &p->running);
    code_u64(c, &p->waiting);
    code_u32(c, &p->group);
    code_bool(c, &p->posted);
    p->sellers = code_array(c, p->sellers, &p->seller_count, &p->seller_capacity, sizeof *p->sellers);
    for (uint32_t i = 0; i < p->seller_count; i++)
        code_seller(c, &p->sellers[i]);
}

static void code_placement(struct codec *c, struct market_placement *p)
{
    code_u32(c, &p->role);
    code_u32(c, &p->rank);
    code_u64(c, &p->node);
    code_u64(c, &p->gpus);
    code_amounts(c, &p->amounts);
    code_i64(c, &p->units_milli);
}

static void code_lease_money(struct codec *c, struct lease *l)
{
    uint32_t count = l->asks ? l->placement_count : 0;
    l->asks = code_array(c, l->asks, &count, NULL, sizeof *l->asks);
    for (uint32_t i = 0; i < count; i++)
        code_i64(c, &l->asks[i]);
    if (c->in && count != l->placement_count)
        c->in->bad = true;
    code_currency(c, &l->currency);
    int64_t *numbers[] = {&l->exchange, &l->locked_scarcity, &l->transfer_rate, &l->transfer_booked, &l->transfer_line,
                          &l->displacement_rate, &l->displacement_until, &l->displacement_booked, &l->displacement_line};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        code_i64(c, numbers[i]);
    int128 *sums[] = {&l->kept_sum, &l->transfer_sum, &l->transfer_most, &l->displacement_sum};
    for (size_t i = 0; i < ARRAY_COUNT(sums); i++)
        code_i128(c, sums[i]);
    l->owed = code_array(c, l->owed, &l->owed_count, NULL, sizeof *l->owed);
    for (uint32_t i = 0; i < l->owed_count; i++) {
        code_u64(c, &l->owed[i].bid);
        code_u32(c, &l->owed[i].tenant);
        code_u32(c, &l->owed[i].attempt);
        code_i64(c, &l->owed[i].amount);
        code_i64(c, &l->owed[i].paid);
    }
}

static void code_term(struct codec *c, struct term *t)
{
    code_u64(c, &t->bid);
    code_u32(c, &t->attempt);
    code_u32(c, &t->tenant);
    code_u32(c, &t->pool);
    int64_t *numbers[] = {&t->units_milli, &t->locked_scarcity, &t->from, &t->until, &t->booked, &t->held, &t->exchange};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        code_i64(c, numbers[i]);
    code_i128(c, &t->sum);
    code_currency(c, &t->currency);
}

static void code_lease(struct codec *c, struct lease *l)
{
    uint32_t state = l->state, reason = l->reason;
    code_u32(c, &l->bid);
    code_u32(c, &state);
    code_u32(c, &reason);
    l->state = (enum lease_state)state;
    l->reason = (enum market_release)reason;
    code_u32(c, &l->alternative);
    code_u32(c, &l->pool);
    code_u32(c, &l->vacating_at);
    l->placements = code_array(c, l->placements, &l->placement_count, NULL, sizeof *l->placements);
    if (c->out == NULL && l->placement_count) {
        l->nodes = xcalloc(l->placement_count, sizeof *l->nodes);
        l->gone = xcalloc(l->placement_count, sizeof *l->gone);
    }
    for (uint32_t i = 0; i < l->placement_count; i++) {
        code_placement(c, &l->placements[i]);
        code_u32(c, &l->nodes[i]);
        code_bool(c, &l->gone[i]);
    }
    int64_t *numbers[] = {&l->units_milli, &l->limit_rate, &l->ask_rate, &l->rate, &l->locked_rate, &l->density,
                          &l->protected_until, &l->term_until, &l->vacate_by, &l->accrued_to, &l->line_from,
                          &l->out_since, &l->booked, &l->line_booked, &l->escrow};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        code_i64(c, numbers[i]);
    bool *flags[] = {&l->firm, &l->charging, &l->blocked, &l->waits};
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++)
        code_bool(c, flags[i]);
    code_i128(c, &l->charge_sum);
    l->spans = code_array(c, l->spans, &l->span_count, &l->span_capacity, sizeof *l->spans);
    for (uint32_t i = 0; i < l->span_count; i++) {
        code_i64(c, &l->spans[i].from);
        code_i128(c, &l->spans[i].sum);
        code_i128(c, &l->spans[i].displaced);
    }
    code_lease_money(c, l);
}

static void code_bid(struct codec *c, struct bid *b)
{
    code_u64(c, &b->id);
    code_u32(c, &b->tenant);
    code_u64(c, &b->tie_key);
    code_u64(c, &b->batch);
    int64_t *numbers[] = {&b->value, &b->limit, &b->pending_limit, &b->notice, &b->minimum_run, &b->term,
                          &b->restart_cost, &b->restart_measured, &b->charged, &b->transfer_paid, &b->displaced, &b->refunded, &b->startup,
                          &b->cut_at, &b->displaced_at[0], &b->displaced_at[1], &b->displaced_at[2], &b->displaced_at[3]};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        code_i64(c, numbers[i]);
    code_u32(c, &b->class);
    code_u32(c, &b->lease);
    code_u32(c, &b->attempt);
    code_u32(c, &b->preemptions);
    bool *flags[] = {&b->renew, &b->urgent, &b->credits, &b->parked, &b->waiting, &b->on_curve};
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++)
        code_bool(c, flags[i]);
    if (c->format > SNAPSHOT_FORMAT_LEAST)
        code_bool(c, &b->held);
}

/* Its limits by alternative, where they differ. */
static void code_limits(struct codec *c, const struct market *m, struct bid *b)
{
    uint32_t count = b->limits ? class_form(m, &m->classes[b->class])->alternative_count : 0;
    b->limits = code_array(c, b->limits, &count, NULL, sizeof *b->limits);
    for (uint32_t i = 0; i < count; i++)
        code_u32(c, &b->limits[i]);
    if (c->in && count && (b->class >= m->class_count || count != class_form(m, &m->classes[b->class])->alternative_count))
        c->in->bad = true;
}

static void code_form(struct codec *c, struct market *m, uint32_t slot)
{
    if (c->out) {
        pack_str(c->out, buf_str(&m->forms[slot].key));
        return;
    }
    struct str key = unpack_str(c->in);
    ARRAY_RESERVE(m->forms, m->form_count, m->form_capacity);
    m->forms[m->form_count++] = (struct form){0};
    if (key.size && !form_restore(m, slot, key))
        c->in->bad = true;
}

static void code_class(struct codec *c, struct market *m, uint32_t slot)
{
    if (c->out == NULL) {
        ARRAY_RESERVE(m->classes, m->class_count, m->class_capacity);
        m->classes[m->class_count++] = (struct class){0};
    }
    struct class *k = &m->classes[slot];
    code_u32(c, &k->form);
    code_u32(c, &k->replicas);
    code_u32(c, &k->bids);
    uint32_t misses = k->misses;
    code_u32(c, &misses);
    k->misses = (uint8_t)misses;
    if (c->format >= SNAPSHOT_FORMAT_STARVING)
        code_u32(c, &k->starved);
    if (c->in && (k->form >= m->form_count || (k->form && m->forms[k->form].alternative_count == 0)))
        c->in->bad = true;
}

static void code_blocks(struct codec *c, struct block **blocks, uint32_t *count, uint32_t *capacity)
{
    *blocks = code_array(c, *blocks, count, capacity, sizeof **blocks);
    for (uint32_t i = 0; i < *count; i++) {
        struct block *b = &(*blocks)[i];
        code_u32(c, &b->tenant);
        code_u32(c, &b->pool);
        code_i64(c, &b->units);
        code_i64(c, &b->price);
        code_i64(c, &b->post);
    }
}

static void code_tenant(struct codec *c, struct tenant *t)
{
    code_u64(c, &t->id);
    for (int i = 0; i < 2; i++) {
        struct purse *p = &t->purses[i];
        code_bool(c, &p->limited);
        code_i64(c, &p->budget);
        code_i64(c, &p->spent);
        code_i64(c, &p->held);
        code_i64(c, &p->pledged);
    }
    code_i64(c, &t->refill);
    code_i64(c, &t->most);
    code_i128(c, &t->refill_sum);
    code_i64(c, &t->refilled_to);
    code_u64(c, &t->owner);
    code_blocks(c, &t->blocks, &t->block_count, &t->block_capacity);
}

static void code_head(struct codec *c, struct market *m)
{
    code_u64(c, &m->seed);
    code_u64(c, &m->batch);
    code_u64(c, &m->digest);
    code_i64(c, &m->now);
    code_i64(c, &m->last_tick);
    for (size_t i = 0; i < MARKET_SETTING_COUNT; i++)
        code_i64(c, &m->settings[i]);
    code_i64(c, &m->surplus);
    code_i64(c, &m->bound);
    code_bool(c, &m->tick_wanted);
    code_bool(c, &m->cold);
    code_u64(c, &m->pools_version);
}

static void code_accounts(struct codec *c, struct market *m)
{
    uint32_t count = m->account_count;
    struct account *all = code_array(c, c->out ? m->accounts : NULL, &count, NULL, sizeof *all);
    for (uint32_t i = 1; i < count; i++) {
        uint32_t kind = all[i].name.kind;
        code_u32(c, &kind);
        all[i].name.kind = (enum market_account_kind)kind;
        uint32_t currency = all[i].name.currency;
        code_u32(c, &currency);
        all[i].name.currency = (enum market_currency)currency;
        if (kind > ACCOUNT_ISSUE || currency > CURRENCY_CREDITS) {
            c->in->bad = true;
            break;
        }
        code_u64(c, &all[i].name.id);
        code_i64(c, &all[i].balance);
        if (c->out == NULL)
            account_get(m, all[i].name)->balance = all[i].balance;
    }
    if (c->out == NULL)
        xfree(all);
}

static int owner_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    return COMPARE(((const struct map_entry *)x)->key, ((const struct map_entry *)y)->key);
}

static struct map_entry *owners_sorted(const struct market *m, uint32_t *ret_count)
{
    struct map_entry *all = xcalloc(m->seller_owners.count + 1, sizeof *all);
    for (size_t i = 0; i < m->seller_owners.capacity; i++)
        if (m->seller_owners.entries[i].key)
            all[(*ret_count)++] = m->seller_owners.entries[i];
    sort(all, *ret_count, sizeof *all, owner_compare, NULL);
    return all;
}

/* Owners of sellers, by seller. */
static void code_owners(struct codec *c, struct market *m)
{
    uint32_t count = 0;
    struct map_entry *all = NULL;
    if (c->out)
        all = owners_sorted(m, &count);
    all = code_array(c, all, &count, NULL, sizeof *all);
    for (uint32_t i = 0; i < count; i++) {
        code_u64(c, &all[i].key);
        code_u64(c, &all[i].value);
        if (c->in && all[i].key)
            map_set(&m->seller_owners, all[i].key, all[i].value);
    }
    xfree(all);
}

static void code_market(struct codec *c, struct market *m)
{
    code_head(c, m);
    m->nodes = code_array(c, m->nodes, &m->node_count, &m->node_capacity, sizeof *m->nodes);
    for (uint32_t i = 1; i < m->node_count; i++)
        code_node(c, &m->nodes[i]);
    m->pools = code_array(c, m->pools, &m->pool_count, &m->pool_capacity, sizeof *m->pools);
    for (uint32_t i = 1; i < m->pool_count; i++)
        code_pool(c, &m->pools[i]);
    uint32_t forms = m->form_count, classes = m->class_count;
    code_u32(c, &forms);
    for (uint32_t i = 1; i < forms && !(c->in && c->in->bad); i++)
        code_form(c, m, i);
    code_u32(c, &classes);
    for (uint32_t i = 1; i < classes && !(c->in && c->in->bad); i++)
        code_class(c, m, i);
    code_slots(c, &m->free_forms, &m->free_form_count, &m->free_form_capacity);
    code_slots(c, &m->free_classes, &m->free_class_count, &m->free_class_capacity);
    m->bids = code_array(c, m->bids, &m->bid_count, &m->bid_capacity, sizeof *m->bids);
    for (uint32_t i = 1; i < m->bid_count; i++)
        code_bid(c, &m->bids[i]);
    for (uint32_t i = 1; i < m->bid_count && !(c->in && c->in->bad); i++)
        code_limits(c, m, &m->bids[i]);
    code_slots(c, &m->free_bids, &m->free_bid_count, &m->free_bid_capacity);
    m->leases = code_array(c, m->leases, &m->lease_count, &m->lease_capacity, sizeof *m->leases);
    for (uint32_t i = 1; i < m->lease_count; i++)
        code_lease(c, &m->leases[i]);
    code_slots(c, &m->free_leases, &m->free_lease_count, &m->free_lease_capacity);
    m->tenants = code_array(c, m->tenants, &m->tenant_count, &m->tenant_capacity, sizeof *m->tenants);
    for (uint32_t i = 1; i < m->tenant_count; i++)
        code_tenant(c, &m->tenants[i]);
    code_accounts(c, m);
    m->terms = code_array(c, m->terms, &m->term_count, &m->term_capacity, sizeof *m->terms);
    for (uint32_t i = 0; i < m->term_count; i++)
        code_term(c, &m->terms[i]);
    code_owners(c, m);
    code_blocks(c, &m->blocks, &m->block_count, &m->block_capacity);
    code_bool(c, &m->blocks_came);
    code_i64(c, &m->blocks_at);
    code_slots(c, &m->parked, &m->parked_count, &m->parked_capacity);
    code_slots(c, &m->vacating, &m->vacating_count, &m->vacating_capacity);
}

void market_snapshot(const struct market *m, struct buf *out)
{
    struct codec c = {.out = out, .format = SNAPSHOT_FORMAT};
    pack_u64(out, SNAPSHOT_FORMAT);
    code_market(&c, (struct market *)(uintptr_t)m); /* writing changes nothing */
    calendar_pack(m, out);
    headroom_pack(m, out);
}

static bool blocks_hold(const struct market *m, const struct block *blocks, uint32_t count)
{
    bool ok = true;
    for (uint32_t i = 0; i < count; i++)
        ok &= blocks[i].tenant > 0 && blocks[i].tenant < m->tenant_count && blocks[i].pool > 0 && blocks[i].pool < m->pool_count;
    return ok;
}

/* No slot may point outside its array, whatever the bytes say. */
static bool slots_hold(const struct market *m)
{
    bool ok = true;
    for (uint32_t i = 1; i < m->node_count; i++)
        ok &= m->nodes[i].pool > 0 && m->nodes[i].pool < m->pool_count;
    for (uint32_t i = 1; i < m->node_count; i++)
        for (uint32_t j = 0; j < m->nodes[i].lease_count; j++)
            ok &= m->nodes[i].leases[j] < m->lease_count;
    for (uint32_t i = 1; i < m->pool_count; i++)
        for (uint32_t j = 0; j < m->pools[i].node_count; j++)
            ok &= m->pools[i].nodes[j] < m->node_count;
    for (uint32_t i = 1; i < m->bid_count; i++)
        ok &= m->bids[i].class < m->class_count && m->bids[i].lease < m->lease_count && m->bids[i].tenant < m->tenant_count;
    for (uint32_t i = 1; i < m->bid_count; i++)
        ok = ok && (m->bids[i].id == 0 || m->classes[m->bids[i].class].form);
    for (uint32_t i = 1; i < m->lease_count; i++) {
        ok &= m->leases[i].bid < m->bid_count && m->leases[i].pool < m->pool_count;
        for (uint32_t j = 0; j < m->leases[i].placement_count; j++)
            ok &= m->leases[i].nodes[j] < m->node_count;
    }
    for (uint32_t i = 0; i < m->vacating_count; i++)
        ok &= m->vacating[i] < m->lease_count;
    for (uint32_t i = 0; i < m->term_count; i++)
        ok &= m->terms[i].tenant < m->tenant_count && m->terms[i].pool < m->pool_count;
    for (uint32_t i = 1; i < m->lease_count; i++)
        for (uint32_t j = 0; j < m->leases[i].owed_count; j++)
            ok &= m->leases[i].owed[j].tenant < m->tenant_count;
    for (uint32_t i = 0; i < m->vacating_count; i++)
        ok = ok && m->leases[m->vacating[i]].vacating_at == i;
    ok &= blocks_hold(m, m->blocks, m->block_count);
    for (uint32_t i = 1; i < m->tenant_count; i++)
        ok &= blocks_hold(m, m->tenants[i].blocks, m->tenants[i].block_count);
    for (uint32_t i = 0; i < m->parked_count; i++)
        ok &= m->parked[i] < m->bid_count;
    for (uint32_t i = 0; i < m->free_form_count; i++)
        ok = ok && m->free_forms[i] < m->form_count && m->forms[m->free_forms[i]].alternative_count == 0;
    for (uint32_t i = 0; i < m->free_class_count; i++)
        ok = ok && m->free_classes[i] < m->class_count && m->classes[m->free_classes[i]].form == 0;
    return ok && m->bid_count > 0 && m->lease_count > 0 && m->tenant_count > 0 && m->pool_count > 0 && m->node_count > 0;
}

static void pool_index(struct market *m, uint32_t slot)
{
    _cleanup_buf_ struct buf key = BUF_INIT(4096);
    pool_key(&m->pools[slot].sample, &key);
    str_map_set(&m->pool_by_key, buf_str(&key), slot);
}

static void maps_build(struct market *m)
{
    for (uint32_t i = 1; i < m->node_count; i++)
        map_set(&m->node_by_id, m->nodes[i].spec.id, i);
    for (uint32_t i = 1; i < m->pool_count; i++) {
        pool_index(m, i);
        m->pools[i].asks_moved = 1; /* leases have seen 0 */
    }
    for (uint32_t i = 1; i < m->tenant_count; i++)
        map_set(&m->tenant_by_id, m->tenants[i].id, i);
    for (uint32_t i = 1; i < m->class_count; i++)
        if (m->classes[i].form)
            class_index(m, i);
    large_index(m);
    m->unlaid = true;
    layout_build(m);
    forms_refresh(m);
    for (uint32_t i = 1; i < m->bid_count; i++) {
        struct bid *b = &m->bids[i];
        if (b->id == 0)
            continue;
        map_set(&m->bid_by_id, b->id, i);
        if (b->waiting)
            tree_insert(m, &m->classes[b->class].waiting, i);
    }
    for (uint32_t i = 1; i < m->class_count; i++)
        if (m->classes[i].form) {
            class_head_changed(m, i);
            class_tried(m, i);
        }
    bids_reclass(m); /* changes nothing but in what older versions wrote */
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        if ((l->state == LEASE_ASSIGNED || l->state == LEASE_RUNNING) && !l->firm)
            m->surplus_sum += lease_surplus(l);
    }
}

struct market *market_restore(struct unpack *in)
{
    uint64_t format = unpack_u64(in);
    if (format < SNAPSHOT_FORMAT_LEAST || format > SNAPSHOT_FORMAT)
        return NULL;
    struct market *m = market_new(0);
    struct codec c = {.in = in, .format = format};
    code_market(&c, m);
    if (in->bad || !slots_hold(m) || !calendar_unpack(m, in, format >= SNAPSHOT_FORMAT_PROMISES) ||
        (format >= SNAPSHOT_FORMAT_TIERS && !headroom_unpack(m, in))) {
        market_free(m);
        return NULL;
    }
    maps_build(m);
    headroom_build(m);
    return m;
}
