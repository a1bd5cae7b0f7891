/* SPDX-License-Identifier: Apache-2.0 */
/* Reservations: a slot of the market, and in it a workload of kind instance for each of its machines, so
 * that each can be paused and given back by itself. What is paused or given back is resold, and the
 * ledger credits its holder. */
#include "server/mithril.h"
#include "server/mithril_history.h"

#include "wire/unit.h"

#define LONGEST_MS ((time_ms)14 * 24 * HOUR_MS) /* how far slots and extensions are looked for */
#define SLOTS_MOST 64

/* ---- what belongs together ---- */

#define ALL_STATES (WORKLOAD_STATES_LIVE | WORKLOAD_STATES_ENDED)

/* The newest that was submitted at that time or before: ids grow with time. */
static const struct engine_workload *newest_at(const struct engine *e, time_ms at)
{
    const struct engine_workload *w = engine_workload_before(e, 0, 0, ALL_STATES), *found = NULL;
    engine_id low = 1, high = w ? w->id + 1 : 1;
    while (low <= high) {
        engine_id middle = low + (high - low) / 2;
        w = middle > 1 ? engine_workload_before(e, middle, 0, ALL_STATES) : NULL;
        if (w && w->submitted > at) {
            high = middle - 1;
        } else {
            found = w ? w : found;
            low = middle + 1;
        }
    }
    return found;
}

/* They were submitted in the batch that made it. */
const struct engine_workload *reservation_order(const struct engine *e, engine_id reservation, const struct engine_workload *after)
{
    time_ms created = engine_reservation(e, reservation)->created;
    const struct engine_workload *w = newest_at(e, created), *found = NULL;
    for (; w && w->submitted == created && w->id > (after ? after->id : 0); w = engine_workload_before(e, w->id, 0, ALL_STATES))
        if (w->instance && w->reservation == reservation)
            found = w;
    return found;
}

const struct engine_reservation *reservation_asked(struct api_call *call, const struct engine *e, struct str fid)
{
    uint64_t id;
    const struct engine_reservation *r = id_parse(call->api->ids, "res", fid, &id) ? engine_reservation(e, id) : NULL;
    if (r && call_sees(call, r->project))
        return r;
    call_refuse(call, 404, NULL, "reservation not found");
    return NULL;
}

struct counted {
    uint32_t here, paused, ended; /* instances */
};

static struct counted count_orders(const struct engine *e, engine_id reservation)
{
    struct counted n = {0};
    const struct engine_workload *w = NULL;
    while ((w = reservation_order(e, reservation, w))) {
        bool ended = workload_state_ended(w->state) || w->cancelled;
        n.ended += ended;
        n.paused += !ended && w->paused;
        n.here += !ended;
    }
    return n;
}

static const char *status_of(const struct engine *e, const struct engine_reservation *r)
{
    struct market_reservation_view view;
    if (!market_reservation_view(engine_market(e), r->id, &view))
        return "Canceled";
    switch (view.state) {
    case RESERVATION_WAITING:
    case RESERVATION_BOUGHT:
        return "Pending";
    case RESERVATION_OPEN:
    case RESERVATION_LENT:
        break;
    case RESERVATION_PAUSED: {
        struct counted n = count_orders(e, r->id);
        return n.here && n.paused < n.here ? "Active" : "Paused";
    }
    case RESERVATION_OVER:
        return r->cancelled ? "Canceled" : "Ended";
    }
    return "Active";
}

static udollar unit_price(const struct engine_reservation *r, udollar rate)
{
    return div_ceil(rate, MAX(r->nodes, 1));
}

/* What was asked for, where it stands: the market keeps the zone alone. NULL: it cannot be read. */
static const struct workload_choice *request_choice(const struct render *r, const struct engine_reservation *v, struct workload_request *ret)
{
    struct unpack in = unpack_from(v->body);
    return record_unpack(&workload_request_record, &in, r->arena, ret, NULL) == 0 && ret->choices.count ? ret->choices.items : NULL;
}

