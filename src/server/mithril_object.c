/* SPDX-License-Identifier: Apache-2.0 */
/* SSH keys, scripts and volumes: objects of the engine. */
#include "server/mithril.h"

#include "records/object.h"
#include "wire/base64.h"

#include <sodium.h>

/* One that the caller sees; NULL: refused with 404. */
static const struct engine_object *object_open(struct api_call *call, const struct engine *e, enum engine_object_kind kind)
{
    static const struct {
        const char *prefix, *name;
    } words[ENGINE_OBJECT_KINDS] = {
        [OBJECT_SSH_KEY] = {"sshkey", "ssh key"}, [OBJECT_SCRIPT] = {"ls", "lifecycle script"}, [OBJECT_VOLUME] = {"vol", "volume"}};
    uint64_t id = mithril_path_id(call, words[kind].prefix, words[kind].name);
    const struct engine_object *o = id ? engine_object(e, id) : NULL;
    if (id == 0)
        return NULL;
    if (o && o->kind == kind && !o->deleted && call_sees(call, o->project))
        return o;
    call_refuse(call, 404, NULL, "%s not found", words[kind].name);
    return NULL;
}

struct engine_command *object_put(struct api_call *call, enum engine_object_kind kind, engine_id project, struct str name)
{
    struct engine_command *c = call_alloc(call, sizeof *c);
    c->type = ENGINE_OBJECT_PUT;
    c->object.kind = kind;
    c->object.project = project;
    c->object.key = call->who.key;
    c->object.name = name;
    return c;
}

/* The same object with another name or body, at the revision that was read. */
static struct engine_command *object_change(struct api_call *call, const struct engine_object *o)
{
    struct engine_command *c = object_put(call, o->kind, o->project, arena_str(call_arena(call), o->name));
    c->object.id = o->id;
    c->object.revision = o->revision;
    c->object.body = arena_str(call_arena(call), o->body);
    return c;
}

void object_delete(struct api_call *call, const struct engine_object *o, bool keep, api_then *then)
{
    struct engine_command *c = call_alloc(call, sizeof *c);
    c->type = ENGINE_OBJECT_DELETE;
    c->object.id = o->id;
    c->object.keep = keep;
    call_push(call, c, 1, then);
}

static void object_gone(struct api_call *call, const struct core_answer *answer)
{
    if (answer->outcomes[0].code == ENGINE_OK)
        mithril_answer_empty(call);
    else if (answer->outcomes[0].code == ENGINE_CONFLICT)
        call_refuse(call, 409, NULL, "it is in use: detach it first, or end what uses it");
    else
        call_refuse_outcome(call, answer->engine, &answer->outcomes[0]);
}

void object_answer(struct api_call *call, const struct core_answer *answer, int status, render_object *render)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = answer_render(call, answer);
    const struct engine_outcome *outcome = &answer->outcomes[0];
    if (outcome->code == ENGINE_CONFLICT) {
        call_refuse(call, 409, NULL, strcmp(outcome->field, "name") == 0 ? "name already used" : "it changed meanwhile: try again");
        return;
    }
    if (mithril_quota_refused(call, answer->engine, outcome))
        return;
    if (outcome->code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, outcome);
        return;
    }
    render(&out, call, &r, engine_object(answer->engine, outcome->id));
    mithril_answer(call, status, &out);
}

/* ---- SSH keys ---- */

static void ssh_key_render(struct buf *out, struct api_call *call, const struct render *r, const struct engine_object *o)
{
    struct object_ssh_key key = {0};
    (void)object_unpack(&object_ssh_key_record, o->body, r->arena, &key);
    json_open(out, '{');
    member_id(out, r, "fid", "sshkey", o->id);
    member_text(out, "name", o->name);
    member_id(out, r, "project", "proj", o->project);
    member_text(out, "public_key", key.public_key);
    member_time(out, "created_at", MAX(o->created, 1));
    member_bool(out, "required", key.required);
    if (call->own)
        member_text(out, "private_key", str_from(call->own));
    else if (call->request->method == HTTP_POST)
        member_null(out, "private_key");
    json_close(out, '}');
}

void mithril_ssh_key_list(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    engine_id project = mithril_project_needed(call);
    if (project == 0)
        return;
    json_open(&out, '[');
    for (size_t i = 0; i < engine_object_count(view->engine); i++) {
        const struct engine_object *o = engine_object_at(view->engine, i);
        if (o->kind == OBJECT_SSH_KEY && o->project == project)
            ssh_key_render(&out, call, &r, o);
    }
    json_close(&out, ']');
    mithril_answer(call, 200, &out);
}

