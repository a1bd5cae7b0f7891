/* SPDX-License-Identifier: Apache-2.0 */
/* Instances: the replicas of bids and reservations. */
#include "server/mithril.h"
#include "server/mithril_history.h"

/* ---- from a replica ---- */

static const struct engine_replica *replica_at(const struct engine_workload *w, uint32_t rank)
{
    for (size_t i = 0; i < w->replica_count; i++)
        if (w->replicas[i].rank == rank)
            return &w->replicas[i];
    return NULL;
}

static const char *status_assigned(const struct engine_replica *replica)
{
    if (replica == NULL)
        return "STATUS_CONFIRMED";
    if (replica->started)
        return "STATUS_RUNNING";
    return replica->phase == 0 ? "STATUS_CONFIRMED" : replica->phase == 1 ? "STATUS_INITIALIZING" : "STATUS_STARTING";
}

const char *instance_status(const struct engine_workload *w, uint32_t rank)
{
    switch (w->state) {
    case WORKLOAD_ASSIGNED:
    case WORKLOAD_RUNNING:
        return status_assigned(replica_at(w, rank));
    case WORKLOAD_PREEMPTING:
        if (w->cancelled || w->paused || w->reason == REASON_PAUSED)
            return "STATUS_STOPPING";
        return w->reason == REASON_RELOCATED ? "STATUS_RELOCATING" : "STATUS_PREEMPTING";
    case WORKLOAD_PAUSED:
        return "STATUS_PAUSED";
    case WORKLOAD_WAITING:
        return w->attempt ? "STATUS_PREEMPTED" : "STATUS_NEW";
    case WORKLOAD_FAILED:
        return "STATUS_ERROR";
    case WORKLOAD_FINISHED:
    case WORKLOAD_CANCELLED:
    case WORKLOAD_REJECTED:
    case WORKLOAD_STATE_COUNT:
        break;
    }
    return "STATUS_TERMINATED";
}

/* Its address, while it is there. */
static const struct engine_replica *reachable(const struct engine_workload *w, uint32_t rank)
{
    const struct engine_replica *replica = replica_at(w, rank);
    bool there = w->state == WORKLOAD_ASSIGNED || w->state == WORKLOAD_RUNNING || w->state == WORKLOAD_PREEMPTING;
    return there && replica && replica->state != REPLICA_ENDED ? replica : NULL;
}

static void order_render(struct buf *out, const struct render *r, const struct engine_workload *w)
{
    member_id(out, r, "bid", "bid", w->reservation ? 0 : w->id);
    member_id(out, r, "reservation", "res", w->reservation);
}

static void instance_json(struct buf *out, const struct render *r, const struct engine_workload *w, uint32_t rank)
{
    const struct engine_replica *there = reachable(w, rank);
    struct workload_request request;
    const struct workload_choice *choice = order_request(r, w, &request) ? request.choices.items : NULL;
    json_open(out, '{');
    member_id(out, r, "fid", "inst", instance_number(w->id, rank));
    member_text(out, "name", instance_name(r, w, rank));
    member_id(out, r, "project", "proj", w->project);
    member_time(out, "created_at", MAX(w->submitted, 1));
    member_id(out, r, "created_by", "user", MAX(order_principal(r->engine, w), 1));
    member_id(out, r, "instance_type", "it", choice ? type_parse(r, choice->sku) : 0);
    member_text_or_null(out, "region", choice ? region_text(r, choice->region, choice->zone) : (struct str){0});
    order_render(out, r, w);
    member_text_or_null(out, "ssh_destination", there ? there->address : (struct str){0});
    member_text_or_null(out, "private_ip", there ? there->private_address : (struct str){0});
    member_text(out, "status", str_from(instance_status(w, rank)));
    json_close(out, '}');
}

/* ---- the list ---- */

static bool order_passes(const struct api_call *call, const struct render *r, const struct engine_workload *w)
{
    struct id_text bid = id_format(r->ids, "bid", w->id), reservation = id_format(r->ids, "res", w->reservation);
    struct str kind = w->reservation ? STR("Reservation") : STR("Bid");
    if (!w->instance || (w->attempt == 0 && !w->reservation) || !call_sees(call, w->project) || !filter_passes(call, "order_type_in", kind) ||
        !filter_passes(call, "bid_fid_in", w->reservation ? STR("") : str_from(bid.text)) ||
        !filter_passes(call, "reservation_fid_in", w->reservation ? str_from(reservation.text) : STR("")))
        return false;
    return place_passes(call, r, w);
}

static int64_t instance_rank(const struct api_call *call, const struct engine_workload *w, uint32_t rank)
{
    struct str by = http_request_query(call->request, "sort_by");
    if (str_is(by, "instance_status"))
        return instance_status(w, rank)[7] * 256 + instance_status(w, rank)[8];
    return str_is(by, "instance_type_fid") ? (int64_t)w->pool : 0;
}

