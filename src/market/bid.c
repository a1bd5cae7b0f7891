/* SPDX-License-Identifier: Apache-2.0 */
/* Bids that come, change and go: what they may say. */
#include "base/hash.h"
#include "market/calendar.h"
#include "market/refusal.h"

static struct refusal check_alternative(const struct market_bid *bid, size_t i)
{
    const struct market_alternative *a = &bid->alternatives[i];
    const struct market_choice *c = &a->choices[0];
    if (a->limit < 0 || a->limit > MARKET_RATE_MAX)
        return refuse_bound("limit", a->limit, 0, MARKET_RATE_MAX);
    if (a->transfer < 0 || a->transfer > MARKET_RATE_MAX)
        return refuse_bound("transfer", a->transfer, 0, MARKET_RATE_MAX);
    if (c->speed_milli < 1 || c->speed_milli > MARKET_SPEED_MAX)
        return refuse_bound("speed", c->speed_milli, 1, MARKET_SPEED_MAX);
    if (!amounts_valid(&c->amounts))
        return refuse_bound("amounts", c->amounts.gpu_milli, 1, MARKET_NODE_GPUS_MAX * 1000);
    if (a->level == LEVEL_RACKS && a->racks < 1)
        return refuse_bound("racks", a->racks, 1, INT32_MAX);
    return accept();
}

static struct refusal check_bid(const struct market_bid *bid)
{
    if (bid->kind != BID_DEADLINE && bid->latest != 0 && bid->latest != TIME_NEVER)
        return refuse(REFUSED_UNSUPPORTED, "deadline");
    if (bid->tier > MARKET_TIERS)
        return refuse_bound("tier", bid->tier, 0, MARKET_TIERS);
    if (bid->tier && (bid->kind != BID_PREEMPTIBLE || bid->reservation))
        return refuse(REFUSED_UNSUPPORTED, "tier");
    if (bid->role_count != 1)
        return refuse(REFUSED_UNSUPPORTED, "roles");
    const struct market_role *role = &bid->roles[0];
    if (role->replicas_min < 1 || role->replicas_min > MARKET_UNITS_MAX)
        return refuse_bound("nodes", role->replicas_min, 1, MARKET_UNITS_MAX);
    if (role->replicas_max != role->replicas_min)
        return refuse(REFUSED_UNSUPPORTED, "nodes_max");
    if (bid->alternative_count < 1 || bid->alternative_count > MARKET_ALTERNATIVES_MAX)
        return refuse_bound("choices", (int64_t)bid->alternative_count, 1, MARKET_ALTERNATIVES_MAX);
    const time_ms spans[] = {bid->notice, bid->minimum_run, bid->term, bid->run_time, bid->startup};
    static const char *const names[] = {"notice", "minimum_run", "term", "run_time", "startup"};
    for (size_t i = 0; i < ARRAY_COUNT(spans); i++)
        if (spans[i] < 0 || spans[i] > MARKET_WINDOW_MAX_MS)
            return refuse_bound(names[i], spans[i], 0, MARKET_WINDOW_MAX_MS);
    if (bid->restart_measured < 0 || bid->restart_measured > (int64_t)1 << 40)
        return refuse_bound("restart_measured", bid->restart_measured, 0, (int64_t)1 << 40);
    if (bid->restart_cost < 0 || bid->restart_cost > (int64_t)1 << 40)
        return refuse_bound("restart_cost", bid->restart_cost, 0, (int64_t)1 << 40);
    for (size_t i = 0; i < bid->alternative_count; i++) {
        struct refusal r = check_alternative(bid, i);
        if (r.reason)
            return r;
    }
    return accept();
}

/* Some alternative must fit an empty fleet of the nodes that there are, up or down. */
static struct refusal check_possible(const struct market *m, const struct form *form, uint32_t replicas)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < form->line_count; i++) {
        const struct line *line = &form->lines[i];
        int64_t here = line_capacity(m, form, line, replicas);
        if (here >= replicas && line->replica_milli * replicas > MARKET_UNITS_MAX * 1000)
            return refuse_bound("units", line->replica_milli * replicas / 1000, 1, MARKET_UNITS_MAX);
        if (here >= replicas)
            return accept();
        most = MAX(most, here);
    }
    return (struct refusal){REFUSED_IMPOSSIBLE, "resources", {replicas, most, 0}};
}

static struct refusal check_window(const struct market *m, const struct market_bid *bid)
{
    if (bid->earliest < 0 || bid->earliest > m->now + MARKET_WINDOW_MAX_MS)
        return refuse_bound("earliest", bid->earliest, 0, m->now + MARKET_WINDOW_MAX_MS);
    return reservation_refusal(m, bid);
}

static struct refusal check_form(const struct market *m, const struct market_bid *bid, const struct form *form)
{
    struct refusal r = check_possible(m, form, bid->roles[0].replicas_min);
    if (r.reason == REFUSED_NONE && bid->kind == BID_DEADLINE)
        r = promise_refusal(m, bid, form);
    return r;
}

static struct refusal bid_check(const struct market *m, const struct market_bid *bid)
{
    struct refusal r = check_bid(bid);
    if (r.reason == REFUSED_NONE)
        r = check_window(m, bid);
    if (r.reason)
        return r;
    struct form form;
    form_make(m, bid, &form);
    r = check_form(m, bid, &form);
    form_fini(&form);
    return r;
}

