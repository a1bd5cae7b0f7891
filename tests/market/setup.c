/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and bids, from their lines. */
#include "scenario.h"

#include "base/hash.h"

static number option(struct scenario *s, const struct line *l, const char *key, bool *ret_there)
{
    struct str text = line_option(l, 1, key);
    *ret_there = text.data != NULL;
    return *ret_there ? evaluate(s, text) : 0;
}

udollar option_money(struct scenario *s, const struct line *l, const char *key, udollar otherwise)
{
    bool there;
    number value = option(s, l, key, &there);
    return there ? narrow_checked(value) : otherwise;
}

time_ms option_time(struct scenario *s, const struct line *l, const char *key, time_ms otherwise)
{
    bool there;
    number value = option(s, l, key, &there);
    return there ? narrow_checked(value / 1000) : otherwise;
}

int64_t option_count(struct scenario *s, const struct line *l, const char *key, int64_t otherwise)
{
    bool there;
    number value = option(s, l, key, &there);
    return there ? narrow_checked(value / ONE) : otherwise;
}

int64_t option_milli(struct scenario *s, const struct line *l, const char *key, int64_t otherwise)
{
    bool there;
    number value = option(s, l, key, &there);
    return there ? narrow_checked(value / 1000) : otherwise;
}

static market_id option_name(struct scenario *s, const struct line *l, const char *key,
                             market_id otherwise)
{
    struct str text = line_option(l, 1, key);
    if (text.data == NULL)
        return otherwise;
    return str_is(text, "any") ? 0 : name_intern(&s->w->names, text);
}

/* labels=a,b: sorted, as the market wants them. */
static void option_labels(struct scenario *s, const struct line *l,
                          market_id labels[MARKET_LABELS_MAX])
{
    struct str text = line_option(l, 1, "labels");
    size_t count = 0;
    while (text.size) {
        market_id label = name_intern(&s->w->names, str_cut(&text, ','));
        size_t i = count++;
        if (count > MARKET_LABELS_MAX)
            scenario_fail(s, "more than %d labels", MARKET_LABELS_MAX);
        for (; i > 0 && labels[i - 1] > label; i--)
            labels[i] = labels[i - 1];
        labels[i] = label;
    }
}

static market_id numbered(struct scenario *s, struct str name, uint64_t i, uint64_t count)
{
    char text[256];
    int size = count == 1
                   ? snprintf(text, sizeof text, "%.*s", STR_ARGS(name))
                   : snprintf(text, sizeof text, "%.*s%llu", STR_ARGS(name), (unsigned long long)i);
    return name_intern(&s->w->names, (struct str){text, (size_t)size});
}

/* The second word where it is a count, else 1; *ret_first is the first word of the options. */
static uint64_t count_of(struct scenario *s, const struct line *l)
{
    if (l->count < 2)
        scenario_fail(s, "a name is missing");
    if (l->count < 3 || memchr(l->words[2].data, '=', l->words[2].size) ||
        (l->words[2].data[0] > '9'))
        return 1;
    return (uint64_t)(evaluate(s, l->words[2]) / ONE);
}

/* ---- nodes
 * ------------------------------------------------------------------------------------------------
 */

static market_id place(struct scenario *s, const struct line *l, const char *key, uint64_t i)
{
    struct str own = line_option(l, 1, key);
    char text[256];
    int size = own.data ? snprintf(text, sizeof text, "%.*s", STR_ARGS(own))
                        : snprintf(text, sizeof text, "%.*s/%s%llu", STR_ARGS(l->words[1]), key,
                                   (unsigned long long)i);
    return name_intern(&s->w->names, (struct str){text, (size_t)size});
}

static struct market_node node_of(struct scenario *s, const struct line *l, uint64_t i)
{
    int64_t gpus = option_milli(s, l, "gpus", 8000), per_rack = option_count(s, l, "per_rack", 16),
            per_fabric = option_count(s, l, "per_fabric", 512);
    struct market_node n = {
        .sku = option_name(s, l, "sku", name_intern(&s->w->names, l->words[1])),
        .amounts = {gpus, option_milli(s, l, "cores", gpus ? gpus * 10 : 64000),
                    option_count(s, l, "memory", gpus ? gpus * 64 : 65536),
                    option_count(s, l, "disk", 0)},
        .ask = option_money(s, l, "ask", 0) + option_money(s, l, "step", 0) * (int64_t)i,
        .seller = option_name(s, l, "seller", name_intern(&s->w->names, STR("seller"))),
        .only_tenant = option_name(s, l, "only", 0)};
    n.accelerator = gpus ? option_name(s, l, "accelerator", n.sku) : 0;
    n.place = (struct market_place){
        .provider = option_name(s, l, "provider", name_intern(&s->w->names, STR("provider"))),
        .region = option_name(s, l, "region", name_intern(&s->w->names, STR("region"))),
        .zone = option_name(s, l, "zone", name_intern(&s->w->names, STR("zone"))),
        .fabric = place(s, l, "fabric", i / (uint64_t)per_fabric + 1),
        .rack = place(s, l, "rack", i / (uint64_t)per_rack + 1)};
    n.gpu_group = (uint32_t)option_count(s, l, "gpu_group", 0);
    n.slices = (uint32_t)option_count(s, l, "slices", 0);
    n.site = option_name(s, l, "site", 0);
    n.watts = option_count(s, l, "watts", 0);
    n.credit_permille = option_milli(s, l, "credit", 0);
    option_labels(s, l, n.labels);
    return n;
}

