/* SPDX-License-Identifier: Apache-2.0 */
#include "records/journal_codec.h"

#include "base/hash.h"

#include <errno.h>

/* One description serves both ways: each function codes a field, which is packed or unpacked. */
struct codec {
    struct buf *out; /* NULL: reading */
    struct unpack in;
    struct arena *arena;
    bool full; /* the arena's limit was met */
};

static void code_i64(struct codec *c, int64_t *value)
{
    if (c->out)
        pack_i64(c->out, *value);
    else
        *value = unpack_i64(&c->in);
}

static void code_u64(struct codec *c, uint64_t *value)
{
    if (c->out)
        pack_u64(c->out, *value);
    else
        *value = unpack_u64(&c->in);
}

static void code_u32(struct codec *c, uint32_t *value)
{
    uint64_t wide = *value;
    code_u64(c, &wide);
    c->in.bad |= wide > UINT32_MAX;
    *value = (uint32_t)wide;
}

static void code_bool(struct codec *c, bool *value)
{
    uint64_t wide = *value;
    code_u64(c, &wide);
    c->in.bad |= wide > 1;
    *value = wide == 1;
}

/* Of names 0 .. most; kept as it is when written, so that nothing is lost of what was said. */
static int code_enum(struct codec *c, int value, int most)
{
    int64_t wide = value;
    code_i64(c, &wide);
    if (c->out == NULL && (wide < 0 || wide > most)) {
        c->in.bad = true;
        wide = 0;
    }
    return (int)wide;
}
#define CODE_ENUM(c, field, most) ((field) = (__typeof__(field))code_enum((c), (int)(field), (int)(most)))

static void code_str(struct codec *c, struct str *text)
{
    if (c->out)
        pack_str(c->out, *text);
    else
        *text = unpack_str(&c->in);
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
        c->in.bad = true;
}

static void code_amounts(struct codec *c, struct market_amounts *a)
{
    code_i64(c, &a->gpu_milli);
    code_i64(c, &a->core_milli);
    code_i64(c, &a->memory_mib);
    code_i64(c, &a->disk_mib);
}

/* The elements of a list: *count of them, in the arena when reading; NULL where there are none. */
static void *code_list(struct codec *c, size_t *count, size_t size)
{
    if (c->out) {
        pack_u64(c->out, *count);
        return NULL;
    }
    *count = unpack_count(&c->in, 1);
    void *items = *count ? arena_alloc(c->arena, *count * size) : NULL;
    if (*count && items == NULL) {
        c->in.bad = c->full = true;
        *count = 0;
    }
    return items;
}

static void code_texts(struct codec *c, const struct str **list, size_t *count)
{
    struct str *items = code_list(c, count, sizeof *items);
    for (size_t i = 0; i < *count; i++) {
        struct str text = c->out ? (*list)[i] : (struct str){0};
        code_str(c, &text);
        if (items)
            items[i] = text;
    }
    if (c->out == NULL)
        *list = items;
}

static void code_gpus(struct codec *c, const struct engine_gpu **list, size_t *count)
{
    struct engine_gpu *items = code_list(c, count, sizeof *items);
    for (size_t i = 0; i < *count; i++) {
        struct engine_gpu gpu = c->out ? (*list)[i] : (struct engine_gpu){0};
        code_i64(c, &gpu.index);
        code_i64(c, &gpu.memory_mib);
        code_str(c, &gpu.uuid);
        code_str(c, &gpu.model);
        if (items)
            items[i] = gpu;
    }
    if (c->out == NULL)
        *list = items;
}

/* ---- commands --------------------------------------------------------------------------------------------------- */

static void code_key(struct codec *c, struct engine_command *k)
{
    code_hash(c, k->key.hash);
    code_str(c, &k->key.snippet);
    code_str(c, &k->key.principal);
    code_str(c, &k->key.name);
    CODE_ENUM(c, k->key.kind, PRINCIPAL_AGENT);
    CODE_ENUM(c, k->key.role, ROLE_JOIN);
    code_bool(c, &k->key.session);
    code_u64(c, &k->key.project);
    code_i64(c, &k->key.expires);
}

