/* SPDX-License-Identifier: Apache-2.0 */
/* What a registration says of a node: whether it may, what the market is told, and a copy of it. */
#include "base/sort.h"
#include "engine/engine_internal.h"

#define NODE_TEXTS 11

bool facts_amounts_hold(const struct market_amounts *have, const struct market_amounts *want)
{
    return have->gpu_milli >= want->gpu_milli && have->core_milli >= want->core_milli &&
           have->memory_mib >= want->memory_mib && have->disk_mib >= want->disk_mib;
}

static bool amounts_equal(const struct market_amounts *a, const struct market_amounts *b)
{
    return facts_amounts_hold(a, b) && facts_amounts_hold(b, a);
}

static bool place_equal(const struct market_place *a, const struct market_place *b)
{
    return a->provider == b->provider && a->region == b->region && a->zone == b->zone && a->fabric == b->fabric && a->rack == b->rack;
}

bool facts_spec_equal(const struct market_node *a, const struct market_node *b)
{
    return a->sku == b->sku && a->accelerator == b->accelerator && place_equal(&a->place, &b->place) &&
           amounts_equal(&a->amounts, &b->amounts) && a->only_tenant == b->only_tenant &&
           memcmp(a->labels, b->labels, sizeof a->labels) == 0;
}

/* ---- checks ---------------------------------------------------------------------------------------------- */

static struct engine_outcome check_amounts(const struct market_amounts *a)
{
    if (a->gpu_milli < 0 || a->gpu_milli > MARKET_NODE_GPUS_MAX * 1000 || a->gpu_milli % 1000)
        return outcome_bound("amounts.gpu_milli", a->gpu_milli, 0, MARKET_NODE_GPUS_MAX * 1000);
    if (a->core_milli < 0 || a->core_milli > INT32_MAX || (a->core_milli == 0 && a->gpu_milli == 0))
        return outcome_bound("amounts.core_milli", a->core_milli, a->gpu_milli == 0, INT32_MAX);
    if (a->memory_mib < 0 || a->memory_mib > INT32_MAX)
        return outcome_bound("amounts.memory_mib", a->memory_mib, 0, INT32_MAX);
    if (a->disk_mib < 0 || a->disk_mib > INT64_C(1) << 40)
        return outcome_bound("amounts.disk_mib", a->disk_mib, 0, INT64_C(1) << 40);
    return outcome_ok(0);
}

static bool key_lives(const struct engine *e, engine_id id)
{
    const struct key *k = engine_key_find(e, id);
    return k && !k->view.revoked && (k->view.expires == 0 || k->view.expires > e->now);
}

static struct engine_outcome check_key(const struct engine *e, engine_id key, const struct node *old)
{
    if (key) {
        const struct key *k = engine_key_find(e, key);
        if (!key_lives(e, key) || k->view.role != ROLE_AGENT)
            return outcome_of(ENGINE_FORBIDDEN, "key");
        if (k->view.node && (old == NULL || k->view.node != old->view.id))
            return outcome_of(ENGINE_FORBIDDEN, "name");
    }
    if (old && old->view.key && old->view.key != key && key_lives(e, old->view.key))
        return outcome_of(ENGINE_CONFLICT, "name");
    return outcome_ok(0);
}

static struct market_amounts leased(const struct engine *e, const struct node *n)
{
    struct market_amounts sum = {0};
    for (size_t i = 0; i < n->view.replica_count; i++) {
        const struct engine_replica_ref *ref = &n->refs[i];
        const struct engine_replica *r = workload_replica_find(workload_find(e, ref->workload), ref->role, ref->rank);
        sum.gpu_milli += r->amounts.gpu_milli;
        sum.core_milli += r->amounts.core_milli;
        sum.memory_mib += r->amounts.memory_mib;
        sum.disk_mib += r->amounts.disk_mib;
    }
    return sum;
}