static void reservation_render(struct buf *out, const struct render *r, const struct engine_reservation *v)
{
    struct market_reservation_view view = {0};
    struct workload_request request;
    const struct workload_choice *choice = request_choice(r, v, &request);
    market_reservation_view(engine_market(r->engine), v->id, &view);
    json_open(out, '{');
    member_id(out, r, "fid", "res", v->id);
    member_text(out, "name", v->name);
    member_id(out, r, "project", "proj", v->project);
    member_id(out, r, "created_by", "user", MAX(v->principal, 1));
    member_time(out, "created_at", MAX(v->created, 1));
    member_time(out, "deactivated_at", v->ended);
    member_integer(out, "instance_quantity", v->nodes - MIN(count_orders(r->engine, v->id).ended, v->ended ? 0 : v->nodes));
    member_id(out, r, "instance_type", "it", v->choice.sku);
    member_text_or_null(out, "region", choice ? region_text(r, choice->region, choice->zone) : (struct str){0});
    json_key(out, "instances");
    json_open(out, '[');
    for (const struct engine_workload *w = NULL; (w = reservation_order(r->engine, v->id, w));)
        json_text(out, id_format(r->ids, "inst", instance_number(w->id, 0)).text);
    json_close(out, ']');
    json_key(out, "launch_specification");
    struct workload_instance none = {0};
    launch_render(out, choice ? &request.instance : &none);
    member_text(out, "status", str_from(status_of(r->engine, v)));
    member_time(out, "start_time", MAX(v->from, 1));
    member_time(out, "end_time", v->to);
    member_money(out, "total_price", mul_div_ceil(view.rate, v->to - v->from, HOUR_MS));
    member_money(out, "unit_price", unit_price(v, view.rate));
    json_close(out, '}');
}

static void reservation_answer(struct api_call *call, const struct core_answer *answer, engine_id id, int status)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = answer_render(call, answer);
    reservation_render(&out, &r, engine_reservation(answer->engine, id));
    mithril_answer(call, status, &out);
}

/* The first of the outcomes that is not good is the answer. */
static bool outcomes_good(struct api_call *call, const struct core_answer *answer)
{
    for (size_t i = 0; i < call->push.count; i++) {
        const struct engine_outcome *outcome = &answer->outcomes[i];
        struct error err = {0};
        if (outcome->code == ENGINE_OK)
            continue;
        if (mithril_quota_refused(call, answer->engine, outcome))
            return false;
        int status = outcome_error(answer->engine, outcome, &err);
        bool name = outcome->code == ENGINE_CONFLICT && strcmp(outcome->field, "name") == 0;
        call_refuse(call, name ? 400 : status, NULL, "%s", name ? "name already used" : err.text);
        return false;
    }
    return true;
}

void mithril_reservation_get(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    const struct engine_reservation *v = reservation_asked(call, view->engine, call->name);
    if (v == NULL)
        return;
    reservation_render(&out, &r, v);
    mithril_answer(call, 200, &out);
}

static bool reservation_passes(const struct api_call *call, const struct render *r, const struct engine_reservation *v)
{
    struct str type = engine_name(r->engine, NAME_SKU, v->choice.sku);
    struct workload_request request;
    const struct workload_choice *choice = request_choice(r, v, &request);
    struct str region = choice ? region_text(r, choice->region, choice->zone) : (struct str){0};
    return (filter_passes(call, "instance_type", type) ||
            filter_passes(call, "instance_type", str_from(id_format(r->ids, "it", v->choice.sku).text))) &&
           filter_passes(call, "region", region) && filter_passes(call, "status", str_from(status_of(r->engine, v)));
}

