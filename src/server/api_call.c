/* SPDX-License-Identifier: Apache-2.0 */
/* What a request says, and whom its caller may see. */
#include "server/api_internal.h"

#include <stdarg.h>
#include <stdio.h>

struct arena *call_arena(struct api_call *call)
{
    return &call->request->arena;
}

void *call_alloc(struct api_call *call, size_t size)
{
    void *memory =
        arena_alloc(call_arena(call), size); /* a request's arena has no limit: its body has */
    CHECK(memory);
    return memory;
}

struct str call_text(struct api_call *call, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = call_alloc(call, (size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, arguments);
    va_end(arguments);
    return (struct str){text, (size_t)size};
}

struct str arena_id(struct arena *arena, struct id_key ids, const char *prefix, uint64_t id)
{
    if (id == 0)
        return (struct str){0};
    struct id_text text = id_format(ids, prefix, id);
    return arena_str(arena, str_from(text.text));
}

struct str call_id(struct api_call *call, const char *prefix, uint64_t id)
{
    return arena_id(call_arena(call), call->api->ids, prefix, id);
}

bool call_number(struct api_call *call, const char *parameter, int64_t *value, int64_t least,
                 int64_t most)
{
    struct str text = http_request_query(call->request, parameter);
    if (!text.data)
        return true;
    if (str_to_i64(text, value) && *value >= least && *value <= most)
        return true;
    call_refuse(call, 400, parameter, "\"%.*s\", allowed is a whole number from %lld to %lld",
                (int)MIN(text.size, 40), text.data, (long long)least, (long long)most);
    return false;
}

bool call_project(struct api_call *call, engine_id *ret)
{
    struct str name = http_request_query(call->request, "project");
    *ret = call->who.project;
    if (!name.size)
        return true;
    engine_id project = core_project(call->api->core, name);
    if (project == 0 || !call_sees(call, project)) {
        call_refuse(call, 404, "project", "no such project");
        return false;
    }
    *ret = project;
    return true;
}

engine_id call_workload_id(const struct api_call *call)
{
    uint64_t id = 0;
    return id_parse(call->api->ids, "work", call->name, &id) ? id : 0;
}

const struct engine_workload *call_workload(const struct api_call *call, const struct engine *e)
{
    engine_id id = call_workload_id(call);
    const struct engine_workload *w = id ? engine_workload(e, id) : NULL;
    return w && call_sees(call, w->project) ? w : NULL;
}

bool view_read(struct api_call *call, const struct core_view *view, const struct table_query *query,
               struct table_page *ret)
{
    struct error err = {0};
    if (tables_read(view->tables, query, call_arena(call), ret, &err) == 0)
        return true;
    log_error("reading the tables: %s", err.text);
    call_refuse(call, 503, NULL, "the tables for queries cannot be read now");
    return false;
}

static bool number_parse(struct str text, uint64_t *ret)
{
    int64_t value;
    if (!str_to_i64(text, &value) || value < 0)
        return false;
    *ret = (uint64_t)value;
    return true;
}

bool position_parse(struct str text, struct table_position *ret)
{
    struct str rest = text, seq = str_cut(&rest, '-');
    struct table_position position = {0};
    if (!number_parse(seq, &position.seq))
        return false;
    if (seq.size == text.size)
        position.position = INT64_MAX; /* all of that group */
    else if (!number_parse(rest, &position.position))
        return false;
    *ret = position;
    return true;
}

int position_compare(struct table_position a, struct table_position b)
{
    int r = COMPARE(a.seq, b.seq);
    return r ? r : COMPARE(a.position, b.position);
}