static void code_join(struct codec *c, struct engine_command *k)
{
    code_u64(c, &k->join.token);
    code_hash(c, k->join.hash);
    code_str(c, &k->join.snippet);
    code_str(c, &k->join.name);
    code_str(c, &k->join.machine);
}

static void code_node(struct codec *c, struct engine_command *k)
{
    code_u64(c, &k->node.key);
    struct str *texts[] = {&k->node.name, &k->node.version, &k->node.boot, &k->node.address, &k->node.sku, &k->node.accelerator,
                           &k->node.provider, &k->node.region, &k->node.zone, &k->node.fabric, &k->node.rack};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        code_str(c, texts[i]);
    code_amounts(c, &k->node.amounts);
    code_texts(c, &k->node.labels, &k->node.label_count);
    code_texts(c, &k->node.missing, &k->node.missing_count);
    code_gpus(c, &k->node.gpus, &k->node.gpu_count);
    code_bool(c, &k->node.unconfined);
    code_bool(c, &k->node.ask_present);
    code_u64(c, &k->node.project);
    code_i64(c, &k->node.ask);
}

static void code_on_node(struct codec *c, struct engine_command *k)
{
    code_u64(c, &k->on_node.node);
    code_u64(c, &k->on_node.pool);
    code_i64(c, &k->on_node.last_contact);
    code_bool(c, &k->on_node.evict);
    code_i64(c, &k->on_node.ask);
}

static void submit_read(struct codec *c, struct engine_submit *s)
{
    struct workload_request request;
    struct unpack in = unpack_from(s->request);
    struct error err;
    int r = c->in.bad ? -EINVAL : record_unpack(&workload_request_record, &in, c->arena, &request, &err);
    if (r == 0 && in.at != in.size)
        r = -EINVAL;
    if (r == 0)
        r = journal_submit_from_request(&request, c->arena, s, &err);
    c->in.bad |= r < 0;
    c->full |= r == -E2BIG;
}

/* REQUEST_SET: what it uses follows from the request, as in a submit. */
static void code_request(struct codec *c, struct engine_command *k)
{
    struct engine_submit s = {.request = k->workload.request};
    code_str(c, &s.request);
    if (c->out)
        return;
    submit_read(c, &s);
    k->workload.request = s.request;
    k->workload.objects = s.objects;
    k->workload.object_count = s.object_count;
}

static void code_choice(struct codec *c, struct engine_choice *choice)
{
    struct str *texts[] = {&choice->sku, &choice->accelerator, &choice->provider, &choice->region, &choice->zone};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        code_str(c, texts[i]);
    code_texts(c, &choice->labels, &choice->label_count);
    code_amounts(c, &choice->amounts);
    code_i64(c, &choice->speed_milli);
}

static void code_reserve(struct codec *c, struct engine_reserve *s)
{
    code_u64(c, &s->project);
    code_u64(c, &s->key);
    code_str(c, &s->name);
    code_str(c, &s->body);
    code_choice(c, &s->choice);
    code_u32(c, &s->nodes);
    CODE_ENUM(c, s->level, LEVEL_NODE);
    code_u32(c, &s->racks);
    code_i64(c, &s->from);
    code_i64(c, &s->to);
    code_bool(c, &s->limit_present);
    code_i64(c, &s->limit);
    code_bool(c, &s->keep_idle);
    code_u64(c, &s->request_key);
}

static void code_reservation(struct codec *c, struct engine_command *k)
{
    code_u64(c, &k->reservation.reservation);
    CODE_ENUM(c, k->reservation.action, RESERVATION_EXTEND);
    code_u32(c, &k->reservation.nodes);
    code_i64(c, &k->reservation.from);
    code_i64(c, &k->reservation.to);
    code_i64(c, &k->reservation.floor);
    code_i64(c, &k->reservation.limit);
}

static void code_subscription(struct codec *c, struct engine_command *k)
{
    code_u64(c, &k->subscription.project);
    code_choice(c, &k->subscription.choice);
    code_u32(c, &k->subscription.tier);
    code_i64(c, &k->subscription.units_milli);
    code_i64(c, &k->subscription.rate);
}