void mithril_reservation_list(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    bool by_status = str_is(http_request_query(call->request, "sort_by"), "status");
    engine_id project = mithril_project_needed(call);
    struct page page;
    size_t first, end;
    if (project == 0 || !page_open(call, "res", &page))
        return;
    for (size_t i = 0; i < engine_reservation_count(view->engine); i++) {
        const struct engine_reservation *v = engine_reservation_at(view->engine, i);
        if (v->project == project && reservation_passes(call, &r, v))
            page_add(&page, r.arena, v->id, by_status ? status_of(view->engine, v)[0] : 0);
    }
    uint64_t cursor = page_cut(&page, &first, &end);
    json_open(&out, '{');
    json_key(&out, "data");
    json_open(&out, '[');
    for (size_t i = first; i < end; i++)
        reservation_render(&out, &r, engine_reservation(view->engine, page.ids[i]));
    json_close(&out, ']');
    member_cursor(&out, &r, "res", cursor);
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

/* ---- quotes ---- */

static struct engine_reserve reserve_of(const struct render *r, const struct offer *o, engine_id project, int64_t quantity)
{
    struct str *label = arena_alloc(r->arena, sizeof *label);
    CHECK(label);
    *label = STR(WORKLOAD_INSTANCE_LABEL);
    return (struct engine_reserve){.project = project, .nodes = (uint32_t)quantity, .choice = {.sku = engine_name(r->engine, NAME_SKU, o->sku),
        .region = engine_name(r->engine, NAME_REGION, o->region), .zone = engine_name(r->engine, NAME_ZONE, o->zone), .labels = label,
        .label_count = 1, .amounts = o->amounts, .speed_milli = 1000}};
}

/* ?instance_type= and ?region=, both needed. NULL: refused. */
static const struct offer *offer_asked(struct api_call *call, const struct render *r, const struct offers *offers)
{
    static const char *const names[] = {"instance_type", "region"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (!http_request_query(call->request, names[i]).size) {
            call_refuse(call, 400, names[i], "is missing");
            return NULL;
        }
    const struct offer *o =
        offer_named(r, offers, http_request_query(call->request, "instance_type"), http_request_query(call->request, "region"));
    if (o == NULL)
        call_refuse(call, 404, NULL, "instance type not found in that region");
    return o;
}

static bool fits(const struct render *r, struct engine_reserve *s, time_ms from, time_ms to, struct market_reservation_quote *ret)
{
    s->from = from;
    s->to = to;
    return engine_reserve_quote(r->engine, s, ret).code == ENGINE_OK && ret->fits;
}

struct offered {
    const struct offer *offer;
    const struct engine_reserve *reserve;
    const struct market_reservation_quote *quote;
    bool flexible;
};

/* Credits are what the market pays at the time: these are what it would pay now. */
static void offer_render(struct buf *out, const struct render *r, const struct offered *offered)
{
    const struct offer *o = offered->offer;
    const struct engine_reserve *s = offered->reserve;
    const struct market_reservation_quote *quote = offered->quote;
    bool flexible = offered->flexible;
    time_ms span = s->to - s->from;
    udollar unit = div_ceil(quote->rate, s->nodes), fee = engine_setting(r->engine, SETTING_FEE_PERMILLE);
    udollar pause = mul_div_floor(MIN(o->price, unit), 1000 - fee, 1000), back = MAX(unit - MAX(unit - o->minimum, 0), 0);
    json_open(out, '{');
    member_text(out, "key", flexible ? STR("flexible") : STR("standard"));
    member_text(out, "display_name", flexible ? STR("Flexible: lent while it stands idle") : STR("Standard: kept for you while it stands idle"));
    member_money(out, "unit_price", unit);
    member_money(out, "return_buyback_price", back);
    member_money(out, "pause_buyback_price", pause);
    member_money(out, "total_price", quote->amount);
    member_money(out, "total_etbp_value", mul_div_floor(back * s->nodes, span, HOUR_MS));
    member_money(out, "total_fubp_value", mul_div_floor(pause * s->nodes, span, HOUR_MS));
    member_money(out, "option_premium", 0);
    json_close(out, '}');
}

static bool window_valid(struct api_call *call, time_ms now, time_ms *from, time_ms to)
{
    if (*from < now)
        *from = now;
    if (to > *from)
        return true;
    call_refuse(call, 400, "end_time", "not after start_time and now");
    return false;
}

void mithril_reservation_quote(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    struct offers offers = offers_find(&r);
    struct market_reservation_quote quote;
    engine_id project = mithril_project_needed(call);
    time_ms from, to;
    int64_t quantity = 0;
    const struct offer *o = project ? offer_asked(call, &r, &offers) : NULL;
    if (o == NULL || !mithril_time(call, "start_time", true, &from) || !mithril_time(call, "end_time", true, &to))
        return;
    if (!http_request_query(call->request, "quantity").size) {
        call_refuse(call, 400, "quantity", "is missing");
        return;
    }
    if (!call_number(call, "quantity", &quantity, 1, 256) || !window_valid(call, view->now, &from, to))
        return;
    struct engine_reserve s = reserve_of(&r, o, project, quantity);
    json_open(&out, '{');
    json_key(&out, "offers");
    json_open(&out, '[');
    for (int flexible = 0; flexible < 2 && fits(&r, &s, from, to, &quote); flexible++)
        offer_render(&out, &r, &(struct offered){o, &s, &quote, flexible});
    json_close(&out, ']');
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

/* ---- availability ---- */

/* The latest whole hour behind `from` to which it fits; `from` where none does. */
static time_ms latest_end(const struct render *r, struct engine_reserve *s, time_ms from)
{
    struct market_reservation_quote quote;
    int64_t low = 0, high = LONGEST_MS / HOUR_MS;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (fits(r, s, from, from + middle * HOUR_MS, &quote))
            low = middle;
        else
            high = middle - 1;
    }
    return from + low * HOUR_MS;
}

static void latest_render(struct buf *out, const struct render *r, struct engine_reserve *s, time_ms from)
{
    time_ms end = latest_end(r, s, from);
    json_open(out, '{');
    member_time(out, "latest_end_time", end);
    member_bool(out, "available", end > from);
    json_close(out, '}');
}

/* Spans of whole hours in which so many are free together. */
static void slots_render(struct buf *out, const struct render *r, struct engine_reserve *s, time_ms from, time_ms to)
{
    struct market_reservation_quote quote;
    size_t count = 0;
    json_open(out, '[');
    for (time_ms at = from; at < to && count < SLOTS_MOST;) {
        if (!fits(r, s, at, MIN(at + HOUR_MS, to), &quote)) {
            at += HOUR_MS;
            continue;
        }
        time_ms end = MIN(MAX(latest_end(r, s, at), at + HOUR_MS), to);
        json_open(out, '{');
        member_time(out, "start_time", at);
        member_time(out, "end_time", end);
        member_integer(out, "quantity", s->nodes);
        json_close(out, '}');
        count++;
        at = end + HOUR_MS;
    }
    json_close(out, ']');
}

void mithril_reservation_availability(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    struct offers offers = offers_find(&r);
    struct market_reservation_quote quote;
    struct str mode = http_request_query(call->request, "mode");
    bool slots = str_is(mode, "slots"), check = str_is(mode, "check");
    time_ms from = view->now, to = view->now + LONGEST_MS;
    int64_t quantity = 1;
    engine_id project = mithril_project_needed(call);
    const struct offer *o = project ? offer_asked(call, &r, &offers) : NULL;
    if (o == NULL || !mithril_time(call, slots ? "earliest_start_time" : "start_time", check, &from) ||
        !mithril_time(call, slots ? "latest_end_time" : "end_time", check, &to) || !call_number(call, "quantity", &quantity, 1, 256))
        return;
    if (mode.size && !slots && !check && !str_is(mode, "latest_end_time")) {
        call_refuse(call, 400, "mode", "allowed are latest_end_time, slots and check");
        return;
    }
    if (!window_valid(call, view->now, &from, to))
        return;
    struct engine_reserve s = reserve_of(&r, o, project, quantity);
    if (slots) {
        slots_render(&out, &r, &s, from, MIN(to, from + LONGEST_MS));
    } else if (check) {
        json_open(&out, '{');
        member_bool(&out, "available", fits(&r, &s, from, to, &quote));
        json_close(&out, '}');
    } else {
        latest_render(&out, &r, &s, from);
    }
    mithril_answer(call, 200, &out);
}

/* ---- a new one ---- */

static void reservation_made(struct api_call *call, const struct core_answer *answer)
{
    if (outcomes_good(call, answer))
        reservation_answer(call, answer, answer->outcomes[0].id, 201);
}

/* The price guard, in cents per instance-hour. */
static bool guard_holds(struct api_call *call, const struct mithril_price *price, udollar unit)
{
    if (price->offer_key.size && !str_is(price->offer_key, "standard") && !str_is(price->offer_key, "flexible")) {
        call_refuse(call, 400, "price_specification.offer_key", "no such offer, allowed are standard and flexible");
        return false;
    }
    if (!price->max_present || cents_up(unit) <= price->max_unit_price)
        return true;
    call_refuse(call, 409, NULL, "the price is %.*s an instance-hour, above max_unit_price", STR_ARGS(money_text(call_arena(call), unit)));
    return false;
}

struct window {
    time_ms from, to;
};

static bool window_take(struct api_call *call, const struct core_view *view, struct window *ret)
{
    const struct mithril_reservation_create *create = call->input;
    if (!mithril_body_time(call, "start_time", create->start_time, &ret->from) || !mithril_body_time(call, "end_time", create->end_time, &ret->to) ||
        !window_valid(call, view->now, &ret->from, ret->to))
        return false;
    if (ret->to - ret->from <= LONGEST_MS * 13)
        return true;
    call_refuse(call, 400, "end_time", "too far: at most half a year");
    return false;
}

/* One submit a machine, behind the RESERVE that they name. */
static bool orders_fill(struct api_call *call, const struct render *r, const struct offer *o, struct engine_command *commands)
{
    const struct mithril_reservation_create *create = call->input;
    const struct engine_reserve *s = &commands[0].reserve;
    for (uint32_t i = 0; i < s->nodes; i++) {
        struct workload_request *request = call_alloc(call, sizeof *request);
        struct engine_command *c = &commands[1 + i];
        launch_request(&create->launch_specification, request);
        request->name = call_text(call, "%.*s-%u", STR_ARGS(create->name), i + 1);
        request->nodes = 1;
        request->choices = (struct record_list){offer_choice(r, o), 1};
        request->preemptible = request->limit_present = true;
        request->reservation = create->name;
        request->instance.email = create->notification_email;
        c->type = ENGINE_SUBMIT;
        c->submit.project = s->project;
        if (!launch_submit(call, r, request, o, &c->submit))
            return false;
        c->submit.request_key += i;
    }
    return true;
}

void mithril_reservation_create(struct api_call *call, const struct core_view *view)
{
    const struct mithril_reservation_create *create = call->input;
    struct render r = call_render(call, view);
    struct offers offers = offers_find(&r);
    struct market_reservation_quote quote;
    struct window window;
    engine_id project = mithril_project(call, create->project);
    const struct offer *o = project ? offer_named(&r, &offers, create->instance_type, create->region) : NULL;
    if (project == 0 || !order_name_valid(call, create->name) || !order_email_valid(call, create->notification_email) || !window_take(call, view, &window))
        return;
    if (o == NULL) {
        call_refuse(call, 404, NULL, "instance type not found in that region");
        return;
    }
    struct engine_command *commands = call_alloc(call, (size_t)(1 + create->instance_quantity) * sizeof *commands);
    struct engine_reserve *s = &commands[0].reserve;
    commands[0].type = ENGINE_RESERVE;
    *s = reserve_of(&r, o, project, create->instance_quantity);
    if (!fits(&r, s, window.from, window.to, &quote)) {
        call_refuse(call, 409, NULL, "so many instances are not free together from start_time to end_time");
        return;
    }
    if (!guard_holds(call, &create->price_specification, div_ceil(quote.rate, s->nodes)) || !orders_fill(call, &r, o, commands))
        return;
    s->key = call->who.key;
    s->name = create->name;
    s->body = commands[1].submit.request;
    s->keep_idle = !str_is(create->price_specification.offer_key, "flexible");
    s->request_key = commands[1].submit.request_key;
    call_push(call, commands, 1 + s->nodes, reservation_made);
}

/* ---- extension ---- */

void mithril_extension(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    const struct engine_reservation *v = reservation_asked(call, view->engine, call->name);
    udollar rate;
    if (v == NULL)
        return;
    int64_t low = 0, high = LONGEST_MS / HOUR_MS;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (!v->ended && market_extension(engine_market(view->engine), v->id, v->to + middle * HOUR_MS, &rate))
            low = middle;
        else
            high = middle - 1;
    }
    json_open(&out, '{');
    member_time(&out, "latest_extension_time", v->to + low * HOUR_MS);
    member_bool(&out, "available", low > 0);
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

static void reservation_changed(struct api_call *call, const struct core_answer *answer)
{
    uint64_t id = 0;
    id_parse(call->api->ids, "res", call->name, &id);
    if (outcomes_good(call, answer))
        reservation_answer(call, answer, id, 200);
}

void mithril_reservation_extend(struct api_call *call, const struct core_view *view)
{
    const struct mithril_reservation_extend *extend = call->input;
    const struct engine_reservation *v = reservation_asked(call, view->engine, call->name);
    udollar rate;
    time_ms to;
    if (v == NULL || !mithril_body_time(call, "end_time", extend->end_time, &to))
        return;
    if (v->ended || to <= v->to || !market_extension(engine_market(view->engine), v->id, to, &rate)) {
        call_refuse(call, v->ended ? 400 : 409, NULL, v->ended ? "the reservation has ended" : "its instances are not free until then");
        return;
    }
    if (!guard_holds(call, &extend->price_specification, unit_price(v, rate)))
        return;
    struct engine_command *c = call_alloc(call, sizeof *c);
    c->type = ENGINE_RESERVATION_CHANGE;
    c->reservation.reservation = v->id;
    c->reservation.action = RESERVATION_EXTEND;
    c->reservation.to = to;
    c->reservation.limit = MARKET_RATE_MAX;
    call_push(call, c, 1, reservation_changed);
}

/* ---- pause, resume, give back ---- */

static bool listed(const struct pausing *p, engine_id id)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->ids[i] == id)
            return true;
    return false;
}

