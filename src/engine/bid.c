/* SPDX-License-Identifier: Apache-2.0 */
/* A submit in the market's words: names become ids, a place that is named in part becomes an
 * alternative for each place that it may mean, a priority becomes a limit, a speed scales it. And the
 * market's refusals in the words of the API. */
#include "base/sort.h"
#include "engine/engine_internal.h"

#define ASK_BASE 10000 /* µ$, what a priority multiplies where the ask is 0 */

struct making {
    const struct engine *e;
    const struct engine_submit *submit;
    struct market_alternative *alternatives;
    struct market_choice *choices; /* one an alternative */
    uint16_t *origins;
    size_t count;
    struct engine_outcome outcome;
};

/* ---- names ---------------------------------------------------------------------------------------------------- */

/* Whether the place lies in what the choice names above it. */
static bool place_fits(const struct engine *e, const struct engine_choice *c, int kind, market_id id)
{
    const struct str wanted[] = {c->provider, c->region, c->zone};
    while (kind > NAME_PROVIDER) {
        id = name_parent(e, kind, id);
        kind--;
        struct str want = wanted[kind - NAME_PROVIDER];
        if (want.size && !str_equal(name_text(e, kind, id), want))
            return false;
    }
    return true;
}

static bool limit_scaled(struct making *m, udollar limit, int64_t speed_milli, udollar *ret)
{
    if (limit < 0 || limit > MARKET_RATE_MAX) {
        m->outcome = outcome_bound("limit_udollar_per_hour", limit, 0, MARKET_RATE_MAX);
        return false;
    }
    *ret = MIN(mul_div_floor(limit, speed_milli, 1000), MARKET_RATE_MAX);
    return true;
}

static bool labels_stand(const market_id *have, const market_id *want)
{
    size_t i = 0;
    for (size_t j = 0; j < MARKET_LABELS_MAX && want[j]; j++) {
        while (i < MARKET_LABELS_MAX && have[i] && have[i] != want[j])
            i++;
        if (i == MARKET_LABELS_MAX || have[i] == 0)
            return false;
    }
    return true;
}

static bool choice_takes(const struct market_choice *c, const struct market_pool_view *p)
{
    return p->units_milli > 0 && (c->sku == 0 || c->sku == p->sku) && (c->accelerator == 0 || c->accelerator == p->accelerator) &&
           (c->provider == 0 || c->provider == p->provider) && (c->region == 0 || c->region == p->region) &&
           (c->zone == 0 || c->zone == p->zone) && labels_stand(p->labels, c->labels) && facts_amounts_hold(&p->amounts, &c->amounts);
}

static udollar priority_limit(const struct engine *e, int32_t priority, const struct market_choice *c)
{
    udollar lowest = -1;
    for (size_t i = 0; i < market_pool_count(e->market); i++) {
        struct market_pool_view p = market_pool(e->market, i);
        if (choice_takes(c, &p) && (lowest < 0 || p.lowest_ask < lowest))
            lowest = p.lowest_ask;
    }
    int64_t permille = e->settings[SETTING_LIMIT_LOW_PERMILLE + priority];
    return MIN(mul_div_floor(lowest > 0 ? lowest : ASK_BASE, permille, 1000), MARKET_RATE_MAX);
}

static bool alternative_add(struct making *m, size_t index, const struct market_choice *choice, const char *field)
{
    const struct engine_submit *s = m->submit;
    if (m->count == MARKET_ALTERNATIVES_MAX) {
        m->outcome = outcome_choice(ENGINE_INVALID, index, field);
        m->outcome.refusal = REFUSED_BOUND;
        m->outcome.numbers[0] = MARKET_ALTERNATIVES_MAX + 1;
        m->outcome.numbers[1] = 1;
        m->outcome.numbers[2] = MARKET_ALTERNATIVES_MAX;
        return false;
    }
    udollar limit = s->limit_present ? s->limit : priority_limit(m->e, s->priority, choice);
    struct market_alternative *a = &m->alternatives[m->count];
    m->choices[m->count] = *choice;
    *a = (struct market_alternative){.choices = &m->choices[m->count], .level = s->level, .racks = s->racks};
    m->origins[m->count++] = (uint16_t)index;
    return limit_scaled(m, limit, choice->speed_milli, &a->limit);
}

