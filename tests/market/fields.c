/* SPDX-License-Identifier: Apache-2.0 */
/* What `name.field` says: of bids, groups, pools, nodes, accounts and the market as a whole. */
#include "scenario.h"

#include "base/hash.h"

#include <ctype.h>

struct group *group_find(const struct scenario *s, market_id name)
{
    for (size_t i = 0; name && i < s->group_count; i++)
        if (s->groups[i].name == name)
            return &s->groups[i];
    return NULL;
}

void group_add(struct scenario *s, market_id name, market_id member)
{
    struct group *g = group_find(s, name);
    if (g == NULL) {
        ARRAY_RESERVE(s->groups, s->group_count, s->group_capacity);
        g = &s->groups[s->group_count++];
        *g = (struct group){.name = name};
    }
    ARRAY_RESERVE(g->members, g->count, g->capacity);
    g->members[g->count++] = member;
}

static size_t find_range(const struct str text)
{
    for (size_t i = 0; i + 1 < text.size; i++)
        if (text.data[i] == '.' && text.data[i + 1] == '.')
            return i;
    return 0;
}

/* low3..9 */
static size_t range_targets(struct scenario *s, struct str text, size_t dots, market_id **ret)
{
    size_t digits = dots;
    while (digits > 0 && isdigit((unsigned char)text.data[digits - 1]))
        digits--;
    int64_t from, to;
    if (!str_to_i64((struct str){text.data + digits, dots - digits}, &from) ||
        !str_to_i64((struct str){text.data + dots + 2, text.size - dots - 2}, &to) || to < from)
        scenario_fail(s, "not a range: '%.*s'", STR_ARGS(text));
    *ret = xcalloc((size_t)(to - from + 1), sizeof **ret);
    size_t count = 0;
    for (int64_t i = from; i <= to; i++) {
        char name[256];
        int size = snprintf(name, sizeof name, "%.*s%lld", (int)digits, text.data, (long long)i);
        market_id id = name_find(&s->w->names, (struct str){name, (size_t)size});
        if (id)
            (*ret)[count++] = id;
        else if (!s->lenient)
            scenario_fail(s, "there is no '%s'", name);
    }
    return count;
}

size_t targets(struct scenario *s, struct str text, market_id **ret)
{
    size_t dots = find_range(text);
    if (dots)
        return range_targets(s, text, dots, ret);
    market_id id = name_find(&s->w->names, text);
    struct group *g = group_find(s, id);
    size_t count = g ? g->count : id != 0;
    if (count == 0 && !s->lenient)
        scenario_fail(s, "there is no '%.*s'", STR_ARGS(text));
    *ret = xcalloc(count + 1, sizeof **ret);
    if (g)
        memcpy(*ret, g->members, count * sizeof **ret);
    else if (count)
        (*ret)[0] = id;
    return count;
}

/* ---- bids
 * --------------------------------------------------------------------------------------------- */

static bool is_state(const struct track *t, struct str field, number *ret)
{
    static const struct {
        const char *name;
        unsigned states;
    } states[] = {{"waiting", 1u << TRACK_WAITING},
                  {"assigned", 1u << TRACK_ASSIGNED},
                  {"ready", 1u << TRACK_READY},
                  {"running", 1u << TRACK_RUNNING},
                  {"vacating", 1u << TRACK_VACATING},
                  {"over", 1u << TRACK_OVER},
                  {"placed", 1u << TRACK_ASSIGNED | 1u << TRACK_READY | 1u << TRACK_RUNNING}};
    for (size_t i = 0; i < ARRAY_COUNT(states); i++)
        if (str_is(field, states[i].name)) {
            *ret = states[i].states >> t->state & 1 ? ONE : 0;
            return true;
        }
    return false;
}