/* How many of its machines nobody of its holder's uses after that. */
static uint32_t idle_after(const struct engine *e, engine_id reservation, const struct pausing *p)
{
    uint32_t idle = 0;
    const struct engine_workload *w = NULL;
    while ((w = reservation_order(e, reservation, w)))
        idle += workload_state_ended(w->state) || w->cancelled || (listed(p, w->id) ? p->paused : w->paused);
    return idle;
}

static void resell_command(const struct engine *e, engine_id reservation, uint32_t idle, struct engine_command *ret)
{
    const struct engine_reservation *v = engine_reservation(e, reservation);
    ret->type = ENGINE_RESERVATION_CHANGE;
    ret->reservation.reservation = reservation;
    ret->reservation.action = idle ? RESERVATION_PAUSE : RESERVATION_RESUME;
    ret->reservation.nodes = MIN(idle, v->nodes);
}

size_t pausing_commands(struct api_call *call, const struct engine *e, const struct pausing *p, struct engine_command **ret)
{
    struct engine_command *commands = *ret = call_alloc(call, 2 * p->count * sizeof *commands);
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++) {
        commands[count].type = ENGINE_PAUSE;
        commands[count].workload.workload = p->ids[i];
        commands[count++].workload.paused = p->paused;
    }
    for (size_t i = 0; i < p->count; i++) {
        engine_id reservation = engine_workload(e, p->ids[i])->reservation;
        bool before = false;
        for (size_t k = 0; k < i; k++)
            before |= engine_workload(e, p->ids[k])->reservation == reservation;
        if (!before)
            resell_command(e, reservation, idle_after(e, reservation, p), &commands[count++]);
    }
    return count;
}

