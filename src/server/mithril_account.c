/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks, with whom they work, their keys, and what their projects may have. */
#include "server/mithril.h"

static const char *role_text(enum engine_role role)
{
    switch ((int)role) {
    case ROLE_ADMIN:
        return "admin";
    case ROLE_OPERATOR:
        return "operator";
    case ROLE_MEMBER:
        return "member";
    default:
        return "viewer";
    }
}

/* Principals are names here; a client wants an address. */
static struct str email_of(const struct render *r, const struct engine_principal *p)
{
    _cleanup_buf_ struct buf text = BUF_INIT(512);
    if (memchr(p->name.data, '@', p->name.size))
        return p->name;
    for (size_t i = 0; i < p->name.size; i++) {
        char c = p->name.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
        buf_append_byte(&text, plain ? c : '-');
    }
    buf_append_text(&text, "@tessera.example");
    return arena_str(r->arena, buf_str(&text));
}

static const struct engine_principal *principal_of(const struct engine *e, const struct api_call *call)
{
    const struct engine_key *key = engine_key(e, call->who.key);
    return key ? engine_principal(e, key->principal) : NULL;
}

static void person_render(struct buf *out, const struct render *r, const struct engine_principal *p)
{
    member_id(out, r, "id", "user", p->id);
    member_id(out, r, "fid", "user", p->id);
    member_text(out, "email", email_of(r, p));
    member_text(out, "user_name", p->name);
}

