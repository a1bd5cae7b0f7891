/* SPDX-License-Identifier: Apache-2.0 */
/* Servers that capacity is bought from, for the operator. */
#include "server/api_buyer.h"
#include "server/api_route.h"

#include "base/clock.h"
#include "net/http_client.h"
#include "wire/record.h"

#include <errno.h>
#include <stdio.h>

static struct str copy(struct api_call *call, const char *text)
{
    return arena_str(call_arena(call), str_from(text));
}

static void provider_render(struct api_call *call, const struct provider *p, struct api_provider *ret)
{
    struct api_bought *rows = call_alloc(call, MAX(p->order_count, 1) * sizeof *rows);
    for (size_t i = 0; i < p->order_count; i++) {
        const struct order *o = &p->orders[i];
        rows[i] = (struct api_bought){.node = copy(call, o->name), .bid = copy(call, o->bid), .status = copy(call, o->status[0] ? o->status : "wanted"),
            .type = copy(call, o->sku), .region = copy(call, o->region), .limit_udollar_per_hour = o->limit, .price_udollar_per_hour = o->price};
    }
    *ret = (struct api_provider){.name = copy(call, p->name), .url = copy(call, p->url), .problem = copy(call, p->problem),
        .state = str_from(p->leaving ? "leaving" : p->rest > clock_monotonic_ms() ? "resting" : "buying"), .margin_permille = p->margin_permille,
        .nodes = p->most, .idle_ms = p->idle_ms, .poll_ms = p->poll_ms, .bought = {rows, p->order_count}};
}

static void list_look(void *context, const struct book *book)
{
    struct api_call *call = context;
    struct api_provider *rows = call_alloc(call, MAX(book->count, 1) * sizeof *rows);
    struct api_providers *list = call->own = call_alloc(call, sizeof *list);
    for (size_t i = 0; i < book->count; i++)
        provider_render(call, book->providers[i], &rows[i]);
    list->providers = (struct record_list){rows, book->count};
}

void route_provider_list(struct api_call *call, const struct core_view *view)
{
    (void)view;
    api_buyer_look(call->api->buyer, list_look, call);
    call_answer(call, 200, &api_providers_record, call->own);
}

/* ---- added ---- */

static bool name_valid(struct str name)
{
    bool valid = name.size > 0 && name.data[0] >= 'a' && name.data[0] <= 'z';
    for (size_t i = 0; i < name.size; i++)
        valid &= (name.data[i] >= 'a' && name.data[i] <= 'z') || (name.data[i] >= '0' && name.data[i] <= '9') || name.data[i] == '-';
    return valid;
}

/* False: refused. */
static bool provider_valid(struct api_call *call, const struct api_provider_create *create)
{
    struct http_client *client = NULL;
    struct error err = {0};
    if (call->api->options.advertise == NULL) {
        call_refuse(call, 409, NULL, "bought machines could not reach this server: start it with --listen and --advertise");
        return false;
    }
    if (!name_valid(create->name)) {
        call_refuse(call, 400, "name", "allowed are small letters, digits and `-`, a letter first");
        return false;
    }
    if (create->key.size == 0) {
        call_refuse(call, 400, "key", "is empty, an API key of the seller is needed");
        return false;
    }
    const struct http_client_options options = {.server = copy(call, create->url.data ? arena_str(call_arena(call), create->url).data : "").data,
        .pin = create->pin.size ? arena_str(call_arena(call), create->pin).data : NULL, .insecure = create->insecure};
    int rc = http_client_new(&client, &options, &err);
    http_client_free(client);
    if (rc < 0)
        call_refuse(call, 400, "url", "%s", err.text);
    return rc == 0;
}

static struct provider *provider_new(const struct api_provider_create *create)
{
    struct provider *p = xcalloc(1, sizeof *p);
    snprintf(p->name, sizeof p->name, "%.*s", STR_ARGS(create->name));
    snprintf(p->url, sizeof p->url, "%.*s", STR_ARGS(create->url));
    snprintf(p->key, sizeof p->key, "%.*s", STR_ARGS(create->key));
    snprintf(p->pin, sizeof p->pin, "%.*s", STR_ARGS(create->pin));
    snprintf(p->project_wanted, sizeof p->project_wanted, "%.*s", STR_ARGS(create->project));
    p->insecure = create->insecure;
    p->margin_permille = create->margin_present ? create->margin_permille : 100;
    p->most = create->nodes ? create->nodes : 4;
    p->idle_ms = create->idle_ms ? create->idle_ms : 300000;
    p->poll_ms = create->poll_ms ? create->poll_ms : 10000;
    return p;
}

void route_provider_create(struct api_call *call, const struct core_view *view)
{
    const struct api_provider_create *create = call->input;
    struct api_provider made;
    struct error err = {0};
    (void)view;
    if (!provider_valid(call, create))
        return;
    struct provider *p = provider_new(create);
    provider_render(call, p, &made);
    int rc = api_buyer_add(call->api->buyer, p, &err);
    if (rc == 0) {
        call_answer(call, 201, &api_provider_record, &made);
        return;
    }
    explicit_bzero(p->key, sizeof p->key);
    xfree(p);
    call_refuse_error(call, rc == -EEXIST || rc == -ENOSPC ? 409 : 503, &err);
}

/* ---- removed ---- */

void route_provider_delete(struct api_call *call, const struct core_view *view)
{
    struct error err = {0};
    struct api_changed changed = {.seq = (int64_t)view->seq, .state = STR("leaving")};
    int rc = api_buyer_remove(call->api->buyer, call->name, &err);
    if (rc == -ENOENT)
        call_not_found(call, "provider");
    else if (rc < 0)
        call_refuse_error(call, 503, &err);
    else
        call_answer(call, 200, &api_changed_record, &changed);
}