void mithril_reservation_change(struct api_call *call, const struct core_view *view)
{
    const struct mithril_reservation_change *change = call->input;
    const struct engine_reservation *v = reservation_asked(call, view->engine, call->name);
    const struct engine_workload *w = NULL;
    int paused;
    if (v == NULL || !mithril_flag(call, "paused", change->paused, &paused))
        return;
    if (v->ended) {
        call_refuse(call, 409, NULL, "the reservation has ended");
        return;
    }
    if (change->volumes.size && !str_is(change->volumes, "null")) {
        call_refuse(call, 400, NULL, "volumes: those of a reservation are given when it is made");
        return;
    }
    engine_id *ids = call_alloc(call, (v->nodes + 1) * sizeof *ids);
    struct pausing p = {.ids = ids, .paused = paused == 1};
    while (paused >= 0 && (w = reservation_order(view->engine, v->id, w)) && p.count < v->nodes)
        if (!workload_state_ended(w->state) && !w->cancelled)
            ids[p.count++] = w->id;
    struct engine_command *commands;
    size_t count = pausing_commands(call, view->engine, &p, &commands);
    if (count) {
        call_push(call, commands, count, reservation_changed);
        return;
    }
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    reservation_render(&out, &r, v);
    mithril_answer(call, 200, &out);
}

