/* SPDX-License-Identifier: Apache-2.0 */
/* `resources:` to hardware choices. Each of any_of or ordered starts from what stands beside it; a
 * list or map of accelerators is as many choices. A lower bound ("4+") is what a replica takes. */
#include "records/task_internal.h"

#include "base/memory.h"
#include "market/market.h"
#include "wire/unit.h"

#define CORES_MAX_MILLI ((int64_t)100000 * 1000)
#define MEMORY_MAX_MIB ((int64_t)1 << 30)

struct resources {
    struct workload_choice choice;
    const struct json_value *accelerators, *any_of, *ordered;
    struct str infra, cloud, region, zone;
    bool use_spot;
};

struct choice_list {
    struct workload_choice items[WORKLOAD_CHOICES_MAX];
    size_t count;
};

/* "4", "4+", "0.5" into thousandths. */
static bool read_at_least(struct str text, int64_t scale, int64_t *ret)
{
    text = str_trim(text);
    if (text.size && text.data[text.size - 1] == '+')
        text.size--;
    return decimal_parse(text, scale, ret) && *ret > 0;
}

static int read_cpus(struct task_reader *r, const struct task_place *at, const struct json_value *value, void *to)
{
    struct resources *resources = to;
    struct str text;
    int rc = task_read_text(r, at, value, &text);
    if (rc < 0)
        return rc;
    if (!read_at_least(text, 1000, &resources->choice.amounts.core_milli))
        return task_refuse(r, at, "\"%.*s\" is not a number of cores, allowed is 0.001 or more, as 4 or 4+",
                           (int)MIN(text.size, 40), text.data);
    if (resources->choice.amounts.core_milli > CORES_MAX_MILLI)
        return task_refuse(r, at, "out of range, allowed is 0.001 to %lld", (long long)CORES_MAX_MILLI / 1000);
    return 0;
}

static bool cut_suffix(struct str *text, struct str suffix)
{
    if (text->size < suffix.size || memcmp(text->data + text->size - suffix.size, suffix.data, suffix.size) != 0)
        return false;
    text->size -= suffix.size;
    return true;
}

/* Gigabytes, "16", "16+", "16GB", to MiB; what is finer is rounded up. */
static int read_size(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                     int64_t *ret_mib)
{
    struct str text, number;
    int64_t millionths;
    int rc = task_read_text(r, at, value, &text);
    if (rc < 0)
        return rc;
    number = str_trim(text);
    cut_suffix(&number, STR("+"));
    if (!cut_suffix(&number, STR("GiB")))
        cut_suffix(&number, STR("GB"));
    if (!decimal_parse(number, 1000000, &millionths) || millionths <= 0)
        return task_refuse(r, at, "\"%.*s\" is not a size in GB, allowed is a number as 16 or 16+",
                           (int)MIN(text.size, 40), text.data);
    if (millionths / 1000000 > MEMORY_MAX_MIB / 1024)
        return task_refuse(r, at, "out of range, allowed is at most %lld GB", (long long)MEMORY_MAX_MIB / 1024);
    *ret_mib = mul_div_ceil(millionths, 1024, 1000000);
    return 0;
}

static int read_memory(struct task_reader *r, const struct task_place *at, const struct json_value *value, void *to)
{
    return read_size(r, at, value, &((struct resources *)to)->choice.amounts.memory_mib);
}

static int read_disk(struct task_reader *r, const struct task_place *at, const struct json_value *value, void *to)
{
    return read_size(r, at, value, &((struct resources *)to)->choice.amounts.disk_mib);
}

