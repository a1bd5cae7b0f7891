/* SPDX-License-Identifier: Apache-2.0 */
/* /openapi.json, from the table of routes and the tables of fields. */
#include "server/api_route.h"
#include "server/openapi.h"

#include "wire/json.h"

#include <stdio.h>

#define RECORDS_MOST 128

/* ---- schemas: every record that a route names, and what those hold ---- */

struct schemas {
    const struct record *records[RECORDS_MOST];
    size_t count;
};

static void add_record(struct schemas *s, const struct record *record)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->records[i] == record)
            return;
    CHECK(s->count < RECORDS_MOST);
    s->records[s->count++] = record;
    for (size_t i = 0; i < record->count; i++)
        if (record->fields[i].record)
            add_record(s, record->fields[i].record);
}

static void write_schemas(struct buf *out)
{
    struct schemas s = {0};
    add_record(&s, &api_error_body_record);
    for (size_t i = 0; i < api_route_count; i++) {
        if (api_routes[i].input)
            add_record(&s, api_routes[i].input);
        if (api_routes[i].output)
            add_record(&s, api_routes[i].output);
    }
    json_key(out, "schemas");
    json_open(out, '{');
    for (size_t i = 0; i < s.count; i++) {
        json_key(out, s.records[i]->name);
        record_schema(s.records[i], out);
    }
    json_close(out, '}');
}

/* ---- pieces ---- */

static void text_member(struct buf *out, const char *key, const char *text)
{
    json_key(out, key);
    json_text(out, text);
}

static void schema_of(struct buf *out, const struct record *record)
{
    json_key(out, "schema");
    json_open(out, '{');
    if (record) {
        _cleanup_buf_ struct buf reference = BUF_INIT(256);
        buf_printf(&reference, "#/components/schemas/%s", record->name);
        text_member(out, "$ref", buf_text(&reference));
    } else {
        text_member(out, "type", "string");
        text_member(out, "format", "binary");
    }
    json_close(out, '}');
}

/* `types`: media types, separated by spaces; NULL = JSON. Only JSON and event streams have the
 * record. */
static void write_content(struct buf *out, const char *types, const struct record *record)
{
    struct str rest = str_from(types ? types : "application/json");
    json_key(out, "content");
    json_open(out, '{');
    while (rest.size) {
        struct str type = str_cut(&rest, ' ');
        char name[64];
        snprintf(name, sizeof name, "%.*s", STR_ARGS(type));
        json_key(out, name);
        json_open(out, '{');
        schema_of(out, str_is(type, "application/json") || str_is(type, "text/event-stream")
                           ? record
                           : NULL);
        json_close(out, '}');
    }
    json_close(out, '}');
}

static void write_parameter(struct buf *out, const char *in, struct str name,
                            const struct api_parameter *p)
{
    json_open(out, '{');
    json_key(out, "name");
    json_string(out, name);
    text_member(out, "in", in);
    if (p)
        text_member(out, "description", p->doc);
    json_key(out, "required");
    json_bool(out, !p);
    json_key(out, "schema");
    json_open(out, '{');
    text_member(out, "type", p ? p->type : "string");
    json_close(out, '}');
    json_close(out, '}');
}

static struct str placeholder(const char *pattern)
{
    const char *open = strchr(pattern, '{');
    if (!open)
        return (struct str){0};
    struct str rest = str_from(open + 1);
    return str_cut(&rest, '}');
}

static void write_parameters(struct buf *out, const struct api_route *route)
{
    struct str rest = str_from(route->query), name = placeholder(route->pattern);
    json_key(out, "parameters");
    json_open(out, '[');
    if (name.size)
        write_parameter(out, "path", name, NULL);
    while (rest.size) {
        struct str query = str_cut(&rest, ' ');
        write_parameter(out, "query", query, api_parameter(query));
    }
    if (route->read)
        write_parameter(out, "query", STR("after"), api_parameter(STR("after")));
    json_close(out, ']');
}

static void write_response(struct buf *out, const char *status, const char *text,
                           const struct api_route *route)
{
    json_key(out, status);
    json_open(out, '{');
    text_member(out, "description", text);
    if (!route)
        write_content(out, NULL, &api_error_body_record);
    else if (route->output || route->gives)
        write_content(out, route->gives, route->output);
    json_close(out, '}');
}

