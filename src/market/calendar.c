/* SPDX-License-Identifier: Apache-2.0 */
/* What the market knows of time to come, as a whole: running it, its bytes, its invariants. */
#include "market/calendar.h"

struct calendar *calendar_new(void)
{
    struct calendar *k = xcalloc(1, sizeof *k);
    ARRAY_RESERVE(k->claims, k->claim_count, k->claim_capacity);
    ARRAY_RESERVE(k->reservations, k->reservation_count, k->reservation_capacity);
    ARRAY_RESERVE(k->promises, k->promise_count, k->promise_capacity);
    k->promises[0] = (struct promise){0};
    k->claims[0] = (struct claim){0};
    k->reservations[0] = (struct reservation){0};
    k->claim_count = k->reservation_count = k->promise_count = 1;
    k->due = k->opens = TIME_NEVER;
    return k;
}

void calendar_free(struct calendar *k)
{
    for (uint32_t i = 0; i < k->claim_count; i++)
        xfree(k->claims[i].nodes);
    for (uint32_t i = 0; i < k->node_capacity; i++)
        xfree(k->by_node[i].items);
    void *arrays[] = {k->claims, k->reservations, k->pools, k->by_node, k->promises};
    for (size_t i = 0; i < ARRAY_COUNT(arrays); i++)
        xfree(arrays[i]);
    map_fini(&k->reservation_by_id);
    xfree(k);
}

void calendar_run(struct market *m)
{
    const struct calendar *k = m->calendar;
    if (k->reservation_count == 1 && k->live == 0 && k->opens == TIME_NEVER) {
        m->calendar->due = TIME_NEVER;
        return;
    }
    time_ms begins = reservations_run(m);
    begins = MIN(begins, promises_run(m));
    begins = MIN(begins, starve_run(m));
    m->calendar->due = MIN(begins, claims_run(m));
}

/* ---- bytes: one description both ways ------------------------------------------------------------------- */