static void code_object(struct codec *c, struct engine_command *k)
{
    code_u64(c, &k->object.id);
    CODE_ENUM(c, k->object.kind, ENGINE_OBJECT_KINDS - 1);
    code_u64(c, &k->object.project);
    code_u64(c, &k->object.key);
    code_bool(c, &k->object.unique);
    code_bool(c, &k->object.exclusive);
    code_bool(c, &k->object.keep);
    code_str(c, &k->object.name);
    code_str(c, &k->object.body);
    code_u64(c, &k->object.revision);
    code_i64(c, &k->object.size);
}

static void code_quota(struct codec *c, struct engine_command *k)
{
    code_u64(c, &k->quota.project);
    CODE_ENUM(c, k->quota.kind, ENGINE_QUOTA_KINDS - 1);
    code_str(c, &k->quota.type);
    code_bool(c, &k->quota.limited);
    code_i64(c, &k->quota.total);
}

static void code_submit(struct codec *c, struct engine_submit *s)
{
    code_u64(c, &s->project);
    code_u64(c, &s->key);
    code_str(c, &s->idempotency);
    code_u64(c, &s->body_hash);
    code_u64(c, &s->request_key);
    code_str(c, &s->request);
    if (c->out == NULL)
        submit_read(c, s);
}

static void code_report(struct codec *c, struct engine_command *k)
{
    CODE_ENUM(c, k->report.kind, ENGINE_PHASE);
    code_u64(c, &k->report.node);
    code_u64(c, &k->report.workload);
    code_u32(c, &k->report.attempt);
    code_u32(c, &k->report.role);
    code_u32(c, &k->report.rank);
    code_i64(c, &k->report.exit_code);
    code_i64(c, &k->report.signal);
    code_i64(c, &k->report.port);
    code_bool(c, &k->report.oom);
    code_str(c, &k->report.text);
    code_str(c, &k->report.last_lines);
    code_i64(c, &k->report.at);
    if (k->report.kind != ENGINE_PHASE)
        return;
    CODE_ENUM(c, k->report.phase, INT32_MAX);
    code_str(c, &k->report.address);
    code_str(c, &k->report.private_address);
}

/* The engine's settings are numbered behind the market's, whose count grows: in bytes they are -1, -2, … */
static int64_t setting_coded(int64_t name)
{
    return name < MARKET_SETTING_COUNT ? name : MARKET_SETTING_COUNT - 1 - name;
}

static int64_t setting_decoded(int64_t coded)
{
    return coded >= 0 ? coded : MARKET_SETTING_COUNT - 1 - coded;
}

static void code_setting(struct codec *c, struct engine_command *k)
{
    int64_t name = setting_coded(k->setting.name);
    code_i64(c, &name);
    if (c->out == NULL) {
        c->in.bad |= name >= MARKET_SETTING_COUNT || name < MARKET_SETTING_COUNT - ENGINE_SETTING_END;
        k->setting.name = c->in.bad ? 0 : (int)setting_decoded(name);
    }
    code_i64(c, &k->setting.value);
}

static void code_project(struct codec *c, struct engine_command *k)
{
    code_u64(c, &k->project.project);
    code_str(c, &k->project.name);
    code_bool(c, &k->project.limited);
    code_i64(c, &k->project.budget);
}

