/* SPDX-License-Identifier: Apache-2.0 */
/* Spot bids: standing workloads of kind instance, all or nothing, in one zone, of one type. */
#include "server/mithril.h"
#include "server/mithril_history.h"

#include "records/journal_codec.h"
#include "records/object.h"
#include "wire/unit.h"

#define NOTICE_MS 300000
#define RETRIES 1000 /* an instance that ends by itself is started again */

/* ---- from a workload ---- */

bool order_request(const struct render *r, const struct engine_workload *w, struct workload_request *ret)
{
    struct unpack in = unpack_from(w->request);
    return record_unpack(&workload_request_record, &in, r->arena, ret, NULL) == 0;
}

engine_id order_principal(const struct engine *e, const struct engine_workload *w)
{
    const struct engine_key *key = engine_key(e, w->key);
    return key ? key->principal : 0;
}

const char *bid_status(const struct engine_workload *w)
{
    if (w->cancelled || workload_state_ended(w->state))
        return "Terminated";
    if (w->paused)
        return "Paused";
    switch ((int)w->state) {
    case WORKLOAD_ASSIGNED:
    case WORKLOAD_RUNNING:
        return "Allocated";
    case WORKLOAD_PREEMPTING:
        return w->reason == REASON_RELOCATED ? "Allocated" : w->reason == REASON_PAUSED ? "Open" : "Preempting"; /* resumed while it stops */
    default:
        return "Open";
    }
}

void launch_render(struct buf *out, const struct workload_instance *instance)
{
    json_open(out, '{');
    member_texts(out, "volumes", &instance->volumes);
    member_texts(out, "ssh_keys", &instance->ssh_keys);
    member_text_or_null(out, "startup_script", instance->startup_script);
    member_text_or_null(out, "kubernetes_cluster", instance->cluster);
    member_text_or_null(out, "image_version", instance->image);
    if (instance->memory_gib)
        member_integer(out, "memory_gb", instance->memory_gib);
    else
        member_null(out, "memory_gb");
    json_close(out, '}');
}

static void instances_render(struct buf *out, const struct render *r, const struct engine_workload *w)
{
    json_key(out, "instances");
    json_open(out, '[');
    for (uint32_t rank = 0; w->attempt && rank < w->nodes; rank++) {
        struct id_text id = id_format(r->ids, "inst", instance_number(w->id, rank));
        json_text(out, id.text);
    }
    json_close(out, ']');
}

static void limit_render(struct buf *out, const struct engine_workload *w, const struct workload_request *request)
{
    const struct workload_choice *choice = request->choices.items;
    int64_t units = choice->amounts.gpu_milli ? choice->amounts.gpu_milli : choice->amounts.core_milli;
    if (request->instance.limit.size)
        member_text(out, "limit_price", request->instance.limit);
    else
        member_money(out, "limit_price", mul_div_ceil(w->limit, units, 1000));
}

static void bid_render(struct buf *out, const struct render *r, const struct engine_workload *w)
{
    struct workload_request request;
    if (!order_request(r, w, &request))
        return;
    const struct workload_choice *choice = request.choices.items;
    json_open(out, '{');
    member_id(out, r, "fid", "bid", w->id);
    member_text(out, "name", w->name);
    member_id(out, r, "project", "proj", w->project);
    member_id(out, r, "created_by", "user", MAX(order_principal(r->engine, w), 1));
    member_time(out, "created_at", MAX(w->submitted, 1));
    member_time(out, "deactivated_at", w->ended);
    limit_render(out, w, &request);
    member_integer(out, "instance_quantity", request.nodes);
    member_id(out, r, "instance_type", "it", type_parse(r, choice->sku));
    member_text(out, "region", region_text(r, choice->region, choice->zone));
    instances_render(out, r, w);
    json_key(out, "launch_specification");
    launch_render(out, &request.instance);
    member_text(out, "status", str_from(bid_status(w)));
    json_close(out, '}');
}

