/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the Mithril v2 API. */
#include "providers/seller.h"

#include "wire/json.h"

#include <errno.h>
#include <stdio.h>

#define CALL_TIMEOUT_MS 20000
#define CENT 10000

/* What an error of that API says, on one line. */
static int refused(const struct http_reply *reply, const char *path, struct error *err)
{
    _cleanup_(arena_fini) struct arena arena = {0};
    struct json_value answer;
    struct str why = {0};
    if (json_parse(buf_str(&reply->body), &arena, &answer, NULL) == 0) {
        const struct json_value *detail = json_get(&answer, "detail");
        why = json_get_str(&answer, "detail");
        if (detail && detail->type == JSON_ARRAY && detail->count)
            why = json_get_str(&detail->items[0], "msg");
    }
    int code = reply->status == 404 ? -ENOENT : reply->status >= 500 || reply->status == 429 ? -EAGAIN : -EINVAL;
    return error_set(err, code, "%.*s: status %d%s%.*s", (int)strcspn(path, "?"), path, reply->status, why.size ? ", " : "",
                     (int)MIN(why.size, 200), why.size ? why.data : "");
}

/* The method comes before the path: "GET /v2/projects". */
static int call(const struct seller *s, const char *what, const struct buf *body, struct http_reply *reply, struct error *err)
{
    struct str path = str_from(what), method = str_cut(&path, ' ');
    char verb[8];
    snprintf(verb, sizeof verb, "%.*s", STR_ARGS(method));
    const struct http_call request = {.method = verb, .path = path.data, .content_type = body ? "application/json" : NULL,
        .body = body ? buf_str(body) : (struct str){0}, .timeout_ms = CALL_TIMEOUT_MS, .body_limit = SELLER_ANSWER_MOST};
    int rc = http_client_call(s->client, &request, reply, err);
    if (rc < 0)
        return rc;
    return reply->status >= 200 && reply->status < 300 ? 0 : refused(reply, path.data, err);
}

#define _cleanup_reply_ _cleanup_(http_reply_fini)

static void query(struct buf *path, const char *name, struct str value)
{
    buf_printf(path, "%c%s=", memchr(buf_text(path), '?', path->size) ? '&' : '?', name);
    http_escape(path, value);
}

static void member(struct buf *out, const char *name, struct str value)
{
    json_key(out, name);
    json_string(out, value);
}

int seller_project(const struct seller *s, struct str wanted, struct str *ret, struct error *err)
{
    _cleanup_reply_ struct http_reply reply = {0};
    int rc = call(s, "GET /v2/projects", NULL, &reply, err);
    return rc < 0 ? rc : seller_project_read(buf_str(&reply.body), wanted, s->arena, ret, err);
}

static int key_make(const struct seller *s, struct str name, struct str *ret, struct error *err)
{
    _cleanup_reply_ struct http_reply reply = {0};
    _cleanup_buf_ struct buf body = BUF_INIT(4096);
    json_open(&body, '{');
    member(&body, "project", s->project);
    member(&body, "name", name);
    json_close(&body, '}');
    int rc = call(s, "POST /v2/ssh-keys", &body, &reply, err);
    if (rc == 0)
        rc = seller_fid_read(buf_str(&reply.body), s->arena, ret, err);
    if (reply.body.data)
        explicit_bzero(reply.body.data, reply.body.size); /* it holds the private half */
    return rc;
}

int seller_ssh_key(const struct seller *s, struct str name, struct str *ret, struct error *err)
{
    _cleanup_reply_ struct http_reply reply = {0};
    _cleanup_buf_ struct buf path = BUF_INIT(4096);
    buf_append_text(&path, "GET /v2/ssh-keys");
    query(&path, "project", s->project);
    int rc = call(s, buf_text(&path), NULL, &reply, err);
    if (rc == 0)
        rc = seller_key_read(buf_str(&reply.body), name, s->arena, ret, err);
    return rc < 0 || ret->size ? rc : key_make(s, name, ret, err);
}

static int price_ask(const struct seller *s, struct seller_offer *o, struct error *err)
{
    _cleanup_reply_ struct http_reply reply = {0};
    _cleanup_buf_ struct buf path = BUF_INIT(4096);
    buf_append_text(&path, "GET /v2/pricing/current");
    query(&path, "instance_type", o->fid);
    query(&path, "region", o->region);
    query(&path, "instance_quantity", STR("1"));
    int rc = call(s, buf_text(&path), NULL, &reply, err);
    return rc < 0 ? rc : seller_price_read(buf_str(&reply.body), o, err);
}