struct ending {
    struct str *ended; /* fids */
    size_t count, asked;
};

static void instances_ended(struct api_call *call, const struct core_answer *answer)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    const struct ending *ending = call->own;
    struct record_list ended = {ending->ended, ending->count};
    (void)answer;
    json_open(&out, '{');
    member_texts(&out, "terminated_instances", &ended);
    json_close(&out, '}');
    mithril_answer(call, ending->count == ending->asked ? 200 : 207, &out);
}

/* Only what is paused is given back; it is resold to the end, and the ledger credits its holder. */
void mithril_reservation_end(struct api_call *call, const struct core_view *view)
{
    const struct mithril_instances_end *end = call->input;
    const struct engine_reservation *v = reservation_asked(call, view->engine, call->name);
    const struct str *fids = end->instances.items;
    if (v == NULL)
        return;
    if (v->ended || end->instances.count == 0) {
        call_refuse(call, 400, NULL, v->ended ? "the reservation has ended" : "instances: is empty, at least one is needed");
        return;
    }
    struct ending *ending = call->own = call_alloc(call, sizeof *ending);
    struct engine_command *commands = call_alloc(call, (end->instances.count + 1) * sizeof *commands);
    *ending = (struct ending){.ended = call_alloc(call, end->instances.count * sizeof *ending->ended), .asked = end->instances.count};
    engine_id *ids = call_alloc(call, end->instances.count * sizeof *ids);
    for (size_t i = 0; i < end->instances.count; i++) {
        uint32_t rank;
        const struct engine_workload *w = order_find(call, view->engine, "inst", fids[i], &rank);
        if (w == NULL || w->reservation != v->id) {
            call_refuse(call, 404, NULL, "instance not found: %.*s", (int)MIN(fids[i].size, 40), fids[i].data);
            return;
        }
        if (!w->paused || w->cancelled || workload_state_ended(w->state))
            continue;
        commands[ending->count].type = ENGINE_CANCEL;
        commands[ending->count].workload.workload = ids[ending->count] = w->id;
        ending->ended[ending->count++] = fids[i];
    }
    if (ending->count == 0) {
        call_refuse(call, 409, NULL, "only paused instances are given back: pause them first");
        return;
    }
    struct pausing p = {.ids = ids, .count = ending->count, .paused = true};
    uint32_t idle = idle_after(view->engine, v->id, &p);
    resell_command(view->engine, v->id, idle, &commands[ending->count]);
    if (end->reduce_capacity && count_orders(view->engine, v->id).here == ending->count) /* all of it: the slot is the market's again */
        commands[ending->count].reservation.action = RESERVATION_CANCEL;
    call_push(call, commands, ending->count + 1, instances_ended);
}

