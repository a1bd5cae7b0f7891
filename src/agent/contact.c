/* SPDX-License-Identifier: Apache-2.0 */
/* Contact with the server: join, registration, the long poll that renews it, and what follows from
 * it for work that freezes without. */
#include "agent/agent_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "node/file.h"
#include "wire/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS 2000
#define DENIED_WAIT_MS 5000
#define ANSWER_MARGIN_MS 10000 /* more than a poll's wait, until it is given up */
#define ANSWER_BYTES_MAX ((size_t)64 << 20)
#define RENEW_DEFAULT_MS 10000
#define TOKEN_MAX 256

/* ---- the call that runs ---- */

struct contact_job {
    struct job job;
    struct agent *agent;
    bool registering;
    struct buf body;
    int timeout_ms;
    /* what came of it */
    time_ms sent_ms;
    int code;
    struct http_reply reply;
    struct error problem;
};

static void run_contact(struct job *job, struct http_client *client)
{
    struct contact_job *c = CONTAINER_OF(job, struct contact_job, job);
    struct http_call call = {.path = c->registering ? "/v1/agent/register" : "/v1/agent/poll",
                             .content_type = "application/json",
                             .body = buf_str(&c->body),
                             .timeout_ms = c->timeout_ms,
                             .body_limit = ANSWER_BYTES_MAX};
    c->sent_ms = hold_now_ms();
    c->code = http_client_call(client, &call, &c->reply, &c->problem);
}

/* The server's own words, where it sent some. */
static void explain(struct contact_job *c)
{
    struct arena arena = {0};
    struct json_value tree;
    struct str message = {0};
    if (json_parse(buf_str(&c->reply.body), &arena, &tree, NULL) == 0)
        message = json_get_str(json_get(&tree, "error"), "message");
    error_set(&c->problem, -EPROTO, "the server answers %d%s%.*s", c->reply.status,
              message.size ? ": " : "", STR_ARGS(message));
    arena_fini(&arena);
}

static void fail(struct agent *a, struct contact_job *c)
{
    int status = c->code ? 0 : c->reply.status;
    bool denied = status == 401 || status == 403;
    if (c->code == 0)
        explain(c);
    if (c->code == -ECANCELED) { /* our own wish */
        a->poll_at_ms = now_ms();
        return;
    }
    if (a->in_contact || a->failures == 0)
        log_warning("no contact: %s", c->problem.text);
    a->in_contact = false;
    a->failures++;
    a->since = 0; /* a server that comes back may count anew */
    if (status == 404 || status == 409)
        a->registered = false;
    int64_t wait =
        denied ? DENIED_WAIT_MS : MIN(BACKOFF_FIRST_MS << MIN(a->failures - 1, 5), BACKOFF_MOST_MS);
    a->poll_at_ms = now_ms() + wait;
}

static void registered(struct agent *a, struct contact_job *c)
{
    struct arena arena = {0};
    struct agent_registered answer;
    int rc = record_from_json(&agent_registered_record, buf_str(&c->reply.body), &arena, &answer,
                              &c->problem);
    if (rc) {
        c->code = rc;
        error_prefix(&c->problem, "register");
        fail(a, c);
    } else {
        time_ms skew = answer.now_ms - clock_wall_ms();
        a->registered = true;
        a->since = 0;
        a->contact_timeout_ms = answer.contact_timeout_ms;
        a->renew_ms =
            answer.renew_ms > 0 ? MIN(answer.renew_ms, AGENT_WAIT_MAX_MS) : RENEW_DEFAULT_MS;
        a->poll_at_ms = 0;
        log_info("registered as %.*s; contact timeout %lld ms", STR_ARGS(answer.node),
                 (long long)answer.contact_timeout_ms);
        if (skew > 1000 || skew < -1000)
            log_warning("this machine's clock is %lld ms %s the server's",
                        (long long)(skew > 0 ? skew : -skew), skew > 0 ? "behind" : "ahead of");
    }
    arena_fini(&arena);
}

/* ---- leases: while the desired state of an answered poll wants it, an attempt may run until the
 * contact timeout after that poll was *sent*, which is no later than the server counts from ---- */

static bool freezes(const struct replica *r)
{
    return r->wanted ? r->wanted->spec.on_lost_contact == AGENT_LOST_FREEZE : r->started.freeze;
}

static void renew_leases(struct agent *a)
{
    LIST_EACH(item, &a->replicas)
    {
        struct replica *r = CONTAINER_OF(item, struct replica, link);
        if (r->state == REPLICA_HELD && r->wanted && freezes(r))
            holder_set_lease(r, a->contact_ms + a->contact_timeout_ms);
    }
}