int seller_offers(const struct seller *s, struct seller_offers *ret, struct error *err)
{
    _cleanup_reply_ struct http_reply types = {0}, board = {0};
    ret->count = 0;
    int rc = call(s, "GET /v2/instance-types", NULL, &types, err);
    if (rc == 0)
        rc = call(s, "GET /v2/spot/availability", NULL, &board, err);
    if (rc == 0)
        rc = seller_offers_read(buf_str(&types.body), buf_str(&board.body), s->arena, ret, err);
    for (size_t i = 0; rc == 0 && i < ret->count; i++)
        rc = price_ask(s, &ret->items[i], err);
    return rc;
}

int seller_bid_find(const struct seller *s, struct str name, struct seller_bid *ret, struct error *err)
{
    _cleanup_reply_ struct http_reply reply = {0};
    _cleanup_buf_ struct buf path = BUF_INIT(4096);
    buf_append_text(&path, "GET /v2/spot/bids");
    query(&path, "project", s->project);
    query(&path, "name", name);
    int rc = call(s, buf_text(&path), NULL, &reply, err);
    return rc < 0 ? rc : seller_bids_read(buf_str(&reply.body), name, s->arena, ret, err);
}

static void limit_member(struct buf *out, udollar limit)
{
    char text[32];
    long long cents = (long long)limit / CENT;
    snprintf(text, sizeof text, "$%lld.%02lld", cents / 100, cents % 100);
    member(out, "limit_price", str_from(text));
}

static void order_write(const struct seller *s, const struct seller_order *o, struct buf *out)
{
    json_open(out, '{');
    member(out, "project", s->project);
    member(out, "region", o->region);
    member(out, "instance_type", o->type);
    limit_member(out, o->limit);
    json_key(out, "instance_quantity");
    json_integer(out, 1);
    member(out, "name", o->name);
    json_key(out, "launch_specification");
    json_open(out, '{');
    json_key(out, "volumes");
    json_open(out, '[');
    json_close(out, ']');
    json_key(out, "ssh_keys");
    json_open(out, '[');
    json_string(out, o->ssh_key);
    json_close(out, ']');
    member(out, "startup_script", o->script);
    json_close(out, '}');
    json_close(out, '}');
}

int seller_bid_make(const struct seller *s, const struct seller_order *order, struct str *ret_fid, struct error *err)
{
    _cleanup_reply_ struct http_reply reply = {0};
    _cleanup_buf_ struct buf body = BUF_INIT(64 * 1024);
    order_write(s, order, &body);
    int rc = call(s, "POST /v2/spot/bids", &body, &reply, err);
    explicit_bzero(body.data, body.size); /* the token in the script */
    if (rc < 0 && reply.status == 400 && strstr(buf_text(&reply.body), "already used"))
        return error_set(err, -EEXIST, "it has a bid of this name");
    return rc < 0 ? rc : seller_fid_read(buf_str(&reply.body), s->arena, ret_fid, err);
}

static void bid_path(const struct seller *s, const char *method, struct str fid, struct buf *path)
{
    buf_printf(path, "%s /v2/spot/bids/", method);
    http_escape(path, fid);
    query(path, "project", s->project);
}

int seller_bid_limit(const struct seller *s, struct str fid, udollar limit, struct error *err)
{
    _cleanup_reply_ struct http_reply reply = {0};
    _cleanup_buf_ struct buf path = BUF_INIT(4096), body = BUF_INIT(4096);
    bid_path(s, "PATCH", fid, &path);
    json_open(&body, '{');
    limit_member(&body, limit);
    json_close(&body, '}');
    return call(s, buf_text(&path), &body, &reply, err);
}

int seller_bid_end(const struct seller *s, struct str fid, struct error *err)
{
    _cleanup_reply_ struct http_reply reply = {0};
    _cleanup_buf_ struct buf path = BUF_INIT(4096);
    bid_path(s, "DELETE", fid, &path);
    int rc = call(s, buf_text(&path), NULL, &reply, err);
    return rc == -ENOENT ? 0 : rc;
}