static void code_command(struct codec *c, struct engine_command *k)
{
    CODE_ENUM(c, k->type, ENGINE_COMMAND_COUNT - 1);
    switch (k->type) {
    case ENGINE_PROJECT_CREATE:
    case ENGINE_PROJECT_SET:
        code_project(c, k);
        break;
    case ENGINE_KEY_CREATE:
        code_key(c, k);
        break;
    case ENGINE_KEY_REVOKE:
        code_u64(c, &k->revoke);
        break;
    case ENGINE_JOIN:
        code_join(c, k);
        break;
    case ENGINE_NODE_REGISTER:
        code_node(c, k);
        break;
    case ENGINE_NODE_LOST_SET:
    case ENGINE_NODE_DRAIN:
    case ENGINE_NODE_UNDRAIN:
    case ENGINE_ASK_SET:
        code_on_node(c, k);
        break;
    case ENGINE_SETTING_SET:
        code_setting(c, k);
        break;
    case ENGINE_SUBMIT:
        code_submit(c, &k->submit);
        break;
    case ENGINE_BID_CHANGE:
    case ENGINE_CANCEL:
        code_u64(c, &k->workload.workload);
        code_i64(c, &k->workload.limit);
        break;
    case ENGINE_REPORT:
        code_report(c, k);
        break;
    case ENGINE_PAUSE:
        code_u64(c, &k->workload.workload);
        code_bool(c, &k->workload.paused);
        break;
    case ENGINE_REQUEST_SET:
        code_u64(c, &k->workload.workload);
        code_request(c, k);
        break;
    case ENGINE_RESERVE:
        code_reserve(c, &k->reserve);
        break;
    case ENGINE_RESERVATION_CHANGE:
        code_reservation(c, k);
        break;
    case ENGINE_SUBSCRIBE:
        code_subscription(c, k);
        break;
    case ENGINE_OBJECT_PUT:
    case ENGINE_OBJECT_DELETE:
        code_object(c, k);
        break;
    case ENGINE_QUOTA_SET:
        code_quota(c, k);
        break;
    case ENGINE_TICK:
    case ENGINE_WAKE:
    case ENGINE_COMMAND_COUNT:
        break;
    }
}

/* ---- events ---------------------------------------------------------------------------------------------------------- */

/* Only ever appended; all of them eight bytes. `type` stands before, `text` behind. */
#define AT_EVENT(member) offsetof(struct engine_event, member)
static const size_t event_fields[] = {
    AT_EVENT(at), AT_EVENT(project), AT_EVENT(workload), AT_EVENT(node), AT_EVENT(key), AT_EVENT(pool), AT_EVENT(command),
    AT_EVENT(attempt), AT_EVENT(role), AT_EVENT(rank), AT_EVENT(nodes), AT_EVENT(state), AT_EVENT(reason), AT_EVENT(units_milli),
    AT_EVENT(rate), AT_EVENT(limit), AT_EVENT(amount), AT_EVENT(from), AT_EVENT(to), AT_EVENT(deadline), AT_EVENT(exited),
    AT_EVENT(exit_code), AT_EVENT(signal), AT_EVENT(oom), AT_EVENT(exit_rank), AT_EVENT(gpus), AT_EVENT(charge),
    AT_EVENT(debit_kind), AT_EVENT(debit_id), AT_EVENT(credit_kind), AT_EVENT(credit_id), AT_EVENT(marginal), AT_EVENT(scarcity),
    AT_EVENT(guide), AT_EVENT(lowest_ask), AT_EVENT(free_milli), AT_EVENT(used_milli), AT_EVENT(wanted_milli), AT_EVENT(running),
    AT_EVENT(waiting), AT_EVENT(surplus), AT_EVENT(bound), AT_EVENT(setting), AT_EVENT(value),
};
#define EVENT_TEXT ARRAY_COUNT(event_fields) /* the mask's bit of the text */
_Static_assert(EVENT_TEXT < 64, "one mask holds all fields");

/* `command` is -1 in most events and stands as one more, so that it costs nothing there. */
static int64_t event_get(const struct engine_event *event, size_t field)
{
    int64_t value;
    memcpy(&value, (const char *)event + event_fields[field], sizeof value);
    if (event_fields[field] == AT_EVENT(command))
        return (int64_t)((uint64_t)value + 1);
    return event->type == ENGINE_EVENT_SETTING_CHANGED && event_fields[field] == AT_EVENT(setting) ? setting_coded(value) : value;
}

static void event_put(struct engine_event *event, size_t field, int64_t value)
{
    if (event_fields[field] == AT_EVENT(command))
        value = (int64_t)((uint64_t)value - 1);
    if (event->type == ENGINE_EVENT_SETTING_CHANGED && event_fields[field] == AT_EVENT(setting))
        value = setting_decoded(CLAMP(value, INT32_MIN, INT32_MAX));
    memcpy((char *)event + event_fields[field], &value, sizeof value);
}

