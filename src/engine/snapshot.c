/* SPDX-License-Identifier: Apache-2.0 */
/* The whole state as bytes. One description serves both ways: each function codes a field, which is
 * packed or unpacked. What follows from the rest (indexes, counts, lists of replicas, ports, timers) is
 * built again; everything is written in the order of ids, so that equal states give equal bytes. */
#include "engine/engine_internal.h"

struct codec {
    struct engine *e;
    struct buf *out; /* NULL: reading */
    struct unpack *in;
    struct arena arena; /* of lists that are read */
    uint64_t format;
    bool reserving; /* with reservations, names of keys and failures: format 2 was written without them and with them */
};

static void code_i64(struct codec *c, int64_t *value)
{
    if (c->out)
        pack_i64(c->out, *value);
    else
        *value = unpack_i64(c->in);
}

static void code_u64(struct codec *c, uint64_t *value)
{
    if (c->out)
        pack_u64(c->out, *value);
    else
        *value = unpack_u64(c->in);
}

static void code_u32(struct codec *c, uint32_t *value)
{
    uint64_t wide = *value;
    code_u64(c, &wide);
    if (wide > UINT32_MAX)
        c->in->bad = true;
    *value = (uint32_t)wide;
}

static void code_bool(struct codec *c, bool *value)
{
    uint64_t wide = *value;
    code_u64(c, &wide);
    *value = wide != 0;
}

/* Of `count` names. */
static unsigned code_enum(struct codec *c, unsigned value, unsigned count)
{
    uint64_t wide = value;
    code_u64(c, &wide);
    if (wide >= count) {
        c->in->bad = true;
        wide = 0;
    }
    return (unsigned)wide;
}
#define CODE_ENUM(c, field, count) ((field) = (__typeof__(field))code_enum((c), (unsigned)(field), (unsigned)(count)))

/* Borrowed when reading. */
static void code_str(struct codec *c, struct str *text)
{
    if (c->out)
        pack_str(c->out, *text);
    else
        *text = unpack_str(c->in);
}

static size_t code_count(struct codec *c, size_t count)
{
    if (c->out)
        pack_u64(c->out, count);
    else
        count = unpack_count(c->in, 1);
    return count;
}

/* An id of something that there are `most` of. */
static void code_ref(struct codec *c, uint64_t *id, uint64_t least, uint64_t most)
{
    code_u64(c, id);
    if (c->out == NULL && (*id < least || *id > most)) {
        c->in->bad = true;
        *id = least;
    }
}

static void code_amounts(struct codec *c, struct market_amounts *a)
{
    code_i64(c, &a->gpu_milli);
    code_i64(c, &a->core_milli);
    code_i64(c, &a->memory_mib);
    code_i64(c, &a->disk_mib);
}

static void code_hash(struct codec *c, unsigned char hash[ENGINE_HASH_SIZE])
{
    struct str bytes = {(const char *)hash, ENGINE_HASH_SIZE};
    code_str(c, &bytes);
    if (c->out)
        return;
    if (bytes.size == ENGINE_HASH_SIZE)
        memcpy(hash, bytes.data, ENGINE_HASH_SIZE);
    else
        c->in->bad = true;
}

/* ---- accounts and names -------------------------------------------------------------------------------------------- */

static void code_names(struct codec *c, int kind)
{
    struct names *names = &c->e->names[kind];
    size_t count = code_count(c, names->count);
    for (size_t i = 0; i < count; i++) {
        struct str text = name_text(c->e, kind, i + 1);
        uint64_t parent = c->out ? names->items[i].parent : 0;
        code_str(c, &text);
        code_u64(c, &parent);
        if (c->out == NULL && !c->in->bad && name_make(c->e, kind, parent, text) != i + 1)
            c->in->bad = true;
    }
}

static void code_quotas(struct codec *c, size_t index)
{
    size_t count = code_count(c, c->e->projects[index].view.quota_count);
    for (size_t i = 0; i < count && (c->out || !c->in->bad); i++) {
        struct engine_quota q = c->out ? c->e->projects[index].quotas[i] : (struct engine_quota){0};
        CODE_ENUM(c, q.kind, ENGINE_QUOTA_KINDS);
        code_str(c, &q.type);
        code_i64(c, &q.total);
        if (c->out)
            continue;
        c->in->bad |= q.total < 0 || q.total > ENGINE_QUOTA_MOST || q.type.size > ENGINE_QUOTA_TYPE_MAX || i >= ENGINE_QUOTAS_MAX;
        if (!c->in->bad)
            quota_put(&c->e->projects[index], q.kind, q.type, q.total);
    }
}

