/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: what people keep here under a name. */
#include "engine/engine_internal.h"

static size_t object_index(const struct engine *e, engine_id id)
{
    size_t low = 0, high = e->object_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (e->objects[middle]->view.id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct object *object_find(const struct engine *e, engine_id id)
{
    size_t at = object_index(e, id);
    return at < e->object_count && e->objects[at]->view.id == id ? e->objects[at] : NULL;
}

/* ---- names ------------------------------------------------------------------------------------------------- */

static void name_key(struct buf *key, const struct engine_object *o)
{
    pack_u64(key, (uint64_t)o->kind);
    pack_u64(key, o->project);
    buf_append_str(key, o->name);
}

static engine_id name_owner(const struct engine *e, const struct engine_object *o)
{
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_LIMIT_DEFAULT);
    name_key(&key, o);
    return str_map_get(&e->object_by_name, buf_str(&key));
}

static void name_hold(struct engine *e, const struct engine_object *o, bool held)
{
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_LIMIT_DEFAULT);
    if (!o->unique || o->deleted)
        return;
    name_key(&key, o);
    if (held)
        str_map_set(&e->object_by_name, buf_str(&key), o->id);
    else
        str_map_remove(&e->object_by_name, buf_str(&key));
}

/* ---- made, changed, deleted ----------------------------------------------------------------------------------- */

static void object_event(struct engine *e, enum engine_event_type type, const struct engine_object *o)
{
    struct engine_event *event = engine_event_add(e, type);
    event->project = o->project;
    event->state = o->kind;
    event->value = (int64_t)o->id;
    event->text = text_keep(e, o->name);
}

static void texts_set(struct object *o, struct str name, struct str body)
{
    char *old = o->text;
    o->view.name = name;
    o->view.body = body;
    o->text = texts_own((struct str *const[]){&o->view.name, &o->view.body}, 2);
    xfree(old);
}

struct object *object_insert(struct engine *e, const struct engine_object *view)
{
    struct object *o = xcalloc(1, sizeof *o);
    o->view = *view;
    texts_set(o, view->name, view->body);
    ARRAY_RESERVE(e->objects, e->object_count, e->object_capacity);
    e->objects[e->object_count++] = o;
    name_hold(e, &o->view, true);
    return o;
}

static struct engine_outcome object_make(struct engine *e, const struct engine_command *c)
{
    const struct key *key = engine_key_find(e, c->object.key);
    struct engine_object made = {.id = e->next_object, .kind = c->object.kind, .project = c->object.project,
        .principal = key ? key->view.principal : 0, .name = c->object.name, .body = c->object.body, .unique = c->object.unique,
        .exclusive = c->object.exclusive, .size = c->object.size, .revision = 1, .created = e->now, .changed = e->now};
    if ((unsigned)made.kind >= ENGINE_OBJECT_KINDS)
        return outcome_of(ENGINE_INVALID, "kind");
    if (made.project > e->project_count)
        return outcome_of(ENGINE_NOT_FOUND, "project");
    if (made.unique && name_owner(e, &made))
        return outcome_of(ENGINE_CONFLICT, "name");
    if (made.size < 0 || made.size > ENGINE_VOLUME_MOST)
        return outcome_bound("size", made.size, 0, ENGINE_VOLUME_MOST);
    struct engine_outcome outcome = quota_object_check(e, &made);
    if (outcome.code != ENGINE_OK)
        return outcome;
    e->next_object++;
    object_event(e, ENGINE_EVENT_OBJECT_CREATED, &object_insert(e, &made)->view);
    return outcome_ok(made.id);
}

static struct engine_outcome object_change(struct engine *e, struct object *o, const struct engine_command *c)
{
    struct engine_object renamed = o->view;
    renamed.name = c->object.name;
    engine_id owner = o->view.unique ? name_owner(e, &renamed) : 0;
    if (owner && owner != o->view.id)
        return outcome_of(ENGINE_CONFLICT, "name");
    name_hold(e, &o->view, false);
    texts_set(o, c->object.name, c->object.body);
    name_hold(e, &o->view, true);
    o->view.revision++;
    o->view.changed = e->now;
    object_event(e, ENGINE_EVENT_OBJECT_CHANGED, &o->view);
    return outcome_ok(o->view.id);
}