static void instances_gather(const struct api_call *call, const struct render *r, engine_id project, struct page *page)
{
    struct str by = http_request_query(call->request, "sort_by");
    page->by_id = !str_is(by, "instance_status") && !str_is(by, "instance_type_fid");
    engine_id at = page->by_id && !page->ascending && page->cursor ? page->cursor / INSTANCE_RANKS + 1 : 0;
    const struct engine_workload *w;
    while (!page_full(page) && (w = engine_workload_before(r->engine, at, project, WORKLOAD_STATES_LIVE | WORKLOAD_STATES_ENDED))) {
        bool passes = order_passes(call, r, w);
        for (uint32_t rank = 0; passes && rank < w->nodes; rank++)
            if (filter_passes(call, "status_in", str_from(instance_status(w, rank))))
                page_add(page, r->arena, instance_number(w->id, rank), instance_rank(call, w, rank));
        at = w->id;
    }
}

void mithril_instance_list(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    struct page page;
    size_t first, end;
    engine_id project;
    if (!mithril_project_wanted(call, &project) || !page_open(call, "inst", &page))
        return;
    instances_gather(call, &r, project, &page);
    uint64_t cursor = page_cut(&page, &first, &end);
    json_open(&out, '{');
    json_key(&out, "data");
    json_open(&out, '[');
    for (size_t i = first; i < end; i++)
        instance_json(&out, &r, engine_workload(view->engine, page.ids[i] / INSTANCE_RANKS), (uint32_t)(page.ids[i] % INSTANCE_RANKS));
    json_close(&out, ']');
    member_cursor(&out, &r, "inst", cursor);
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

/* The one in the path; NULL: refused. */
static const struct engine_workload *instance_open(struct api_call *call, const struct core_view *view, uint32_t *ret_rank)
{
    const struct engine_workload *w = order_find(call, view->engine, "inst", call->name, ret_rank);
    if (w && *ret_rank < w->nodes)
        return w;
    call_refuse(call, 404, NULL, "instance not found");
    return NULL;
}

void mithril_instance_status(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    uint32_t rank;
    const struct engine_workload *w = instance_open(call, view, &rank);
    if (w == NULL)
        return;
    json_open(&out, '{');
    member_id(&out, &r, "fid", "inst", instance_number(w->id, rank));
    member_text(&out, "name", instance_name(&r, w, rank));
    member_text(&out, "status", str_from(instance_status(w, rank)));
    order_render(&out, &r, w);
    member_time(&out, "end_time", w->state == WORKLOAD_PREEMPTING ? w->deadline : 0);
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

/* ---- changes: of reserved ones alone ---- */

/* Starting reads STATUS_CONFIRMED, stopping STATUS_STOPPING; what was that already keeps what it is. */
static void instances_changed(struct api_call *call, const struct core_answer *answer)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    const struct mithril_instances_change *change = call->input;
    const struct str *fids = change->instances.items;
    json_open(&out, '{');
    json_key(&out, "instances");
    json_open(&out, '{');
    for (size_t i = 0; i < change->instances.count; i++) {
        uint32_t rank;
        const struct engine_workload *w = order_find(call, answer->engine, "inst", fids[i], &rank);
        const char *status = w ? instance_status(w, rank) : "STATUS_TERMINATED";
        if (change->status == MITHRIL_RUN && w && w->state == WORKLOAD_WAITING)
            status = "STATUS_CONFIRMED";
        json_key(&out, call_text(call, "%.*s", STR_ARGS(fids[i])).data);
        json_text(&out, status);
    }
    json_close(&out, '}');
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

/* All of them the caller's, reserved, and not over; false: refused. */
static bool instances_check(struct api_call *call, const struct core_view *view)
{
    const struct mithril_instances_change *change = call->input;
    const struct str *fids = change->instances.items;
    for (size_t i = 0; i < change->instances.count; i++) {
        uint32_t rank;
        const struct engine_workload *w = order_find(call, view->engine, "inst", fids[i], &rank);
        if (w == NULL || rank >= w->nodes) {
            call_refuse(call, 404, NULL, "instance not found: %.*s", (int)MIN(fids[i].size, 40), fids[i].data);
            return false;
        }
        if (!w->reservation) {
            call_refuse(call, 501, NULL, "an instance of a spot bid is paused with its bid: PATCH /v2/spot/bids/{bid}");
            return false;
        }
        if (workload_state_ended(w->state) || w->cancelled) {
            call_refuse(call, 409, NULL, "the instance has been given back: %.*s", STR_ARGS(fids[i]));
            return false;
        }
    }
    if (change->instances.count == 0)
        call_refuse(call, 400, "instances", "is empty, at least one is needed");
    return change->instances.count > 0;
}

void mithril_instance_change(struct api_call *call, const struct core_view *view)
{
    const struct mithril_instances_change *change = call->input;
    const struct str *fids = change->instances.items;
    if (!instances_check(call, view))
        return;
    engine_id *ids = call_alloc(call, change->instances.count * sizeof *ids);
    for (size_t i = 0; i < change->instances.count; i++) {
        uint32_t rank;
        ids[i] = order_find(call, view->engine, "inst", fids[i], &rank)->id;
    }
    struct pausing pausing = {.ids = ids, .count = change->instances.count, .paused = change->status == MITHRIL_PAUSE};
    struct engine_command *commands;
    size_t count = pausing_commands(call, view->engine, &pausing, &commands);
    call_push(call, commands, count, instances_changed);
}

static void disk_refused(struct api_call *call, const char *reason, const char *text)
{
    _cleanup_buf_ struct buf out = BUF_INIT(4096);
    json_open(&out, '{');
    member_text(&out, "detail", str_from(text));
    member_text(&out, "reason", str_from(reason));
    json_close(&out, '}');
    mithril_answer(call, 422, &out);
}

static void disk_renewed(struct api_call *call, const struct core_answer *answer)
{
    _cleanup_buf_ struct buf out = BUF_INIT(4096);
    const struct mithril_boot_disk *disk = call->input;
    if (answer->outcomes[0].code != ENGINE_OK) {
        call_refuse(call, 409, NULL, "the instance changed meanwhile: try again");
        return;
    }
    json_open(&out, '{');
    member_text(&out, "fid", call->name);
    member_text_or_null(&out, "image_version", disk->image_version);
    member_text(&out, "status", STR("REFRESHED"));
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

void mithril_boot_disk(struct api_call *call, const struct core_view *view)
{
    const struct mithril_boot_disk *disk = call->input;
    struct render r = call_render(call, view);
    struct workload_request request;
    struct id_text image = id_format(r.ids, "imgver", 1);
    uint32_t rank;
    const struct engine_workload *w = instance_open(call, view, &rank);
    if (w == NULL)
        return;
    if (!w->reservation) {
        call_refuse(call, 501, NULL, "the boot disk of a spot instance is kept as it is: end the bid and make another");
    } else if (workload_state_ended(w->state) || w->cancelled || !order_request(&r, w, &request)) {
        call_refuse(call, 409, NULL, "the instance has been given back");
    } else if (w->state != WORKLOAD_PAUSED) {
        disk_refused(call, "INSTANCE_RUNNING", "the boot disk is in use: pause the instance first");
    } else if (disk->image_version.size && !str_is(disk->image_version, image.text)) {
        disk_refused(call, "INVALID_IMAGE_VERSION", "image_version: no such image; see /v2/image-versions");
    } else {
        request.instance.boot_disks++;
        struct engine_command *c = call_alloc(call, sizeof *c);
        c->type = ENGINE_REQUEST_SET;
        c->workload.workload = w->id;
        c->workload.request = request_pack(call, &request);
        c->workload.objects = (const engine_id *)request.objects.items;
        c->workload.object_count = request.objects.count;
        call_push(call, c, 1, disk_renewed);
    }
}

/* ---- histories ---- */

/* The order that ?instance_fid=, ?bid_fid= or ?reservation_fid= names; NULL: refused. *ret_rank -1: all of it. */
static const struct engine_workload *order_asked(struct api_call *call, const struct core_view *view, int64_t *ret_rank)
{
    struct str instance = http_request_query(call->request, "instance_fid"), bid = http_request_query(call->request, "bid_fid");
    struct str reservation = http_request_query(call->request, "reservation_fid");
    engine_id project = mithril_project_needed(call);
    uint32_t rank = 0;
    if (project == 0)
        return NULL;
    if ((instance.size > 0) + (bid.size > 0) + (reservation.size > 0) != 1) {
        call_refuse(call, 400, "instance_fid", "exactly one of instance_fid, bid_fid and reservation_fid is needed");
        return NULL;
    }
    const struct engine_workload *w = order_find(call, view->engine, instance.size ? "inst" : "bid", instance.size ? instance : bid, &rank);
    *ret_rank = instance.size ? (int64_t)rank : -1;
    if (w && w->project == project && rank < w->nodes)
        return w;
    call_refuse(call, 404, NULL, "%s not found", instance.size ? "instance" : bid.size ? "bid" : "reservation");
    return NULL;
}

/* What an event of its order says of an instance; NULL: nothing. */
static const char *status_event(const struct history_event *event, int64_t rank)
{
    bool own = event->rank == rank;
    if (str_is(event->type, "workload_assigned"))
        return "STATUS_CONFIRMED";
    if (str_is(event->type, "replica_phase") && own)
        return "STATUS_INITIALIZING";
    if (str_is(event->type, "replica_started") && own)
        return "STATUS_RUNNING";
    if (str_is(event->type, "workload_preempting") && str_is(event->reason, "relocated"))
        return "STATUS_RELOCATING";
    if (str_is(event->type, "workload_preempting") && (str_is(event->reason, "paused") || str_is(event->reason, "cancelled")))
        return "STATUS_STOPPING";
    if (str_is(event->type, "workload_preempting"))
        return "STATUS_PREEMPTING";
    if (str_is(event->type, "workload_waiting"))
        return str_is(event->reason, "paused") ? "STATUS_PAUSED" : str_is(event->reason, "resumed") ? NULL : "STATUS_PREEMPTED";
    if (str_is(event->type, "workload_cancelled") || str_is(event->type, "workload_finished"))
        return "STATUS_TERMINATED";
    return str_is(event->type, "workload_failed") ? "STATUS_ERROR" : NULL;
}

struct window {
    time_ms from, to;
};

/* What is asked of histories. */
struct asked {
    const struct engine_workload *order;
    int64_t rank; /* -1: all of the order */
    bool charges;
    struct window window;
};

static void status_events(struct buf *out, const struct history *history, int64_t rank, struct window window)
{
    json_key(out, "events");
    json_open(out, '[');
    for (size_t i = 0; i < history->count; i++) {
        const struct history_event *event = &history->events[i];
        const char *status = status_event(event, rank);
        if (status == NULL || event->at < window.from || event->at >= window.to)
            continue;
        json_open(out, '{');
        member_time(out, "timestamp", MAX(event->at, 1));
        member_text(out, "status", str_from(status));
        json_close(out, '}');
    }
    json_close(out, ']');
}

/* Of the charges, which are of the whole order: an equal part each. */
static void charge_events(struct buf *out, const struct history *history, int64_t nodes, struct window window)
{
    json_key(out, "events");
    json_open(out, '[');
    for (size_t i = 0; i < history->count; i++) {
        const struct history_event *event = &history->events[i];
        if (!str_is(event->type, "charged") || event->to <= window.from || event->from >= window.to)
            continue;
        json_open(out, '{');
        member_integer(out, "price_cents", cents_up(div_ceil(event->rate, nodes)));
        member_time(out, "start_time", MAX(event->from, 1));
        member_time(out, "end_time", event->to);
        json_close(out, '}');
    }
    json_close(out, ']');
}

static bool order_history(struct api_call *call, const struct core_view *view, struct buf *out, const struct asked *asked)
{
    struct render r = call_render(call, view);
    const struct engine_workload *w = asked->order;
    struct history history;
    if (!history_read(call, view, &(struct table_query){.workload = w->id}, &history))
        return false;
    for (int64_t rank = MAX(asked->rank, 0); w->attempt && rank < (asked->rank < 0 ? (int64_t)w->nodes : asked->rank + 1); rank++) {
        json_open(out, '{');
        member_id(out, &r, "instance_fid", "inst", instance_number(w->id, (uint32_t)rank));
        member_id(out, &r, "bid_fid", "bid", w->reservation ? 0 : w->id);
        member_id(out, &r, "reservation_fid", "res", w->reservation);
        if (asked->charges)
            charge_events(out, &history, w->nodes, asked->window);
        else
            status_events(out, &history, rank, asked->window);
        json_close(out, '}');
    }
    return true;
}

/* Of one order or one instance of it; or of each instance of a reservation. */
static void histories(struct api_call *call, const struct core_view *view, bool charges)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct asked asked = {.charges = charges, .rank = -1, .window = {0, INT64_MAX}};
    struct str text = http_request_query(call->request, "reservation_fid");
    const struct engine_reservation *reservation = NULL;
    int64_t limit = 100;
    bool one = text.size == 0 || http_request_query(call->request, "instance_fid").size || http_request_query(call->request, "bid_fid").size;
    if (one)
        asked.order = order_asked(call, view, &asked.rank);
    else
        reservation = reservation_asked(call, view->engine, text);
    if ((!asked.order && !reservation) || !mithril_time(call, "start_time", false, &asked.window.from) ||
        !mithril_time(call, "end_time", false, &asked.window.to) || !call_number(call, "limit", &limit, 1, 100))
        return;
    json_open(&out, '{');
    json_key(&out, "instances");
    json_open(&out, '[');
    if (asked.order && !order_history(call, view, &out, &asked))
        return;
    while (reservation && (asked.order = reservation_order(view->engine, reservation->id, asked.order)))
        if (!order_history(call, view, &out, &asked))
            return;
    json_close(&out, ']');
    member_null(&out, "next_cursor");
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

void mithril_status_history(struct api_call *call, const struct core_view *view)
{
    histories(call, view, false);
}

void mithril_charge_history(struct api_call *call, const struct core_view *view)
{
    histories(call, view, true);
}