const struct engine_workload *order_find(struct api_call *call, const struct engine *e, const char *prefix, struct str fid, uint32_t *ret_rank)
{
    uint64_t id;
    bool instance = strcmp(prefix, "inst") == 0;
    if (!id_parse(call->api->ids, prefix, fid, &id))
        return NULL;
    *ret_rank = instance ? (uint32_t)(id % INSTANCE_RANKS) : 0;
    const struct engine_workload *w = engine_workload(e, instance ? id / INSTANCE_RANKS : id);
    return w && w->instance && (instance || !w->reservation) && call_sees(call, w->project) ? w : NULL;
}

/* The one in the path; NULL: refused. */
static const struct engine_workload *bid_open(struct api_call *call, const struct core_view *view)
{
    uint32_t rank;
    const struct engine_workload *w = order_find(call, view->engine, "bid", call->name, &rank);
    if (w == NULL)
        call_refuse(call, 404, NULL, "bid not found");
    return w;
}

void mithril_bid_get(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    const struct engine_workload *w = bid_open(call, view);
    if (w == NULL)
        return;
    bid_render(&out, &r, w);
    mithril_answer(call, 200, &out);
}

void mithril_bid_status(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    const struct engine_workload *w = bid_open(call, view);
    if (w == NULL)
        return;
    bool moves = w->state == WORKLOAD_PREEMPTING && w->reason == REASON_RELOCATED && !w->cancelled && !w->paused;
    json_open(&out, '{');
    member_id(&out, &r, "bid_fid", "bid", w->id);
    member_text(&out, "status", str_from(moves ? "Relocating" : bid_status(w)));
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

/* ---- the list ---- */

bool place_passes(const struct api_call *call, const struct render *r, const struct engine_workload *w)
{
    struct str type = http_request_query(call->request, "instance_type"), region = http_request_query(call->request, "region");
    struct workload_request request;
    if (type.size == 0 && region.size == 0)
        return true;
    if (!order_request(r, w, &request))
        return false;
    const struct workload_choice *choice = request.choices.items;
    struct id_text fid = id_format(r->ids, "it", type_parse(r, choice->sku));
    return (filter_passes(call, "instance_type", choice->sku) || filter_passes(call, "instance_type", str_from(fid.text))) &&
           filter_passes(call, "region", region_text(r, choice->region, choice->zone));
}

static bool bid_passes(const struct api_call *call, const struct render *r, const struct engine_workload *w)
{
    struct str name = http_request_query(call->request, "name");
    if (!w->instance || w->reservation || !call_sees(call, w->project) || (name.size && !str_equal(name, w->name)) ||
        !filter_passes(call, "status", str_from(bid_status(w))))
        return false;
    return place_passes(call, r, w);
}

/* Live ones first where a name is asked for: it may have been used before. */
static int64_t bid_rank(const struct api_call *call, const struct engine_workload *w)
{
    if (str_is(http_request_query(call->request, "sort_by"), "status"))
        return bid_status(w)[0] * 256 + bid_status(w)[1];
    return http_request_query(call->request, "name").size && !workload_state_ended(w->state);
}

static void bids_gather(const struct api_call *call, const struct render *r, engine_id project, struct page *page)
{
    page->by_id = http_request_query(call->request, "name").size == 0 && !str_is(http_request_query(call->request, "sort_by"), "status");
    engine_id at = page->by_id && !page->ascending ? page->cursor : 0;
    const struct engine_workload *w;
    while (!page_full(page) && (w = engine_workload_before(r->engine, at, project, WORKLOAD_STATES_LIVE | WORKLOAD_STATES_ENDED))) {
        if (bid_passes(call, r, w))
            page_add(page, r->arena, w->id, page->by_id ? 0 : bid_rank(call, w));
        at = w->id;
    }
}

void mithril_bid_list(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    struct page page;
    size_t first, end;
    engine_id project;
    if (!mithril_project_wanted(call, &project) || !page_open(call, "bid", &page))
        return;
    bids_gather(call, &r, project, &page);
    uint64_t cursor = page_cut(&page, &first, &end);
    json_open(&out, '{');
    json_key(&out, "data");
    json_open(&out, '[');
    for (size_t i = first; i < end; i++)
        bid_render(&out, &r, engine_workload(view->engine, page.ids[i]));
    json_close(&out, ']');
    member_cursor(&out, &r, "bid", cursor);
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

/* ---- a new one ---- */

static void bid_answer(struct api_call *call, const struct core_answer *answer, int status)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = answer_render(call, answer);
    const struct engine_command *commands = call->push.commands;
    engine_id id = status == 201 ? answer->outcomes[0].id : commands[0].workload.workload;
    for (size_t i = 0; i < call->push.count; i++) {
        const struct engine_outcome *outcome = &answer->outcomes[i];
        if (outcome->code == ENGINE_CONFLICT && strcmp(outcome->field, "name") == 0) {
            call_refuse(call, 400, NULL, "name already used");
            return;
        }
        if (outcome->code == ENGINE_CONFLICT && strcmp(outcome->field, "objects") == 0) {
            call_refuse(call, 409, NULL, "a block volume is attached elsewhere");
            return;
        }
        if (mithril_quota_refused(call, answer->engine, outcome))
            return;
        if (outcome->code != ENGINE_OK) {
            struct error err = {0};
            int rc = outcome_error(answer->engine, outcome, &err);
            call_refuse(call, rc, NULL, "%s", err.text);
            return;
        }
    }
    bid_render(&out, &r, engine_workload(answer->engine, id));
    mithril_answer(call, status, &out);
}

static void bid_made(struct api_call *call, const struct core_answer *answer)
{
    bid_answer(call, answer, 201);
}

void launch_request(const struct mithril_launch *launch, struct workload_request *ret)
{
    record_defaults(&workload_request_record, ret);
    ret->kind = WORKLOAD_INSTANCE;
    ret->notice_ms = NOTICE_MS;
    ret->retries = RETRIES;
    ret->level = LEVEL_ANY;
    ret->instance = (struct workload_instance){.ssh_keys = launch->ssh_keys, .volumes = launch->volumes, .startup_script = launch->startup_script,
                                               .image = launch->image_version, .cluster = launch->kubernetes_cluster};
}

struct workload_choice *offer_choice(const struct render *r, const struct offer *o)
{
    struct workload_choice *choice = arena_alloc(r->arena, sizeof *choice);
    CHECK(choice);
    *choice = (struct workload_choice){.sku = engine_name(r->engine, NAME_SKU, o->sku), .region = engine_name(r->engine, NAME_REGION, o->region),
        .zone = engine_name(r->engine, NAME_ZONE, o->zone), .speed_milli = 1000,
        .amounts = {o->amounts.gpu_milli, o->amounts.core_milli, o->amounts.memory_mib, o->amounts.disk_mib}};
    return choice;
}

/* In the words that clients look for. */
static bool limit_valid(struct api_call *call, const struct offer *offer, struct str text, udollar *ret)
{
    if (!money_parse(text, ret) || *ret < 0) {
        call_refuse(call, 400, "limit_price", "\"%.*s\" is no price, allowed are dollars per instance-hour, as $12.50", (int)MIN(text.size, 40),
                    text.data);
        return false;
    }
    if (*ret >= offer->minimum)
        return true;
    call_refuse(call, 400, NULL, "limit price below minimum price: %.*s is below %.*s", STR_ARGS(money_text(call_arena(call), *ret)),
                STR_ARGS(money_text(call_arena(call), offer->minimum)));
    return false;
}

/* Names of instances become names of hosts. */
bool order_name_valid(struct api_call *call, struct str name)
{
    bool valid = name.size > 0;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        valid &= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    }
    if (!valid)
        call_refuse(call, 400, "name", "allowed are letters, digits, `.`, `_` and `-`");
    return valid;
}