static const struct task_key resource_keys[] = {
    {"accelerators", TASK_VALUE, offsetof(struct resources, accelerators)},
    {"any_of", TASK_VALUE, offsetof(struct resources, any_of)},
    {"ordered", TASK_VALUE, offsetof(struct resources, ordered)},
    {"cpus", TASK_CUSTOM, .read = read_cpus},
    {"memory", TASK_CUSTOM, .read = read_memory},
    {"disk_size", TASK_CUSTOM, .read = read_disk},
    {"instance_type", TASK_TEXT, offsetof(struct resources, choice.sku)},
    {"use_spot", TASK_BOOL, offsetof(struct resources, use_spot)},
    {"infra", TASK_TEXT, offsetof(struct resources, infra)},
    {"cloud", TASK_TEXT, offsetof(struct resources, cloud)},
    {"region", TASK_TEXT, offsetof(struct resources, region)},
    {"zone", TASK_TEXT, offsetof(struct resources, zone)},
    {NULL},
};

static struct str any_or(struct str text)
{
    return str_is(text, "*") ? (struct str){NULL, 0} : text;
}

/* infra is provider/region/zone, `*` where any will do. */
static int set_place(struct task_reader *r, const struct task_place *at, struct resources *resources)
{
    struct workload_choice *choice = &resources->choice;
    if (resources->infra.size == 0) {
        choice->provider = any_or(resources->cloud);
        choice->region = any_or(resources->region);
        choice->zone = any_or(resources->zone);
        return 0;
    }
    struct task_place infra = {at, STR("infra"), 0};
    if (resources->cloud.size || resources->region.size || resources->zone.size)
        return task_refuse(r, &infra, "goes without cloud, region and zone");
    struct str rest = resources->infra;
    choice->provider = any_or(str_cut(&rest, '/'));
    choice->region = any_or(str_cut(&rest, '/'));
    choice->zone = any_or(rest);
    if (memchr(rest.data ? rest.data : "", '/', rest.size))
        return task_refuse(r, &infra, "allowed is PROVIDER, PROVIDER/REGION or PROVIDER/REGION/ZONE");
    return 0;
}

static int add_choice(struct task_reader *r, const struct task_place *at, const struct workload_choice *choice,
                      struct choice_list *list)
{
    if (list->count == WORKLOAD_CHOICES_MAX)
        return task_refuse(r, at, "too many choices, at most %d are allowed", WORKLOAD_CHOICES_MAX);
    struct workload_choice *added = &list->items[list->count++];
    *added = *choice;
    added->speed_milli = 1000;
    if (added->amounts.gpu_milli == 0 && added->amounts.core_milli == 0)
        added->amounts.core_milli = 1000;
    return 0;
}

/* "H100", "H100:8", "H100:0.5", "*:1" for any model, or a name with its count apart. */
static int read_accelerator(struct task_reader *r, const struct task_place *at, struct str text,
                            const struct json_value *count, struct workload_choice *choice)
{
    struct str number = text;
    choice->accelerator = str_trim(str_cut(&number, ':'));
    number = str_trim(number);
    if (count && count->type != JSON_NULL && number.size == 0)
        number = count->text;
    choice->amounts.gpu_milli = 1000;
    if (choice->accelerator.size == 0 || choice->accelerator.size > 100)
        return task_refuse(r, at, "\"%.*s\" names no accelerator, allowed is NAME or NAME:COUNT",
                           (int)MIN(text.size, 40), text.data);
    choice->accelerator = any_or(choice->accelerator);
    if (number.size && (!decimal_parse(number, 1000, &choice->amounts.gpu_milli) || choice->amounts.gpu_milli <= 0 ||
                        choice->amounts.gpu_milli > MARKET_NODE_GPUS_MAX * 1000))
        return task_refuse(r, at, "\"%.*s\" is not a count, allowed is 1 to %d, or a share below 1",
                           (int)MIN(number.size, 40), number.data, MARKET_NODE_GPUS_MAX);
    if (choice->amounts.gpu_milli > 1000 && choice->amounts.gpu_milli % 1000)
        return task_refuse(r, at, "allowed are whole accelerators, or one share below 1");
    return 0;
}