void say_nodes(struct scenario *s, const struct line *l)
{
    uint64_t count = count_of(s, l);
    market_id group = name_intern(&s->w->names, l->words[1]);
    for (uint64_t i = 0; i < count; i++) {
        struct market_node n = node_of(s, l, i);
        n.id = numbered(s, l->words[1], i + 1, count);
        if (count > 1 && world_plot(s->w, n.id) == NULL)
            group_add(s, group, n.id);
        world_say(s->w, (struct market_command){.type = MARKET_NODE_UP, .node = n});
    }
}

/* ---- bids
 * -------------------------------------------------------------------------------------------------
 */

static enum market_level level_of(struct scenario *s, struct str text)
{
    static const char *const names[] = {"any", "zone", "fabric", "racks", "rack", "node"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (str_is(text, names[i]))
            return (enum market_level)i;
    scenario_fail(s, "unknown level '%.*s'", STR_ARGS(text));
}

void choice_options(struct scenario *s, const struct line *l, struct market_choice *c)
{
    c->sku = option_name(s, l, "sku", c->sku);
    c->accelerator = option_name(s, l, "accelerator", c->accelerator);
    c->provider = option_name(s, l, "provider", c->provider);
    c->region = option_name(s, l, "region", c->region);
    c->zone = option_name(s, l, "zone", c->zone);
    c->speed_milli = option_milli(s, l, "speed", c->speed_milli);
    c->amounts.gpu_milli = option_milli(s, l, "gpus", c->amounts.gpu_milli);
    c->amounts.core_milli = option_milli(s, l, "cores", c->amounts.core_milli);
    c->amounts.memory_mib = option_count(s, l, "memory", c->amounts.memory_mib);
    c->amounts.disk_mib = option_count(s, l, "disk", c->amounts.disk_mib);
    option_labels(s, l, c->labels);
}

void alternative_options(struct scenario *s, const struct line *l, struct market_alternative *a)
{
    struct str level = line_option(l, 1, "level");
    if (level.data)
        a->level = level_of(s, level);
    a->racks = (uint32_t)option_count(s, l, "racks", a->racks);
    a->limit = option_money(s, l, "limit", a->limit);
    a->transfer = option_money(s, l, "transfer", a->transfer);
    a->transfer_cost = option_money(s, l, "transfer_cost", a->transfer_cost);
    a->extra_limit = option_money(s, l, "extra_limit", a->extra_limit);
}

static void role_options(struct scenario *s, const struct line *l, struct market_role *r)
{
    r->replicas_min = (uint32_t)option_count(s, l, "nodes", r->replicas_min);
    r->replicas_max = (uint32_t)option_count(s, l, "nodes_max", r->replicas_min);
}

static enum market_kind kind_of(const struct line *l)
{
    if (line_flag(l, 1, "firm"))
        return BID_FIRM;
    return line_flag(l, 1, "deadline") ? BID_DEADLINE : BID_PREEMPTIBLE;
}

void draft_begin(struct scenario *s, const struct line *l)
{
    struct draft *d = &s->draft;
    *d = (struct draft){.open = true, .head = *l, .count = count_of(s, l), .role = 1};
    d->step = option_money(s, l, "step", 0);
    d->in_group = d->count > 1;
    d->memory_step = option_count(s, l, "memory_step", 0);
    d->tenants = (uint64_t)option_count(s, l, "tenants", 1);
    d->choices[0][0] = (struct market_choice){.amounts = {.gpu_milli = 8000}, .speed_milli = 1000};
    d->alternatives[0] = (struct market_alternative){.limit = ONE};
    d->roles[0] = (struct market_role){1, 1};
    choice_options(s, l, &d->choices[0][0]);
    alternative_options(s, l, &d->alternatives[0]);
    role_options(s, l, &d->roles[0]);
    time_ms latest = option_time(s, l, "latest", -1), earliest = option_time(s, l, "earliest", -1);
    d->bid = (struct market_bid){
        .kind = kind_of(l),
        .role_count = 1,
        .alternative_count = 1,
        .notice = option_time(s, l, "notice", 1000),
        .restart_cost = option_money(s, l, "restart", 0),
        .minimum_run = option_time(s, l, "minimum_run", 0),
        .term = option_time(s, l, "term", 0),
        .renew = line_flag(l, 1, "renew"),
        .urgent = line_flag(l, 1, "urgent"),
        .run_time = option_time(s, l, "run_time", 0),
        .earliest = earliest < 0 ? 0 : s->w->started + earliest,
        .latest = latest < 0 ? TIME_NEVER : s->w->started + latest,
        .work_milli = option_milli(s, l, "work", 0),
        .limit_total = option_money(s, l, "limit_total", 0),
        .checkpoint = option_time(s, l, "checkpoint", 0),
        .startup = option_time(s, l, "startup", 0),
        .restart_measured = option_money(s, l, "restart_measured", 0),
        .tier = (uint32_t)option_count(s, l, "tier", 0),
        .reservation = option_name(s, l, "in", 0),
        .credits = line_flag(l, 1, "credits"),
    };
}

void draft_or(struct scenario *s, const struct line *l)
{
    struct draft *d = &s->draft;
    size_t i = d->bid.alternative_count++;
    if (!d->open || i == ALTERNATIVES_MAX)
        scenario_fail(s, "an 'or' line belongs to a bid, which has at most %d", ALTERNATIVES_MAX);
    d->alternatives[i] = d->alternatives[0];
    memcpy(d->choices[i], d->choices[0], sizeof d->choices[i]);
    choice_options(s, l, &d->choices[i][0]);
    alternative_options(s, l, &d->alternatives[i]);
    d->role = 1;
}

void draft_and(struct scenario *s, const struct line *l)
{
    struct draft *d = &s->draft;
    size_t i = d->bid.alternative_count - 1, role = d->role++;
    if (!d->open || role == ROLES_MAX)
        scenario_fail(s, "an 'and' line belongs to a bid, which has at most %d roles", ROLES_MAX);
    if (role == d->bid.role_count) {
        d->bid.role_count++;
        d->choices[i][role] =
            (struct market_choice){.amounts = {.gpu_milli = 8000}, .speed_milli = 1000};
        d->roles[role] = (struct market_role){1, 1};
    }
    choice_options(s, l, &d->choices[i][role]);
    role_options(s, l, &d->roles[role]);
}

static uint64_t request_key(const struct line *l, uint64_t i)
{
    struct str key = line_option(l, 1, "key");
    if (key.data == NULL)
        key = l->words[1];
    return hash_bytes(key.data, key.size) + i;
}

static market_id tenant_of(struct scenario *s, const struct draft *d, uint64_t i)
{
    struct str name = line_option(&d->head, 1, "tenant");
    return numbered(s, name.data ? name : STR("tenant"), i % d->tenants + 1, d->tenants);
}

void draft_end(struct scenario *s)
{
    struct draft *d = &s->draft;
    if (!d->open)
        return;
    d->open = false;
    market_id group = name_intern(&s->w->names, d->head.words[1]);
    struct market_choice choices[ALTERNATIVES_MAX][ROLES_MAX];
    for (uint64_t i = 0; i < d->count; i++) {
        struct market_bid bid = d->bid;
        uint64_t k = d->first + i;
        struct market_alternative alternatives[ALTERNATIVES_MAX];
        for (size_t a = 0; a < bid.alternative_count; a++) {
            alternatives[a] = d->alternatives[a];
            alternatives[a].limit += narrow_checked(d->step * (number)k);
            memcpy(choices[a], d->choices[a], sizeof choices[a]);
            choices[a][0].amounts.memory_mib += d->memory_step * (int64_t)k;
            alternatives[a].choices = choices[a];
        }
        bid.id = numbered(s, d->head.words[1], k + 1, d->in_group ? 0 : 1);
        bid.tenant = tenant_of(s, d, k);
        bid.request_key = request_key(&d->head, k);
        bid.roles = d->roles;
        bid.alternatives = alternatives;
        if (world_track(s->w, bid.id)) {
            if (!s->lenient)
                scenario_fail(s, "there is a bid '%s' already", name_text(&s->w->names, bid.id));
            continue;
        }
        if (d->in_group)
            group_add(s, group, bid.id);
        world_say(s->w, (struct market_command){.type = MARKET_BID_ADD, .bid = bid});
    }
    if (!s->in_batch)
        world_apply(s->w);
}

/* population NAME COUNT …: so many bids of this name are there; those that lack are added at the
 * end of the list, the last ones go where there are too many. */
void say_population(struct scenario *s, const struct line *l)
{
    uint64_t wanted = count_of(s, l), there = 0;
    struct group *g = group_find(s, name_find(&s->w->names, l->words[1]));
    bool was_batch = s->in_batch;
    s->in_batch = true;
    for (size_t i = 0; g && i < g->count; i++) {
        const struct track *t = world_track(s->w, g->members[i]);
        if (t->state == TRACK_OVER ||
            (t->state == TRACK_VACATING && t->reason == RELEASE_CANCELLED))
            continue;
        if (++there > wanted)
            world_say(s->w,
                      (struct market_command){.type = MARKET_BID_CANCEL, .change = {.bid = t->id}});
    }
    if (there < wanted) {
        draft_begin(s, l);
        s->draft.first = g ? g->count : 0;
        s->draft.count = wanted - there;
        s->draft.in_group = true;
        draft_end(s);
    }
    s->in_batch = was_batch;
}
