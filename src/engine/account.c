/* SPDX-License-Identifier: Apache-2.0 */
/* Projects, principals and keys. */
#include "engine/engine_internal.h"

char *texts_own(struct str *const texts[], size_t count)
{
    size_t size = 1;
    for (size_t i = 0; i < count; i++)
        size += texts[i]->size + 1;
    char *block = xcalloc(1, size), *at = block;
    for (size_t i = 0; i < count; i++) {
        if (texts[i]->size)
            memcpy(at, texts[i]->data, texts[i]->size);
        texts[i]->data = at;
        at += texts[i]->size + 1;
    }
    return block;
}

/* ---- projects ---------------------------------------------------------------------------------------------- */

struct project *engine_project_add(struct engine *e, struct str name)
{
    ARRAY_RESERVE(e->projects, e->project_count, e->project_capacity);
    struct project *p = &e->projects[e->project_count++];
    *p = (struct project){.view = {.id = e->project_count, .organization = 1, .name = name, .created = e->now}};
    p->text = texts_own((struct str *const[]){&p->view.name}, 1);
    str_map_set(&e->project_by_name, name, p->view.id);
    return p;
}

static void budget_tell(struct engine *e, const struct engine_project *p)
{
    struct market_command c = {.type = MARKET_ACCOUNT_SET, .account = {p->id, p->limited, p->budget}};
    batch_add(e, &c);
}

void engine_project_event(struct engine *e, enum engine_event_type type, const struct engine_project *p)
{
    struct engine_event *event = engine_event_add(e, type);
    event->project = p->id;
    event->limit = p->limited;
    event->amount = p->budget;
    event->text = text_keep(e, p->name);
}

struct engine_outcome engine_project_create(struct engine *e, const struct engine_command *c)
{
    if (c->project.name.size == 0)
        return outcome_of(ENGINE_INVALID, "name");
    if (str_map_get(&e->project_by_name, c->project.name))
        return outcome_of(ENGINE_CONFLICT, "name");
    if (c->project.limited && c->project.budget < 0)
        return outcome_bound("budget_udollar", c->project.budget, 0, INT64_MAX);
    struct engine_project *p = &engine_project_add(e, c->project.name)->view;
    p->limited = c->project.limited;
    p->budget = p->limited ? c->project.budget : 0;
    if (p->limited)
        budget_tell(e, p);
    engine_project_event(e, ENGINE_EVENT_PROJECT_CREATED, p);
    return outcome_ok(p->id);
}

struct engine_outcome engine_project_set(struct engine *e, const struct engine_command *c)
{
    if (c->project.project == 0 || c->project.project > e->project_count)
        return outcome_of(ENGINE_NOT_FOUND, "project");
    if (c->project.limited && c->project.budget < 0)
        return outcome_bound("budget_udollar", c->project.budget, 0, INT64_MAX);
    struct engine_project *p = &e->projects[c->project.project - 1].view;
    p->limited = c->project.limited;
    p->budget = p->limited ? c->project.budget : 0;
    budget_tell(e, p);
    engine_project_event(e, ENGINE_EVENT_PROJECT_CHANGED, p);
    return outcome_ok(p->id);
}

/* ---- budgets ------------------------------------------------------------------------------------------------- */

static const int budget_levels[] = {80, 100};

static int budget_level(const struct engine *e, const struct engine_project *p)
{
    int level = 0;
    if (!p->limited || p->budget == 0)
        return 0;
    int128 spent = (int128)market_spent(e->market, p->id) * 100;
    for (size_t i = 0; i < ARRAY_COUNT(budget_levels); i++)
        if (spent >= (int128)p->budget * budget_levels[i])
            level = budget_levels[i];
    return level;
}

static void budget_event(struct engine *e, const struct engine_project *p, int level)
{
    struct engine_event *event = engine_event_add(e, ENGINE_EVENT_BUDGET);
    event->project = p->id;
    event->value = level;
    event->amount = market_spent(e->market, p->id);
    event->limit = p->budget;
}

void engine_budgets_watch(struct engine *e)
{
    for (size_t i = 0; i < e->project_count; i++) {
        struct project *p = &e->projects[i];
        int before = p->level;
        p->level = budget_level(e, &p->view);
        for (size_t k = 0; k < ARRAY_COUNT(budget_levels); k++)
            if (before < budget_levels[k] && p->level >= budget_levels[k])
                budget_event(e, &p->view, budget_levels[k]);
    }
}

void engine_budgets_restore(struct engine *e)
{
    for (size_t i = 0; i < e->project_count; i++)
        e->projects[i].level = budget_level(e, &e->projects[i].view);
}

/* ---- principals and keys -------------------------------------------------------------------------------------- */

static engine_id principal_find(const struct engine *e, enum engine_principal_kind kind, struct str name, struct buf *key)
{
    buf_append_byte(key, (char)kind);
    buf_append_str(key, name);
    return str_map_get(&e->principal_by_name, buf_str(key));
}

struct principal *engine_principal_add(struct engine *e, enum engine_principal_kind kind, struct str name)
{
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_LIMIT_DEFAULT);
    engine_id id = principal_find(e, kind, name, &key);
    if (id)
        return &e->principals[id - 1];
    ARRAY_RESERVE(e->principals, e->principal_count, e->principal_capacity);
    struct principal *p = &e->principals[e->principal_count++];
    *p = (struct principal){.view = {.id = e->principal_count, .kind = kind, .name = name}};
    p->text = texts_own((struct str *const[]){&p->view.name}, 1);
    str_map_set(&e->principal_by_name, buf_str(&key), p->view.id);
    return p;
}