static void code_burnt(struct codec *c)
{
    size_t count = code_count(c, c->e->burnt_count);
    for (size_t i = 0; i < count && (c->out || !c->in->bad); i++) {
        struct burnt b = c->out ? c->e->burnt[i] : (struct burnt){0};
        code_ref(c, &b.project, 1, c->e->project_count);
        code_str(c, &b.name);
        if (c->out == NULL && !c->in->bad)
            instance_name_burn(c->e, b.project, b.name);
    }
}

static void code_projects(struct codec *c)
{
    size_t count = code_count(c, c->e->project_count);
    for (size_t i = 0; i < count; i++) {
        struct str name = c->out ? c->e->projects[i].view.name : (struct str){0};
        code_str(c, &name);
        if (c->out == NULL && i >= c->e->project_count)
            engine_project_add(c->e, name);
        struct engine_project *p = &c->e->projects[i].view;
        code_u64(c, &p->organization);
        code_bool(c, &p->limited);
        code_i64(c, &p->budget);
        code_i64(c, &p->created);
        if (c->format >= 4)
            code_quotas(c, i);
    }
}

static void code_principals(struct codec *c)
{
    size_t count = code_count(c, c->e->principal_count);
    for (size_t i = 0; i < count; i++) {
        struct engine_principal p = c->out ? c->e->principals[i].view : (struct engine_principal){0};
        CODE_ENUM(c, p.kind, PRINCIPAL_AGENT + 1);
        code_str(c, &p.name);
        if (c->out == NULL && engine_principal_add(c->e, p.kind, p.name)->view.id != i + 1)
            c->in->bad = true;
    }
}

static void code_key(struct codec *c, struct key *k)
{
    struct engine_key *v = &k->view;
    code_u64(c, &v->id);
    code_ref(c, &v->principal, 1, c->e->principal_count);
    code_hash(c, v->hash);
    code_str(c, &v->snippet);
    CODE_ENUM(c, v->role, ROLE_JOIN + 1);
    code_bool(c, &v->session);
    code_ref(c, &v->project, 0, c->e->project_count);
    code_ref(c, &v->node, 0, c->e->node_count);
    code_i64(c, &v->created);
    code_i64(c, &v->expires);
    code_bool(c, &v->revoked);
    code_i64(c, &v->revoked_at);
    if (c->reserving)
        code_str(c, &v->name);
}