/* The limits by alternative, and the best of them. */
static void bid_limits(struct bid *b, const struct market_bid *bid)
{
    bool equal = true;
    b->limit = b->value = bid->alternatives[0].limit;
    for (size_t i = 1; i < bid->alternative_count; i++) {
        equal &= bid->alternatives[i].limit == b->limit;
        b->value = MAX(b->value, bid->alternatives[i].limit);
    }
    if (equal)
        return;
    b->limits = xcalloc(bid->alternative_count, sizeof *b->limits);
    for (size_t i = 0; i < bid->alternative_count; i++)
        b->limits[i] = (uint32_t)bid->alternatives[i].limit;
}

struct refusal bid_add(struct market *m, const struct market_bid *bid)
{
    if (map_find(&m->bid_by_id, bid->id))
        return refuse(REFUSED_EXISTS, "id");
    struct refusal r = check_bid(bid);
    if (r.reason)
        return r;
    uint32_t reserved = reservation_find(m, bid->reservation);
    r = check_window(m, bid);
    if (r.reason)
        return r;
    uint32_t class = class_find(m, bid);
    r = check_form(m, bid, class_form(m, &m->classes[class]));
    if (r.reason) {
        class_release(m, class);
        return r;
    }
    uint64_t batch_seed = siphash((struct hash_key){m->seed, 0}, &m->batch, sizeof m->batch);
    uint32_t slot = bid_new(m);
    m->bids[slot] = (struct bid){.id = bid->id, .tenant = tenant_find(m, bid->tenant), .batch = m->batch,
        .tie_key = siphash((struct hash_key){batch_seed, 0}, &bid->request_key, sizeof bid->request_key),
        .pending_limit = -1, .notice = bid->notice, .minimum_run = bid->minimum_run, .term = bid->term,
        .restart_cost = bid->restart_cost, .restart_measured = bid->restart_measured,
        .startup = bid->startup, .earliest = bid->earliest, .class = class, .reserved = reserved, .renew = bid->renew, .urgent = bid->urgent, .credits = bid->credits,
        .tier = bid->tier};
    bid_limits(&m->bids[slot], bid);
    m->classes[class].bids++;
    map_set(&m->bid_by_id, bid->id, slot);
    if (bid->kind == BID_DEADLINE)
        promise_make(m, slot, bid);
    if (bid->earliest > m->now)
        m->calendar->opens = MIN(m->calendar->opens, bid->earliest);
    bid_enqueue(m, slot);
    return accept();
}

struct refusal bid_change(struct market *m, market_id id, udollar limit)
{
    uint32_t slot = (uint32_t)map_get(&m->bid_by_id, id);
    if (slot == 0)
        return refuse(REFUSED_UNKNOWN, "bid");
    if (limit < 0 || limit > MARKET_RATE_MAX)
        return refuse_bound("limit", limit, 0, MARKET_RATE_MAX);
    struct bid *b = &m->bids[slot];
    if (b->limits && b->limits[0] == 0)
        return refuse(REFUSED_STATE, "limit");
    if (b->promise) {
        struct refusal r = promise_limit(m, slot, limit);
        if (r.reason || bid_is_promised(m, b))
            return r;
    }
    if (limit < b->limit)
        b->cut_at = m->now;
    if (b->lease) {
        b->pending_limit = limit;
        if (m->leases[b->lease].state != LEASE_VACATING)
            lease_set_limit(m, b->lease);
        return accept();
    }
    bid_set_limit(m, slot, limit);
    if (b->waiting)
        class_touch(m, b->class);
    return accept();
}

struct refusal bid_cancel(struct market *m, market_id id)
{
    uint32_t slot = (uint32_t)map_get(&m->bid_by_id, id);
    if (slot == 0)
        return refuse(REFUSED_UNKNOWN, "bid");
    uint32_t lease = m->bids[slot].lease;
    promise_cancel(m, slot);
    if (lease && m->leases[lease].blocked) { /* nothing of it can stand anywhere yet */
        lease_close(m, lease, RELEASE_CANCELLED, m->now, false);
        return accept();
    }
    if (lease) {
        lease_preempt(m, lease, RELEASE_CANCELLED, NULL);
        return accept();
    }
    bid_dequeue(m, slot);
    struct market_event *e = event_add(m, EVENT_RELEASED, slot);
    e->released.reason = RELEASE_CANCELLED;
    e->released.at = m->now;
    bid_drop(m, slot);
    return accept();
}

struct refusal bid_pause(struct market *m, market_id id, bool held)
{
    uint32_t slot = (uint32_t)map_get(&m->bid_by_id, id);
    if (slot == 0)
        return refuse(REFUSED_UNKNOWN, "bid");
    struct bid *b = &m->bids[slot];
    uint32_t lease = b->lease;
    if (b->held == held)
        return accept();
    b->held = held;
    if (lease && held && m->leases[lease].blocked) /* nothing of it can stand anywhere yet */
        lease_close(m, lease, RELEASE_PAUSED, m->now, true);
    else if (lease && held)
        lease_preempt(m, lease, RELEASE_PAUSED, NULL);
    if (lease)
        return accept();
    bid_dequeue(m, slot);
    if (b->on_curve)
        ladder_remove(m, slot);
    bid_enqueue(m, slot);
    return accept();
}

enum market_refusal bid_refusal(const struct market *m, const struct market_bid *bid, const char **ret_field,
                                int64_t ret_numbers[3])
{
    struct refusal r = bid_check(m, bid);
    *ret_field = r.field;
    memcpy(ret_numbers, r.numbers, sizeof r.numbers);
    return r.reason;
}