/* One of a map has its count beside it, one of a list is text or a map itself. */
static int add_accelerators(struct task_reader *r, const struct task_place *at, const struct resources *resources,
                            struct choice_list *list)
{
    const struct json_value *value = resources->accelerators;
    struct task_place place = {at, STR("accelerators"), 0};
    struct resources one = *resources;
    int rc = 0;
    if (value == NULL || value->type == JSON_NULL)
        return add_choice(r, at, &one.choice, list);
    if (value->type != JSON_ARRAY && value->type != JSON_OBJECT) {
        rc = read_accelerator(r, &place, value->text, NULL, &one.choice);
        return rc == 0 ? add_choice(r, &place, &one.choice, list) : rc;
    }
    if (value->count == 0)
        return task_refuse(r, &place, "empty, allowed is NAME or NAME:COUNT");
    for (size_t i = 0; rc == 0 && i < value->count; i++) {
        struct task_place element = {&place, value->keys ? value->keys[i] : (struct str){NULL, 0}, i};
        one.accelerators = &value->items[i];
        if (value->keys == NULL && value->items[i].type == JSON_ARRAY)
            return task_refuse(r, &element, "must be text or a map");
        if (value->keys == NULL)
            rc = add_accelerators(r, at, &one, list);
        else
            rc = read_accelerator(r, &element, value->keys[i], &value->items[i], &one.choice);
        if (rc == 0 && value->keys)
            rc = add_choice(r, &element, &one.choice, list);
    }
    return rc;
}

static int read_one(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                    struct resources *resources, struct choice_list *list)
{
    int rc = task_read_map(r, at, value, resource_keys, resources);
    if (rc == 0 && list) {
        rc = set_place(r, at, resources);
        if (rc == 0)
            rc = add_accelerators(r, at, resources, list);
    }
    return rc;
}

/* The elements of any_of or ordered, each on top of what stands beside the list; use_spot of them all
 * is left in `base`. */
static int read_each(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                     struct resources *base, struct choice_list *list)
{
    if (value->type != JSON_ARRAY || value->count == 0)
        return task_refuse(r, at, "must be a list of resources");
    const struct resources beside = *base;
    for (size_t i = 0; i < value->count; i++) {
        struct task_place element = {at, {NULL, 0}, i};
        struct resources one = beside;
        one.any_of = one.ordered = NULL;
        int rc = read_one(r, &element, &value->items[i], &one, list);
        if (rc < 0)
            return rc;
        if (one.any_of || one.ordered)
            return task_refuse(r, &element, "any_of and ordered do not nest");
        if (i > 0 && one.use_spot != base->use_spot)
            return task_refuse(r, &element, "use_spot must be the same in all choices");
        base->use_spot = one.use_spot;
    }
    return 0;
}

int task_read_resources(struct task_reader *r, const struct json_value *value, struct workload_request *request)
{
    struct task_place at = {NULL, STR("resources"), 0};
    struct resources base = {};
    struct choice_list list = {};
    int rc = read_one(r, &at, value, &base, NULL);
    if (rc < 0)
        return rc;
    const struct json_value *each = base.any_of ? base.any_of : base.ordered;
    struct task_place below = {&at, base.any_of ? STR("any_of") : STR("ordered"), 0};
    if (base.any_of && base.ordered)
        return task_refuse(r, &below, "goes without `ordered`");
    if (each) {
        rc = read_each(r, &below, each, &base, &list);
    } else {
        rc = set_place(r, &at, &base);
        if (rc == 0)
            rc = add_accelerators(r, &at, &base, &list);
    }
    if (rc < 0)
        return rc;
    struct workload_choice *choices = arena_alloc(r->arena, list.count * sizeof *choices);
    if (choices == NULL)
        return task_refuse(r, &at, "too much text");
    memcpy(choices, list.items, list.count * sizeof *choices);
    request->choices = (struct record_list){choices, list.count};
    request->preemptible = base.use_spot;
    return 0;
}
