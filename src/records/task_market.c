/* SPDX-License-Identifier: Apache-2.0 */
/* `market:`, what the bid says beyond SkyPilot's fields. */
#include "records/task_internal.h"

#include "base/memory.h"
#include "market/market.h"
#include "records/table.h"
#include "wire/unit.h"

#include <signal.h>
#include <string.h>

static const char *const lost_contact_names[] = {"continue", "freeze", NULL};

struct market_fields {
    struct workload_request request;
    const struct json_value *skus, *labels;
};

/* "TERM", "SIGTERM", "15". */
static int read_signal(struct task_reader *r, const struct task_place *at, const struct json_value *value, void *to)
{
    struct market_fields *fields = to;
    struct str text;
    int rc = task_read_text(r, at, value, &text);
    if (rc < 0)
        return rc;
    struct str name = str_starts(text, STR("SIG")) ? (struct str){text.data + 3, text.size - 3} : text;
    if (!str_to_i64(name, &fields->request.signal)) {
        fields->request.signal = 0;
        for (int number = 1; number < 32; number++)
            if (sigabbrev_np(number) && str_is(name, sigabbrev_np(number)))
                fields->request.signal = number;
    }
    if (fields->request.signal < 1 || fields->request.signal > 64)
        return task_refuse(r, at, "\"%.*s\" is no signal, allowed is a name as SIGTERM or 1 to 64",
                           (int)MIN(text.size, 40), text.data);
    return 0;
}

#define M(member) offsetof(struct market_fields, request.member)
#define SPAN(name, member, low) {name, TASK_SPAN, M(member), .least = (low), .most = SPAN_MOST}
static const struct task_key market_keys[] = {
    {"preemptible", TASK_BOOL, M(preemptible)},
    {"limit", TASK_MONEY, M(limit_udollar_per_hour), .most = RATE_MOST},
    {"priority", TASK_NAME, M(priority), .names = workload_priority_names},
    {"level", TASK_NAME, M(level), .names = workload_level_names},
    {"racks", TASK_COUNT, M(racks), .least = 1, .most = WORKLOAD_NODES_MAX},
    {"skus", TASK_VALUE, offsetof(struct market_fields, skus)},
    {"labels", TASK_VALUE, offsetof(struct market_fields, labels)},
    {"notice", TASK_SPAN, M(notice_ms), .most = 24 * HOUR_MS},
    {"signal", TASK_CUSTOM, .read = read_signal},
    {"restart_cost", TASK_MONEY, M(restart_cost_udollar), .most = (int64_t)1 << 40},
    SPAN("minimum_run", minimum_run_ms, 0),
    SPAN("term", term_ms, 1000),
    {"renew", TASK_BOOL, M(renew)},
    {"urgent", TASK_BOOL, M(urgent)},
    SPAN("max_run", max_run_ms, 1000),
    {"retries", TASK_COUNT, M(retries), .most = 1000},
    {"on_lost_contact", TASK_NAME, M(on_lost_contact), .names = lost_contact_names},
    SPAN("run_time", run_time_ms, 1),
    {"finish_by", TASK_TIME, M(deadline_ms)},
    {"deadline", TASK_TIME, M(deadline_ms)},
    {"earliest", TASK_TIME, M(earliest_ms)},
    {"project", TASK_TEXT, M(project)},
    {"reservation", TASK_TEXT, M(reservation)},
    {"tier", TASK_NAME, M(tier), .names = workload_tier_names},
    {"nodes_max", TASK_COUNT, M(nodes_max), .least = 1, .most = WORKLOAD_NODES_MAX},
    {NULL},
};

struct sku_fields {
    struct str sku, speed;
};
static const struct task_key sku_keys[] = {
    {"sku", TASK_TEXT, offsetof(struct sku_fields, sku)},
    {"speed", TASK_TEXT, offsetof(struct sku_fields, speed)},
    {NULL},
};

static int read_sku(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                    struct workload_choice *choice)
{
    struct sku_fields fields = {};
    int rc = value->type == JSON_OBJECT ? task_read_map(r, at, value, sku_keys, &fields)
                                        : task_read_text(r, at, value, &fields.sku);
    if (rc < 0)
        return rc;
    if (fields.sku.size == 0)
        return task_refuse(r, at, "names no SKU");
    choice->sku = fields.sku;
    if (fields.speed.size && (!decimal_parse(fields.speed, 1000, &choice->speed_milli) || choice->speed_milli < 1 ||
                              choice->speed_milli > MARKET_SPEED_MAX))
        return task_refuse(r, at, "speed: \"%.*s\" is out of range, allowed is 0.001 to 65.535",
                           (int)MIN(fields.speed.size, 40), fields.speed.data);
    return 0;
}

