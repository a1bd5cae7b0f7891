/* SPDX-License-Identifier: Apache-2.0 */
/* Events as lines of text: for people (scenario --trace) and for digests, which must not see
 * padding. */
#include "world.h"

static const char *const release_names[] = {"ended",     "cancelled", "preempted",
                                            "node lost", "drained",   "budget"};
static const char *const account_names[] = {"tenant", "pool", "carry", "seller", "fee", "external"};
static const char *const charge_names[] = {"menu",         "transfer", "displacement",
                                           "refund",       "term",     "reservation",
                                           "subscription", "resale",   "compensation"};

#define WORD(names, i) ((size_t)(i) < ARRAY_COUNT(names) ? (names)[i] : "?")

static void placements_text(const struct market_events *events, const struct market_event *e,
                            struct buf *out)
{
    for (size_t i = 0; i < e->allocated.placement_count; i++) {
        const struct market_placement *p = &events->placements[e->allocated.placement_first + i];
        buf_printf(out, " %u.%u@%llu:%llx/%lld", p->role, p->rank, (unsigned long long)p->node,
                   (unsigned long long)p->gpus, (long long)p->units_milli);
    }
}

static void account_text(struct market_account a, struct buf *out)
{
    buf_printf(out, " %s:%llu", WORD(account_names, a.kind), (unsigned long long)a.id);
}

#define LL(x) (long long)(x)
#define ULL(x) (unsigned long long)(x)

static void money_text(const struct market_event *e, struct buf *out)
{
    if (e->type == EVENT_CHARGED) {
        buf_printf(out,
                   "charged %s tenant %llu pool %llu %lld..%lld units %lld rate %lld amount %lld",
                   WORD(charge_names, e->charged.kind), ULL(e->charged.tenant),
                   ULL(e->charged.pool), LL(e->charged.from), LL(e->charged.to),
                   LL(e->charged.units_milli), LL(e->charged.rate), LL(e->charged.amount));
    } else {
        buf_append_text(out, "entry");
        account_text(e->entry.debit, out);
        buf_append_text(out, " ->");
        account_text(e->entry.credit, out);
        buf_printf(out, " %lld pool %llu", LL(e->entry.amount), ULL(e->entry.pool));
    }
}

static void lease_text(const struct market_events *events, const struct market_event *e,
                       struct buf *out)
{
    if (e->type == EVENT_ALLOCATED) {
        buf_printf(out,
                   "allocated alternative %u pool %llu units %lld limit %lld asks %lld rate %lld%s",
                   e->allocated.alternative, ULL(e->allocated.pool), LL(e->allocated.units_milli),
                   LL(e->allocated.limit), LL(e->allocated.asks), LL(e->allocated.rate),
                   e->allocated.ready ? " ready" : "");
        placements_text(events, e, out);
    } else if (e->type == EVENT_PREEMPTING || e->type == EVENT_MOVED) {
        buf_printf(out, "%s by %lld: %s pool %llu for %lld units at %lld",
                   e->type == EVENT_MOVED ? "moving" : "preempting", LL(e->preempting.deadline),
                   WORD(release_names, e->preempting.reason), ULL(e->preempting.pool),
                   LL(e->preempting.by_units_milli), LL(e->preempting.by_limit));
    } else if (e->type == EVENT_RELEASED) {
        buf_printf(out, "released %s%s at %lld", WORD(release_names, e->released.reason),
                   e->released.waits ? ", waits" : "", LL(e->released.at));
    } else {
        buf_append_text(out, e->type == EVENT_READY ? "ready" : "?");
    }
}

static void menu_text(const struct market_event *e, struct buf *out)
{
    buf_printf(out,
               "posted pool %llu marginal %lld scarcity %lld guide %lld ask %lld units %lld free "
               "%lld wanted %lld"
               " running %llu waiting %llu",
               ULL(e->posted.pool), LL(e->posted.marginal), LL(e->posted.scarcity),
               LL(e->posted.guide), LL(e->posted.lowest_ask), LL(e->posted.units_milli),
               LL(e->posted.free_milli), LL(e->posted.wanted_milli), ULL(e->posted.running),
               ULL(e->posted.waiting));
}

void event_text(const struct market_events *events, const struct market_event *e, struct buf *out)
{
    if (e->bid)
        buf_printf(out, "bid %llu #%u ", ULL(e->bid), e->attempt);
    switch ((int)e->type) {
    case EVENT_ALLOCATED:
    case EVENT_READY:
    case EVENT_PREEMPTING:
    case EVENT_RELEASED:
    case EVENT_MOVED:
        lease_text(events, e, out);
        break;
    case EVENT_CHARGED:
    case EVENT_ENTRY:
        money_text(e, out);
        break;
    case EVENT_PRICE_POSTED:
        menu_text(e, out);
        break;
    case EVENT_BLOCK_POSTED:
        buf_printf(out, "block of tenant %llu in pool %llu: %lld units at %lld", ULL(e->block.tenant), ULL(e->block.pool),
                   LL(e->block.units_milli), LL(e->block.post));
        break;
    case EVENT_REFUSED:
        buf_printf(out, "refused command %zu reason %d field %s: %lld %lld %lld", e->refused.index,
                   (int)e->refused.reason, e->refused.field ? e->refused.field : "-",
                   LL(e->refused.numbers[0]), LL(e->refused.numbers[1]), LL(e->refused.numbers[2]));
        break;
    case EVENT_TICK_WANTED:
        buf_append_text(out, "tick wanted");
        break;
    case EVENT_RESIZED:
        buf_printf(out, "%s by %zu to %lld units, rate %lld",
                   e->resized.grows ? "grows" : "shrinks", e->resized.placement_count,
                   LL(e->resized.units_milli), LL(e->resized.rate));
        break;
    case EVENT_QUOTED:
        buf_printf(out, "quoted at most %lld, starts by %lld in pool %llu%s", LL(e->quoted.most),
                   LL(e->quoted.latest), ULL(e->quoted.pool),
                   e->quoted.committed ? "" : ", no promise");
        break;
    case EVENT_RESERVED:
        buf_printf(out, "reservation %llu state %d rate %lld amount %lld",
                   ULL(e->reserved.reservation), (int)e->reserved.state, LL(e->reserved.rate),
                   LL(e->reserved.amount));
        break;
    case EVENT_SUBSCRIPTION:
        buf_printf(out, "subscription of tenant %llu tier %u: %lld units at %lld%s", ULL(e->subscription.tenant), e->subscription.tier,
                   LL(e->subscription.units_milli), LL(e->subscription.rate), e->subscription.unpaid ? ", unpaid" : "");
        break;
    case EVENT_HEADROOM_POSTED:
        buf_printf(out, "headroom of tier %u in pool %llu: held %lld free %lld eligible %lld price %lld credit %lld", e->headroom.tier,
                   ULL(e->headroom.pool), LL(e->headroom.held_milli), LL(e->headroom.free_milli), LL(e->headroom.eligible_milli),
                   LL(e->headroom.price), LL(e->headroom.credit));
        break;
    case EVENT_GAP:
        buf_printf(out, "gap surplus %lld bound %lld", LL(e->gap.surplus), LL(e->gap.bound));
        break;
    }
    buf_append_byte(out, '\n');
}