static void ssh_put_u32(struct buf *out, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_append_byte(out, (char)(value >> shift));
}

static void ssh_put(struct buf *out, struct str text)
{
    ssh_put_u32(out, (uint32_t)text.size);
    buf_append_str(out, text);
}

/* The public half as RFC 8709 section 4 has it. */
static void ssh_put_public(struct buf *out, const unsigned char *public)
{
    ssh_put(out, STR("ssh-ed25519"));
    ssh_put(out, (struct str){(const char *)public, crypto_sign_PUBLICKEYBYTES});
}

/* OpenSSH's own format, PROTOCOL.key, without a passphrase. */
static void ssh_private_text(struct buf *out, const unsigned char *public, const unsigned char *secret, struct str comment)
{
    _cleanup_buf_ struct buf blob = BUF_INIT(4096), body = BUF_INIT(4096), inner = BUF_INIT(4096);
    uint32_t check = randombytes_random();
    ssh_put_public(&blob, public);
    ssh_put_u32(&inner, check);
    ssh_put_u32(&inner, check);
    ssh_put_public(&inner, public);
    ssh_put(&inner, (struct str){(const char *)secret, crypto_sign_SECRETKEYBYTES});
    ssh_put(&inner, comment);
    for (char pad = 1; inner.size % 8; pad++)
        buf_append_byte(&inner, pad);
    buf_append(&body, "openssh-key-v1", sizeof "openssh-key-v1");
    ssh_put(&body, STR("none"));
    ssh_put(&body, STR("none"));
    ssh_put(&body, STR(""));
    ssh_put_u32(&body, 1);
    ssh_put(&body, buf_str(&blob));
    ssh_put(&body, buf_str(&inner));
    _cleanup_buf_ struct buf text = BUF_INIT(8192);
    base64_encode(buf_str(&body), &text);
    buf_append_text(out, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    for (size_t at = 0; at < text.size; at += 70) {
        buf_append(out, text.data + at, MIN(text.size - at, (size_t)70));
        buf_append_byte(out, '\n');
    }
    buf_append_text(out, "-----END OPENSSH PRIVATE KEY-----\n");
    sodium_memzero(inner.data, inner.size);
    sodium_memzero(body.data, body.size);
    sodium_memzero(text.data, text.size);
}

/* A new pair: the private half goes into the answer and nowhere else. */
static struct str ssh_pair_make(struct api_call *call, struct str name)
{
    unsigned char public[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];
    _cleanup_buf_ struct buf private = BUF_INIT(8192), blob = BUF_INIT(1024), line = BUF_INIT(2048);
    crypto_sign_keypair(public, secret);
    ssh_private_text(&private, public, secret, name);
    sodium_memzero(secret, sizeof secret);
    char *own = call->own = call_alloc(call, private.size + 1);
    memcpy(own, private.data, private.size);
    sodium_memzero(private.data, private.size);
    ssh_put_public(&blob, public);
    buf_append_text(&line, "ssh-ed25519 ");
    base64_encode(buf_str(&blob), &line);
    return arena_str(call_arena(call), buf_str(&line));
}

/* "TYPE BASE64 comment", one line, whose base64 begins with the type. */
static bool ssh_key_valid(struct api_call *call, struct str text)
{
    struct str rest = str_trim(text), type = str_cut(&rest, ' '), blob = str_cut(&rest, ' '), bytes;
    if (memchr(text.data, '\n', str_trim(text).size) || blob.size == 0 || !base64_decode(blob, call_arena(call), &bytes) || bytes.size < 4)
        return false;
    const unsigned char *size = (const unsigned char *)bytes.data;
    size_t length = (size_t)size[0] << 24 | (size_t)size[1] << 16 | (size_t)size[2] << 8 | size[3];
    return length == type.size && bytes.size > 4 + length && memcmp(bytes.data + 4, type.data, length) == 0;
}

static void ssh_key_made(struct api_call *call, const struct core_answer *answer)
{
    object_answer(call, answer, 201, ssh_key_render);
}

void mithril_ssh_key_create(struct api_call *call, const struct core_view *view)
{
    const struct mithril_ssh_key_create *create = call->input;
    engine_id project = mithril_project(call, create->project);
    (void)view;
    if (project == 0)
        return;
    if (create->required && !mithril_admin(call)) {
        call_refuse(call, 403, NULL, "only an administrator makes a key required");
        return;
    }
    if (create->public_key.size && !ssh_key_valid(call, create->public_key)) {
        call_refuse(call, 400, "public_key", "not a public key of OpenSSH: TYPE BASE64 COMMENT on one line");
        return;
    }
    struct object_ssh_key key = {.public_key = create->public_key, .required = create->required};
    if (key.public_key.size == 0)
        key.public_key = ssh_pair_make(call, create->name);
    struct engine_command *c = object_put(call, OBJECT_SSH_KEY, project, create->name);
    c->object.unique = true;
    c->object.body = object_pack(&object_ssh_key_record, &key, call_arena(call));
    call_push(call, c, 1, ssh_key_made);
}

static void ssh_key_changed(struct api_call *call, const struct core_answer *answer)
{
    object_answer(call, answer, 200, ssh_key_render);
}

void mithril_ssh_key_change(struct api_call *call, const struct core_view *view)
{
    const struct mithril_ssh_key_change *change = call->input;
    const struct engine_object *o = object_open(call, view->engine, OBJECT_SSH_KEY);
    struct object_ssh_key key;
    if (o == NULL)
        return;
    if (!mithril_admin(call)) {
        call_refuse(call, 403, NULL, "only an administrator makes a key required");
        return;
    }
    struct engine_command *c = object_change(call, o);
    if (!object_unpack(&object_ssh_key_record, c->object.body, call_arena(call), &key)) {
        call_refuse(call, 503, NULL, "the key cannot be read");
        return;
    }
    key.required = change->required;
    c->object.body = object_pack(&object_ssh_key_record, &key, call_arena(call));
    call_push(call, c, 1, ssh_key_changed);
}

void mithril_ssh_key_delete(struct api_call *call, const struct core_view *view)
{
    const struct engine_object *o = object_open(call, view->engine, OBJECT_SSH_KEY);
    if (o)
        object_delete(call, o, false, object_gone);
}

/* ---- scripts ---- */

static void script_render(struct buf *out, struct api_call *call, const struct render *r, const struct engine_object *o)
{
    struct object_script script = {0};
    struct id_text fid = id_format(r->ids, "ls", o->id);
    const struct api_options *options = &call->api->options;
    (void)object_unpack(&object_script_record, o->body, r->arena, &script);
    json_open(out, '{');
    member_text(out, "fid", str_from(fid.text));
    member_text(out, "name", o->name);
    member_text(out, "description", script.description);
    member_text(out, "content_url",
                call_text(call, "%s/v2/lifecycle-scripts/%s/content", options->advertise ? options->advertise : options->url, fid.text));
    member_id(out, r, "project", "proj", o->project);
    member_time(out, "created_at", MAX(o->created, 1));
    member_id(out, r, "created_by", "user", MAX(o->principal, 1));
    member_time(out, "last_modified_at", MAX(o->changed, 1));
    member_id(out, r, "last_modified_by", "user", script.modified_by ? (uint64_t)script.modified_by : MAX(o->principal, 1));
    member_text(out, "scope", str_from(object_script_scope_names[script.scope]));
    json_close(out, '}');
}

static bool script_seen(const struct render *r, const struct engine_object *o, engine_id project)
{
    struct object_script script;
    return o->kind == OBJECT_SCRIPT && object_unpack(&object_script_record, o->body, r->arena, &script) &&
           (o->project == project || script.scope != 0);
}

void mithril_script_list(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    struct page page;
    size_t first, end;
    engine_id project = mithril_project_needed(call);
    bool modified = str_is(http_request_query(call->request, "sort_by"), "last_modified_at");
    if (project == 0 || !page_open(call, "ls", &page))
        return;
    for (size_t i = 0; i < engine_object_count(view->engine); i++) {
        const struct engine_object *o = engine_object_at(view->engine, i);
        if (script_seen(&r, o, project))
            page_add(&page, r.arena, o->id, modified ? o->changed : o->created);
    }
    uint64_t cursor = page_cut(&page, &first, &end);
    json_open(&out, '{');
    json_key(&out, "data");
    json_open(&out, '[');
    for (size_t i = first; i < end; i++)
        script_render(&out, call, &r, engine_object(view->engine, page.ids[i]));
    json_close(&out, ']');
    member_cursor(&out, &r, "ls", cursor);
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

static engine_id caller_principal(const struct api_call *call, const struct engine *e)
{
    const struct engine_key *key = engine_key(e, call->who.key);
    return key ? key->principal : 0;
}

static void script_made(struct api_call *call, const struct core_answer *answer)
{
    object_answer(call, answer, 201, script_render);
}

void mithril_script_create(struct api_call *call, const struct core_view *view)
{
    const struct mithril_script_create *create = call->input;
    engine_id project = mithril_project(call, create->project);
    if (project == 0)
        return;
    if (create->name.size == 0 || create->content.size == 0) {
        call_refuse(call, 400, create->name.size ? "content" : "name", "is empty, at least one letter is needed");
        return;
    }
    struct object_script script = {.content = create->content, .description = create->description, .scope = create->scope,
                                   .modified_by = (int64_t)caller_principal(call, view->engine)};
    struct engine_command *c = object_put(call, OBJECT_SCRIPT, project, create->name);
    c->object.body = object_pack(&object_script_record, &script, call_arena(call));
    call_push(call, c, 1, script_made);
}

/* As object_open, and those that the whole organisation may see. */
static const struct engine_object *script_open(struct api_call *call, const struct core_view *view, struct object_script *ret)
{
    struct render r = call_render(call, view);
    uint64_t id = mithril_path_id(call, "ls", "lifecycle script");
    const struct engine_object *o = id ? engine_object(view->engine, id) : NULL;
    if (id == 0)
        return NULL;
    if (o && script_seen(&r, o, call->who.project ? call->who.project : o->project) &&
        object_unpack(&object_script_record, o->body, r.arena, ret))
        return o;
    call_refuse(call, 404, NULL, "lifecycle script not found");
    return NULL;
}

void mithril_script_content(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct object_script script;
    if (!script_open(call, view, &script))
        return;
    json_string(&out, script.content);
    mithril_answer(call, 200, &out);
}

static void script_changed(struct api_call *call, const struct core_answer *answer)
{
    object_answer(call, answer, 200, script_render);
}

void mithril_script_change(struct api_call *call, const struct core_view *view)
{
    const struct mithril_script_change *change = call->input;
    struct object_script script;
    struct json_value text;
    const struct engine_object *o = object_open(call, view->engine, OBJECT_SCRIPT);
    if (o == NULL || !script_open(call, view, &script))
        return;
    if (change->scope.size && !str_is(change->scope, "PROJECT") && !str_is(change->scope, "ORGANIZATION")) {
        call_refuse(call, 400, "scope", "allowed are PROJECT and ORGANIZATION");
        return;
    }
    struct engine_command *c = object_change(call, o);
    if (change->name.size)
        c->object.name = change->name;
    if (change->scope.size)
        script.scope = str_is(change->scope, "ORGANIZATION");
    if (change->description.size && json_parse(change->description, call_arena(call), &text, NULL) == 0)
        script.description = text.type == JSON_STRING ? text.text : (struct str){0};
    script.modified_by = (int64_t)caller_principal(call, view->engine);
    c->object.body = object_pack(&object_script_record, &script, call_arena(call));
    call_push(call, c, 1, script_changed);
}

void mithril_script_delete(struct api_call *call, const struct core_view *view)
{
    const struct engine_object *o = object_open(call, view->engine, OBJECT_SCRIPT);
    if (o)
        object_delete(call, o, false, object_gone);
}

/* ---- volumes ---- */

static bool uses_volume(const struct engine_workload *w, engine_id volume)
{
    for (size_t i = 0; i < w->object_count; i++)
        if (w->objects[i] == volume)
            return true;
    return false;
}

/* The bids or reservations that have it, each once. */
static void volume_orders(struct buf *out, const struct render *r, const struct engine_object *o, bool reservations)
{
    const struct engine_workload *w = NULL;
    engine_id last = 0;
    json_key(out, reservations ? "reservations" : "bids");
    json_open(out, '[');
    while (o->used && (w = engine_workload_before(r->engine, w ? w->id : 0, o->project, WORKLOAD_STATES_LIVE))) {
        if (!uses_volume(w, o->id) || (w->reservation != 0) != reservations || (reservations && w->reservation == last))
            continue;
        last = w->reservation;
        json_text(out, id_format(r->ids, reservations ? "res" : "bid", reservations ? w->reservation : w->id).text);
    }
    json_close(out, ']');
}

/* The instances that it is attached to. */
static void volume_attachments(struct buf *out, const struct render *r, const struct engine_object *o)
{
    const struct engine_workload *w = NULL;
    json_key(out, "attachments");
    json_open(out, '{');
    while (o->used && (w = engine_workload_before(r->engine, w ? w->id : 0, o->project, WORKLOAD_STATES_LIVE)))
        for (size_t i = 0; uses_volume(w, o->id) && i < w->replica_count; i++) {
            json_key(out, id_format(r->ids, "inst", instance_number(w->id, w->replicas[i].rank)).text);
            json_text(out, "attached");
        }
    json_close(out, '}');
}

static void volume_render(struct buf *out, struct api_call *call, const struct render *r, const struct engine_object *o)
{
    struct object_volume volume = {0};
    (void)call;
    (void)object_unpack(&object_volume_record, o->body, r->arena, &volume);
    json_open(out, '{');
    member_id(out, r, "fid", "vol", o->id);
    member_text(out, "name", o->name);
    member_text(out, "region", region_shown(r, volume.region));
    member_time(out, "created_at", MAX(o->created, 1));
    member_time(out, "deleted_at", o->deleted);
    member_integer(out, "capacity_gb", volume.size_gb);
    member_id(out, r, "project", "proj", o->project);
    member_text(out, "interface", str_from(object_volume_interface_names[volume.interface]));
    volume_orders(out, r, o, false);
    volume_orders(out, r, o, true);
    volume_attachments(out, r, o);
    json_close(out, '}');
}

void mithril_volume_list(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    engine_id project = mithril_project_needed(call);
    struct str deleted = http_request_query(call->request, "include_deleted");
    bool all = str_is(deleted, "true") || str_is(deleted, "True") || str_is(deleted, "1");
    if (project == 0)
        return;
    json_open(&out, '[');
    for (size_t i = 0; i < engine_object_count(view->engine); i++) {
        const struct engine_object *o = engine_object_at(view->engine, i);
        struct object_volume volume;
        if (o->kind == OBJECT_VOLUME && o->project == project && (all || !o->deleted) &&
            object_unpack(&object_volume_record, o->body, r.arena, &volume) && filter_passes(call, "region", region_shown(&r, volume.region)))
            volume_render(&out, call, &r, o);
    }
    json_close(&out, ']');
    mithril_answer(call, 200, &out);
}

/* ^[a-z]([-a-z0-9]*[a-z0-9])?$ */
static bool volume_name_valid(struct api_call *call, struct str name)
{
    bool valid = name.size > 0 && name.data[0] >= 'a' && name.data[0] <= 'z' && name.data[name.size - 1] != '-';
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        valid &= (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    }
    if (!valid)
        call_refuse(call, 400, "name", "allowed are small letters, digits and -, a letter first and no - at the end");
    return valid;
}

static bool region_known(const struct render *r, struct str region)
{
    struct offers offers = offers_find(r);
    for (size_t i = 0; i < offers.count; i++)
        if (str_equal(offer_region(r, &offers.items[i]), region))
            return true;
    return false;
}

static void volume_made(struct api_call *call, const struct core_answer *answer)
{
    object_answer(call, answer, 201, volume_render);
}

void mithril_volume_create(struct api_call *call, const struct core_view *view)
{
    const struct mithril_volume_create *create = call->input;
    struct render r = call_render(call, view);
    engine_id project = mithril_project(call, create->project);
    if (project == 0 || !volume_name_valid(call, create->name))
        return;
    if (!region_known(&r, create->region)) {
        call_refuse(call, 404, NULL, "region not found");
        return;
    }
    struct object_volume volume = {.interface = create->disk_interface, .size_gb = create->size_gb, .region = region_own(&r, create->region)};
    struct engine_command *c = object_put(call, OBJECT_VOLUME, project, create->name);
    c->object.unique = true;
    c->object.exclusive = volume.interface == VOLUME_BLOCK;
    c->object.size = volume.size_gb;
    c->object.body = object_pack(&object_volume_record, &volume, call_arena(call));
    call_push(call, c, 1, volume_made);
}

static void volume_changed(struct api_call *call, const struct core_answer *answer)
{
    object_answer(call, answer, 200, volume_render);
}

void mithril_volume_change(struct api_call *call, const struct core_view *view)
{
    const struct mithril_volume_change *change = call->input;
    const struct engine_object *o = object_open(call, view->engine, OBJECT_VOLUME);
    if (o == NULL || !volume_name_valid(call, change->name))
        return;
    struct engine_command *c = object_change(call, o);
    c->object.name = change->name;
    call_push(call, c, 1, volume_changed);
}

void mithril_volume_delete(struct api_call *call, const struct core_view *view)
{
    const struct engine_object *o = object_open(call, view->engine, OBJECT_VOLUME);
    if (o)
        object_delete(call, o, true, object_gone);
}
