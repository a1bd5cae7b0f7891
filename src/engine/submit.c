/* SPDX-License-Identifier: Apache-2.0 */
/* Submits: once for each idempotency key, in the market's book or not at all. */
#include "engine/engine_internal.h"

/* ---- idempotency ---------------------------------------------------------------------------------------------- */

static struct idempotency *recent_at(const struct engine *e, uint64_t number)
{
    return &e->recent[number & (e->recent_capacity - 1)];
}

void recent_expire(struct engine *e)
{
    while (e->recent_first < e->recent_end) {
        struct idempotency *entry = recent_at(e, e->recent_first);
        if (e->now - entry->created < ENGINE_IDEMPOTENCY_MS)
            return;
        if (map_get(&e->recent_by_hash, entry->hash) == e->recent_first + 1)
            map_remove(&e->recent_by_hash, entry->hash);
        e->recent_first++;
    }
}

static void recent_grow(struct engine *e)
{
    struct idempotency *old = e->recent;
    uint64_t capacity = e->recent_capacity;
    e->recent_capacity = capacity ? capacity * 2 : 64;
    e->recent = xcalloc(e->recent_capacity, sizeof *e->recent);
    for (uint64_t number = e->recent_first; number < e->recent_end; number++)
        *recent_at(e, number) = old[number & (capacity - 1)];
    xfree(old);
}

void recent_add(struct engine *e, const struct idempotency *entry)
{
    if (e->recent_end - e->recent_first == e->recent_capacity)
        recent_grow(e);
    *recent_at(e, e->recent_end) = *entry;
    map_set(&e->recent_by_hash, entry->hash, ++e->recent_end);
}

/* The key is kept as two hashes under the seed; 0 stands for none. */
static struct idempotency recent_hash(const struct engine *e, const struct engine_submit *s)
{
    struct idempotency entry = {.body_hash = s->body_hash};
    if (s->idempotency.size == 0)
        return entry;
    entry.hash = siphash((struct hash_key){e->seed, s->project}, s->idempotency.data, s->idempotency.size);
    entry.check = siphash((struct hash_key){s->project, ~e->seed}, s->idempotency.data, s->idempotency.size);
    entry.hash += entry.hash == 0;
    return entry;
}

/* 1: answered by an earlier one, in *ret. */
static int recent_answer(const struct engine *e, const struct idempotency *mine, struct engine_outcome *ret)
{
    uint64_t number = map_get(&e->recent_by_hash, mine->hash);
    const struct idempotency *entry = number ? recent_at(e, number - 1) : NULL;
    if (entry == NULL || entry->check != mine->check)
        return 0;
    if (entry->body_hash != mine->body_hash) {
        *ret = outcome_of(ENGINE_CONFLICT, "idempotency_key");
        return 1;
    }
    *ret = outcome_ok(entry->workload);
    ret->repeated = true;
    return 1;
}

/* ---- the batch ------------------------------------------------------------------------------------------------------ */

/* One that the market has not taken yet, and may refuse, is in nobody's way. */
static struct engine_outcome submit_quota(struct engine *e, const struct engine_submit *s, const struct market_bid *bid)
{
    struct engine_workload w = {.project = s->project, .instance = s->instance, .nodes = s->nodes, .reservation = bid->reservation};
    quota_asked_set(&w, bid);
    struct engine_outcome outcome = quota_workload_check(e, &w);
    if (outcome.code != ENGINE_QUOTA || e->batch.count == 0)
        return outcome;
    batch_flush(e);
    return quota_workload_check(e, &w);
}

struct engine_outcome engine_submit_apply(struct engine *e, const struct engine_submit *s)
{
    if (s->project == 0 || s->project > e->project_count)
        return outcome_of(ENGINE_NOT_FOUND, "project");
    if (s->idempotency.size > ENGINE_IDEMPOTENCY_MAX)
        return outcome_bound("idempotency_key", (int64_t)s->idempotency.size, 1, ENGINE_IDEMPOTENCY_MAX);
    struct idempotency mine = recent_hash(e, s);
    struct engine_outcome outcome;
    /* The same key twice in a batch: the market decides on the first before the second is looked at. */
    if (mine.hash && map_get(&e->batch.repeats, mine.hash))
        batch_flush(e);
    if (mine.hash && recent_answer(e, &mine, &outcome))
        return outcome;
    if (s->instance && s->name.size && instance_named(e, s->project, s->name))
        return outcome_of(ENGINE_CONFLICT, "name");
    if (e->settings[SETTING_NAMES_BURN] && s->instance && s->reservation.size == 0 && instance_name_burnt(e, s->project, s->name))
        return outcome_of(ENGINE_CONFLICT, "name");
    outcome = objects_check(e, NULL, s);
    if (outcome.code != ENGINE_OK)
        return outcome;
    if (s->tier && e->batch.subscribes)
        batch_flush(e);
    struct pending made = {.kind = PENDING_SUBMIT, .submit = s, .hash = mine.hash, .check = mine.check, .body_hash = mine.body_hash};
    struct market_command c = {.type = MARKET_BID_ADD};
    outcome = bid_make(e, s, &e->batch.arena, &c.bid, &made.choices);
    if (outcome.code == ENGINE_OK)
        outcome = submit_quota(e, s, &c.bid);
    if (outcome.code != ENGINE_OK)
        return outcome;
    made.value = c.bid.alternatives[0].limit;
    made.command = e->batch.command;
    struct workload *w = workload_add(e, s);
    made.id = c.bid.id = w->view.id;
    w->view.limit = made.value;
    w->view.reservation = c.bid.reservation;
    quota_asked_set(&w->view, &c.bid);
    w->provisional = true;
    *batch_add(e, &c) = made;
    if (mine.hash)
        map_set(&e->batch.repeats, mine.hash, 1);
    return outcome_ok(w->view.id);
}

void submit_accepted(struct engine *e, const struct pending *p)
{
    struct workload *w = workload_find(e, p->id);
    w->provisional = false;
    if (e->settings[SETTING_NAMES_BURN] && w->view.instance && w->view.reservation == 0)
        instance_name_burn(e, w->view.project, w->view.name);
    workload_event(e, ENGINE_EVENT_WORKLOAD_SUBMITTED, w)->command = (int64_t)p->command;
    if (p->hash)
        recent_add(e, &(struct idempotency){p->hash, p->check, p->body_hash, p->id, e->now});
}

void submit_refused(struct engine *e, const struct pending *p, const struct market_event *event)
{
    struct workload *w = workload_find(e, p->id);
    e->result->outcomes[p->command] =
        bid_refused(p->submit, event->refused.reason, event->refused.field, event->refused.numbers);
    workload_remove(e, w);
    if (p->id + 1 == e->next_workload)
        e->next_workload--;
}
