/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas: what a project may have at a time. They are looked at when something new is asked for, in the order
 * in which the commands come, so that no two of them pass together; what is there already stays. */
#include "engine/engine_internal.h"

#define MILLI 1000

static const char *const kind_names[ENGINE_QUOTA_KINDS] = {"instances", "GPUs", "cores", "bids", "reserved machines", "volumes", "GB of storage"};

bool engine_quota_typed(enum engine_quota_kind kind)
{
    return kind != ENGINE_QUOTA_VOLUMES && kind != ENGINE_QUOTA_STORAGE;
}

/* ---- what a bid may take ------------------------------------------------------------------------------------- */

/* Of one replica: the most that any alternative takes; the SKU where all name the same. */
static void quota_choices(const struct market_choice *const *choices, size_t count, struct market_amounts *ret, market_id *ret_sku)
{
    *ret = (struct market_amounts){0};
    *ret_sku = count ? choices[0]->sku : 0;
    for (size_t i = 0; i < count; i++) {
        ret->gpu_milli = MAX(ret->gpu_milli, choices[i]->amounts.gpu_milli);
        ret->core_milli = MAX(ret->core_milli, choices[i]->amounts.core_milli);
        if (choices[i]->sku != *ret_sku)
            *ret_sku = 0;
    }
}

void quota_asked_set(struct engine_workload *w, const struct market_bid *bid)
{
    const struct market_choice *choices[MARKET_ALTERNATIVES_MAX];
    for (size_t i = 0; i < bid->alternative_count; i++)
        choices[i] = &bid->alternatives[i].choices[0];
    struct market_amounts each;
    quota_choices(choices, bid->alternative_count, &each, &w->sku);
    w->nodes_most = MAX(bid->roles[0].replicas_max, w->nodes);
    w->asked_gpu_milli = each.gpu_milli * w->nodes_most;
    w->asked_core_milli = each.core_milli * w->nodes_most;
}

/* ---- use -------------------------------------------------------------------------------------------------------- */

/* Machines of a reservation count as reserved. */
static int64_t workload_use(const struct engine_workload *w, enum engine_quota_kind kind)
{
    if (w->instance && w->reservation)
        return 0;
    switch ((int)kind) {
    case ENGINE_QUOTA_INSTANCES:
        return w->instance ? (int64_t)w->nodes_most * MILLI : 0;
    case ENGINE_QUOTA_GPUS:
        return w->asked_gpu_milli;
    case ENGINE_QUOTA_CORES:
        return w->asked_core_milli;
    case ENGINE_QUOTA_BIDS:
        return MILLI;
    default:
        return 0;
    }
}

static int64_t workloads_use(const struct engine *e, engine_id project, enum engine_quota_kind kind, market_id sku)
{
    int64_t used = 0;
    for (engine_id id = 0; (id = id_set_after(&e->live, id));) {
        const struct engine_workload *w = &workload_find(e, id)->view;
        if (w->project == project && (sku == 0 || w->sku == 0 || w->sku == sku))
            used += workload_use(w, kind);
    }
    return used;
}

static int64_t reservations_use(const struct engine *e, engine_id project, market_id sku)
{
    int64_t used = 0;
    for (size_t i = 0; i < e->reservation_count; i++) {
        const struct engine_reservation *r = &e->reservations[i]->view;
        if (r->project == project && r->ended == 0 && (sku == 0 || r->choice.sku == 0 || r->choice.sku == sku))
            used += (int64_t)r->nodes * MILLI;
    }
    return used;
}

static int64_t volumes_use(const struct engine *e, engine_id project, enum engine_quota_kind kind)
{
    int64_t used = 0;
    for (size_t i = 0; i < e->object_count; i++) {
        const struct engine_object *o = &e->objects[i]->view;
        if (o->project == project && o->kind == OBJECT_VOLUME && !o->deleted)
            used += (kind == ENGINE_QUOTA_STORAGE ? o->size : 1) * MILLI;
    }
    return used;
}

int64_t engine_quota_used(const struct engine *e, engine_id project, enum engine_quota_kind kind, struct str type)
{
    market_id sku = type.size ? name_find(e, NAME_SKU, 0, type) : 0;
    if (type.size && sku == 0)
        return 0;
    if (!engine_quota_typed(kind))
        return volumes_use(e, project, kind);
    return kind == ENGINE_QUOTA_RESERVED ? reservations_use(e, project, sku) : workloads_use(e, project, kind, sku);
}

/* ---- whether more may come --------------------------------------------------------------------------------------- */

static struct engine_outcome quota_refused(const struct engine_quota *q, int64_t used)
{
    _cleanup_buf_ struct buf text = BUF_INIT(ENGINE_FIELD_MAX - 1);
    buf_append_text(&text, kind_names[q->kind]);
    if (q->type.size) {
        buf_append_text(&text, " of ");
        buf_append_str(&text, q->type);
    }
    struct engine_outcome outcome = outcome_of(ENGINE_QUOTA, buf_text(&text));
    outcome.numbers[0] = used;
    outcome.numbers[1] = q->total;
    return outcome;
}

