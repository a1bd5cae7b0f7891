/* SPDX-License-Identifier: Apache-2.0 */
/* Who may come in: the Host that was asked for, the Origin of a change, the route, the key. What is
 * refused here learns nothing about what exists. */
#include "server/api_internal.h"

#include "base/clock.h"

/* "127.0.0.1:7070" -> "127.0.0.1", "[::1]:7070" -> "::1". */
static struct str host_name(struct str host)
{
    if (host.size && host.data[0] == '[') {
        const char *end = memchr(host.data, ']', host.size);
        return end ? (struct str){host.data + 1, (size_t)(end - host.data) - 1} : host;
    }
    const char *colon = memchr(host.data, ':', host.size);
    bool alone = colon && !memchr(colon + 1, ':', host.size - (size_t)(colon + 1 - host.data));
    return alone ? (struct str){host.data, (size_t)(colon - host.data)} : host;
}

static bool same_name(struct str a, struct str b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++) {
        char x = a.data[i], y = b.data[i];
        x = x >= 'A' && x <= 'Z' ? (char)(x + 32) : x;
        y = y >= 'A' && y <= 'Z' ? (char)(y + 32) : y;
        if (x != y)
            return false;
    }
    return true;
}

static struct str url_host(const char *url)
{
    struct str rest = str_from(url);
    const char *slashes = url ? strstr(url, "://") : NULL;
    if (slashes) {
        rest = str_from(slashes + 3);
        rest = str_cut(&rest, '/');
    }
    return rest;
}

/* A page of somebody else's site whose name was made to point here has another Host. */
static bool host_allowed(const struct api *a, struct str host)
{
    static const struct str loopback[] = {{"127.0.0.1", 9}, {"localhost", 9}, {"::1", 3}};
    struct str name = host_name(host);
    for (size_t i = 0; i < ARRAY_COUNT(loopback); i++)
        if (same_name(name, loopback[i]))
            return true;
    for (size_t i = 0; i < a->options.host_count; i++)
        if (same_name(name, host_name(str_from(a->options.hosts[i]))))
            return true;
    return a->options.advertise && same_name(name, host_name(url_host(a->options.advertise)));
}

static bool method_changes(enum http_method method)
{
    return method != HTTP_GET && method != HTTP_HEAD && method != HTTP_OPTIONS;
}

/* A browser says where a change comes from. `cookie`: a browser sent it, so it must say. */
static bool origin_allowed(const struct api *a, const struct http_request *r, bool cookie)
{
    struct str origin = http_request_header(r, "Origin");
    if (!origin.data)
        return !cookie;
    struct str scheme = r->tls ? STR("https://") : STR("http://");
    if (str_starts(origin, scheme) &&
        same_name((struct str){origin.data + scheme.size, origin.size - scheme.size}, r->host))
        return true;
    struct str advertised = str_from(a->options.advertise);
    return advertised.size && str_equal(origin, advertised);
}

static struct str bearer(const struct http_request *r)
{
    struct str value = http_request_header(r, "Authorization");
    struct str scheme = str_cut(&value, ' ');
    return same_name(scheme, STR("bearer")) ? str_trim(value) : (struct str){0};
}

/* NULL: nobody, and the request was answered. */
static bool identify(struct api_call *call)
{
    struct http_request *r = call->request;
    bool cookie = false;
    struct str secret = bearer(r);
    if (!secret.size) {
        secret = http_request_cookie(r, call->api->session_cookie);
        cookie = secret.size > 0;
    }
    bool known = secret.size && core_identify(call->api->core, secret, &call->who);
    if (known && cookie && !call->who.session)
        known = false; /* a key stands in Authorization, never in a cookie */
    if (!known && call->route->roles) {
        call_header(call, "WWW-Authenticate", STR("Bearer"));
        call_refuse(call, 401, NULL, "no valid key; send `Authorization: Bearer KEY`");
        return false;
    }
    if (method_changes(r->method) && !origin_allowed(call->api, r, known && cookie)) {
        call_refuse(call, 403, "Origin", "a change must come from a page of this server");
        return false;
    }
    if (call->route->roles && !(call->route->roles & 1u << call->who.role)) {
        call_refuse(call, 403, NULL, "this key's role does not allow it");
        return false;
    }
    return true;
}

/* Clients of that API show it when something went wrong. */
static void request_id(struct api_call *call)
{
    struct str given = http_request_header(call->request, "X-Request-Id");
    if (given.size == 0)
        given = http_request_header(call->request, "X-Client-Request-Id");
    if (given.size == 0 || given.size > 128)
        given = call_text(call, "%016llx", (unsigned long long)prng_next(&call->api->random));
    call_header(call, "X-Request-Id", given);
}

struct api_call *call_open(struct api *a, struct http_request *r)
{
    bool path = false;
    struct str name = {0};
    if (a->stopping) {
        refuse_request(r, 503, NULL, "the server is stopping");
        return NULL;
    }
    if (!host_allowed(a, r->host)) {
        refuse_request(
            r, 421, "Host",
            "this server does not answer to that name; see --advertise of tessera serve");
        return NULL;
    }
    const struct api_route *route = route_find(r, &name, &path);
    if (!route) {
        if (path)
            refuse_request(r, 405, NULL, "this path does not take this method; see /openapi.json");
        else
            refuse_request(r, 404, NULL, "no such path; see /openapi.json");
        return NULL;
    }
    struct api_call *call = arena_alloc(&r->arena, sizeof *call);
    if (!call) {
        refuse_request(r, 503, NULL, "out of room for this request");
        return NULL;
    }
    *call = (struct api_call){
        .api = a, .request = r, .route = route, .name = name, .mithril = path_is_mithril(r->path), .begun_us = clock_monotonic_us()};
    if (call->mithril)
        request_id(call);
    return identify(call) ? call : NULL;
}

bool call_sees(const struct api_call *call, engine_id project)
{
    return call->who.project == 0 || call->who.project == project;
}

bool call_operates(const struct api_call *call)
{
    return call->who.role == ROLE_OPERATOR || call->who.role == ROLE_ADMIN;
}