void journal_event_pack(const struct engine_event *event, struct buf *out)
{
    uint64_t mask = event->text.size ? UINT64_C(1) << EVENT_TEXT : 0;
    for (size_t i = 0; i < EVENT_TEXT; i++)
        mask |= (uint64_t)(event_get(event, i) != 0) << i;
    pack_u64(out, (uint64_t)event->type);
    pack_u64(out, mask);
    for (size_t i = 0; i < EVENT_TEXT; i++)
        if (mask >> i & 1)
            pack_i64(out, event_get(event, i));
    if (event->text.size)
        pack_str(out, event->text);
}

void journal_events_pack(const struct engine_result *result, struct buf *out)
{
    for (size_t i = 0; i < result->event_count; i++)
        journal_event_pack(&result->events[i], out);
}

static void event_read(struct codec *c, struct engine_event *event)
{
    uint64_t type = unpack_u64(&c->in), mask = unpack_u64(&c->in);
    c->in.bad |= type >= ENGINE_EVENT_TYPE_COUNT || mask >> EVENT_TEXT > 1;
    event->type = (enum engine_event_type)(c->in.bad ? 0 : type);
    for (size_t i = 0; i < EVENT_TEXT; i++)
        event_put(event, i, mask >> i & 1 ? unpack_i64(&c->in) : 0);
    if (mask >> EVENT_TEXT & 1)
        event->text = unpack_str(&c->in);
}

/* ---- lists of either ---------------------------------------------------------------------------------------------------- */

/* One more zeroed element of a list in the arena, which doubles as it grows. */
static void *list_grow(struct arena *arena, void **items, size_t *count, size_t *capacity, size_t size)
{
    if (*count == *capacity) {
        size_t larger = *capacity ? *capacity * 2 : 4;
        void *copy = arena_alloc(arena, larger * size);
        if (copy == NULL)
            return NULL;
        if (*count)
            memcpy(copy, *items, *count * size);
        *items = copy;
        *capacity = larger;
    }
    return (char *)*items + (*count)++ * size;
}

static int finish(const struct codec *c, const char *what, size_t count, struct error *err)
{
    if (c->full)
        return error_set(err, -E2BIG, "journal: %s %zu does not fit in memory", what, count);
    if (c->in.bad)
        return error_set(err, -EINVAL, "journal: %s %zu of its group is damaged or written by a newer version", what, count);
    return 0;
}

void journal_command_pack(const struct engine_command *command, struct buf *out)
{
    struct engine_command copy = *command;
    struct codec c = {.out = out};
    code_command(&c, &copy);
}

int journal_commands_unpack(struct str bytes, struct arena *arena, struct engine_command **ret, size_t *ret_count,
                            struct error *err)
{
    struct codec c = {.in = unpack_from(bytes), .arena = arena};
    size_t count = 0, capacity = 0;
    void *items = NULL;
    while (c.in.at < c.in.size && !c.in.bad) {
        struct engine_command *command = list_grow(arena, &items, &count, &capacity, sizeof *command);
        c.full |= command == NULL;
        if (c.full)
            break;
        code_command(&c, command);
    }
    *ret = items;
    *ret_count = count;
    return finish(&c, "command", count, err);
}

int journal_events_unpack(struct str bytes, struct arena *arena, struct engine_event **ret, size_t *ret_count,
                          struct error *err)
{
    struct codec c = {.in = unpack_from(bytes), .arena = arena};
    size_t count = 0, capacity = 0;
    void *items = NULL;
    while (c.in.at < c.in.size && !c.in.bad) {
        struct engine_event *event = list_grow(arena, &items, &count, &capacity, sizeof *event);
        c.full |= event == NULL;
        if (c.full)
            break;
        event_read(&c, event);
    }
    *ret = items;
    *ret_count = count;
    return finish(&c, "event", count, err);
}

/* ---- digest ------------------------------------------------------------------------------------------------------------------ */

static void outcome_pack(const struct engine_outcome *outcome, struct buf *out)
{
    pack_u64(out, (uint64_t)outcome->code);
    pack_str(out, str_from(outcome->field));
    pack_u64(out, (uint64_t)outcome->refusal);
    for (size_t i = 0; i < ARRAY_COUNT(outcome->numbers); i++)
        pack_i64(out, outcome->numbers[i]);
    pack_u64(out, outcome->id);
    pack_u64(out, outcome->repeated);
    pack_u64(out, outcome->count);
}

