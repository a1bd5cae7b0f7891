/* SPDX-License-Identifier: Apache-2.0 */
/* Tight starts: what projects are subscribed to. */
#include "server/api_route.h"

#include "wire/record.h"

/* Where a place lies, as the pools that have it say. */
static struct market_pool_view pool_in(const struct engine *e, const struct market_choice *c)
{
    const struct market *m = engine_market(e);
    for (size_t i = 0; i < market_pool_count(m); i++) {
        struct market_pool_view pool = market_pool(m, i);
        if (c->zone ? pool.zone == c->zone : c->region ? pool.region == c->region : pool.provider == c->provider)
            return pool;
    }
    return (struct market_pool_view){0};
}

static struct str place_name(const struct engine *e, enum engine_name kind, market_id id)
{
    return id ? engine_name(e, kind, id) : STR("");
}

static time_ms tier_start(const struct engine *e, uint32_t tier)
{
    time_ms start = TIME_NEVER;
    for (uint32_t i = tier; i <= MARKET_TIERS; i++) /* a higher tier never waits longer than a lower one */
        start = MIN(start, engine_setting(e, SETTING_TIER1_START_MS + (int)i - 1));
    return start;
}

static struct record_list label_names(struct api_call *call, const struct engine *e, const market_id *labels)
{
    struct str *names = call_alloc(call, MARKET_LABELS_MAX * sizeof *names);
    size_t count = 0;
    for (; count < MARKET_LABELS_MAX && labels[count]; count++)
        names[count] = engine_name(e, NAME_LABEL, labels[count]);
    return (struct record_list){names, count};
}

static struct api_subscription render(struct api_call *call, const struct engine *e, const struct market_subscription_view *s)
{
    const struct market_choice *c = &s->choice;
    struct market_pool_view place = c->zone || c->region || c->provider ? pool_in(e, c) : (struct market_pool_view){0};
    return (struct api_subscription){
        .project = engine_project(e, s->tenant)->name,
        .tier = (int32_t)s->tier,
        .start_ms = tier_start(e, s->tier),
        .sku = place_name(e, NAME_SKU, c->sku),
        .accelerator = place_name(e, NAME_ACCELERATOR, c->accelerator),
        .provider = place_name(e, NAME_PROVIDER, place.provider),
        .region = c->zone || c->region ? place_name(e, NAME_REGION, place.region) : STR(""),
        .zone = place_name(e, NAME_ZONE, c->zone),
        .labels = label_names(call, e, c->labels),
        .units_milli = s->units_milli,
        .held_milli = s->held_milli,
        .used_milli = s->used_milli,
        .ready_milli = s->ready_milli,
        .rate_udollar_per_hour = s->rate,
        .charged_udollar = s->charged,
        .unpaid = s->unpaid,
    };
}

/* Of one project, or of all that the caller sees. */
static void answer_all(struct api_call *call, const struct engine *e, engine_id project)
{
    const struct market *m = engine_market(e);
    size_t count = market_subscription_count(m), shown = 0;
    struct api_subscription *rows = call_alloc(call, MAX(count, 1) * sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        struct market_subscription_view s = market_subscription(m, i);
        if (call_sees(call, s.tenant) && (project == 0 || s.tenant == project))
            rows[shown++] = render(call, e, &s);
    }
    struct api_subscriptions list = {.subscriptions = {rows, shown}};
    call_answer(call, 200, &api_subscriptions_record, &list);
}

void route_subscription_list(struct api_call *call, const struct core_view *view)
{
    engine_id project = 0;
    if (call_project(call, &project))
        answer_all(call, view->engine, project);
}

static void set_then(struct api_call *call, const struct core_answer *answer)
{
    const struct engine_outcome *outcome = &answer->outcomes[0];
    if (outcome->code != ENGINE_OK)
        call_refuse_outcome(call, answer->engine, outcome);
    else
        answer_all(call, answer->engine, call->push.commands->subscription.project);
}

void route_subscription_set(struct api_call *call)
{
    const struct api_subscription_set *set = call->input;
    engine_id project = core_project(call->api->core, set->project);
    if (!project || !call_sees(call, project)) {
        call_refuse(call, 404, "project", "no such project");
        return;
    }
    if (set->tier == TIER_NONE) {
        call_refuse(call, 400, "tier", "allowed are instant, seconds, minute and minutes");
        return;
    }
    if (set->labels.count > MARKET_LABELS_MAX) {
        call_refuse(call, 400, "labels", "at most %d are allowed", MARKET_LABELS_MAX);
        return;
    }
    struct engine_command *command = call_alloc(call, sizeof *command);
    command->type = ENGINE_SUBSCRIBE;
    command->subscription.project = project;
    command->subscription.choice = (struct engine_choice){.sku = set->sku, .accelerator = set->accelerator, .provider = set->provider,
        .region = set->region, .zone = set->zone, .labels = set->labels.items, .label_count = set->labels.count};
    command->subscription.tier = (uint32_t)set->tier;
    command->subscription.units_milli = set->units * 1000;
    command->subscription.rate = set->rate_udollar_per_hour;
    call_push(call, command, 1, set_then);
}