/* One alternative for each place that the deepest name given may mean. */
static bool places_add(struct making *m, size_t index, struct market_choice *choice)
{
    static const char *const fields[] = {"provider", "region", "zone"};
    const struct engine_choice *c = &m->submit->choices[index];
    const struct str wanted[] = {c->provider, c->region, c->zone};
    int kind = c->zone.size ? NAME_ZONE : c->region.size ? NAME_REGION : NAME_PROVIDER;
    const char *field = fields[kind - NAME_PROVIDER];
    if (wanted[kind - NAME_PROVIDER].size == 0)
        return alternative_add(m, index, choice, "");
    bool found = false;
    for (market_id id = name_first(m->e, kind, wanted[kind - NAME_PROVIDER]); id; id = name_next(m->e, kind, id)) {
        if (!place_fits(m->e, c, kind, id))
            continue;
        found = true;
        *(kind == NAME_ZONE ? &choice->zone : kind == NAME_REGION ? &choice->region : &choice->provider) = id;
        if (!alternative_add(m, index, choice, field))
            return false;
    }
    if (!found)
        m->outcome = outcome_choice(ENGINE_INVALID, index, field);
    return found;
}

static int id_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const market_id *a = x, *b = y;
    return COMPARE(*a, *b);
}

static bool labels_find(struct making *m, size_t index, struct market_choice *ret)
{
    const struct engine_choice *c = &m->submit->choices[index];
    for (size_t i = 0; i < c->label_count; i++) {
        market_id id = i < MARKET_LABELS_MAX ? name_find(m->e, NAME_LABEL, 0, c->labels[i]) : 0;
        if (id == 0) {
            m->outcome = outcome_choice(ENGINE_INVALID, index, "labels");
            return false;
        }
        ret->labels[i] = id;
    }
    sort(ret->labels, c->label_count, sizeof *ret->labels, id_compare, NULL);
    return true;
}

static bool name_resolve(struct making *m, size_t index, int kind, struct str text, market_id *ret)
{
    if (text.size == 0)
        return true;
    *ret = name_find(m->e, kind, 0, text);
    if (*ret == 0)
        m->outcome = outcome_choice(ENGINE_INVALID, index, kind == NAME_SKU ? "sku" : "accelerator");
    return *ret != 0;
}

static bool choice_bounds(struct making *m, size_t index)
{
    const struct engine_choice *c = &m->submit->choices[index];
    const struct market_amounts *a = &c->amounts;
    if (c->speed_milli < 1 || c->speed_milli > MARKET_SPEED_MAX) {
        m->outcome = outcome_choice(ENGINE_INVALID, index, "speed_milli");
        m->outcome.refusal = REFUSED_BOUND;
        m->outcome.numbers[0] = c->speed_milli;
        m->outcome.numbers[1] = 1;
        m->outcome.numbers[2] = MARKET_SPEED_MAX;
        return false;
    }
    bool valid = a->gpu_milli >= 0 && a->gpu_milli <= MARKET_NODE_GPUS_MAX * 1000 && (a->gpu_milli < 1000 || a->gpu_milli % 1000 == 0) &&
                 a->core_milli >= 0 && a->core_milli <= INT32_MAX && a->memory_mib >= 0 && a->memory_mib <= INT32_MAX &&
                 a->disk_mib >= 0 && a->disk_mib <= INT64_C(1) << 40 && (a->gpu_milli || a->core_milli);
    if (!valid)
        m->outcome = outcome_choice(ENGINE_INVALID, index, "amounts");
    return valid;
}

static bool choice_add(struct making *m, size_t index)
{
    const struct engine_choice *c = &m->submit->choices[index];
    struct market_choice choice = {.amounts = c->amounts, .speed_milli = c->speed_milli};
    return choice_bounds(m, index) && name_resolve(m, index, NAME_SKU, c->sku, &choice.sku) &&
           name_resolve(m, index, NAME_ACCELERATOR, c->accelerator, &choice.accelerator) && labels_find(m, index, &choice) &&
           places_add(m, index, &choice);
}

/* Whether a subscription of its project to that tier or a slower one covers all of it in a pool that it may stand in. */
static bool subscription_covers(const struct making *m, const struct market_subscription_view *s)
{
    const struct market *market = m->e->market;
    if (s->tenant != m->submit->project || s->tier < m->submit->tier)
        return false;
    for (size_t p = 0; p < market_pool_count(market); p++) {
        struct market_pool_view pool = market_pool(market, p);
        for (size_t a = 0; choice_takes(&s->choice, &pool) && a < m->count; a++) {
            const struct market_amounts *each = &m->choices[a].amounts;
            int64_t most = s->units_milli / MAX(pool.by_core ? each->core_milli : each->gpu_milli, 1);
            if (m->submit->nodes <= most && choice_takes(&m->choices[a], &pool))
                return true;
        }
    }
    return false;
}