static void code_keys(struct codec *c)
{
    engine_id last = 0;
    size_t count = code_count(c, c->e->key_count);
    for (size_t i = 0; i < count; i++) {
        if (c->out) {
            code_key(c, c->e->keys[i]);
            continue;
        }
        struct key *k = xcalloc(1, sizeof *k);
        code_key(c, k);
        k->text = texts_own((struct str *const[]){&k->view.snippet, &k->view.name}, 2);
        if (k->view.id <= last || k->view.id >= c->e->next_key)
            c->in->bad = true;
        last = k->view.id;
        engine_key_insert(c->e, k);
    }
    engine_keys_due_set(c->e);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------- */

static void code_texts(struct codec *c, const struct str **list, size_t *count)
{
    *count = code_count(c, *count);
    struct str *items = c->out ? NULL : arena_alloc(&c->arena, (*count + 1) * sizeof *items);
    for (size_t i = 0; i < *count; i++) {
        struct str text = c->out ? (*list)[i] : (struct str){0};
        code_str(c, &text);
        if (items)
            items[i] = text;
    }
    if (items)
        *list = items;
}

static void code_gpus(struct codec *c, const struct engine_gpu **list, size_t *count)
{
    *count = code_count(c, *count);
    struct engine_gpu *items = c->out ? NULL : arena_alloc(&c->arena, (*count + 1) * sizeof *items);
    for (size_t i = 0; i < *count; i++) {
        struct engine_gpu gpu = c->out ? (*list)[i] : (struct engine_gpu){0};
        code_i64(c, &gpu.index);
        code_i64(c, &gpu.memory_mib);
        code_str(c, &gpu.uuid);
        code_str(c, &gpu.model);
        if (items)
            items[i] = gpu;
    }
    if (items)
        *list = items;
}

static void code_facts(struct codec *c, struct engine_command *f)
{
    struct str *texts[] = {&f->node.version, &f->node.boot, &f->node.address, &f->node.sku, &f->node.accelerator,
                           &f->node.provider, &f->node.region, &f->node.zone, &f->node.fabric, &f->node.rack};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        code_str(c, texts[i]);
    code_amounts(c, &f->node.amounts);
    code_texts(c, &f->node.labels, &f->node.label_count);
    code_texts(c, &f->node.missing, &f->node.missing_count);
    code_gpus(c, &f->node.gpus, &f->node.gpu_count);
    code_bool(c, &f->node.unconfined);
    code_ref(c, &f->node.project, 0, c->e->project_count);
}

static struct engine_command facts_of(const struct engine_node *v)
{
    struct engine_command f = {.type = ENGINE_NODE_REGISTER};
    f.node.name = v->name;
    f.node.version = v->version;
    f.node.boot = v->boot;
    f.node.address = v->address;
    f.node.sku = v->sku;
    f.node.accelerator = v->accelerator;
    f.node.provider = v->provider;
    f.node.region = v->region;
    f.node.zone = v->zone;
    f.node.fabric = v->fabric;
    f.node.rack = v->rack;
    f.node.amounts = v->amounts;
    f.node.labels = v->labels;
    f.node.label_count = v->label_count;
    f.node.missing = v->missing;
    f.node.missing_count = v->missing_count;
    f.node.gpus = v->gpus;
    f.node.gpu_count = v->gpu_count;
    f.node.unconfined = v->unconfined;
    f.node.project = v->project;
    return f;
}

static void code_spec(struct codec *c, struct market_node *s)
{
    market_id *ids[] = {&s->sku, &s->accelerator, &s->place.provider, &s->place.region, &s->place.zone, &s->place.fabric,
                        &s->place.rack, &s->seller, &s->only_tenant};
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
        code_u64(c, ids[i]);
    code_amounts(c, &s->amounts);
    for (size_t i = 0; i < MARKET_LABELS_MAX; i++)
        code_u64(c, &s->labels[i]);
    code_i64(c, &s->ask);
}

static void code_node(struct codec *c, struct node *n)
{
    struct engine_node *v = &n->view;
    code_spec(c, &n->spec);
    code_spec(c, &n->want);
    n->spec.id = n->want.id = v->id;
    code_u64(c, &v->key);
    code_u64(c, &v->pool);
    code_i64(c, &v->ask);
    code_i64(c, &v->registered);
    code_i64(c, &v->changed);
    code_u64(c, &v->version_desired);
    code_i64(c, &n->ask_told);
    code_bool(c, &n->draining);
    code_bool(c, &n->held);
    code_bool(c, &n->lost);
    engine_node_state_set(n);
}

static void code_nodes(struct codec *c)
{
    size_t count = code_count(c, c->e->node_count);
    for (size_t i = 0; i < count && (c->out || !c->in->bad); i++) {
        struct engine_command f = c->out ? facts_of(&c->e->nodes[i]->view) : (struct engine_command){0};
        code_str(c, &f.node.name);
        code_facts(c, &f);
        struct node *n = c->out ? c->e->nodes[i] : engine_node_new(c->e, f.node.name);
        if (c->out == NULL)
            facts_own(c->e, n, &f);
        code_node(c, n);
    }
}

/* ---- objects ------------------------------------------------------------------------------------------------------------ */

/* Before format 4 a volume's size stood in its owner's bytes alone: three fields, the second one the size. */
static int64_t volume_size(struct str body)
{
    struct unpack in = unpack_from(body);
    uint64_t fields = unpack_u64(&in);
    unpack_i64(&in);
    int64_t size = unpack_i64(&in);
    return in.bad || fields < 3 || size < 0 || size > ENGINE_VOLUME_MOST ? 0 : size;
}

/* How many use it follows from the workloads. */
static void code_object(struct codec *c, struct engine_object *o)
{
    code_u64(c, &o->id);
    CODE_ENUM(c, o->kind, ENGINE_OBJECT_KINDS);
    code_ref(c, &o->project, 0, c->e->project_count);
    code_ref(c, &o->principal, 0, c->e->principal_count);
    code_str(c, &o->name);
    code_str(c, &o->body);
    code_bool(c, &o->unique);
    code_bool(c, &o->exclusive);
    code_u64(c, &o->revision);
    code_i64(c, &o->created);
    code_i64(c, &o->changed);
    code_i64(c, &o->deleted);
    if (c->format >= 4)
        code_i64(c, &o->size);
    else if (o->kind == OBJECT_VOLUME)
        o->size = volume_size(o->body);
    if (c->out == NULL && (o->size < 0 || o->size > ENGINE_VOLUME_MOST))
        c->in->bad = true;
}

static void code_objects(struct codec *c)
{
    size_t count = code_count(c, c->e->object_count);
    engine_id last = 0;
    code_u64(c, &c->e->next_object);
    for (size_t i = 0; i < count && (c->out || !c->in->bad); i++) {
        struct engine_object o = c->out ? c->e->objects[i]->view : (struct engine_object){0};
        code_object(c, &o);
        if (c->out)
            continue;
        if (o.id <= last || o.id >= c->e->next_object)
            c->in->bad = true;
        last = o.id;
        object_insert(c->e, &o);
    }
}

static void code_choice(struct codec *c, struct market_choice *choice)
{
    market_id *ids[] = {&choice->sku, &choice->accelerator, &choice->provider, &choice->region, &choice->zone};
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
        code_u64(c, ids[i]);
    for (size_t i = 0; i < MARKET_LABELS_MAX; i++)
        code_u64(c, &choice->labels[i]);
    code_amounts(c, &choice->amounts);
    code_i64(c, &choice->speed_milli);
}

static void code_reservations(struct codec *c)
{
    size_t count = code_count(c, c->e->reservation_count);
    for (size_t i = 0; i < count && (c->out || !c->in->bad); i++) {
        struct engine_reservation r = c->out ? c->e->reservations[i]->view : (struct engine_reservation){.id = i + 1};
        code_ref(c, &r.project, 1, c->e->project_count);
        code_ref(c, &r.principal, 0, c->e->principal_count);
        code_str(c, &r.name);
        code_str(c, &r.body);
        code_u32(c, &r.nodes);
        code_choice(c, &r.choice);
        int64_t *numbers[] = {&r.from, &r.to, &r.created, &r.limit, &r.ended};
        for (size_t k = 0; k < ARRAY_COUNT(numbers); k++)
            code_i64(c, numbers[k]);
        code_bool(c, &r.cancelled);
        if (c->out == NULL)
            reservation_insert(c->e, &r);
    }
}

static void code_uses(struct codec *c, struct workload *w)
{
    size_t count = code_count(c, w->view.object_count);
    engine_id *ids = c->out ? w->objects : arena_alloc(&c->arena, (count + 1) * sizeof *ids);
    for (size_t i = 0; i < count; i++) {
        code_u64(c, &ids[i]);
        if (c->out == NULL && object_find(c->e, ids[i]) == NULL)
            c->in->bad = true;
    }
    if (c->out == NULL && !c->in->bad)
        objects_use(c->e, w, ids, count);
}

/* ---- workloads ---------------------------------------------------------------------------------------------------------- */

/* Texts of the table of addresses, which stands before. */
static void code_phase(struct codec *c, struct engine_replica *r)
{
    int64_t phase = r->phase;
    code_i64(c, &phase);
    r->phase = (int32_t)phase;
    struct str *texts[] = {&r->address, &r->private_address};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        code_str(c, texts[i]);
        if (c->out == NULL && texts[i]->size)
            *texts[i] = name_text(c->e, NAME_ADDRESS, name_make(c->e, NAME_ADDRESS, 0, *texts[i]));
    }
}