/* ---- history, usage ---- */

static bool reservation_history(struct api_call *call, const struct core_view *view, engine_id id, struct history *ret)
{
    size_t kept = 0;
    if (!history_read(call, view, &(struct table_query){.type = STR("reservation")}, ret))
        return false;
    for (size_t i = 0; i < ret->count; i++)
        if (ret->events[i].value == (int64_t)id)
            ret->events[kept++] = ret->events[i];
    ret->count = kept;
    return true;
}

/* By what it was before. */
static const char *event_name(const struct engine_reservation *v, const struct history_event *event, struct str before)
{
    if (before.data == NULL)
        return "Placed";
    if (str_equal(before, event->state))
        return "Terms Changed";
    if (str_is(event->state, "bought"))
        return "Terms Set";
    if (str_is(event->state, "paused"))
        return "Paused";
    if (str_is(event->state, "over"))
        return v->cancelled ? "Canceled" : "Ended";
    return str_is(before, "paused") ? "Resumed" : str_is(before, "bought") || str_is(before, "waiting") ? "Active" : NULL;
}

void mithril_reservation_history(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    const struct engine_reservation *v = reservation_asked(call, view->engine, call->name);
    struct history history;
    struct str before = {0};
    if (v == NULL || !reservation_history(call, view, v->id, &history))
        return;
    json_open(&out, '{');
    member_id(&out, &r, "reservation_fid", "res", v->id);
    json_key(&out, "events");
    json_open(&out, '[');
    for (size_t i = 0; i < history.count; i++) {
        const struct history_event *event = &history.events[i];
        const char *name = event_name(v, event, before);
        before = event->state;
        if (name == NULL)
            continue;
        json_open(&out, '{');
        member_time(&out, "timestamp", MAX(event->at, 1));
        member_text(&out, "event_type", str_from(name));
        member_id(&out, &r, "user_id", "user", v->principal);
        if (event->rate)
            member_cents(&out, "unit_price_cents", unit_price(v, event->rate));
        else
            member_null(&out, "unit_price_cents");
        member_null(&out, "pause_credit_cents");
        member_null(&out, "return_credit_cents");
        json_close(&out, '}');
    }
    json_close(&out, ']');
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

/* Time in which its machines ran, and what their owners did with them. */
struct usage {
    time_ms active;
    struct buf events; /* JSON */
};

static void pricing_event(struct usage *u, const struct render *r, const struct engine_workload *w, const struct history_event *event, const char *status)
{
    _cleanup_buf_ struct buf id = BUF_INIT(64);
    buf_printf(&id, "%08llx-%04llx-4000-8000-%012llx", (unsigned long long)(event->position.seq & 0xffffffff),
               (unsigned long long)(event->position.position & 0xffff), (unsigned long long)(w->id & 0xffffffffffff));
    json_open(&u->events, '{');
    member_text(&u->events, "id", buf_str(&id));
    member_time(&u->events, "occurred_at", MAX(event->at, 1));
    member_id(&u->events, r, "instance_fid", "inst", instance_number(w->id, 0));
    member_text(&u->events, "instance_name", w->name);
    member_text(&u->events, "instance_status", str_from(status));
    json_close(&u->events, '}');
}

static bool usage_add(struct api_call *call, const struct core_view *view, const struct engine_workload *w, struct usage *u)
{
    struct render r = call_render(call, view);
    struct history history;
    time_ms since = 0;
    if (!history_read(call, view, &(struct table_query){.workload = w->id}, &history))
        return false;
    for (size_t i = 0; i < history.count; i++) {
        const struct history_event *event = &history.events[i];
        bool starts = str_is(event->type, "workload_started"), ends = str_is(event->type, "replica_ended");
        if (starts)
            since = event->at;
        if (ends && since) {
            u->active += event->at - since;
            since = 0;
        }
        if (starts || ends)
            pricing_event(u, &r, w, event, starts ? "STATUS_RUNNING" : w->paused ? "STATUS_PAUSED" : "STATUS_TERMINATED");
    }
    u->active += since ? view->now - since : 0;
    return true;
}

static void duration(struct buf *out, const char *key, time_ms span)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    buf_printf(&text, "PT%lldS", (long long)(MAX(span, 0) / 1000));
    member_text(out, key, buf_str(&text));
}