/* What stays under work that goes on. */
static struct engine_outcome check_leased(const struct engine *e, const struct engine_command *c, const struct node *n)
{
    const struct {
        struct str was, is;
        const char *name;
    } fixed[] = {
        {n->view.sku, c->node.sku, "sku"},           {n->view.accelerator, c->node.accelerator, "accelerator"},
        {n->view.provider, c->node.provider, "place.provider"}, {n->view.region, c->node.region, "place.region"},
        {n->view.zone, c->node.zone, "place.zone"},  {n->view.fabric, c->node.fabric, "place.fabric"},
        {n->view.rack, c->node.rack, "place.rack"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(fixed); i++)
        if (!str_equal(fixed[i].was, fixed[i].is))
            return outcome_of(ENGINE_CONFLICT, fixed[i].name);
    if (c->node.unconfined != n->view.unconfined || (c->node.unconfined && c->node.project != n->view.project))
        return outcome_of(ENGINE_CONFLICT, "unconfined");
    struct market_amounts least = leased(e, n);
    const struct market_amounts *a = &c->node.amounts;
    if (a->gpu_milli < least.gpu_milli)
        return outcome_bound("amounts.gpu_milli", a->gpu_milli, least.gpu_milli, MARKET_NODE_GPUS_MAX * 1000);
    if (a->core_milli < least.core_milli)
        return outcome_bound("amounts.core_milli", a->core_milli, least.core_milli, INT32_MAX);
    if (a->memory_mib < least.memory_mib)
        return outcome_bound("amounts.memory_mib", a->memory_mib, least.memory_mib, INT32_MAX);
    if (a->disk_mib < least.disk_mib)
        return outcome_bound("amounts.disk_mib", a->disk_mib, least.disk_mib, INT64_C(1) << 40);
    return outcome_ok(0);
}

static struct engine_outcome check_lists(const struct engine_command *c)
{
    if (c->node.label_count > MARKET_LABELS_MAX)
        return outcome_bound("labels", (int64_t)c->node.label_count, 0, MARKET_LABELS_MAX);
    if (c->node.gpu_count > MARKET_NODE_GPUS_MAX)
        return outcome_bound("gpus", (int64_t)c->node.gpu_count, 0, MARKET_NODE_GPUS_MAX);
    for (size_t i = 0; i < c->node.label_count; i++)
        if (c->node.labels[i].size == 0)
            return outcome_of(ENGINE_INVALID, "labels");
    return outcome_ok(0);
}

struct engine_outcome facts_check(const struct engine *e, const struct engine_command *c, const struct node *old)
{
    if (c->node.name.size == 0)
        return outcome_of(ENGINE_INVALID, "name");
    if (c->node.sku.size == 0)
        return outcome_of(ENGINE_INVALID, "sku");
    if (c->node.ask_present && (c->node.ask < 0 || c->node.ask > MARKET_RATE_MAX))
        return outcome_bound("ask_udollar_per_hour", c->node.ask, 0, MARKET_RATE_MAX);
    if (c->node.unconfined && (c->node.project == 0 || c->node.project > e->project_count))
        return outcome_of(ENGINE_NOT_FOUND, "project");
    struct engine_outcome outcome = check_amounts(&c->node.amounts);
    if (outcome.code == ENGINE_OK)
        outcome = check_lists(c);
    if (outcome.code == ENGINE_OK)
        outcome = check_key(e, c->node.key, old);
    bool goes_on = old && !old->lost && str_equal(old->view.boot, c->node.boot) && old->view.replica_count;
    return outcome.code == ENGINE_OK && goes_on ? check_leased(e, c, old) : outcome;
}

/* ---- for the market ------------------------------------------------------------------------------------------ */

static int id_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const market_id *a = x, *b = y;
    return COMPARE(*a, *b);
}

static void spec_labels(struct engine *e, const struct engine_command *c, market_id labels[MARKET_LABELS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < c->node.label_count; i++) {
        market_id id = name_make(e, NAME_LABEL, 0, c->node.labels[i]);
        size_t j = 0;
        while (j < count && labels[j] != id)
            j++;
        if (j == count)
            labels[count++] = id;
    }
    sort(labels, count, sizeof *labels, id_compare, NULL);
}

static udollar spec_ask(const struct engine_command *c, const struct node *n)
{
    if (n->view.registered && (!c->node.ask_present || c->node.ask == n->ask_told))
        return n->view.ask;
    return c->node.ask_present ? c->node.ask : 0;
}

