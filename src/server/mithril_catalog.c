/* SPDX-License-Identifier: Apache-2.0 */
/* What can be had, where, and for how much. */
#include "server/mithril.h"

#include "wire/unit.h"

#define HISTORY_MS ((time_ms)7 * 24 * HOUR_MS)
#define SAMPLES_MOST 1000

/* ---- offers ---- */

static bool hands_out(const struct render *r, const struct market_pool_view *pool)
{
    for (size_t i = 0; i < MARKET_LABELS_MAX && pool->labels[i]; i++)
        if (str_is(engine_name(r->engine, NAME_LABEL, pool->labels[i]), WORKLOAD_INSTANCE_LABEL))
            return true;
    return false;
}

static struct offer *offer_of(struct offers *offers, const struct market_pool_view *pool)
{
    for (size_t i = 0; i < offers->count; i++) {
        struct offer *o = &offers->items[i];
        if (o->sku == pool->sku && o->region == pool->region && o->zone == pool->zone)
            return o;
    }
    struct offer *o = &offers->items[offers->count++];
    *o = (struct offer){.sku = pool->sku, .accelerator = pool->accelerator, .provider = pool->provider, .region = pool->region,
                        .zone = pool->zone, .amounts = pool->amounts, .price = INT64_MAX, .minimum = INT64_MAX};
    o->units_milli = pool->by_core ? pool->amounts.core_milli : pool->amounts.gpu_milli;
    return o;
}

udollar offer_instance_rate(const struct offer *offer, udollar rate)
{
    return mul_div_ceil(rate, offer->units_milli, 1000);
}

udollar offer_unit_rate(const struct offer *offer, udollar limit)
{
    int64_t rate = mul_div_floor(limit, 1000, MAX(offer->units_milli, 1));
    return MIN(rate, MARKET_RATE_MAX);
}

struct offers offers_find(const struct render *r)
{
    const struct market *m = engine_market(r->engine);
    size_t pools = market_pool_count(m);
    struct offers offers = {.items = arena_alloc(r->arena, (pools + 1) * sizeof *offers.items)};
    for (size_t i = 0; i < pools; i++) {
        struct market_pool_view pool = market_pool(m, i);
        if (!hands_out(r, &pool))
            continue;
        struct offer *o = offer_of(&offers, &pool);
        o->price = MIN(o->price, offer_instance_rate(o, pool.post));
        o->minimum = MIN(o->minimum, offer_instance_rate(o, pool.lowest_ask));
        o->nodes += (int64_t)pool.nodes;
        o->running += pool.running;
        o->waiting += pool.waiting;
        if (o->pool_count < OFFER_POOLS)
            o->pools[o->pool_count++] = pool.pool;
    }
    return offers;
}

static struct offer *offer_with(const struct offers *offers, market_id pool)
{
    for (size_t i = 0; i < offers->count; i++)
        for (size_t k = 0; k < offers->items[i].pool_count; k++)
            if (offers->items[i].pools[k] == pool)
                return &offers->items[i];
    return NULL;
}

static bool amounts_equal(const struct market_amounts *a, const struct market_amounts *b)
{
    return a->gpu_milli == b->gpu_milli && a->core_milli == b->core_milli && a->memory_mib == b->memory_mib && a->disk_mib == b->disk_mib;
}

void offers_count_free(const struct render *r, struct offers *offers)
{
    const struct market *m = engine_market(r->engine);
    struct market_amounts free;
    for (size_t i = 0; i < engine_node_count(r->engine); i++) {
        const struct engine_node *node = engine_node_at(r->engine, i);
        struct offer *o = node->state == NODE_UP ? offer_with(offers, node->pool) : NULL;
        if (o && market_node_free(m, node->id, &free) && amounts_equal(&free, &node->amounts))
            o->free++;
    }
}