void mithril_me(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    const struct engine_principal *p = principal_of(view->engine, call);
    if (p == NULL) {
        call_refuse(call, 401, NULL, "the key has been revoked");
        return;
    }
    json_open(&out, '{');
    person_render(&out, &r, p);
    member_id(&out, &r, "organization_id", "org", 1);
    member_text(&out, "organization_role", str_from(role_text(call->who.role)));
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

/* ---- teammates ---- */

/* What somebody's keys together give. */
struct reach {
    enum engine_role role;
    bool all, shared, any;
};

static bool key_counts(const struct engine_key *k)
{
    return k->role >= ROLE_VIEWER && k->role <= ROLE_ADMIN;
}

static struct reach reach_of(const struct api_call *call, const struct engine *e, engine_id principal)
{
    struct reach reach = {.role = ROLE_NONE};
    for (size_t i = 0; i < engine_key_count(e); i++) {
        const struct engine_key *k = engine_key_at(e, i);
        if (k->principal != principal || k->revoked || !key_counts(k))
            continue;
        reach.any = true;
        reach.role = MAX(reach.role, k->role);
        reach.all |= k->project == 0;
        reach.shared |= k->project == 0 || call_sees(call, k->project);
    }
    return reach;
}

static bool principal_in(const struct engine *e, engine_id principal, engine_id project)
{
    for (size_t i = 0; i < engine_key_count(e); i++) {
        const struct engine_key *k = engine_key_at(e, i);
        if (k->principal == principal && k->project == project && !k->revoked && key_counts(k))
            return true;
    }
    return false;
}

static void teammate_render(struct buf *out, const struct api_call *call, const struct render *r, const struct engine_principal *p)
{
    struct reach reach = reach_of(call, r->engine, p->id);
    if (!reach.any || !reach.shared)
        return;
    json_open(out, '{');
    person_render(out, r, p);
    member_text(out, "organization_role", str_from(role_text(reach.role)));
    json_key(out, "project_ids");
    json_open(out, '[');
    for (size_t i = 0; i < engine_project_count(r->engine); i++) {
        engine_id project = engine_project_at(r->engine, i)->id;
        struct id_text text = id_format(r->ids, "proj", project);
        if (call_sees(call, project) && (reach.all || principal_in(r->engine, p->id, project)))
            json_text(out, text.text);
    }
    json_close(out, ']');
    member_null(out, "deactivated_at");
    json_close(out, '}');
}

void mithril_teammates(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    json_open(&out, '[');
    const struct engine_principal *p;
    for (engine_id id = 1; (p = engine_principal(view->engine, id)); id++)
        if (p->kind != PRINCIPAL_AGENT)
            teammate_render(&out, call, &r, p);
    json_close(&out, ']');
    mithril_answer(call, 200, &out);
}

void mithril_project_list(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    json_open(&out, '[');
    for (size_t i = 0; i < engine_project_count(view->engine); i++) {
        const struct engine_project *p = engine_project_at(view->engine, i);
        if (!call_sees(call, p->id))
            continue;
        json_open(&out, '{');
        member_id(&out, &r, "fid", "proj", p->id);
        member_text(&out, "name", p->name);
        member_time(&out, "created_at", MAX(p->created, 1));
        json_close(&out, '}');
    }
    json_close(&out, ']');
    mithril_answer(call, 200, &out);
}

/* ---- API keys: one's own ---- */

#define NO_END ((time_ms)253402300799000) /* a key that never ends says the last second of the year 9999 */

static void key_render(struct buf *out, const struct render *r, const struct engine_key *k, struct str secret)
{
    struct str snippet = arena_str(r->arena, k->snippet);
    json_open(out, '{');
    member_id(out, r, "fid", "apikey", k->id);
    member_text(out, "name", k->name.size ? k->name : snippet);
    member_time(out, "created_at", MAX(k->created, 1));
    member_time(out, "expires_at", k->expires ? k->expires : NO_END);
    member_time(out, "deactivated_at", k->revoked ? MAX(k->revoked_at, 1) : 0);
    member_text(out, "snippet", snippet);
    if (secret.size)
        member_text(out, "secret", secret);
    json_close(out, '}');
}

static bool key_own(const struct engine *e, const struct api_call *call, const struct engine_key *k)
{
    const struct engine_key *mine = engine_key(e, call->who.key);
    return mine && k->principal == mine->principal && !k->session && key_counts(k);
}

void mithril_key_list(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    json_open(&out, '[');
    for (size_t i = 0; i < engine_key_count(view->engine); i++)
        if (key_own(view->engine, call, engine_key_at(view->engine, i)))
            key_render(&out, &r, engine_key_at(view->engine, i), (struct str){0});
    json_close(&out, ']');
    mithril_answer(call, 200, &out);
}

static void key_made(struct api_call *call, const struct core_answer *answer)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = answer_render(call, answer);
    if (answer->outcomes[0].code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, &answer->outcomes[0]);
        return;
    }
    key_render(&out, &r, engine_key(answer->engine, answer->outcomes[0].id), str_from(call->own));
    mithril_answer(call, 201, &out);
}

void mithril_key_create(struct api_call *call, const struct core_view *view)
{
    const struct mithril_api_key_create *create = call->input;
    const struct engine_principal *p = principal_of(view->engine, call);
    time_ms expires;
    if (!mithril_body_time(call, "expires_at", create->expires_at, &expires))
        return;
    if (expires <= view->now || p == NULL) {
        call_refuse(call, 400, NULL, "expires_at: it is in the past");
        return;
    }
    struct engine_command *command = key_command(call, call->who.role, 0);
    command->key.expires = expires;
    command->key.project = call->who.project;
    command->key.kind = p->kind;
    command->key.principal = arena_str(call_arena(call), p->name);
    command->key.name = create->name;
    call_push(call, command, 1, key_made);
}

static void key_gone(struct api_call *call, const struct core_answer *answer)
{
    (void)answer;
    mithril_answer_empty(call);
}

void mithril_key_delete(struct api_call *call, const struct core_view *view)
{
    uint64_t id = mithril_path_id(call, "apikey", "API key");
    const struct engine_key *k = id ? engine_key(view->engine, id) : NULL;
    if (id == 0)
        return;
    if (k == NULL || !key_own(view->engine, call, k)) {
        call_refuse(call, 404, NULL, "API key not found");
        return;
    }
    if (k->revoked) {
        call_refuse(call, 400, NULL, "API key is deactivated already");
        return;
    }
    struct engine_command *command = call_alloc(call, sizeof *command);
    command->type = ENGINE_KEY_REVOKE;
    command->revoke = id;
    call_push(call, command, 1, key_gone);
}