static void polled(struct agent *a, struct contact_job *c)
{
    struct arena *arena = xcalloc(1, sizeof *arena);
    struct agent_desired desired;
    struct str text = arena_str(arena, buf_str(&c->reply.body));
    int rc = record_from_json(&agent_desired_record, text, arena, &desired, &c->problem);
    if (rc) {
        error_prefix(&c->problem, "poll");
        c->code = rc;
        fail(a, c);
    } else {
        if (!a->in_contact)
            log_info("in contact with the server");
        a->in_contact = true;
        a->failures = 0;
        a->contact_ms = c->sent_ms;
        a->contact_timeout_ms =
            desired.contact_timeout_ms > 0 ? desired.contact_timeout_ms : a->contact_timeout_ms;
        a->since = desired.version;
        a->poll_at_ms = 0;
    }
    if (rc == 0 && desired.changed) {
        struct arena *old = a->desired_arena;
        a->desired = desired;
        a->told_at_ms = now_ms();
        a->desired_arena = TAKE(arena);
        reconcile_bind(a);
        if (old)
            arena_fini(old);
        xfree(old);
    }
    if (rc == 0 && a->desired_arena)
        renew_leases(a);
    if (arena)
        arena_fini(arena);
    xfree(arena);
}

static void done_contact(struct job *job)
{
    struct contact_job *c = CONTAINER_OF(job, struct contact_job, job);
    struct agent *a = c->agent;
    a->polling = false;
    if (c->code || c->reply.status != 200)
        fail(a, c);
    else if (c->registering)
        registered(a, c);
    else
        polled(a, c);
    http_reply_fini(&c->reply);
    buf_fini(&c->body);
    xfree(c);
}

void contact_pump(struct agent *a)
{
    if (a->polling || now_ms() < a->poll_at_ms)
        return;
    struct contact_job *c = xcalloc(1, sizeof *c);
    struct agent_poll poll = {.since = a->since, .wait_ms = a->since ? a->renew_ms : 0};
    c->job = (struct job){.run = run_contact, .done = done_contact};
    c->agent = a;
    c->registering = !a->registered;
    c->body = BUF_INIT(BUF_LIMIT_DEFAULT);
    c->timeout_ms = (int)(poll.wait_ms + ANSWER_MARGIN_MS);
    if (c->registering)
        record_to_json(&agent_facts_record, &a->facts, AUDIENCE_AGENT, &c->body);
    else
        record_to_json(&agent_poll_record, &poll, AUDIENCE_AGENT, &c->body);
    a->polling = true;
    worker_give(a->poller, &c->job);
}

void contact_renew(struct agent *a)
{
    a->since = 0;
    if (a->polling)
        worker_abort(a->poller);
}

/* ---- join ---- */

static int read_token(const struct agent_options *o, struct buf *ret, struct error *err)
{
    const char *given = getenv("TESSERA_TOKEN");
    if (o->token_file) {
        int rc = file_read(o->token_file, ret, err);
        if (rc)
            return error_prefix(err, "--token-file");
    } else if (given) {
        buf_append_text(ret, given);
    } else {
        return error_set(err, -EINVAL,
                         "--join takes a token from TESSERA_TOKEN or --token-file; `tessera node "
                         "add` makes one");
    }
    return 0;
}

static int ask_to_join(struct agent *a, struct http_client *client, struct http_reply *reply,
                       struct error *err)
{
    struct buf body = BUF_INIT(BUF_LIMIT_DEFAULT), machine = BUF_INIT(64);
    (void)file_read("/etc/machine-id", &machine, NULL);
    struct agent_join join = {.name = a->facts.name, .machine = str_trim(buf_str(&machine))};
    record_to_json(&agent_join_record, &join, AUDIENCE_AGENT, &body);
    struct http_call call = {
        .path = "/v1/agent/join", .content_type = "application/json", .body = buf_str(&body)};
    int rc = http_client_call(client, &call, reply, err);
    if (rc == 0 && reply->status / 100 != 2)
        rc = error_set(err, -EACCES,
                       "join: the server answers %d; a token works once and for ten minutes",
                       reply->status);
    buf_fini(&body);
    buf_fini(&machine);
    return rc;
}

int contact_join(struct agent *a, const struct http_client_options *options, struct error *err)
{
    struct http_client *client = NULL;
    struct http_reply reply = {0};
    struct arena arena = {0};
    struct buf token = BUF_INIT(TOKEN_MAX);
    struct agent_joined joined;
    int rc = read_token(&a->options, &token, err);
    _cleanup_free_ char *bearer = str_dup(str_trim(buf_str(&token)));
    struct http_client_options with_token = *options;
    with_token.key = bearer;
    if (rc == 0)
        rc = http_client_new(&client, &with_token, err);
    if (rc == 0)
        rc = ask_to_join(a, client, &reply, err);
    if (rc == 0)
        rc = record_from_json(&agent_joined_record, buf_str(&reply.body), &arena, &joined, err);
    if (rc == 0)
        rc = file_replace(a->options.key_file, joined.key, 0600, true, err);
    http_client_free(client);
    http_reply_fini(&reply);
    arena_fini(&arena);
    explicit_bzero(bearer, strlen(bearer));
    buf_fini(&token);
    return rc;
}