struct str region_shown(const struct render *r, struct str own)
{
    struct str rest = r->region_names;
    while (rest.size) {
        struct str name = str_cut(&rest, ','), zone = str_cut(&name, '=');
        if (str_equal(zone, own))
            return name;
    }
    return own;
}

struct str region_own(const struct render *r, struct str shown)
{
    struct str rest = r->region_names;
    while (rest.size) {
        struct str name = str_cut(&rest, ','), zone = str_cut(&name, '=');
        if (str_equal(name, shown))
            return zone;
    }
    return str_equal(region_shown(r, shown), shown) ? shown : (struct str){0};
}

struct str region_text(const struct render *r, struct str region, struct str zone)
{
    size_t size = region.size + 1 + zone.size;
    char *text = arena_alloc(r->arena, size);
    CHECK(text);
    if (region.size)
        memcpy(text, region.data, region.size);
    text[region.size] = '-';
    if (zone.size)
        memcpy(text + region.size + 1, zone.data, zone.size);
    return region_shown(r, (struct str){text, size});
}

struct str offer_region(const struct render *r, const struct offer *offer)
{
    return region_text(r, engine_name(r->engine, NAME_REGION, offer->region), engine_name(r->engine, NAME_ZONE, offer->zone));
}

market_id type_parse(const struct render *r, struct str type)
{
    uint64_t id;
    if (id_parse(r->ids, "it", type, &id))
        return id;
    for (id = 1; engine_name(r->engine, NAME_SKU, id).size; id++)
        if (str_equal(engine_name(r->engine, NAME_SKU, id), type))
            return id;
    return 0;
}

const struct offer *offer_named(const struct render *r, const struct offers *offers, struct str type, struct str region)
{
    market_id sku = type_parse(r, type);
    for (size_t i = 0; i < offers->count; i++) {
        const struct offer *o = &offers->items[i];
        if (o->sku == sku && (region.size == 0 || str_equal(offer_region(r, o), region)))
            return o;
    }
    return NULL;
}

static bool offer_has(const struct offer *offer, market_id pool)
{
    for (size_t i = 0; i < offer->pool_count; i++)
        if (offer->pools[i] == pool)
            return true;
    return false;
}

udollar offer_lowest(const struct render *r, const struct offer *offer)
{
    const unsigned runs = 1u << WORKLOAD_ASSIGNED | 1u << WORKLOAD_RUNNING;
    const struct engine_workload *w = NULL;
    udollar lowest = INT64_MAX;
    engine_id projects[3];
    size_t count = 0;
    while ((w = engine_workload_before(r->engine, w ? w->id : 0, 0, runs))) {
        if (!w->instance || !offer_has(offer, w->pool))
            continue;
        lowest = MIN(lowest, w->limit);
        size_t at = 0;
        while (at < count && projects[at] != w->project)
            at++;
        if (at == count && count < ARRAY_COUNT(projects))
            projects[count++] = w->project;
    }
    return count < ARRAY_COUNT(projects) ? -1 : offer_instance_rate(offer, lowest);
}

/* ---- instance types ---- */

static struct str gpu_type(const struct render *r, const struct offer *o)
{
    return o->accelerator ? engine_name(r->engine, NAME_ACCELERATOR, o->accelerator) : STR("");
}

static int64_t gpu_memory_gb(const struct render *r, const struct offer *o)
{
    for (size_t i = 0; i < engine_node_count(r->engine); i++) {
        const struct engine_node *node = engine_node_at(r->engine, i);
        if (node->gpu_count && offer_has(o, node->pool))
            return node->gpus[0].memory_mib / 1024;
    }
    return 0;
}