static void code_replica(struct codec *c, struct engine_replica *r, bool *listed)
{
    code_u32(c, &r->role);
    code_u32(c, &r->rank);
    code_ref(c, &r->node, 1, c->e->node_count);
    code_u64(c, &r->gpus);
    code_amounts(c, &r->amounts);
    CODE_ENUM(c, r->state, REPLICA_ENDED + 1);
    code_bool(c, &r->ready);
    code_i64(c, &r->deadline);
    code_i64(c, &r->started);
    code_i64(c, &r->ended);
    code_i64(c, &r->exit_code);
    code_i64(c, &r->signal);
    code_bool(c, &r->oom);
    code_bool(c, &r->dropped);
    code_bool(c, listed);
    if (c->format >= 2)
        code_phase(c, r);
}

static void code_replicas(struct codec *c, struct workload *w)
{
    uint32_t count = (uint32_t)code_count(c, w->view.replica_count);
    if (c->out == NULL && (c->in->bad || c->e->node_count == 0))
        count = 0;
    if (c->out == NULL)
        workload_replicas_set(w, count);
    for (uint32_t i = 0; i < count; i++) {
        bool listed = c->out && ref_stands(c->e, w, &w->replicas[i]);
        code_replica(c, &w->replicas[i], &listed);
        if (c->out)
            continue;
        w->live += w->replicas[i].state != REPLICA_ENDED;
        w->begun += w->replicas[i].started != 0;
        if (listed)
            ref_add(c->e, w, &w->replicas[i]);
    }
}

