/* SPDX-License-Identifier: Apache-2.0 */
#include "records/task_internal.h"

#include "base/check.h"
#include "base/memory.h"
#include "records/table.h"
#include "wire/unit.h"
#include "wire/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define VARIABLES_MAX 1000
#define MOUNTS_MAX 64
#define REQUEST_MAX (1 << 20)

/* ---- reading against tables ----------------------------------------------------------------------- */

static void write_path(const struct task_place *at, struct buf *out)
{
    if (at == NULL)
        return;
    write_path(at->parent, out);
    if (at->name.data == NULL)
        buf_printf(out, "[%zu]", at->index);
    else
        buf_printf(out, "%s%.*s", out->size ? "." : "", (int)MIN(at->name.size, 60), at->name.data);
}

int task_refuse(struct task_reader *r, const struct task_place *at, const char *format, ...)
{
    _cleanup_buf_ struct buf where = BUF_INIT(300);
    char text[ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    write_path(at, &where);
    return error_set(r->err, -EINVAL, "%s%s%s", buf_text(&where), where.size ? ": " : "", text);
}

static int refuse_name(struct task_reader *r, const struct task_place *at, const struct task_key *keys)
{
    _cleanup_buf_ struct buf allowed = BUF_INIT(400);
    for (; keys->name; keys++)
        buf_printf(&allowed, "%s%s", allowed.size ? ", " : "", keys->name);
    return task_refuse(r, at, "is not supported, allowed is %s", buf_text(&allowed));
}

static int refuse_among(struct task_reader *r, const struct task_place *at, struct str text,
                        const char *const *names)
{
    _cleanup_buf_ struct buf allowed = BUF_INIT(300);
    for (; *names; names++)
        buf_printf(&allowed, "%s%s", allowed.size ? ", " : "", *names);
    return task_refuse(r, at, "\"%.*s\" is unknown, allowed is %s", (int)MIN(text.size, 40), text.data,
                       buf_text(&allowed));
}

int task_read_text(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                   struct str *ret)
{
    if (value->type == JSON_ARRAY || value->type == JSON_OBJECT || value->type == JSON_NULL)
        return task_refuse(r, at, "must be text");
    *ret = value->text;
    return 0;
}

int task_read_texts(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                    size_t most, struct record_list *ret)
{
    bool alone = value->type != JSON_ARRAY;
    size_t count = alone ? 1 : value->count;
    if (count > most)
        return task_refuse(r, at, "too long, at most %zu are allowed", most);
    struct str *texts = arena_alloc(r->arena, (count + 1) * sizeof *texts);
    if (texts == NULL)
        return task_refuse(r, at, "too much text");
    for (size_t i = 0; i < count; i++) {
        struct task_place element = {at, {NULL, 0}, i};
        int rc = task_read_text(r, alone ? at : &element, alone ? value : &value->items[i], &texts[i]);
        if (rc < 0)
            return rc;
    }
    *ret = (struct record_list){texts, count};
    return 0;
}

static int read_enum(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                     const char *const *names, int32_t *ret)
{
    for (int32_t i = 0; names[i]; i++)
        if (str_is(value->text, names[i])) {
            *ret = i;
            return 0;
        }
    return refuse_among(r, at, value->text, names);
}

/* Numbers in the unit of their kind, and then against their range. */
static int read_number(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                       const struct task_key *key, int64_t *ret)
{
    if (key->kind == TASK_COUNT && !str_to_i64(value->text, ret))
        return task_refuse(r, at, "must be a whole number");
    if (key->kind == TASK_MONEY && !money_parse(value->text, ret))
        return task_refuse(r, at, "must be an amount in dollars such as 2.50, to the millionth");
    if (key->kind == TASK_SPAN && !span_parse(value->text, ret))
        return task_refuse(r, at, "must be a span of time such as 30s, 5m, 4h or 2d");
    if (key->kind == TASK_TIME && !time_parse(value->text, ret))
        return task_refuse(r, at, "must be a time such as 2027-01-31T18:00Z");
    if (key->most && (*ret < key->least || *ret > key->most)) {
        _cleanup_buf_ struct buf range = BUF_INIT(200);
        void (*print)(struct buf *, int64_t) = key->kind == TASK_MONEY ? money_print : span_print;
        if (key->kind == TASK_COUNT) {
            buf_printf(&range, "%lld to %lld", (long long)key->least, (long long)key->most);
        } else {
            print(&range, key->least);
            buf_append_text(&range, " to ");
            print(&range, key->most);
        }
        return task_refuse(r, at, "%.*s is out of range, allowed is %s", (int)MIN(value->text.size, 40),
                           value->text.data, buf_text(&range));
    }
    return 0;
}

static int read_member(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                       const struct task_key *key, void *to)
{
    void *field = (char *)to + key->offset;
    struct str text;
    if (key->kind == TASK_VALUE) {
        *(const struct json_value **)field = value;
        return 0;
    }
    if (key->kind == TASK_CUSTOM)
        return key->read(r, at, value, to);
    int rc = task_read_text(r, at, value, &text);
    if (rc < 0)
        return rc;
    if (key->kind == TASK_TEXT) {
        *(struct str *)field = text;
        return 0;
    }
    if (key->kind == TASK_BOOL) {
        if (value->type != JSON_BOOL)
            return task_refuse(r, at, "must be true or false");
        *(bool *)field = value->boolean;
        return 0;
    }
    if (key->kind == TASK_NAME)
        return read_enum(r, at, value, key->names, field);
    return read_number(r, at, value, key, field);
}

int task_read_map(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                  const struct task_key *keys, void *to)
{
    if (value == NULL || value->type == JSON_NULL)
        return 0;
    if (value->type != JSON_OBJECT)
        return task_refuse(r, at, "must be a map of fields");
    for (size_t i = 0; i < value->count; i++) {
        struct task_place member = {at, value->keys[i], 0};
        const struct task_key *key = keys;
        while (key->name && !str_is(value->keys[i], key->name))
            key++;
        if (key->name == NULL)
            return refuse_name(r, &member, keys);
        if (value->items[i].type == JSON_NULL)
            continue;
        int rc = read_member(r, &member, &value->items[i], key, to);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- the fields of the file itself ------------------------------------------------------------------ */

struct task_top {
    struct task_file *task;
    struct str name, setup, run, workdir;
    int64_t nodes;
    const struct json_value *resources, *market, *envs, *secrets, *mounts;
};

static int read_script(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                       struct str *ret)
{
    int rc = task_read_text(r, at, value, ret);
    if (rc == 0 && ret->size > WORKLOAD_SCRIPT_MAX)
        return task_refuse(r, at, "too long, at most %d bytes are allowed", WORKLOAD_SCRIPT_MAX);
    return rc;
}

static int read_setup(struct task_reader *r, const struct task_place *at, const struct json_value *value, void *to)
{
    return read_script(r, at, value, &((struct task_top *)to)->setup);
}

static int read_run(struct task_reader *r, const struct task_place *at, const struct json_value *value, void *to)
{
    return read_script(r, at, value, &((struct task_top *)to)->run);
}

/* Paths are taken as they are written: a variable in one would silently mean another path. */
static int check_path(struct task_reader *r, const struct task_place *at, struct str path)
{
    if (path.size == 0)
        return task_refuse(r, at, "an empty path");
    if (memchr(path.data, '$', path.size))
        return task_refuse(r, at, "variables in paths are not supported");
    for (size_t i = 0; i + 2 < path.size; i++)
        if (memcmp(path.data + i, "://", 3) == 0)
            return task_refuse(r, at, "buckets and addresses are not supported, allowed is a local path");
    if (memchr(path.data, '\n', path.size))
        return task_refuse(r, at, "a line break in a path");
    return 0;
}

static int read_workdir(struct task_reader *r, const struct task_place *at, const struct json_value *value, void *to)
{
    struct task_top *top = to;
    if (value->type == JSON_OBJECT)
        return task_refuse(r, at, "a git repository is not supported, allowed is a local path");
    int rc = task_read_text(r, at, value, &top->workdir);
    return rc == 0 ? check_path(r, at, top->workdir) : rc;
}

static const struct task_key top_keys[] = {
    {"name", TASK_TEXT, offsetof(struct task_top, name)},
    {"num_nodes", TASK_COUNT, offsetof(struct task_top, nodes), .least = 1, .most = WORKLOAD_NODES_MAX},
    {"resources", TASK_VALUE, offsetof(struct task_top, resources)},
    {"workdir", TASK_CUSTOM, .read = read_workdir},
    {"file_mounts", TASK_VALUE, offsetof(struct task_top, mounts)},
    {"setup", TASK_CUSTOM, .read = read_setup},
    {"run", TASK_CUSTOM, .read = read_run},
    {"envs", TASK_VALUE, offsetof(struct task_top, envs)},
    {"secrets", TASK_VALUE, offsetof(struct task_top, secrets)},
    {"market", TASK_VALUE, offsetof(struct task_top, market)},
    {NULL},
};

/* A variable without a value (null) is the command line's to set: its value's data stays NULL. */
static int read_variables(struct task_reader *r, const char *name, const struct json_value *value,
                          struct record_list *ret)
{
    struct task_place at = {NULL, str_from(name), 0};
    if (value == NULL)
        return 0;
    if (value->type != JSON_OBJECT)
        return task_refuse(r, &at, "must be a map of names and values");
    if (value->count > VARIABLES_MAX)
        return task_refuse(r, &at, "too long, at most %d are allowed", VARIABLES_MAX);
    struct record_pair *pairs = arena_alloc(r->arena, (value->count + 1) * sizeof *pairs);
    if (pairs == NULL)
        return task_refuse(r, &at, "too much text");
    *ret = (struct record_list){pairs, value->count};
    for (size_t i = 0; i < value->count; i++) {
        struct task_place member = {&at, value->keys[i], 0};
        pairs[i].key = value->keys[i];
        if (value->items[i].type == JSON_NULL)
            continue;
        int rc = task_read_text(r, &member, &value->items[i], &pairs[i].value);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_mount(struct task_reader *r, const struct task_place *at, const struct json_value *value,
                      struct record_pair *ret)
{
    if (value->type == JSON_OBJECT)
        return task_refuse(r, at, "buckets are not supported, allowed is a local path");
    int rc = task_read_text(r, at, value, &ret->value);
    if (rc == 0)
        rc = check_path(r, at, ret->value);
    struct str rest = ret->key;
    while (rc == 0 && rest.size)
        if (str_is(str_cut(&rest, '/'), ".."))
            rc = task_refuse(r, at, "`..` is not allowed in the target");
    return rc == 0 && ret->key.size == 0 ? task_refuse(r, at, "an empty target") : rc;
}

static int read_mounts(struct task_reader *r, const struct json_value *value, struct task_file *task)
{
    struct task_place at = {NULL, STR("file_mounts"), 0};
    if (value == NULL)
        return 0;
    if (value->type != JSON_OBJECT)
        return task_refuse(r, &at, "must be a map of targets and local paths");
    if (value->count > MOUNTS_MAX)
        return task_refuse(r, &at, "too long, at most %d are allowed", MOUNTS_MAX);
    struct record_pair *local = arena_alloc(r->arena, (value->count + 1) * sizeof *local);
    struct record_pair *packed = arena_alloc(r->arena, (value->count + 1) * sizeof *packed);
    if (local == NULL || packed == NULL)
        return task_refuse(r, &at, "too much text");
    for (size_t i = 0; i < value->count; i++) {
        struct task_place member = {&at, value->keys[i], 0};
        char inside[32];
        local[i].key = value->keys[i];
        int rc = read_mount(r, &member, &value->items[i], &local[i]);
        if (rc < 0)
            return rc;
        snprintf(inside, sizeof inside, "mounts/%zu", i);
        packed[i] = (struct record_pair){value->keys[i], arena_str(r->arena, str_from(inside))};
    }
    task->mounts = (struct record_list){local, value->count};
    task->request.mounts = (struct record_list){packed, value->count};
    return 0;
}

static int read_top(struct task_reader *r, const struct task_top *top, struct task_file *ret)
{
    struct workload_request *request = &ret->request;
    *request = (struct workload_request){
        .name = top->name, .nodes = top->nodes, .setup = top->setup, .run = top->run,
        .priority = PRIORITY_NORMAL, .notice_ms = 30000, .signal = 15, .renew = true};
    ret->workdir = top->workdir;
    if (top->workdir.size)
        request->workdir = STR("workdir");
    int rc = read_variables(r, "envs", top->envs, &request->envs);
    if (rc == 0)
        rc = read_variables(r, "secrets", top->secrets, &request->secrets);
    if (rc == 0)
        rc = read_mounts(r, top->mounts, ret);
    if (rc == 0)
        rc = task_read_resources(r, top->resources, request);
    return rc == 0 ? task_read_market(r, top->market, request) : rc;
}

/* That the request is one which the API takes: its table's lengths and ranges, and what the fields
 * need of one another, but for the archive, which is made later. */
static int check_request(const struct workload_request *request, struct error *err)
{
    _cleanup_(arena_fini) struct arena arena = {};
    _cleanup_buf_ struct buf json = BUF_INIT(REQUEST_MAX);
    struct workload_request complete = *request, again;
    complete.archive = STR("0000000000000000000000000000000000000000000000000000000000000000");
    record_to_json(&workload_request_record, &complete, AUDIENCE_AGENT, &json);
    if (json.overflow)
        return error_set(err, -EINVAL, "too much text, at most %d MiB are allowed", REQUEST_MAX >> 20);
    int rc = record_from_json(&workload_request_record, buf_str(&json), &arena, &again, err);
    return rc == 0 ? workload_check(&complete, err) : rc;
}

int task_parse(struct str yaml, struct arena *arena, struct task_file *ret, struct error *err)
{
    struct json_value root;
    struct task_reader r = {arena, err};
    struct task_top top = {.nodes = 1};
    *ret = (struct task_file){};
    int rc = yaml_parse(yaml, arena, &root, err);
    if (rc == 0 && root.type != JSON_OBJECT)
        rc = task_refuse(&r, NULL, "a task file is a map of fields: name, resources, run and so on");
    if (rc == 0)
        rc = task_read_map(&r, NULL, &root, top_keys, &top);
    if (rc == 0)
        rc = read_top(&r, &top, ret);
    return rc == 0 ? check_request(&ret->request, err) : rc;
}

int task_set_env(struct task_file *task, struct str pair, bool secret, struct arena *arena, struct error *err)
{
    struct record_list *list = secret ? &task->request.secrets : &task->request.envs;
    const char *option = secret ? "secret" : "env";
    struct str value = pair, name = str_cut(&value, '=');
    struct record_pair *pairs = list->items;
    if (name.size == pair.size)
        return error_set(err, -EINVAL, "%s: \"%.*s\" has no `=`, allowed is NAME=value", option,
                         (int)MIN(pair.size, 40), pair.data);
    struct str kept = arena_str(arena, value);
    for (size_t i = 0; i < list->count; i++)
        if (str_equal(pairs[i].key, name)) {
            pairs[i].value = kept;
            return kept.data ? 0 : error_set(err, -EINVAL, "%s: too much text", option);
        }
    if (list->count >= VARIABLES_MAX)
        return error_set(err, -EINVAL, "%s: at most %d are allowed", option, VARIABLES_MAX);
    struct record_pair *more = arena_alloc(arena, (list->count + 1) * sizeof *more);
    if (more == NULL || kept.data == NULL)
        return error_set(err, -EINVAL, "%s: too much text", option);
    if (list->count)
        memcpy(more, pairs, list->count * sizeof *more);
    more[list->count] = (struct record_pair){arena_str(arena, name), kept};
    *list = (struct record_list){more, list->count + 1};
    return check_request(&task->request, err);
}

static int check_set(const char *field, const char *option, const struct record_list *list, struct error *err)
{
    const struct record_pair *pairs = list->items;
    for (size_t i = 0; i < list->count; i++)
        if (pairs[i].value.data == NULL)
            return error_set(err, -EINVAL, "%s.%.*s: has no value, set it in the file or with --%s %.*s=VALUE",
                             field, STR_ARGS(pairs[i].key), option, STR_ARGS(pairs[i].key));
    return 0;
}

int task_check(const struct task_file *task, struct error *err)
{
    int rc = check_set("envs", "env", &task->request.envs, err);
    if (rc == 0)
        rc = check_set("secrets", "secret", &task->request.secrets, err);
    return rc == 0 ? workload_check(&task->request, err) : rc;
}