/* One that is there, at the revision that the caller knows. */
static struct engine_outcome object_open(const struct engine *e, const struct engine_command *c, struct object **ret)
{
    struct object *o = *ret = object_find(e, c->object.id);
    if (o == NULL || o->view.deleted)
        return outcome_of(ENGINE_NOT_FOUND, "object");
    if (c->object.revision && c->object.revision != o->view.revision)
        return outcome_of(ENGINE_CONFLICT, "revision");
    return outcome_ok(o->view.id);
}

struct engine_outcome engine_object_put(struct engine *e, const struct engine_command *c)
{
    if (c->object.body.size > ENGINE_OBJECT_BODY_MAX)
        return outcome_bound("body", (int64_t)c->object.body.size, 0, ENGINE_OBJECT_BODY_MAX);
    if (c->object.id == 0)
        return object_make(e, c);
    struct object *o;
    struct engine_outcome outcome = object_open(e, c, &o);
    return outcome.code == ENGINE_OK ? object_change(e, o, c) : outcome;
}

static void object_free(struct object *o)
{
    xfree(o->text);
    xfree(o);
}

struct engine_outcome engine_object_delete(struct engine *e, const struct engine_command *c)
{
    struct object *o;
    struct engine_outcome outcome = object_open(e, c, &o);
    if (outcome.code != ENGINE_OK)
        return outcome;
    if (o->view.used)
        return outcome_of(ENGINE_CONFLICT, "used");
    name_hold(e, &o->view, false);
    o->view.deleted = o->view.changed = MAX(e->now, 1);
    object_event(e, ENGINE_EVENT_OBJECT_DELETED, &o->view);
    if (c->object.keep)
        return outcome;
    size_t at = object_index(e, c->object.id);
    memmove(e->objects + at, e->objects + at + 1, (e->object_count - at - 1) * sizeof *e->objects);
    e->object_count--;
    object_free(o);
    return outcome;
}

/* ---- use -------------------------------------------------------------------------------------------------------- */

static bool uses(const struct workload *w, engine_id object)
{
    for (size_t i = 0; w && i < w->view.object_count; i++)
        if (w->objects[i] == object)
            return true;
    return false;
}

struct engine_outcome objects_check(const struct engine *e, const struct workload *w, const struct engine_submit *s)
{
    for (size_t i = 0; i < s->object_count; i++) {
        const struct object *o = object_find(e, s->objects[i]);
        if (o == NULL || o->view.deleted || (o->view.project && o->view.project != s->project))
            return outcome_of(ENGINE_NOT_FOUND, "objects");
        if (o->view.exclusive && o->view.used && !uses(w, o->view.id))
            return outcome_of(ENGINE_CONFLICT, "objects");
    }
    return outcome_ok(0);
}

bool objects_same(const struct workload *w, const engine_id *objects, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!uses(w, objects[i]))
            return false;
    for (size_t i = 0; i < w->view.object_count; i++) {
        bool there = false;
        for (size_t k = 0; k < count; k++)
            there |= objects[k] == w->objects[i];
        if (!there)
            return false;
    }
    return true;
}

void objects_use(struct engine *e, struct workload *w, const engine_id *objects, size_t count)
{
    for (size_t i = 0; i < w->view.object_count; i++)
        object_find(e, w->objects[i])->view.used--;
    engine_id *old = w->objects;
    w->view.objects = w->objects = count ? xcalloc(count, sizeof *objects) : NULL;
    w->view.object_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (uses(w, objects[i]))
            continue;
        w->objects[w->view.object_count++] = objects[i];
        object_find(e, objects[i])->view.used++;
    }
    xfree(old);
}

void objects_free(struct engine *e)
{
    for (size_t i = 0; i < e->object_count; i++)
        object_free(e->objects[i]);
    xfree(e->objects);
    str_map_fini(&e->object_by_name);
}

const struct engine_object *engine_object(const struct engine *e, engine_id id)
{
    const struct object *o = object_find(e, id);
    return o ? &o->view : NULL;
}

size_t engine_object_count(const struct engine *e)
{
    return e->object_count;
}

const struct engine_object *engine_object_at(const struct engine *e, size_t index)
{
    return index < e->object_count ? &e->objects[index]->view : NULL;
}