bool order_email_valid(struct api_call *call, struct str email)
{
    struct error err = {0};
    if (workload_email_check(email, "notification_email", &err) == 0)
        return true;
    call_refuse_error(call, 400, &err);
    return false;
}

/* Clusters and volumes stand in one region, and a disk goes to one instance. */
static bool objects_fit(struct api_call *call, const struct render *r, const struct offer *offer, const struct workload_request *request)
{
    const int64_t *ids = request->objects.items;
    for (size_t i = 0; i < request->objects.count; i++) {
        const struct engine_object *o = engine_object(r->engine, (engine_id)ids[i]);
        struct object_volume volume;
        struct object_cluster cluster;
        if (o && o->kind == OBJECT_CLUSTER && object_unpack(&object_cluster_record, o->body, r->arena, &cluster) &&
            !str_equal(region_shown(r, cluster.region), offer_region(r, offer))) {
            call_refuse(call, 400, NULL, "cluster %.*s stands in another region", STR_ARGS(o->name));
            return false;
        }
        if (o == NULL || o->kind != OBJECT_VOLUME || !object_unpack(&object_volume_record, o->body, r->arena, &volume))
            continue;
        if (!str_equal(region_shown(r, volume.region), offer_region(r, offer))) {
            call_refuse(call, 400, NULL, "volume %.*s stands in another region", STR_ARGS(o->name));
            return false;
        }
        if (volume.interface == VOLUME_BLOCK && request->nodes > 1) {
            call_refuse(call, 400, NULL, "volume %.*s is a block volume: one instance has it, not %lld", STR_ARGS(o->name), (long long)request->nodes);
            return false;
        }
    }
    return true;
}