struct market_node facts_spec(struct engine *e, const struct engine_command *c, const struct node *n)
{
    struct market_node spec = {.id = n->view.id, .amounts = c->node.amounts, .ask = spec_ask(c, n)};
    spec.sku = name_make(e, NAME_SKU, 0, c->node.sku);
    spec.accelerator = c->node.accelerator.size ? name_make(e, NAME_ACCELERATOR, 0, c->node.accelerator) : 0;
    spec.place.provider = name_make(e, NAME_PROVIDER, 0, c->node.provider);
    spec.place.region = name_make(e, NAME_REGION, spec.place.provider, c->node.region);
    spec.place.zone = name_make(e, NAME_ZONE, spec.place.region, c->node.zone);
    spec.place.fabric = name_make(e, NAME_FABRIC, spec.place.zone, c->node.fabric);
    spec.place.rack = name_make(e, NAME_RACK, spec.place.fabric, c->node.rack);
    spec.seller = spec.place.provider;
    spec.only_tenant = c->node.unconfined ? c->node.project : 0;
    spec_labels(e, c, spec.labels);
    return spec;
}

/* ---- a copy ---------------------------------------------------------------------------------------------------- */

static size_t texts_size(const struct str *texts, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += texts[i].size;
    return size;
}

static char *text_move(char *at, struct str *text)
{
    if (text->size)
        memcpy(at, text->data, text->size);
    text->data = at;
    return at + text->size;
}

/* Into one block: the arrays first, the texts behind them. */
static void block_own(struct node *n, struct str *const texts[NODE_TEXTS])
{
    struct engine_node *v = &n->view;
    size_t lists = (v->label_count + v->missing_count) * sizeof(struct str), gpus = v->gpu_count * sizeof(struct engine_gpu);
    size_t size = lists + gpus + texts_size(v->labels, v->label_count) + texts_size(v->missing, v->missing_count);
    for (size_t i = 0; i < NODE_TEXTS; i++)
        size += texts[i]->size;
    for (size_t i = 0; i < v->gpu_count; i++)
        size += v->gpus[i].uuid.size + v->gpus[i].model.size;
    char *block = xcalloc(1, size + 1), *at = block + lists + gpus;
    struct str *list = (struct str *)(void *)block;
    struct engine_gpu *gpu = (struct engine_gpu *)(void *)(block + lists);
    for (size_t i = 0; i < NODE_TEXTS; i++)
        at = text_move(at, texts[i]);
    for (size_t i = 0; i < v->label_count + v->missing_count; i++) {
        list[i] = i < v->label_count ? v->labels[i] : v->missing[i - v->label_count];
        at = text_move(at, &list[i]);
    }
    for (size_t i = 0; i < v->gpu_count; i++) {
        gpu[i] = v->gpus[i];
        at = text_move(at, &gpu[i].uuid);
        at = text_move(at, &gpu[i].model);
    }
    v->labels = list;
    v->missing = list + v->label_count;
    v->gpus = gpu;
    xfree(n->block);
    n->block = block;
}

void facts_own(struct engine *e, struct node *n, const struct engine_command *c)
{
    struct engine_node *v = &n->view;
    v->name = c->node.name;
    v->version = c->node.version;
    v->boot = c->node.boot;
    v->address = c->node.address;
    v->sku = c->node.sku;
    v->accelerator = c->node.accelerator;
    v->provider = c->node.provider;
    v->region = c->node.region;
    v->zone = c->node.zone;
    v->fabric = c->node.fabric;
    v->rack = c->node.rack;
    v->amounts = c->node.amounts;
    v->labels = c->node.labels;
    v->label_count = c->node.label_count;
    v->missing = c->node.missing;
    v->missing_count = c->node.missing_count;
    v->gpus = c->node.gpus;
    v->gpu_count = c->node.gpu_count;
    v->unconfined = c->node.unconfined;
    v->project = c->node.unconfined ? c->node.project : 0;
    block_own(n, (struct str *const[NODE_TEXTS]){&v->name, &v->version, &v->boot, &v->address, &v->sku, &v->accelerator,
        &v->provider, &v->region, &v->zone, &v->fabric, &v->rack});
    n->address = name_make(e, NAME_ADDRESS, 0, v->address);
}