static void type_render(struct buf *out, const struct render *r, const struct offer *o)
{
    json_open(out, '{');
    member_id(out, r, "fid", "it", o->sku);
    member_text(out, "name", engine_name(r->engine, NAME_SKU, o->sku));
    member_integer(out, "num_cpus", div_ceil(o->amounts.core_milli, 1000));
    member_text(out, "cpu_type", STR("x86_64"));
    member_integer(out, "ram_gb", div_ceil(o->amounts.memory_mib, 1024));
    member_integer(out, "num_gpus", o->amounts.gpu_milli / 1000);
    member_text(out, "gpu_type", gpu_type(r, o));
    member_integer(out, "gpu_memory_gb", gpu_memory_gb(r, o));
    member_text(out, "gpu_socket", STR(""));
    member_integer(out, "local_storage_gb", o->amounts.disk_mib / 1024);
    member_null(out, "network_type");
    member_integer(out, "ib_count", 0);
    member_integer(out, "bridge_count", 0);
    json_close(out, '}');
}

/* Whether an earlier zone has the same type. */
static bool type_shown(const struct offers *offers, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (offers->items[i].sku == offers->items[at].sku)
            return true;
    return false;
}

void mithril_type_list(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    struct offers offers = offers_find(&r);
    json_open(&out, '[');
    for (size_t i = 0; i < offers.count; i++)
        if (!type_shown(&offers, i))
            type_render(&out, &r, &offers.items[i]);
    json_close(&out, ']');
    mithril_answer(call, 200, &out);
}

/* All that has a forward curve may be reserved. */
void mithril_reservable(struct api_call *call, const struct core_view *view)
{
    mithril_type_list(call, view);
}

/* ---- availability, prices ---- */

static void auction_render(struct buf *out, const struct render *r, const struct offer *o)
{
    udollar lowest = offer_lowest(r, o);
    json_open(out, '{');
    member_id(out, r, "fid", "auc", o->pools[0]);
    member_id(out, r, "instance_type", "it", o->sku);
    member_text(out, "region", offer_region(r, o));
    member_integer(out, "capacity", o->free);
    member_money(out, "last_instance_price", o->price);
    if (lowest < 0)
        member_null(out, "lowest_allocated_price");
    else
        member_money(out, "lowest_allocated_price", lowest);
    member_bool(out, "adjustable_memory", false);
    member_id(out, r, "default_image_version", "imgver", 1);
    json_close(out, '}');
}

void mithril_availability(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    struct offers offers = offers_find(&r);
    offers_count_free(&r, &offers);
    json_open(&out, '[');
    for (size_t i = 0; i < offers.count; i++)
        auction_render(&out, &r, &offers.items[i]);
    json_close(&out, ']');
    mithril_answer(call, 200, &out);
}

/* Whether a bid for so many at this rate would start in the next clearing. */
static bool would_start(const struct render *r, const struct offer *o, int64_t quantity, udollar unit_rate)
{
    struct str label = STR(WORKLOAD_INSTANCE_LABEL);
    struct engine_choice choice = {.sku = engine_name(r->engine, NAME_SKU, o->sku), .region = engine_name(r->engine, NAME_REGION, o->region),
        .zone = engine_name(r->engine, NAME_ZONE, o->zone), .labels = &label, .label_count = 1, .amounts = o->amounts, .speed_milli = 1000};
    struct engine_submit submit = {.project = 1, .nodes = (uint32_t)quantity, .choices = &choice, .choice_count = 1, .preemptible = true,
        .limit_present = true, .limit = unit_rate, .notice = 300000, .signal = 15, .instance = true};
    struct market_quote quote;
    if (engine_quote(r->engine, &submit, &quote).code != ENGINE_OK)
        return false;
    return quote.lines[FREEDOM_NONE].starts_now;
}