static void code_workload_view(struct codec *c, struct engine_workload *v)
{
    code_ref(c, &v->project, 1, c->e->project_count);
    code_u64(c, &v->key);
    CODE_ENUM(c, v->state, WORKLOAD_STATE_COUNT);
    CODE_ENUM(c, v->reason, ENGINE_REASON_COUNT);
    bool *flags[] = {&v->preemptible, &v->freeze, &v->cancelled, &v->exited, &v->oom};
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++)
        code_bool(c, flags[i]);
    code_u32(c, &v->attempt);
    code_u32(c, &v->nodes);
    code_u32(c, &v->retries_left);
    code_u64(c, &v->pool);
    int64_t signal = v->signal;
    int64_t *numbers[] = {&v->limit, &v->units_milli, &v->submitted, &v->started, &v->ended, &v->deadline, &v->notice, &v->max_run,
                          &signal, &v->exit_code, &v->exit_signal, &v->exit_rank, &v->master_port};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        code_i64(c, numbers[i]);
    v->signal = (int32_t)signal;
}

static void code_workload(struct codec *c, struct workload *w)
{
    code_workload_view(c, &w->view);
    code_i64(c, &w->assigned);
    code_i64(c, &w->noticed);
    CODE_ENUM(c, w->next, WORKLOAD_STATE_COUNT);
    CODE_ENUM(c, w->next_reason, ENGINE_REASON_COUNT);
    CODE_ENUM(c, w->lost_reason, ENGINE_REASON_COUNT);
    code_bool(c, &w->failing);
    code_ref(c, &w->port_address, 0, c->e->names[NAME_ADDRESS].count);
    CODE_ENUM(c, w->timer, TIMER_COUNT);
    code_i64(c, &w->due);
    code_replicas(c, w);
    if (c->format < 2)
        return;
    code_bool(c, &w->view.instance);
    code_bool(c, &w->view.paused);
    if (c->reserving) {
        code_u32(c, &w->failures);
        code_ref(c, &w->view.reservation, 0, c->e->reservation_count);
    }
    if (c->format >= 3)
        code_bool(c, &w->view.due);
    if (c->format >= 4) {
        code_u32(c, &w->view.nodes_most);
        code_i64(c, &w->view.asked_gpu_milli);
        code_i64(c, &w->view.asked_core_milli);
        code_ref(c, &w->view.sku, 0, c->e->names[NAME_SKU].count);
    }
    code_uses(c, w);
}

/* What stands elsewhere, too. */
static void workload_index(struct engine *e, struct workload *w)
{
    e->counts[w->view.state]++;
    if (!workload_state_ended(w->view.state)) {
        id_set_add(&e->live, w->view.id);
        instance_name_hold(e, w, true);
    }
    if (w->timer != TIMER_NONE)
        workload_timer_set(e, w, w->timer, w->due);
    port_hold(e, w);
}

static void workload_read(struct codec *c, engine_id *last)
{
    struct engine_workload v = {0};
    struct str lines;
    code_u64(c, &v.id);
    code_str(c, &v.name);
    code_str(c, &v.request);
    code_str(c, &lines);
    if (v.id <= *last || v.id >= c->e->next_workload)
        c->in->bad = true;
    if (c->in->bad)
        return;
    *last = v.id;
    struct workload *w = workload_new(c->e, v.id);
    workload_texts_set(w, v.name, v.request);
    workload_lines_set(w, lines);
    code_workload(c, w);
    workload_index(c->e, w);
}

static void workload_write(struct codec *c, struct workload *w)
{
    code_u64(c, &w->view.id);
    code_str(c, &w->view.name);
    code_str(c, &w->view.request);
    code_str(c, &w->view.last_lines);
    code_workload(c, w);
}

static void code_workloads(struct codec *c)
{
    size_t count = code_count(c, c->e->workload_by_id.count);
    engine_id last = 0;
    for (size_t i = 0; i < count && (c->out || !c->in->bad); i++) {
        if (c->out == NULL) {
            workload_read(c, &last);
            continue;
        }
        last = id_set_after(&c->e->all, last);
        workload_write(c, workload_find(c->e, last));
    }
}