struct str request_pack(struct api_call *call, const struct workload_request *request)
{
    _cleanup_buf_ struct buf packed = BUF_INIT(BUF_LIMIT_DEFAULT);
    record_pack(&workload_request_record, request, &packed);
    return arena_str(call_arena(call), buf_str(&packed));
}

/* Looks up what the request names and makes the engine's submit of it. */
bool launch_submit(struct api_call *call, const struct render *r, struct workload_request *request, const struct offer *offer,
                   struct engine_submit *ret)
{
    struct error err = {0};
    engine_id project = ret->project;
    if (instance_complete(r, project, request, &err) < 0 ||
        journal_submit_from_request(request, call_arena(call), ret, &err) < 0) {
        call_refuse(call, 400, NULL, "%s", err.text);
        return false;
    }
    if (!objects_fit(call, r, offer, request))
        return false;
    ret->request = request_pack(call, request);
    ret->project = project;
    ret->key = call->who.key;
    ret->request_key = hash_bytes(ret->request.data, ret->request.size);
    return true;
}

void mithril_bid_create(struct api_call *call, const struct core_view *view)
{
    const struct mithril_bid_create *create = call->input;
    struct render r = call_render(call, view);
    struct offers offers = offers_find(&r);
    engine_id project = mithril_project(call, create->project);
    const struct offer *offer = project ? offer_named(&r, &offers, create->instance_type, create->region) : NULL;
    udollar limit;
    if (project == 0 || !order_name_valid(call, create->name) || !order_email_valid(call, create->notification_email))
        return;
    if (offer == NULL) {
        call_refuse(call, 404, NULL, "instance type not found in that region");
        return;
    }
    if (!limit_valid(call, offer, create->limit_price, &limit))
        return;
    struct workload_request *request = call_alloc(call, sizeof *request);
    launch_request(&create->launch_specification, request);
    request->name = create->name;
    request->nodes = create->instance_quantity;
    request->choices = (struct record_list){offer_choice(&r, offer), 1};
    request->preemptible = request->limit_present = true;
    request->limit_udollar_per_hour = offer_unit_rate(offer, limit);
    request->instance.limit = create->limit_price;
    request->instance.email = create->notification_email;
    struct engine_command *c = call_alloc(call, sizeof *c);
    c->type = ENGINE_SUBMIT;
    c->submit.project = project;
    if (launch_submit(call, &r, request, offer, &c->submit))
        call_push(call, c, 1, bid_made);
}