/* The least limit, in whole cents per instance-hour, that starts so many now; -1: none does. */
static int64_t winning_cents(const struct render *r, const struct offer *o, int64_t quantity)
{
    int64_t low = cents_up(o->minimum), high = MAX(cents_up(offer_instance_rate(o, MARKET_RATE_MAX)), low);
    if (!would_start(r, o, quantity, offer_unit_rate(o, high * 10000)))
        return -1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (would_start(r, o, quantity, offer_unit_rate(o, middle * 10000)))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static udollar forward_rate(const struct render *r, const struct offer *o)
{
    struct market_forward_slot slot;
    if (market_forward(engine_market(r->engine), o->pools[0], &slot, 1) == 0)
        return -1;
    return offer_instance_rate(o, slot.price);
}

static void price_render(struct buf *out, const struct render *r, const struct offer *o, int64_t quantity)
{
    int64_t winning = winning_cents(r, o, quantity);
    json_open(out, '{');
    member_cents(out, "spot_price_cents", o->price);
    member_cents(out, "reserved_price_cents", forward_rate(r, o));
    member_cents(out, "minimum_price_cents", o->minimum);
    member_cents(out, "lowest_allocated_bid_cents", offer_lowest(r, o));
    if (winning < 0)
        member_null(out, "dynamic_win_price_cents");
    else
        member_integer(out, "dynamic_win_price_cents", winning);
    member_integer(out, "available_capacity", o->free);
    member_integer(out, "total_capacity", o->nodes);
    json_close(out, '}');
}

void mithril_price_now(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    struct offers offers = offers_find(&r);
    struct str type = http_request_query(call->request, "instance_type");
    int64_t quantity = 1;
    if (!type.size) {
        call_refuse(call, 400, "instance_type", "is missing");
        return;
    }
    if (!call_number(call, "instance_quantity", &quantity, 1, 256))
        return;
    offers_count_free(&r, &offers);
    const struct offer *o = offer_named(&r, &offers, type, http_request_query(call->request, "region"));
    if (o == NULL) {
        call_refuse(call, 404, NULL, "instance type not found in that region");
        return;
    }
    price_render(&out, &r, o, quantity);
    mithril_answer(call, 200, &out);
}

/* ---- price history ---- */

struct span {
    time_ms from, to, step;
};

static bool series_render(struct api_call *call, const struct core_view *view, struct buf *out, const struct offer *o, struct span span)
{
    struct render r = call_render(call, view);
    struct table_page page;
    struct table_query query = {.table = TABLE_PRICE, .pool = pool_name(view->engine, o->pools[0], r.arena), .from_ms = span.from,
                                .to_ms = span.to, .step_ms = span.step, .limit = SAMPLES_MOST};
    if (!view_read(call, view, &query, &page))
        return false;
    const struct table_price *rows = page.rows;
    json_open(out, '{');
    member_id(out, &r, "instance_type", "it", o->sku);
    member_text(out, "region", offer_region(&r, o));
    json_key(out, "timestamps");
    json_open(out, '[');
    for (size_t i = 0; i < page.count; i++) {
        _cleanup_buf_ struct buf text = BUF_INIT(64);
        time_print(&text, rows[i].at_ms);
        json_string(out, buf_str(&text));
    }
    json_close(out, ']');
    json_key(out, "spot_prices");
    json_open(out, '[');
    for (size_t i = 0; i < page.count; i++)
        json_string(out, money_text(r.arena, offer_instance_rate(o, rows[i].price_udollar_per_hour)));
    json_close(out, ']');
    json_key(out, "reserved_prices"); /* forward prices are not kept */
    json_open(out, '[');
    json_close(out, ']');
    member_bool(out, "region_disabled", false);
    json_close(out, '}');
    return true;
}

static bool history_span(struct api_call *call, const struct core_view *view, struct span *ret)
{
    int64_t samples = 100;
    ret->to = view->now + 1;
    ret->from = view->now - HISTORY_MS;
    if (!mithril_time(call, "start_time", false, &ret->from) || !mithril_time(call, "end_time", false, &ret->to) ||
        !call_number(call, "num_samples", &samples, -1, SAMPLES_MOST))
        return false;
    if (ret->to <= ret->from) {
        call_refuse(call, 400, "end_time", "not after start_time");
        return false;
    }
    ret->step = samples > 0 ? MAX((ret->to - ret->from) / samples, 1) : 0;
    return true;
}

void mithril_price_history(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    struct offers offers = offers_find(&r);
    struct span span;
    if (!history_span(call, view, &span))
        return;
    json_open(&out, '{');
    json_key(&out, "series");
    json_open(&out, '[');
    for (size_t i = 0; i < offers.count; i++) {
        const struct offer *o = &offers.items[i];
        struct id_text fid = id_format(r.ids, "it", o->sku);
        bool wanted = filter_passes(call, "instance_types", str_from(fid.text)) ||
                      filter_passes(call, "instance_types", engine_name(r.engine, NAME_SKU, o->sku));
        if (wanted && filter_passes(call, "region", offer_region(&r, o)) && !series_render(call, view, &out, o, span))
            return;
    }
    json_close(&out, ']');
    member_bool(&out, "complete", true);
    json_close(&out, '}');
    mithril_answer(call, 200, &out);
}

/* ---- images ---- */

void mithril_image_list(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    struct offers offers = offers_find(&r);
    static const char *const nothing[] = {"deactivated_at", "nvidia_driver", "cuda", "cuda_toolkit", "nvidia_container_toolkit"};
    json_open(&out, '[');
    json_open(&out, '{');
    member_id(&out, &r, "image_version_fid", "imgver", 1);
    member_text(&out, "image_version_name", STR("debian-12-sandbox"));
    member_text(&out, "os", STR("Debian 12"));
    member_text(&out, "kernel", STR("the node's"));
    member_bool(&out, "stable", true);
    json_key(&out, "supported_regions");
    json_open(&out, '[');
    for (size_t i = 0; i < offers.count; i++) {
        bool before = false;
        for (size_t k = 0; k < i; k++)
            before |= str_equal(offer_region(&r, &offers.items[k]), offer_region(&r, &offers.items[i]));
        if (!before)
            json_string(&out, offer_region(&r, &offers.items[i]));
    }
    json_close(&out, ']');
    for (size_t i = 0; i < ARRAY_COUNT(nothing); i++)
        member_null(&out, nothing[i]);
    member_text(&out, "packages", STR("openssh-server sudo rsync"));
    json_close(&out, '}');
    json_close(&out, ']');
    mithril_answer(call, 200, &out);
}

/* ---- the catalogue of the SkyPilot adapter ---- */

void mithril_catalogue(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct render r = call_render(call, view);
    struct offers offers = offers_find(&r);
    buf_append_text(&out, "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region,GpuInfo\n");
    for (size_t i = 0; i < offers.count; i++) {
        const struct offer *o = &offers.items[i];
        struct str gpu = gpu_type(&r, o);
        long long gpus = (long long)o->amounts.gpu_milli / 1000, cents = (long long)cents_up(o->minimum);
        buf_printf(&out, "%.*s,%.*s,", STR_ARGS(engine_name(r.engine, NAME_SKU, o->sku)), STR_ARGS(gpu));
        if (gpus)
            buf_printf(&out, "%lld.0", gpus);
        buf_printf(&out, ",%lld.0,%lld.0,%lld.%02lld,%lld.%02lld,%.*s,", (long long)o->amounts.core_milli / 1000,
                   (long long)o->amounts.memory_mib / 1024, cents / 100, cents % 100, cents / 100, cents % 100, STR_ARGS(offer_region(&r, o)));
        if (gpus)
            buf_printf(&out, "\"{'Gpus': [{'Name': '%.*s', 'Count': %lld.0, 'MemoryInfo': {'SizeInMiB': %lld}}], 'TotalGpuMemoryInMiB': %lld}\"",
                       STR_ARGS(gpu), gpus, (long long)gpu_memory_gb(&r, o) * 1024, (long long)gpu_memory_gb(&r, o) * 1024 * gpus);
        buf_append_byte(&out, '\n');
    }
    call_respond(call, (struct http_response){.status = 200, .content_type = STR("text/csv"), .body = buf_str(&out)});
}
