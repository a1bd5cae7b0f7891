/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, and who is asking. */
#include "server/api_route.h"

#include "base/clock.h"
#include "wire/record.h"

#define SNIPPET 9 /* "fkey_" and four letters */

static const char *const role_names[] = {
    [ROLE_NONE] = "none",         [ROLE_VIEWER] = "viewer", [ROLE_MEMBER] = "member",
    [ROLE_OPERATOR] = "operator", [ROLE_ADMIN] = "admin",   [ROLE_AGENT] = "agent",
    [ROLE_JOIN] = "join",
};

static struct api_key render(const struct render *r, const struct engine_key *key)
{
    const struct engine_principal *principal = engine_principal(r->engine, key->principal);
    return (struct api_key){
        .id = arena_id(r->arena, r->ids, "key", key->id),
        .snippet = key->snippet,
        .role = str_from(role_names[key->role]),
        .project = key->project ? render_project(r, key->project) : (struct str){0},
        .principal = principal ? principal->name : (struct str){0},
        .node = arena_id(r->arena, r->ids, "node", key->node),
        .created_ms = key->created,
        .expires_ms = key->expires,
        .revoked = key->revoked,
    };
}

void route_key_list(struct api_call *call, const struct core_view *view)
{
    size_t count = engine_key_count(view->engine), shown = 0;
    struct api_key *rows = call_alloc(call, MAX(count, 1) * sizeof *rows);
    struct render r = call_render(call, view);
    for (size_t i = 0; i < count; i++) {
        const struct engine_key *key = engine_key_at(view->engine, i);
        if (call_sees(call, key->project))
            rows[shown++] = render(&r, key);
    }
    struct api_keys list = {.keys = {rows, shown}};
    call_answer(call, 200, &api_keys_record, &list);
}

/* ---- new ones ---- */

static void create_then(struct api_call *call, const struct core_answer *answer)
{
    if (answer->outcomes[0].code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, &answer->outcomes[0]);
        return;
    }
    struct api_key_created created = {.id = call_id(call, "key", answer->outcomes[0].id),
                                      .key = str_from(call->own)};
    call_answer(call, 201, &api_key_created_record, &created);
}

static enum engine_role role_named(struct str name)
{
    for (int role = ROLE_VIEWER; role <= ROLE_ADMIN; role++)
        if (str_is(name, role_names[role]))
            return (enum engine_role)role;
    return ROLE_NONE;
}

struct engine_command *key_command(struct api_call *call, enum engine_role role, time_ms valid)
{
    struct engine_command *command = call_alloc(call, sizeof *command);
    char *key = call->own = call_alloc(call, CORE_KEY_SIZE);
    core_make_key(key);
    command->type = ENGINE_KEY_CREATE;
    core_hash_key(call->api->core, str_from(key), command->key.hash);
    command->key.snippet = (struct str){key, SNIPPET};
    command->key.role = role;
    command->key.expires = valid ? clock_wall_ms() + valid : 0;
    return command;
}

/* 0 = all, where that is allowed. False: refused. */
static bool key_project(struct api_call *call, enum engine_role role, engine_id *ret)
{
    const struct api_key_create *create = call->input;
    *ret = call->who.project;
    if (create->project.size) {
        engine_id project = core_project(call->api->core, create->project);
        if (!project || !call_sees(call, project)) {
            call_refuse(call, 404, "project", "no such project");
            return false;
        }
        *ret = project;
    }
    if (*ret && role >= ROLE_OPERATOR) {
        call_refuse(call, 400, "project", "a key for one project is a viewer's or a member's");
        return false;
    }
    return true;
}

void route_key_create(struct api_call *call)
{
    const struct api_key_create *create = call->input;
    enum engine_role role = role_named(create->role);
    engine_id project;
    if (role == ROLE_NONE) {
        call_refuse(call, 400, "role", "\"%.*s\", allowed are viewer, member, operator and admin",
                    (int)MIN(create->role.size, 40), create->role.data);
        return;
    }
    if (!key_project(call, role, &project))
        return;
    struct engine_command *command = key_command(call, role, create->valid_ms);
    command->key.project = project;
    command->key.kind = create->name.size ? PRINCIPAL_PERSON : PRINCIPAL_SERVICE;
    command->key.principal =
        create->name.size ? create->name : call_text(call, "key %.4s", (const char *)call->own + 5);
    call_push(call, command, 1, create_then);
}

/* ---- revoking ---- */

static void revoke_then(struct api_call *call, const struct core_answer *answer)
{
    if (answer->outcomes[0].code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, &answer->outcomes[0]);
        return;
    }
    struct api_changed changed = {.seq = (int64_t)answer->seq};
    call_answer(call, 200, &api_changed_record, &changed);
}

void route_key_revoke(struct api_call *call)
{
    uint64_t id;
    if (!id_parse(call->api->ids, "key", call->name, &id)) {
        call_not_found(call, "key");
        return;
    }
    struct engine_command *command = call_alloc(call, sizeof *command);
    command->type = ENGINE_KEY_REVOKE;
    command->revoke = id;
    call_push(call, command, 1, revoke_then);
}

void route_whoami(struct api_call *call, const struct core_view *view)
{
    const struct core_identity *who = &call->who;
    struct render r = call_render(call, view);
    struct api_whoami answer = {
        .role = str_from(role_names[who->role]),
        .project = who->project ? render_project(&r, who->project) : (struct str){0},
        .principal = str_from(who->principal),
        .version = STR(TESSERA_VERSION),
        .seq = (int64_t)view->seq,
        .now_ms = view->now,
    };
    call_answer(call, 200, &api_whoami_record, &answer);
}