struct codec {
    struct buf *out; /* NULL: reading */
    struct unpack *in;
    bool promises; /* older ones had none */
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

static void code_i128(struct codec *c, int128 *value)
{
    uint64_t low = (uint64_t)*value;
    int64_t high = (int64_t)(*value >> 64);
    code_u64(c, &low);
    code_i64(c, &high);
    *value = (int128)(((unsigned __int128)(uint64_t)high << 64) | low);
}

/* A count of what follows: at least one byte each. */
static uint32_t code_count(struct codec *c, uint32_t count)
{
    if (c->out) {
        pack_u64(c->out, count);
        return count;
    }
    uint64_t wide = unpack_count(c->in, 1);
    if (wide > UINT32_MAX / 2)
        c->in->bad = true;
    return c->in->bad ? 0 : (uint32_t)wide;
}

static void code_amounts(struct codec *c, struct market_amounts *a)
{
    int64_t *numbers[] = {&a->gpu_milli, &a->core_milli, &a->memory_mib, &a->disk_mib};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        code_i64(c, numbers[i]);
}

static void code_claim(struct codec *c, struct claim *k)
{
    uint32_t kind = k->kind;
    code_u32(c, &kind);
    k->kind = (enum claim_kind)kind;
    uint32_t *numbers[] = {&k->of, &k->pool, &k->lent};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        code_u32(c, numbers[i]);
    code_amounts(c, &k->amounts);
    int64_t *wide[] = {&k->replica_milli, &k->from, &k->to, &k->floor, &k->lent_from, &k->lent_until};
    for (size_t i = 0; i < ARRAY_COUNT(wide); i++)
        code_i64(c, wide[i]);
    k->count = code_count(c, k->count);
    if (c->out == NULL)
        k->nodes = k->count ? xcalloc(k->count, sizeof *k->nodes) : NULL;
    for (uint32_t i = 0; i < k->count; i++)
        code_u32(c, &k->nodes[i]);
}

static void code_reservation(struct codec *c, struct reservation *r)
{
    uint64_t *ids[] = {&r->id, &r->choice.sku, &r->choice.accelerator, &r->choice.provider, &r->choice.region, &r->choice.zone};
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
        code_u64(c, ids[i]);
    for (size_t i = 0; i < MARKET_LABELS_MAX; i++)
        code_u64(c, &r->choice.labels[i]);
    code_amounts(c, &r->choice.amounts);
    uint32_t state = r->state, level = r->level, flags = (uint32_t)r->keep_idle | (uint32_t)r->returned << 1 | (uint32_t)r->tried << 2;
    uint32_t *numbers[] = {&r->tenant, &r->replicas, &r->racks, &level, &state, &flags, &r->claim, &r->pool, &r->paused};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        code_u32(c, numbers[i]);
    r->state = (enum market_reservation_state)state;
    r->level = (enum market_level)level;
    r->keep_idle = flags & 1;
    r->returned = flags >> 1 & 1;
    r->tried = flags >> 2 & 1;
    int64_t *wide[] = {&r->choice.speed_milli, &r->from, &r->to, &r->limit, &r->units_milli, &r->rate, &r->locked_scarcity, &r->booked,
                       &r->resold, &r->escrow, &r->accrued_to, &r->idle_since, &r->pause_from, &r->pause_to, &r->floor};
    for (size_t i = 0; i < ARRAY_COUNT(wide); i++)
        code_i64(c, wide[i]);
    code_i128(c, &r->sum);
    code_i128(c, &r->resold_sum);
}

static void code_promise(struct codec *c, struct promise *p)
{
    uint32_t committed = p->committed;
    code_u32(c, &p->bid);
    code_u32(c, &p->claim);
    code_u32(c, &p->alternative);
    code_u32(c, &committed);
    p->committed = committed;
    int64_t *wide[] = {&p->rate, &p->locked_scarcity, &p->most, &p->escrow, &p->limit, &p->earliest, &p->deadline, &p->run_time,
                       &p->checkpoint, &p->startup, &p->work_milli, &p->limit_total, &p->done_permille, &p->needs};
    for (size_t i = 0; i < ARRAY_COUNT(wide); i++)
        code_i64(c, wide[i]);
}

static void code_forward(struct codec *c, struct forward *f)
{
    code_i64(c, &f->base);
    for (uint32_t i = 0; i < FORWARD_SLOTS; i++) {
        code_i64(c, &f->price[i]);
        code_i64(c, &f->sold[i]);
    }
    for (uint32_t i = 0; i < FORWARD_HOURS; i++) {
        code_i64(c, &f->hours[i]);
        code_u32(c, &f->weeks[i]);
    }
    code_i64(c, &f->hour);
    code_i128(c, &f->hour_sum);
    code_i64(c, &f->hour_span);
}

static void *code_room(struct codec *c, void *items, uint32_t *count, uint32_t *capacity, size_t size)
{
    *count = code_count(c, *count);
    if (c->out)
        return items;
    xfree(items);
    if (capacity)
        *capacity = *count;
    return xcalloc(*count + 1, size);
}

static void code_calendar(struct codec *c, struct market *m)
{
    struct calendar *k = m->calendar;
    code_i64(c, &k->refreshed);
    code_u64(c, &k->changed);
    code_u64(c, &k->refreshed_at);
    code_i64(c, &k->due);
    k->claims = code_room(c, k->claims, &k->claim_count, &k->claim_capacity, sizeof *k->claims);
    for (uint32_t i = 1; i < k->claim_count; i++)
        code_claim(c, &k->claims[i]);
    k->reservations = code_room(c, k->reservations, &k->reservation_count, &k->reservation_capacity, sizeof *k->reservations);
    for (uint32_t i = 1; i < k->reservation_count; i++)
        code_reservation(c, &k->reservations[i]);
    k->pools = code_room(c, k->pools, &k->pool_count, NULL, sizeof *k->pools);
    for (uint32_t i = 1; i < k->pool_count; i++)
        code_forward(c, &k->pools[i]);
    for (uint32_t i = 1; i < m->lease_count; i++)
        code_u32(c, &m->leases[i].claim);
    for (uint32_t i = 1; i < m->bid_count; i++)
        code_u32(c, &m->bids[i].reserved);
    if (!c->promises)
        return;
    k->promises = code_room(c, k->promises, &k->promise_count, &k->promise_capacity, sizeof *k->promises);
    for (uint32_t i = 1; i < k->promise_count; i++)
        code_promise(c, &k->promises[i]);
    code_i64(c, &k->opens);
    for (uint32_t i = 1; i < m->bid_count; i++) {
        code_u32(c, &m->bids[i].promise);
        code_i64(c, &m->bids[i].earliest);
    }
}

void calendar_pack(const struct market *m, struct buf *out)
{
    struct codec c = {.out = out, .promises = true};
    code_calendar(&c, (struct market *)(uintptr_t)m); /* writing changes nothing */
}

static bool slots_hold(const struct market *m)
{
    const struct calendar *k = m->calendar;
    bool ok = k->claim_count > 0 && k->reservation_count > 0 && k->pool_count <= m->pool_count;
    for (uint32_t i = 1; ok && i < k->claim_count; i++) {
        const struct claim *c = &k->claims[i];
        ok = c->kind <= CLAIM_STARVING && c->pool < m->pool_count && c->lent <= c->count && (c->kind == CLAIM_NONE || c->pool) &&
             c->of < (c->kind == CLAIM_RESERVATION ? k->reservation_count : m->bid_count) && (c->kind != CLAIM_STARVING || m->bids[c->of].waiting);
        for (uint32_t j = 0; ok && j < c->count; j++)
            ok = c->nodes[j] > 0 && c->nodes[j] < m->node_count;
    }
    for (uint32_t i = 1; ok && i < k->reservation_count; i++)
        ok = k->reservations[i].claim < k->claim_count && k->reservations[i].tenant < m->tenant_count &&
             k->reservations[i].pool < m->pool_count && k->reservations[i].state <= RESERVATION_OVER;
    for (uint32_t i = 1; ok && i < m->lease_count; i++)
        ok = m->leases[i].claim < k->claim_count;
    for (uint32_t i = 1; ok && i < m->bid_count; i++)
        ok = m->bids[i].reserved < k->reservation_count;
    return ok;
}

bool calendar_unpack(struct market *m, struct unpack *in, bool promises)
{
    struct codec c = {.in = in, .promises = promises};
    code_calendar(&c, m);
    if (in->bad || !slots_hold(m) || !promise_slots_hold(m))
        return false;
    for (uint32_t i = 1; i < m->calendar->claim_count; i++)
        if (m->calendar->claims[i].kind)
            claim_index(m, i, true);
    if (!starve_index(m))
        return false;
    for (uint32_t i = 1; i < m->calendar->reservation_count; i++)
        map_set(&m->calendar->reservation_by_id, m->calendar->reservations[i].id, i);
    return true;
}

/* ---- what must hold ------------------------------------------------------------------------------------------ */

/* Everything sold of a node fits on it at every moment beside what price cannot move. */
static void check_claim(const struct market *m, uint32_t slot)
{
    const struct claim *c = &m->calendar->claims[slot];
    for (uint32_t i = 0; i < c->count; i++) {
        if (!node_usable(&m->nodes[c->nodes[i]]) || m->nodes[c->nodes[i]].pool != c->pool)
            continue;
        CHECK(claim_holds(m, c->nodes[i], MAX(c->from, m->now)));
    }
}

void calendar_check(const struct market *m)
{
    const struct calendar *k = m->calendar;
    uint32_t live = 0;
    for (uint32_t i = 1; i < k->claim_count; i++) {
        live += k->claims[i].kind != CLAIM_NONE;
        CHECK(k->claims[i].kind != CLAIM_STARVING || m->bids[k->claims[i].of].block == i);
        if (k->claims[i].kind)
            check_claim(m, i);
    }
    CHECK(live == k->live);
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        if (l->claim && l->state != LEASE_VACATING)
            CHECK(l->firm && k->claims[l->claim].kind && k->claims[l->claim].pool == l->pool);
    }
    for (uint32_t i = 1; i < k->reservation_count; i++) {
        const struct reservation *r = &k->reservations[i];
        bool holds = r->state != RESERVATION_WAITING && r->state != RESERVATION_OVER && !r->returned;
        CHECK(holds == (r->claim != 0));
        CHECK(r->rate <= (int128)r->limit * r->units_milli && r->booked >= 0 && r->escrow >= 0);
    }
    promises_check(m);
}