static void summary_render(struct buf *out, const struct core_view *view, const struct engine_reservation *v, const struct usage *usage)
{
    struct market_reservation_view m = {0};
    market_reservation_view(engine_market(view->engine), v->id, &m);
    time_ms reserved = MAX(MIN(view->now, v->to) - v->from, 0) * v->nodes;
    udollar committed = mul_div_ceil(m.rate, v->to - v->from, HOUR_MS);
    udollar back = v->ended && v->cancelled ? MAX(committed - m.charged, 0) : 0;
    json_open(out, '{');
    member_cents(out, "committed_cost_cents", committed);
    member_cents(out, "flex_use_credits_cents", m.resold);
    member_cents(out, "early_termination_credits_cents", back);
    member_integer(out, "net_cost_cents", cents_up(committed) - cents_up(m.resold) - cents_up(back));
    duration(out, "reserved_instance_hours", reserved);
    duration(out, "active_instance_hours", usage->active);
    duration(out, "idle_instance_hours", reserved - usage->active);
    member_time(out, "as_of", view->now);
    json_close(out, '}');
}

static void info_render(struct buf *out, const struct core_view *view, const struct render *r, const struct engine_reservation *v)
{
    struct market_reservation_view m = {0};
    const char *status = status_of(view->engine, v);
    market_reservation_view(engine_market(view->engine), v->id, &m);
    udollar committed = mul_div_ceil(m.rate, v->to - v->from, HOUR_MS);
    json_key(out, "reservation"); /* in the words of bids */
    json_open(out, '{');
    member_id(out, r, "fid", "res", v->id);
    member_text(out, "order_name", v->name);
    member_time(out, "start_date", MAX(v->from, 1));
    member_time(out, "end_date", v->to);
    member_text(out, "status", status[0] == 'A' ? STR("Allocated") : status[0] == 'P' && status[1] == 'a' ? STR("Paused")
                : status[0] == 'P' ? STR("Open") : STR("Terminated"));
    member_cents(out, "committed_cost_cents", committed);
    json_close(out, '}');
    json_key(out, "grants");
    json_open(out, '[');
    json_open(out, '{');
    member_id(out, r, "fid", "grant", v->id);
    member_time(out, "starts_at", MAX(v->from, 1));
    member_time(out, "ends_at", v->to);
    member_integer(out, "quantity", v->nodes);
    member_cents(out, "unit_price", unit_price(v, m.rate));
    member_integer(out, "price_credit", 0);
    member_integer(out, "return_credit", 0);
    json_close(out, '}');
    json_close(out, ']');
}

static void levels_render(struct buf *out, const struct engine_reservation *v, const struct history *history)
{
    struct str before = {0};
    json_key(out, "reservation_events");
    json_open(out, '[');
    for (size_t i = 0; i < history->count; i++) {
        const char *name = event_name(v, &history->events[i], before);
        before = history->events[i].state;
        const char *level = name == NULL ? NULL
                            : strcmp(name, "Active") == 0 ? "Started" : strcmp(name, "Paused") == 0 ? "Paused"
                            : strcmp(name, "Terms Changed") == 0 ? "Extended" : NULL;
        if (level == NULL)
            continue;
        json_open(out, '{');
        member_time(out, "occurred_at", MAX(history->events[i].at, 1));
        member_text(out, "event_type", str_from(level));
        member_text(out, "reservation_name", v->name);
        json_close(out, '}');
    }
    json_close(out, ']');
}

void mithril_reservation_usage(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    const struct engine_reservation *v = reservation_asked(call, view->engine, call->name);
    struct usage usage = {.events = BUF_INIT(BUF_LIMIT_DEFAULT)};
    struct history history;
    bool good = v && reservation_history(call, view, v->id, &history);
    json_open(&usage.events, '[');
    for (const struct engine_workload *w = NULL; good && (w = reservation_order(view->engine, v->id, w));)
        good = usage_add(call, view, w, &usage);
    json_close(&usage.events, ']');
    if (good) {
        json_open(&out, '{');
        info_render(&out, view, &r, v);
        json_key(&out, "summary");
        summary_render(&out, view, v, &usage);
        json_key(&out, "pricing_events");
        json_raw(&out, buf_str(&usage.events));
        levels_render(&out, v, &history);
        json_close(&out, '}');
        mithril_answer(call, 200, &out);
    }
    buf_fini(&usage.events);
}