static void write_responses(struct buf *out, const struct api_route *route)
{
    json_key(out, "responses");
    json_open(out, '{');
    write_response(out, route->status == 201 ? "201" : "200", "Done.", route);
    write_response(out, "default", "Refused: why, and which field.", NULL);
    json_close(out, '}');
}

static const char *role_name(unsigned roles)
{
    static const char *const names[] = {
        [ROLE_VIEWER] = "viewer", [ROLE_MEMBER] = "member", [ROLE_OPERATOR] = "operator",
        [ROLE_ADMIN] = "admin",   [ROLE_AGENT] = "agent",   [ROLE_JOIN] = "join"};
    for (size_t role = ROLE_VIEWER; role < ARRAY_COUNT(names); role++)
        if (roles & 1u << role)
            return names[role];
    return "none";
}

static void write_security(struct buf *out, const struct api_route *route)
{
    text_member(out, "x-tessera-role", role_name(route->roles));
    json_key(out, "security");
    json_open(out, '[');
    if (route->roles) {
        json_open(out, '{');
        json_key(out, "key");
        json_open(out, '[');
        json_close(out, ']');
        json_close(out, '}');
    }
    json_close(out, ']');
}

/* "get_v1_workloads_id_why" */
static void write_operation_id(struct buf *out, const struct api_route *route)
{
    _cleanup_buf_ struct buf id = BUF_INIT(256);
    buf_append_text(&id, http_method_name(route->method));
    for (const char *at = route->pattern; *at; at++)
        if (*at != '{' && *at != '}')
            buf_append_byte(&id, strchr("/.-", *at) ? '_' : *at);
    for (size_t i = 0; i < id.size; i++)
        if (id.data[i] >= 'A' && id.data[i] <= 'Z')
            id.data[i] = (char)(id.data[i] + 32);
    text_member(out, "operationId", buf_text(&id));
}

static void write_operation(struct buf *out, const struct api_route *route)
{
    char method[16];
    snprintf(method, sizeof method, "%s", http_method_name(route->method));
    for (char *c = method; *c; c++)
        *c = (char)(*c | 32);
    json_key(out, method);
    json_open(out, '{');
    text_member(out, "summary", route->summary);
    write_operation_id(out, route);
    write_parameters(out, route);
    if (route->input || route->takes) {
        json_key(out, "requestBody");
        json_open(out, '{');
        write_content(out, route->takes, route->input);
        json_close(out, '}');
    }
    write_responses(out, route);
    write_security(out, route);
    json_close(out, '}');
}

static bool first_of_path(size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(api_routes[i].pattern, api_routes[index].pattern) == 0)
            return false;
    return true;
}

static void write_paths(struct buf *out)
{
    json_key(out, "paths");
    json_open(out, '{');
    for (size_t i = 0; i < api_route_count; i++) {
        if (!first_of_path(i))
            continue;
        json_key(out, api_routes[i].pattern);
        json_open(out, '{');
        for (size_t j = i; j < api_route_count; j++)
            if (strcmp(api_routes[j].pattern, api_routes[i].pattern) == 0)
                write_operation(out, &api_routes[j]);
        json_close(out, '}');
    }
    json_close(out, '}');
}

static void write_components(struct buf *out)
{
    json_key(out, "components");
    json_open(out, '{');
    write_schemas(out);
    json_key(out, "securitySchemes");
    json_open(out, '{');
    json_key(out, "key");
    json_open(out, '{');
    text_member(out, "type", "http");
    text_member(out, "scheme", "bearer");
    json_close(out, '}');
    json_close(out, '}');
    json_close(out, '}');
}

void openapi_write(struct buf *out)
{
    json_open(out, '{');
    text_member(out, "openapi", "3.0.3");
    json_key(out, "info");
    json_open(out, '{');
    text_member(out, "title", "Tessera");
    text_member(out, "version", TESSERA_VERSION);
    text_member(
        out, "description",
        "An open omnicloud for GPUs: auctions decide who runs where and at what price. Ids are "
        "text; rates are "
        "µ$ per hour, money is µ$, times are ms since 1970, amounts thousandths of a unit or MiB.");
    json_close(out, '}');
    write_paths(out);
    write_components(out);
    json_close(out, '}');
}

void route_openapi_get(struct api_call *call)
{
    _cleanup_buf_ struct buf out = BUF_INIT((size_t)4 << 20);
    openapi_write(&out);
    call_respond(call, (struct http_response){.status = 200,
                                              .content_type = STR("application/json"),
                                              .body = buf_str(&out)});
}