static struct str hash_str(const unsigned char *hash)
{
    return (struct str){(const char *)hash, ENGINE_HASH_SIZE};
}

/* Where this id stands among the keys, or would. */
static size_t key_index(const struct engine *e, engine_id id)
{
    size_t low = 0, high = e->key_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (e->keys[middle]->view.id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct key *engine_key_find(const struct engine *e, engine_id id)
{
    size_t at = key_index(e, id);
    return at < e->key_count && e->keys[at]->view.id == id ? e->keys[at] : NULL;
}

void engine_key_insert(struct engine *e, struct key *key)
{
    ARRAY_RESERVE(e->keys, e->key_count, e->key_capacity);
    e->keys[e->key_count++] = key;
    str_map_set(&e->key_by_hash, hash_str(key->view.hash), key->view.id);
}

/* When it leaves the state: sessions and tokens a day after they ended, other keys never. */
static time_ms key_due(const struct key *k)
{
    if (!k->view.session && k->view.role != ROLE_JOIN)
        return TIME_NEVER;
    time_ms end = k->view.expires ? k->view.expires : TIME_NEVER;
    if (k->view.revoked)
        end = MIN(end, k->view.revoked_at);
    return end > TIME_NEVER - DAY_MS ? TIME_NEVER : end + DAY_MS;
}

static struct key *key_add(struct engine *e, const struct engine_key *view)
{
    struct key *k = xcalloc(1, sizeof *k);
    k->view = *view;
    k->view.id = e->next_key++;
    k->view.created = e->now;
    k->text = texts_own((struct str *const[]){&k->view.snippet, &k->view.name}, 2);
    engine_key_insert(e, k);
    e->keys_due = MIN(e->keys_due, key_due(k));
    struct engine_event *event = engine_event_add(e, ENGINE_EVENT_KEY_CREATED);
    event->key = k->view.id;
    event->project = k->view.project;
    event->state = k->view.role;
    event->text = text_keep(e, k->view.snippet);
    return k;
}

void engine_keys_due_set(struct engine *e)
{
    e->keys_due = TIME_NEVER;
    for (size_t i = 0; i < e->key_count; i++)
        e->keys_due = MIN(e->keys_due, key_due(e->keys[i]));
}

void engine_keys_drop(struct engine *e)
{
    if (e->keys_due > e->now)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < e->key_count; i++) {
        struct key *k = e->keys[i];
        if (key_due(k) > e->now) {
            e->keys[kept++] = k;
            continue;
        }
        str_map_remove(&e->key_by_hash, hash_str(k->view.hash));
        xfree(k->text);
        xfree(k);
    }
    e->key_count = kept;
    engine_keys_due_set(e);
}

struct engine_outcome engine_key_create(struct engine *e, const struct engine_command *c)
{
    if (c->key.role <= ROLE_NONE || c->key.role > ROLE_JOIN)
        return outcome_of(ENGINE_INVALID, "role");
    if (c->key.project > e->project_count)
        return outcome_of(ENGINE_NOT_FOUND, "project");
    if (c->key.expires && c->key.expires <= e->now)
        return outcome_bound("expires_ms", c->key.expires, e->now + 1, INT64_MAX);
    if (str_map_get(&e->key_by_hash, hash_str(c->key.hash)))
        return outcome_of(ENGINE_CONFLICT, "key");
    struct engine_key view = {.snippet = c->key.snippet, .name = c->key.name, .role = c->key.role, .session = c->key.session,
        .project = c->key.project, .expires = c->key.expires};
    memcpy(view.hash, c->key.hash, ENGINE_HASH_SIZE);
    view.principal = engine_principal_add(e, c->key.kind, c->key.principal)->view.id;
    return outcome_ok(key_add(e, &view)->view.id);
}

static void key_end(struct engine *e, struct key *k)
{
    k->view.revoked = true;
    k->view.revoked_at = e->now;
    e->keys_due = MIN(e->keys_due, key_due(k));
    engine_event_add(e, ENGINE_EVENT_KEY_REVOKED)->key = k->view.id;
}

struct engine_outcome engine_key_revoke(struct engine *e, engine_id id)
{
    struct key *k = engine_key_find(e, id);
    if (k == NULL)
        return outcome_of(ENGINE_NOT_FOUND, "key");
    if (!k->view.revoked)
        key_end(e, k);
    return outcome_ok(id);
}

struct engine_outcome engine_key_join(struct engine *e, const struct engine_command *c)
{
    struct key *token = engine_key_find(e, c->join.token);
    if (token == NULL || token->view.role != ROLE_JOIN || token->view.revoked ||
        (token->view.expires && token->view.expires <= e->now))
        return outcome_of(ENGINE_FORBIDDEN, "token");
    if (c->join.name.size == 0)
        return outcome_of(ENGINE_INVALID, "name");
    if (str_map_get(&e->key_by_hash, hash_str(c->join.hash)))
        return outcome_of(ENGINE_CONFLICT, "key");
    key_end(e, token);
    struct engine_key view = {.snippet = c->join.snippet, .role = ROLE_AGENT, .project = token->view.project};
    memcpy(view.hash, c->join.hash, ENGINE_HASH_SIZE);
    view.principal = engine_principal_add(e, PRINCIPAL_AGENT, c->join.name)->view.id;
    return outcome_ok(key_add(e, &view)->view.id);
}