/* ---- changes ---- */

static void bid_changed(struct api_call *call, const struct core_answer *answer)
{
    bid_answer(call, answer, 200);
}

static bool volumes_take(struct api_call *call, struct str text, struct record_list *ret)
{
    struct json_value list;
    if (json_parse(text, call_arena(call), &list, NULL) < 0 || list.type != JSON_ARRAY) {
        call_refuse(call, 400, "volumes", "expected a list");
        return false;
    }
    struct str *items = call_alloc(call, (list.count + 1) * sizeof *items);
    for (size_t i = 0; i < list.count; i++)
        items[i] = list.items[i].text;
    *ret = (struct record_list){items, list.count};
    return true;
}

/* A label is added each time that a request is completed: it goes before. */
static void labels_forget(struct workload_request *request)
{
    ((struct workload_choice *)request->choices.items)->labels = (struct record_list){0};
}

/* The commands of one change, in order: at most a request, a limit, a pause. */
struct change {
    struct engine_command *commands;
    size_t count;
    struct workload_request request;
    bool rewritten;
};

static struct engine_command *change_add(struct change *c, enum engine_command_type type, engine_id workload)
{
    struct engine_command *command = &c->commands[c->count++];
    command->type = type;
    command->workload.workload = workload;
    return command;
}

static bool change_limit(struct api_call *call, struct change *c, const struct engine_workload *w, const struct offer *offer)
{
    const struct mithril_bid_change *change = call->input;
    udollar limit;
    if (change->limit_price.size == 0)
        return true;
    if (!limit_valid(call, offer, change->limit_price, &limit))
        return false;
    c->request.limit_udollar_per_hour = offer_unit_rate(offer, limit);
    c->request.instance.limit = change->limit_price;
    c->rewritten = true;
    change_add(c, ENGINE_BID_CHANGE, w->id)->workload.limit = c->request.limit_udollar_per_hour;
    return true;
}

static bool change_volumes(struct api_call *call, struct change *c, const struct engine_workload *w)
{
    const struct mithril_bid_change *change = call->input;
    if (change->volumes.size == 0 || str_is(change->volumes, "null"))
        return true;
    if (w->state != WORKLOAD_PAUSED) {
        call_refuse(call, 409, NULL, "volumes change only while the bid is paused");
        return false;
    }
    c->rewritten = true;
    return volumes_take(call, change->volumes, &c->request.instance.volumes);
}

static bool change_request(struct api_call *call, const struct render *r, struct change *c, const struct engine_workload *w,
                           const struct offer *offer)
{
    struct engine_submit submit = {.project = w->project};
    if (!c->rewritten)
        return true;
    labels_forget(&c->request);
    if (!launch_submit(call, r, &c->request, offer, &submit))
        return false;
    struct engine_command *command = change_add(c, ENGINE_REQUEST_SET, w->id);
    command->workload.request = submit.request;
    command->workload.objects = submit.objects;
    command->workload.object_count = submit.object_count;
    return true;
}