static struct engine_outcome quota_check(const struct engine *e, engine_id project, enum engine_quota_kind kind, market_id sku, int64_t more)
{
    const struct engine_project *p = &e->projects[project - 1].view;
    for (size_t i = 0; more > 0 && i < p->quota_count; i++) {
        const struct engine_quota *q = &p->quotas[i];
        market_id wanted = q->type.size ? name_find(e, NAME_SKU, 0, q->type) : 0;
        if (q->kind != kind || (q->type.size && sku && sku != wanted))
            continue;
        int64_t used = engine_quota_used(e, project, kind, q->type) + more;
        if (used > q->total * MILLI)
            return quota_refused(q, used);
    }
    return outcome_ok(0);
}

struct engine_outcome quota_workload_check(const struct engine *e, const struct engine_workload *w)
{
    struct engine_outcome outcome = outcome_ok(0);
    for (int kind = 0; kind < ENGINE_QUOTA_KINDS && outcome.code == ENGINE_OK; kind++)
        outcome = quota_check(e, w->project, (enum engine_quota_kind)kind, w->sku, workload_use(w, (enum engine_quota_kind)kind));
    return outcome;
}

struct engine_outcome quota_reservation_check(const struct engine *e, engine_id project, const struct market_reservation *shape)
{
    return quota_check(e, project, ENGINE_QUOTA_RESERVED, shape->choice.sku, (int64_t)shape->replicas * MILLI);
}

struct engine_outcome quota_object_check(const struct engine *e, const struct engine_object *o)
{
    if (o->kind != OBJECT_VOLUME || o->project == 0)
        return outcome_ok(0);
    struct engine_outcome outcome = quota_check(e, o->project, ENGINE_QUOTA_VOLUMES, 0, MILLI);
    return outcome.code == ENGINE_OK ? quota_check(e, o->project, ENGINE_QUOTA_STORAGE, 0, o->size * MILLI) : outcome;
}

/* ---- set ------------------------------------------------------------------------------------------------------------ */

static size_t quota_index(const struct project *p, enum engine_quota_kind kind, struct str type)
{
    size_t at = 0;
    while (at < p->view.quota_count && (p->quotas[at].kind != kind || !str_equal(p->quotas[at].type, type)))
        at++;
    return at;
}

void quota_put(struct project *p, enum engine_quota_kind kind, struct str type, int64_t total)
{
    size_t at = quota_index(p, kind, type);
    if (at == p->view.quota_count) {
        struct engine_quota *made = xcalloc(at + 1, sizeof *made);
        if (at)
            memcpy(made, p->quotas, at * sizeof *made);
        made[at] = (struct engine_quota){.kind = kind, .type = type};
        texts_own((struct str *const[]){&made[at].type}, 1);
        xfree(p->quotas);
        p->view.quotas = p->quotas = made;
        p->view.quota_count++;
    }
    p->quotas[at].total = total;
}

static void quota_text_free(const struct engine_quota *q)
{
    char *text;
    memcpy(&text, &q->type.data, sizeof text); /* owned, read-only to others */
    xfree(text);
}

static void quota_lift(struct project *p, enum engine_quota_kind kind, struct str type)
{
    size_t at = quota_index(p, kind, type);
    if (at == p->view.quota_count)
        return;
    quota_text_free(&p->quotas[at]);
    memmove(p->quotas + at, p->quotas + at + 1, (p->view.quota_count - at - 1) * sizeof *p->quotas);
    p->view.quota_count--;
}

void quotas_free(struct project *p)
{
    for (size_t i = 0; i < p->view.quota_count; i++)
        quota_text_free(&p->quotas[i]);
    xfree(p->quotas);
}

struct engine_outcome engine_quota_set(struct engine *e, const struct engine_command *c)
{
    if (c->quota.project == 0 || c->quota.project > e->project_count)
        return outcome_of(ENGINE_NOT_FOUND, "project");
    struct project *p = &e->projects[c->quota.project - 1];
    if ((unsigned)c->quota.kind >= ENGINE_QUOTA_KINDS)
        return outcome_of(ENGINE_INVALID, "kind");
    if (c->quota.type.size > ENGINE_QUOTA_TYPE_MAX || (c->quota.type.size && !engine_quota_typed(c->quota.kind)))
        return outcome_of(ENGINE_INVALID, "type");
    if (c->quota.limited && (c->quota.total < 0 || c->quota.total > ENGINE_QUOTA_MOST))
        return outcome_bound("total", c->quota.total, 0, ENGINE_QUOTA_MOST);
    bool there = quota_index(p, c->quota.kind, c->quota.type) < p->view.quota_count;
    if (c->quota.limited && !there && p->view.quota_count == ENGINE_QUOTAS_MAX)
        return outcome_bound("quotas", ENGINE_QUOTAS_MAX + 1, 0, ENGINE_QUOTAS_MAX);
    if (c->quota.limited)
        quota_put(p, c->quota.kind, c->quota.type, c->quota.total);
    else
        quota_lift(p, c->quota.kind, c->quota.type);
    engine_project_event(e, ENGINE_EVENT_PROJECT_CHANGED, &p->view);
    return outcome_ok(p->view.id);
}