/* In the order in which they ended. */
static void code_ended(struct codec *c)
{
    const struct engine *e = c->e;
    size_t count = code_count(c, e->counts[WORKLOAD_FINISHED] + e->counts[WORKLOAD_FAILED] + e->counts[WORKLOAD_CANCELLED]);
    uint32_t slot = e->ended_first;
    for (size_t i = 0; i < count && (c->out || !c->in->bad); i++) {
        uint64_t id = c->out ? workload_at(e, slot)->view.id : 0;
        code_u64(c, &id);
        struct workload *w = workload_find(e, id);
        if (c->out)
            slot = w->next_slot;
        else if (w == NULL || !workload_state_ended(w->view.state) || w->next_slot || e->ended_last == w->slot)
            c->in->bad = true;
        else
            ended_append(c->e, w);
    }
}

static void code_recent(struct codec *c)
{
    struct engine *e = c->e;
    size_t count = code_count(c, e->recent_end - e->recent_first);
    for (size_t i = 0; i < count && (c->out || !c->in->bad); i++) {
        struct idempotency entry = c->out ? e->recent[(e->recent_first + i) & (e->recent_capacity - 1)] : (struct idempotency){0};
        code_u64(c, &entry.hash);
        code_u64(c, &entry.check);
        code_u64(c, &entry.body_hash);
        code_u64(c, &entry.workload);
        code_i64(c, &entry.created);
        if (c->out == NULL && entry.hash && !c->in->bad)
            recent_add(e, &entry);
    }
}

static void code_state(struct codec *c)
{
    struct engine *e = c->e;
    code_u64(c, &e->seed);
    code_i64(c, &e->now);
    code_u64(c, &e->next_key);
    code_u64(c, &e->next_workload);
    for (int i = MARKET_SETTING_COUNT; i < (c->format >= 4 ? ENGINE_SETTING_END : SETTING_NAMES_BURN); i++)
        code_i64(c, &e->settings[i]);
    for (int kind = 0; kind < NAME_KINDS; kind++)
        code_names(c, kind);
    code_projects(c);
    code_principals(c);
    code_nodes(c);
    code_keys(c);
    if (c->format >= 2)
        code_objects(c);
    if (c->reserving)
        code_reservations(c);
    code_workloads(c);
    code_ended(c);
    code_recent(c);
    if (c->format >= 4)
        code_burnt(c);
}

void engine_snapshot(const struct engine *e, struct buf *out)
{
    pack_u64(out, ENGINE_FORMAT);
    /* Writing changes nothing: the codec has one shape for both ways. */
    struct codec c = {.out = out, .format = ENGINE_FORMAT, .reserving = true};
    memcpy(&c.e, &e, sizeof e);
    code_state(&c);
    market_snapshot(e->market, out);
}

/* Before format 4 only the market knew what a bid may take. */
static void asked_restore(struct engine *e)
{
    for (engine_id id = 0; (id = id_set_after(&e->live, id));) {
        struct engine_workload *w = &workload_find(e, id)->view;
        struct market_amounts each;
        if (!market_bid_asks(e->market, id, &each, &w->sku))
            continue;
        w->nodes_most = w->nodes;
        w->asked_gpu_milli = each.gpu_milli * w->nodes;
        w->asked_core_milli = each.core_milli * w->nodes;
    }
}

static struct engine *restore(struct unpack *in, uint64_t format, bool reserving)
{
    struct codec c = {.e = engine_new(0), .in = in, .format = format, .reserving = reserving};
    code_state(&c);
    arena_fini(&c.arena);
    market_free(c.e->market);
    c.e->market = in->bad ? NULL : market_restore(in);
    if (c.e->market == NULL || in->bad) {
        engine_free(c.e);
        return NULL;
    }
    if (format < 4)
        asked_restore(c.e);
    engine_budgets_restore(c.e);
    return c.e;
}

struct engine *engine_restore(struct unpack *in)
{
    uint64_t format = unpack_u64(in);
    if (format < 1 || format > ENGINE_FORMAT)
        return NULL;
    struct unpack again = *in;
    struct engine *e = restore(in, format, format >= 3);
    if (format == 2 && (e == NULL || in->at != in->size)) {
        engine_free(e);
        *in = again;
        e = restore(in, format, true);
    }
    return e;
}