void mithril_bid_change(struct api_call *call, const struct core_view *view)
{
    const struct mithril_bid_change *change = call->input;
    struct render r = call_render(call, view);
    struct offers offers = offers_find(&r);
    const struct engine_workload *w = bid_open(call, view);
    struct change *c = call_alloc(call, sizeof *c);
    int paused;
    if (w == NULL || !mithril_flag(call, "paused", change->paused, &paused))
        return;
    if (workload_state_ended(w->state) || w->cancelled || !order_request(&r, w, &c->request)) {
        call_refuse(call, 409, NULL, "the bid has been terminated");
        return;
    }
    if (change->memory_present) {
        call_refuse(call, 400, NULL, "memory_gb: the memory of this type is not adjustable");
        return;
    }
    const struct workload_choice *choice = c->request.choices.items;
    const struct offer *offer = offer_named(&r, &offers, choice->sku, region_text(&r, choice->region, choice->zone));
    if (offer == NULL) {
        call_refuse(call, 409, NULL, "no node of its type is there any more");
        return;
    }
    c->commands = call_alloc(call, 4 * sizeof *c->commands);
    if (!change_limit(call, c, w, offer) || !change_volumes(call, c, w) || !change_request(call, &r, c, w, offer))
        return;
    if (paused >= 0 || c->count == 0)
        change_add(c, ENGINE_PAUSE, w->id)->workload.paused = paused >= 0 ? paused : w->paused;
    call_push(call, c->commands, c->count, bid_changed);
}

static void bid_gone(struct api_call *call, const struct core_answer *answer)
{
    (void)answer; /* one that has ended in between is gone all the same */
    mithril_answer_empty(call);
}

void mithril_bid_delete(struct api_call *call, const struct core_view *view)
{
    const struct engine_workload *w = bid_open(call, view);
    if (w == NULL)
        return;
    struct engine_command *c = call_alloc(call, sizeof *c);
    c->type = ENGINE_CANCEL;
    c->workload.workload = w->id;
    call_push(call, c, 1, bid_gone);
}

/* ---- history ---- */

static const char *bid_event(const struct history_event *event)
{
    if (str_is(event->type, "workload_submitted"))
        return "Placed";
    if (str_is(event->type, "workload_assigned"))
        return "Allocated";
    if (str_is(event->type, "workload_preempting") && !str_is(event->reason, "paused") && !str_is(event->reason, "cancelled"))
        return "Preempted";
    if (str_is(event->type, "workload_waiting") && str_is(event->reason, "paused"))
        return "Paused";
    if (str_is(event->type, "workload_waiting") && str_is(event->reason, "resumed"))
        return "Resumed";
    if (str_is(event->type, "workload_changed"))
        return "Limit Price Changed";
    if (str_is(event->type, "workload_cancelled") || str_is(event->type, "workload_failed") || str_is(event->type, "workload_finished"))
        return "Terminated";
    return NULL;
}

void mithril_bid_history(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    const struct engine_workload *w = bid_open(call, view);
    struct workload_request request;
    struct history history;
    if (w == NULL || !history_read(call, view, &(struct table_query){.workload = w->id}, &history))
        return;
    int64_t units = 0;
    if (order_request(&r, w, &request)) {
        const struct workload_choice *choice = request.choices.items;
        units = choice->amounts.gpu_milli ? choice->amounts.gpu_milli : choice->amounts.core_milli;
    }
    json_open(&out, '{');
    member_id(&out, &r, "bid_fid", "bid", w->id);
    json_key(&out, "events");
    json_open(&out, '[');
    for (size_t i = 0; i < history.count; i++) {
        const struct history_event *event = &history.events[i];
        const char *type = bid_event(event);
        if (type == NULL)
            continue;
        json_open(&out, '{');
        member_time(&out, "timestamp", MAX(event->at, 1));
        member_text(&out, "event_type", str_from(type));
        if (event->limit && units)
            member_money(&out, "limit_price", mul_div_ceil(event->limit, units, 1000));
        else
            member_null(&out, "limit_price");
        member_id(&out, &r, "user_id", "user", order_principal(view->engine, w));
        member_null(&out, "memory_gb");
        member_null(&out, "persistent_disk_change");
        if (str_is(event->type, "workload_submitted") && request.instance.email.size && call->api->options.mail == NULL)
            member_text(&out, "note", STR(MAIL_NOT_SENT)); /* the description lists the types of events, and none is for this */
        json_close(&out, '}');
    }
    json_close(&out, ']');
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}