/* ---- quotas ---- */

bool mithril_quota_refused(struct api_call *call, const struct engine *e, const struct engine_outcome *outcome)
{
    struct error err = {0};
    if (outcome->code != ENGINE_QUOTA)
        return false;
    outcome_error(e, outcome, &err);
    call_refuse(call, 400, NULL, "%s", err.text);
    return true;
}

/* What a project may have of it: the least that its quotas allow, at most `fallback`. */
static int64_t quota_total(const struct engine_project *p, enum engine_quota_kind kind, struct str type, int64_t fallback)
{
    int64_t total = -1;
    for (size_t i = 0; i < p->quota_count; i++) {
        const struct engine_quota *q = &p->quotas[i];
        if (q->kind == kind && (q->type.size == 0 || str_equal(q->type, type)))
            total = total < 0 ? q->total : MIN(total, q->total);
    }
    return total < 0 ? fallback : total;
}

struct quota_row {
    engine_id project;
    uint64_t number;
    int64_t total, used;
    const char *product, *units;
    market_id sku;
    struct str name;
};

static void quota_render(struct buf *out, const struct render *r, const struct quota_row *row)
{
    json_open(out, '{');
    member_id(out, r, "fid", "quota", row->project * 4096 + row->number);
    member_id(out, r, "project", "proj", row->project);
    member_id(out, r, "instance_type", "it", row->sku);
    member_text(out, "product_type", str_from(row->product));
    member_integer(out, "total_quantity", row->total);
    member_integer(out, "used_quantity", row->used);
    member_text(out, "units", str_from(row->units));
    member_text(out, "name", row->name);
    json_close(out, '}');
}

#define STORAGE_MOST ((int64_t)2 << 20) /* GB: where no quota is set */

static void offer_quota(struct buf *out, const struct render *r, engine_id project, const struct offer *o, bool reserved)
{
    enum engine_quota_kind kind = reserved ? ENGINE_QUOTA_RESERVED : ENGINE_QUOTA_INSTANCES;
    struct str type = engine_name(r->engine, NAME_SKU, o->sku);
    quota_render(out, r, &(struct quota_row){.project = project, .number = o->sku + (reserved ? 2048 : 0), .product = reserved ? "Reservations" : "Spot",
        .total = quota_total(engine_project(r->engine, project), kind, type, o->nodes), .units = "instances", .sku = o->sku, .name = type,
        .used = div_ceil(engine_quota_used(r->engine, project, kind, type), 1000)});
}

/* A type stands in several zones, and its quota is of all of them. */
static void offers_merge(struct offers *offers)
{
    size_t kept = 0;
    for (size_t i = 0; i < offers->count; i++) {
        size_t at = 0;
        while (at < kept && offers->items[at].sku != offers->items[i].sku)
            at++;
        if (at == kept)
            offers->items[kept++] = offers->items[i];
        else
            offers->items[at].nodes += offers->items[i].nodes;
    }
    offers->count = kept;
}

void mithril_quota_list(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    struct offers offers = offers_find(&r);
    engine_id project = mithril_project_needed(call);
    if (project == 0)
        return;
    offers_merge(&offers);
    json_open(&out, '[');
    for (size_t i = 0; i < 2 * offers.count; i++)
        offer_quota(&out, &r, project, &offers.items[i / 2], i % 2);
    struct quota_row row = {.project = project, .number = 4095, .product = "Storage", .units = "GB", .name = STR("storage"),
        .total = quota_total(engine_project(view->engine, project), ENGINE_QUOTA_STORAGE, (struct str){0}, STORAGE_MOST),
        .used = engine_quota_used(view->engine, project, ENGINE_QUOTA_STORAGE, (struct str){0}) / 1000};
    quota_render(&out, &r, &row);
    json_close(&out, ']');
    mithril_answer(call, 200, &out);
}