/* By the market's own view; the model has already held it to the events. */
static bool view_field(struct scenario *s, const struct track *t, struct str field, number *ret)
{
    struct market_bid_view v = {0};
    bool known = market_bid_view(s->w->m, t->id, s->w->now, &v);
    const struct {
        const char *name;
        number value;
    } fields[] = {{"rate", v.rate},
                  {"limit", v.limit},
                  {"asks", v.asks},
                  {"stay", v.stay},
                  {"charged", known ? v.charged_now : t->charged},
                  {"units", (number)v.units_milli * 1000},
                  {"alternative", (number)v.alternative * ONE},
                  {"attempt", (number)t->attempt * ONE},
                  {"starts", (number)t->starts * ONE},
                  {"preemptions", (number)t->preemptions * ONE},
                  {"moves", (number)t->moves * ONE},
                  {"displacement", t->displacement},
                  {"refunded", t->refunded},
                  {"quoted", t->quoted},
                  {"latest", (number)(t->latest - s->w->started) * 1000},
                  {"committed", t->committed ? ONE : 0},
                  {"nodes", (number)t->placement_count * ONE},
                  {"started", (number)(t->started - s->w->started) * 1000},
                  {"released", (number)(t->released - s->w->started) * 1000},
                  {"leave_by", (number)(t->leave_by - s->w->started) * 1000}};
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++)
        if (str_is(field, fields[i].name)) {
            *ret = fields[i].value;
            return true;
        }
    return false;
}

static bool why_field(struct scenario *s, const struct track *t, struct str field, number *ret)
{
    struct market_why why = {0};
    if (!str_is(field, "go_live") && !str_is(field, "soonest") && !str_is(field, "ahead") &&
        !str_is(field, "has_limit") && !str_is(field, "holder_limit") && !str_is(field, "starving"))
        return false;
    if (!market_why(s->w->m, t->id, &why))
        scenario_fail(s, "%s is not in the book", name_text(&s->w->names, t->id));
    if (str_is(field, "go_live"))
        *ret = why.go_live;
    else if (str_is(field, "soonest"))
        *ret = why.soonest == TIME_NEVER ? -(number)ONE : (number)(why.soonest - s->w->now) * 1000;
    else if (str_is(field, "ahead"))
        *ret = (number)why.ahead * ONE;
    else if (str_is(field, "starving"))
        *ret = why.starving ? ONE : 0;
    else if (str_is(field, "holder_limit"))
        *ret = why.holder_limit;
    else
        *ret = why.has_limit ? ONE : 0;
    return true;
}

static bool bid_field(struct scenario *s, market_id id, struct str field, number *ret)
{
    const struct track *t = world_track(s->w, id);
    return t &&
           (is_state(t, field, ret) || view_field(s, t, field, ret) || why_field(s, t, field, ret));
}

/* Of a group: the sum. */
static bool group_field(struct scenario *s, const struct group *g, struct str field, number *ret)
{
    *ret = 0;
    if (str_is(field, "count")) {
        *ret = (number)g->count * ONE;
        return true;
    }
    for (size_t i = 0; i < g->count; i++) {
        number one;
        if (!bid_field(s, g->members[i], field, &one))
            return false;
        *ret += one;
    }
    return g->count > 0;
}

/* ---- pools, nodes, accounts
 * -------------------------------------------------------------------------- */

static bool pool_field(struct scenario *s, market_id id, struct str field, number *ret)
{
    for (size_t i = 0; id && i < market_pool_count(s->w->m); i++) {
        struct market_pool_view p = market_pool(s->w->m, i);
        if (p.sku != id && p.zone != id)
            continue;
        const struct tag *tag = world_tag(s->w, p.pool);
        const struct {
            const char *name;
            number value;
        } fields[] = {{"post", p.post},
                      {"marginal", p.marginal},
                      {"scarcity", p.scarcity},
                      {"guide", p.guide},
                      {"lowest_ask", p.lowest_ask},
                      {"units", (number)p.units_milli * 1000},
                      {"used", (number)p.used_milli * 1000},
                      {"free", (number)p.free_milli * 1000},
                      {"wanted", (number)p.wanted_milli * 1000},
                      {"leases", (number)p.running * ONE},
                      {"queue", (number)p.waiting * ONE},
                      {"cash", world_balance(s->w, (struct market_account){ACCOUNT_POOL, p.pool})},
                      {"steady", tag ? (number)tag->steady * ONE : 0}};
        for (size_t j = 0; j < ARRAY_COUNT(fields); j++)
            if (str_is(field, fields[j].name)) {
                *ret = fields[j].value;
                return true;
            }
    }
    return false;
}