/* Every choice of the resources on every SKU named, in that order. */
static int read_skus(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                     struct workload_request *request)
{
    struct task_place place = {at, STR("skus"), 0};
    const struct workload_choice *choices = request->choices.items;
    if (value == NULL)
        return 0;
    if (value->type != JSON_ARRAY || value->count == 0)
        return task_refuse(r, &place, "must be a list of SKUs");
    size_t count = value->count * request->choices.count;
    if (value->count > WORKLOAD_CHOICES_MAX || count > WORKLOAD_CHOICES_MAX)
        return task_refuse(r, &place, "too many choices with those of resources, at most %d are allowed",
                           WORKLOAD_CHOICES_MAX);
    struct workload_choice *product = arena_alloc(r->arena, count * sizeof *product);
    if (product == NULL)
        return task_refuse(r, &place, "too much text");
    for (size_t i = 0; i < count; i++) {
        struct task_place element = {&place, {NULL, 0}, i / request->choices.count};
        product[i] = choices[i % request->choices.count];
        if (product[i].sku.size)
            return task_refuse(r, &place, "goes without resources.instance_type");
        int rc = read_sku(r, &element, &value->items[element.index], &product[i]);
        if (rc < 0)
            return rc;
    }
    request->choices = (struct record_list){product, count};
    return 0;
}

static int read_labels(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                       struct workload_request *request)
{
    struct task_place place = {at, STR("labels"), 0};
    struct workload_choice *choices = request->choices.items;
    struct record_list labels;
    if (value == NULL)
        return 0;
    int rc = task_read_texts(r, &place, value, MARKET_LABELS_MAX, &labels);
    for (size_t i = 0; rc == 0 && i < request->choices.count; i++)
        choices[i].labels = labels;
    return rc;
}

static bool has(const struct json_value *map, const char *name)
{
    const struct json_value *value = json_get(map, name);
    return value && value->type != JSON_NULL;
}

static int refuse_field(struct task_reader *r, const struct task_place *at, const char *name, const char *what)
{
    struct task_place member = {at, str_from(name), 0};
    return task_refuse(r, &member, "%s", what);
}

/* Fields that contradict or do nothing beside one another: neither is quietly dropped. */
static int check_together(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                          const struct workload_request *request, bool use_spot)
{
    if (use_spot && !request->preemptible)
        return refuse_field(r, at, "preemptible", "false, but resources.use_spot is true");
    if (has(value, "limit") && has(value, "priority"))
        return refuse_field(r, at, "priority", "stands for a limit: goes without `limit`");
    if (has(value, "finish_by") && has(value, "deadline"))
        return refuse_field(r, at, "deadline", "is another name of finish_by: one of the two");
    if (request->preemptible && (has(value, "term") || has(value, "renew")))
        return refuse_field(r, at, has(value, "term") ? "term" : "renew", "is for firm work: goes with preemptible: false");
    if (request->tier && (!request->preemptible || request->deadline_ms || request->reservation.size))
        return refuse_field(r, at, "tier", "is for preemptible work: goes with preemptible: true, without a deadline or reservation");
    if (request->level == LEVEL_RACKS && request->racks == 0)
        return refuse_field(r, at, "racks", "is missing, level `racks` needs it");
    if (request->racks && request->level != LEVEL_RACKS)
        return refuse_field(r, at, "racks", "goes with `level: racks`");
    if (request->nodes_max && request->nodes_max < request->nodes)
        return refuse_field(r, at, "nodes_max", "is less than num_nodes");
    if (request->deadline_ms && request->deadline_ms <= request->earliest_ms)
        return refuse_field(r, at, has(value, "deadline") ? "deadline" : "finish_by", "must be after `earliest`");
    return 0;
}

int task_read_market(struct task_reader *r, const struct json_value *value, struct workload_request *request)
{
    struct task_place at = {NULL, STR("market"), 0};
    struct market_fields fields = {.request = *request};
    bool use_spot = request->preemptible;
    int rc = task_read_map(r, &at, value, market_keys, &fields);
    if (rc < 0)
        return rc;
    fields.request.limit_present = has(value, "limit");
    if (fields.request.racks && !has(value, "level"))
        fields.request.level = LEVEL_RACKS;
    rc = check_together(r, &at, value, &fields.request, use_spot);
    if (rc == 0)
        rc = read_skus(r, &at, fields.skus, &fields.request);
    if (rc == 0)
        rc = read_labels(r, &at, fields.labels, &fields.request);
    *request = fields.request;
    return rc;
}