uint64_t journal_digest(uint64_t running, const struct engine_result *result, struct str events)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT(BUF_LIMIT_DEFAULT);
    for (size_t i = 0; i < result->outcome_count; i++)
        outcome_pack(&result->outcomes[i], &bytes);
    buf_append_str(&bytes, events);
    for (size_t i = 0; i < result->node_count; i++)
        pack_u64(&bytes, result->nodes[i]);
    return digest_add(running, bytes.data, bytes.size);
}

/* ---- submits -------------------------------------------------------------------------------------------------------------------- */

static int narrow(const char *field, int64_t value, uint32_t *ret, struct error *err)
{
    if (value < 0 || value > UINT32_MAX)
        return error_set(err, -EINVAL, "%s: %lld is out of range", field, (long long)value);
    *ret = (uint32_t)value;
    return 0;
}

static struct engine_choice choice_from(const struct workload_choice *c)
{
    return (struct engine_choice){.sku = c->sku, .accelerator = c->accelerator, .provider = c->provider, .region = c->region,
        .zone = c->zone, .labels = c->labels.items, .label_count = c->labels.count, .speed_milli = c->speed_milli,
        .amounts = {c->amounts.gpu_milli, c->amounts.core_milli, c->amounts.memory_mib, c->amounts.disk_mib}};
}

static int choices_from(const struct workload_request *request, struct engine_submit *ret, struct arena *arena, struct error *err)
{
    const struct workload_choice *from = request->choices.items;
    struct engine_choice *choices = arena_alloc(arena, (request->choices.count + 1) * sizeof *choices);
    if (choices == NULL)
        return error_set(err, -E2BIG, "choices: too long");
    for (size_t i = 0; i < request->choices.count; i++)
        choices[i] = choice_from(&from[i]);
    ret->choices = choices;
    ret->choice_count = request->choices.count;
    return 0;
}

static int objects_from(const struct workload_request *request, struct arena *arena, const engine_id **ret, size_t *ret_count,
                        struct error *err)
{
    const int64_t *from = request->objects.items;
    engine_id *ids = arena_alloc(arena, (request->objects.count + 1) * sizeof *ids);
    if (ids == NULL)
        return error_set(err, -E2BIG, "objects: too long");
    for (size_t i = 0; i < request->objects.count; i++)
        ids[i] = (engine_id)from[i];
    *ret = ids;
    *ret_count = request->objects.count;
    return 0;
}

static void bid_from(const struct workload_request *request, struct engine_submit *ret)
{
    ret->name = request->name;
    ret->preemptible = request->preemptible;
    ret->limit_present = request->limit_present;
    ret->limit = request->limit_udollar_per_hour;
    ret->renew = request->renew;
    ret->urgent = request->urgent;
    ret->freeze = request->on_lost_contact == AGENT_LOST_FREEZE;
    ret->priority = request->priority;
    ret->level = (enum market_level)request->level;
    ret->notice = request->notice_ms;
    ret->minimum_run = request->minimum_run_ms;
    ret->term = request->term_ms;
    ret->max_run = request->max_run_ms;
    ret->run_time = request->run_time_ms;
    ret->deadline = request->deadline_ms;
    ret->earliest = request->earliest_ms;
    ret->signal = (int32_t)CLAMP(request->signal, 1, 64);
    ret->restart_cost = request->restart_cost_udollar;
    ret->instance = request->kind == WORKLOAD_INSTANCE;
    ret->reservation = request->reservation;
    ret->tier = (uint32_t)request->tier;
}

int journal_submit_from_request(const struct workload_request *request, struct arena *arena, struct engine_submit *ret,
                                struct error *err)
{
    bid_from(request, ret);
    int r = narrow("nodes", request->nodes, &ret->nodes, err);
    if (r == 0)
        r = narrow("nodes_max", request->nodes_max, &ret->nodes_max, err);
    if (r == 0)
        r = narrow("racks", request->racks, &ret->racks, err);
    if (r == 0)
        r = narrow("retries", request->retries, &ret->retries, err);
    if (r == 0)
        r = objects_from(request, arena, &ret->objects, &ret->object_count, err);
    return r == 0 ? choices_from(request, ret, arena, err) : r;
}