static bool tier_subscribed(const struct making *m)
{
    for (size_t i = 0; i < market_subscription_count(m->e->market); i++) {
        struct market_subscription_view s = market_subscription(m->e->market, i);
        if (subscription_covers(m, &s))
            return true;
    }
    return false;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

static void bid_fill(const struct engine_submit *s, struct market_role *role, struct market_bid *ret)
{
    *role = (struct market_role){s->nodes, s->nodes_max ? s->nodes_max : s->nodes};
    *ret = (struct market_bid){.tenant = s->project, .request_key = s->request_key,
        .kind = s->deadline ? BID_DEADLINE : s->preemptible ? BID_PREEMPTIBLE : BID_FIRM, .roles = role, .role_count = 1,
        .notice = s->notice, .restart_cost = s->restart_cost, .minimum_run = s->minimum_run, .term = s->term, .renew = s->renew,
        .earliest = s->earliest, .latest = s->deadline ? s->deadline : TIME_NEVER, .run_time = s->run_time, .urgent = s->urgent,
        .tier = s->tier};
}

struct engine_outcome bid_make(const struct engine *e, const struct engine_submit *s, struct arena *arena,
                               struct market_bid *ret, const uint16_t **ret_choices)
{
    struct making m = {.e = e, .submit = s, .outcome = outcome_ok(0)};
    if (s->choice_count < 1 || s->choice_count > MARKET_ALTERNATIVES_MAX)
        return outcome_bound("choices", (int64_t)s->choice_count, 1, MARKET_ALTERNATIVES_MAX);
    if (!s->limit_present && (s->priority < 0 || s->priority > SETTING_LIMIT_CRITICAL_PERMILLE - SETTING_LIMIT_LOW_PERMILLE))
        return outcome_of(ENGINE_INVALID, "priority");
    if ((int)s->level < LEVEL_ANY || s->level > LEVEL_NODE)
        return outcome_of(ENGINE_INVALID, "level");
    if (s->max_run < 0 || s->max_run > MARKET_WINDOW_MAX_MS)
        return outcome_bound("max_run_ms", s->max_run, 0, MARKET_WINDOW_MAX_MS);
    /* Most choices name one place; only then are there more alternatives than choices. */
    size_t most = s->choice_count == 1 && s->choices[0].zone.size + s->choices[0].region.size == 0 ? 1 : MARKET_ALTERNATIVES_MAX;
    struct market_role *role = arena_alloc(arena, sizeof *role);
    m.alternatives = arena_alloc(arena, most * sizeof *m.alternatives);
    m.choices = arena_alloc(arena, most * sizeof *m.choices);
    m.origins = arena_alloc(arena, most * sizeof *m.origins);
    CHECK(role && m.alternatives && m.choices && m.origins);
    for (size_t i = 0; i < s->choice_count; i++)
        if (!choice_add(&m, i))
            return m.outcome;
    bid_fill(s, role, ret);
    if (s->tier && !tier_subscribed(&m))
        return outcome_of(ENGINE_INVALID, "tier");
    if (s->reservation.size) {
        const struct engine_reservation *r = engine_reservation_named(e, s->project, s->reservation);
        if (r == NULL)
            return outcome_of(ENGINE_NOT_FOUND, "reservation");
        ret->reservation = r->id;
    }
    ret->alternatives = m.alternatives;
    ret->alternative_count = m.count;
    *ret_choices = m.origins;
    return m.outcome;
}

/* The market's names of fields -> the API's. */
static const char *field_name(const char *field)
{
    static const char *const names[][2] = {
        {"limit", "limit_udollar_per_hour"}, {"deadline", "deadline_ms"}, {"earliest", "earliest_ms"}, {"notice", "notice_ms"},
        {"minimum_run", "minimum_run_ms"}, {"term", "term_ms"}, {"run_time", "run_time_ms"}, {"restart_cost", "restart_cost_udollar"},
        {"units", "nodes"}, {"speed", "choices"}, {"amounts", "choices"},
    };
    for (size_t i = 0; field && i < ARRAY_COUNT(names); i++)
        if (str_is(str_from(field), names[i][0]))
            return names[i][1];
    return field ? field : "";
}

struct engine_outcome bid_refused(const struct engine_submit *s, enum market_refusal reason, const char *field,
                                  const int64_t numbers[3])
{
    const char *name = field_name(field);
    if (reason == REFUSED_IMPOSSIBLE) /* none fits at all: what a replica takes; not so many together: how many */
        name = numbers[1] > 0 ? (s->level == LEVEL_ANY ? "nodes" : "level") : "choices";
    struct engine_outcome outcome = outcome_of(ENGINE_INVALID, name);
    if (s->choice_count == 1 && str_is(str_from(name), "choices"))
        outcome = outcome_choice(ENGINE_INVALID, 0, reason == REFUSED_IMPOSSIBLE ? "amounts" : "");
    outcome.refusal = reason;
    memcpy(outcome.numbers, numbers, sizeof outcome.numbers);
    return outcome;
}