static bool node_field(struct scenario *s, market_id id, struct str field, number *ret)
{
    struct market_amounts free;
    if (!str_is(field, "free") || world_plot(s->w, id) == NULL ||
        !market_node_free(s->w->m, id, &free))
        return false;
    *ret = (number)free.gpu_milli * 1000;
    return true;
}

static bool account_field(struct scenario *s, market_id id, struct str field, number *ret)
{
    if (str_is(field, "spent"))
        *ret = market_spent(s->w->m, id);
    else if (str_is(field, "balance"))
        *ret = world_balance(s->w, (struct market_account){ACCOUNT_TENANT, id});
    else if (str_is(field, "earned"))
        *ret = world_balance(s->w, (struct market_account){ACCOUNT_SELLER, id});
    else
        return false;
    return id != 0;
}

/* ---- the market
 * ---------------------------------------------------------------------------------------- */

static bool market_field(struct scenario *s, struct str field, number *ret)
{
    const struct counters *c = &s->w->count;
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"evictions", c->evictions},
                  {"moves", c->moves},
                  {"starts", c->starts},
                  {"refusals", c->refusals},
                  {"ticks_wanted", c->ticks_wanted},
                  {"batches", c->batches},
                  {"allocations", c->allocations},
                  {"ticks", c->ticks}};
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++)
        if (str_is(field, counts[i].name)) {
            *ret = (number)counts[i].value * ONE;
            return true;
        }
    if (str_is(field, "surplus") || str_is(field, "bound")) {
        *ret = str_is(field, "surplus") ? s->w->gap.gap.surplus : s->w->gap.gap.bound;
        return true;
    }
    if (!str_is(field, "fees"))
        return false;
    *ret = world_balance(s->w, (struct market_account){.kind = ACCOUNT_FEE});
    return true;
}

/* A number that stands for the whole state. */
static number state_digest(const struct scenario *s)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT(BUF_LIMIT_DEFAULT);
    market_snapshot(s->w->m, &bytes);
    return (number)(hash_bytes(bytes.data, bytes.size) >> 16) * ONE;
}

uint64_t scenario_outcome(const struct scenario *s)
{
    uint64_t digest = 0;
    for (size_t i = 0; i < s->w->names.count; i++) {
        const struct track *t = world_track(s->w, i);
        for (size_t j = 0; t && j < t->placement_count; j++) {
            const uint64_t at[] = {i, t->placements[j].node, t->placements[j].gpus};
            digest = digest_add(digest, at, sizeof at);
        }
    }
    return digest;
}

static bool bare_word(struct scenario *s, struct str name, number *ret)
{
    market_id variable = name_find(&s->words, name);
    for (size_t i = 0; variable && i < s->variable_count; i++)
        if (s->variables[i].name == variable) {
            *ret = s->variables[i].value;
            return true;
        }
    if (str_is(name, "now"))
        *ret = (number)(s->w->now - s->w->started) * 1000;
    else if (str_is(name, "state"))
        *ret = state_digest(s);
    else if (str_is(name, "outcome"))
        *ret = (number)(scenario_outcome(s) >> 16) * ONE;
    else
        return false;
    return true;
}

bool field_value(struct scenario *s, struct str name, struct str field, number *ret)
{
    if (field.size == 0)
        return bare_word(s, name, ret);
    if (str_is(name, "market"))
        return market_field(s, field, ret);
    market_id id = name_find(&s->w->names, name);
    const struct group *g = group_find(s, id);
    if (g && world_track(s->w, g->members[0]))
        return group_field(s, g, field, ret);
    return reservation_field(s, id, field, ret) || bid_field(s, id, field, ret) ||
           node_field(s, id, field, ret) || pool_field(s, id, field, ret) ||
           account_field(s, id, field, ret);
}
