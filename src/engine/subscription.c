/* SPDX-License-Identifier: Apache-2.0 */
/* Tight starts: what a project is subscribed to stands in the market; here are the names in which it
 * is said, and what is told of it. */
#include "engine/engine_internal.h"

/* Fields of its own, not of a list of choices: "choices[0].sku" -> "sku". */
static struct engine_outcome choice_outcome(const struct engine_outcome *outcome)
{
    struct engine_outcome own = *outcome;
    static const char prefix[] = "choices[0].";
    if (str_starts(str_from(outcome->field), str_from(prefix)))
        field_set(&own, outcome->field + sizeof prefix - 1);
    return own;
}

/* The same names as of a bid, and one choice alone: a name that several places have needs those above it. */
static struct engine_outcome pools_make(struct engine *e, const struct engine_command *c, struct market_choice *ret)
{
    struct engine_choice choice = c->subscription.choice;
    choice.amounts = (struct market_amounts){.core_milli = 1}; /* a bid takes something; how much says nothing here */
    choice.speed_milli = 1000;
    struct engine_submit submit = {.project = c->subscription.project, .nodes = 1, .choices = &choice, .choice_count = 1,
        .limit_present = true, .preemptible = true};
    struct market_bid bid;
    const uint16_t *origins;
    struct engine_outcome outcome = bid_make(e, &submit, &e->batch.arena, &bid, &origins);
    if (outcome.code == ENGINE_OK && bid.alternative_count != 1)
        outcome = outcome_of(ENGINE_CONFLICT, choice.zone.size ? "zone" : "region");
    if (outcome.code != ENGINE_OK)
        return choice_outcome(&outcome);
    *ret = bid.alternatives[0].choices[0];
    ret->amounts = (struct market_amounts){0};
    ret->speed_milli = 0;
    return outcome;
}

struct engine_outcome engine_subscribe(struct engine *e, const struct engine_command *c)
{
    if (c->subscription.project == 0 || c->subscription.project > e->project_count)
        return outcome_of(ENGINE_NOT_FOUND, "project");
    struct market_command set = {.type = MARKET_SUBSCRIPTION_SET};
    set.subscription.tenant = c->subscription.project;
    set.subscription.tier = c->subscription.tier;
    set.subscription.units_milli = c->subscription.units_milli;
    set.subscription.rate = c->subscription.rate;
    struct engine_outcome outcome = pools_make(e, c, &set.subscription.choice);
    if (outcome.code != ENGINE_OK)
        return outcome;
    batch_add(e, &set)->kind = PENDING_SUBSCRIPTION;
    e->batch.subscribes = true;
    return outcome_ok(c->subscription.project);
}

struct engine_outcome subscription_refused(const struct market_event *event)
{
    const char *field = event->refused.field ? event->refused.field : "";
    static const char *const names[][2] = {{"units", "units_milli"}, {"rate", "rate_udollar_per_hour"}};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (str_is(str_from(field), names[i][0]))
            field = names[i][1];
    bool unknown = event->refused.reason == REFUSED_UNKNOWN;
    struct engine_outcome outcome = outcome_of(unknown ? ENGINE_NOT_FOUND : ENGINE_INVALID, field);
    outcome.refusal = unknown ? REFUSED_NONE : event->refused.reason;
    bool units = str_is(str_from(field), "units_milli");
    for (size_t i = 0; i < ARRAY_COUNT(outcome.numbers) && !unknown; i++)
        outcome.numbers[i] = event->refused.numbers[i] * (units ? 1000 : 1);
    return outcome;
}

void subscription_follow(struct engine *e, const struct market_event *m)
{
    struct engine_event *event = engine_event_add(e, ENGINE_EVENT_SUBSCRIPTION);
    event->project = m->subscription.tenant;
    event->value = m->subscription.tier;
    event->units_milli = m->subscription.units_milli;
    event->rate = m->subscription.rate;
    event->state = m->subscription.unpaid;
}

void headroom_follow(struct engine *e, const struct market_event *m)
{
    struct engine_event *event = engine_event_add(e, ENGINE_EVENT_HEADROOM_POSTED);
    event->pool = m->headroom.pool;
    event->value = m->headroom.tier;
    event->units_milli = m->headroom.held_milli;
    event->free_milli = m->headroom.free_milli;
    event->wanted_milli = m->headroom.eligible_milli;
    event->rate = m->headroom.price;
    event->amount = m->headroom.credit;
}
