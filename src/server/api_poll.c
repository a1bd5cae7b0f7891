/* SPDX-License-Identifier: Apache-2.0 */
/* Long polls of agents. A poll is held until what should run on its node changes or its wait is
 * over; held ones cost nothing but their memory. One node has one poll: a newer takes an older's
 * place.
 *
 * A poll comes in CHECKING, owned by the reader that compares versions under the read lock. Finding
 * nothing new, the reader leaves it HELD, and from there whoever takes it out under the mutex (the
 * writer at a change, the loop at its time or when the agent goes) answers it. A change that is
 * applied after the check finds it HELD; one applied before is seen by the check. */
#include "server/api_route.h"

#include "base/clock.h"
#include "base/map.h"
#include "wire/record.h"

#include <pthread.h>

#define SLOT_MS 250
#define SLOTS 256 /* 64 s: the longest wait and a little */
#define RENEWALS_IN_TIMEOUT 4
#define RENDERED_AT_ONCE 16 /* more of them go to the readers, so that the writer goes on */

struct poll {
    struct list link; /* of its slot, while HELD */
    struct api_call *call;
    engine_id node;
    int64_t since, wait_ms;
    time_ms due; /* monotonic */
    int64_t contact_timeout_ms;
    bool held, gone;
};

struct api_polls {
    struct api *api;
    pthread_mutex_t lock;
    struct map by_node;       /* node to struct poll *: the newest of each */
    struct list slots[SLOTS]; /* poll.link, by due */
    time_ms ticked;           /* slots before this time are empty */
    size_t held;
    bool stopping;
};

static struct poll *poll_of_node(struct api_polls *s, engine_id node)
{
    return (struct poll *)(uintptr_t)map_get(&s->by_node, node);
}

/* Under the lock: the poll is the caller's from here on. */
static void take_out(struct api_polls *s, struct poll *poll)
{
    list_remove(&poll->link);
    poll->held = false;
    s->held--;
    if (poll_of_node(s, poll->node) == poll)
        map_remove(&s->by_node, poll->node);
}

/* ---- answers ---- */

static void answer_unchanged(struct poll *poll)
{
    struct agent_desired desired = {.version = poll->since,
                                    .contact_timeout_ms = poll->contact_timeout_ms};
    core_renew(poll->call->api->core, poll->node);
    call_answer(poll->call, 200, &agent_desired_record, &desired);
}

static void answer_desired(struct poll *poll, const struct engine *e, time_ms now)
{
    struct api_call *call = poll->call;
    const struct engine_node *node = engine_node(e, poll->node);
    struct render render = {
        .engine = e, .ids = call->api->ids, .arena = call_arena(call), .now = now};
    struct agent_desired desired = {
        .changed = true, .contact_timeout_ms = engine_setting(e, SETTING_CONTACT_TIMEOUT_MS)};
    if (!node || node->state == NODE_LOST || !core_renew(call->api->core, poll->node)) {
        call_refuse(call, 409, NULL, "this node was given up; register again");
        return;
    }
    desired.version = (int64_t)node->version_desired;
    render_desired(&render, node, &desired.replicas);
    call_answer(call, 200, &agent_desired_record, &desired);
}

static void answer_query(struct api_call *call, const struct core_view *view)
{
    answer_desired(call->own, view->engine, view->now);
}

/* ---- coming in ---- */

static void hold(struct api_polls *s, struct poll *poll, const struct engine *e)
{
    poll->contact_timeout_ms = engine_setting(e, SETTING_CONTACT_TIMEOUT_MS);
    time_ms wait = MIN(poll->wait_ms, poll->contact_timeout_ms / RENEWALS_IN_TIMEOUT);
    poll->due = clock_monotonic_ms() + MIN(wait, AGENT_WAIT_MAX_MS);
    poll->call->place = ON_LOOP; /* nobody's answer is held back for a journal number */
    poll->held = true;
    s->held++;
    list_append(&s->slots[(uint64_t)(poll->due / SLOT_MS) % SLOTS], &poll->link);
}

/* False: it stays CHECKING, the caller answers. */
static bool try_hold(struct api_polls *s, struct poll *poll, const struct engine *e)
{
    pthread_mutex_lock(&s->lock);
    bool newest = poll_of_node(s, poll->node) == poll;
    bool wanted = newest && !poll->gone && !s->stopping && poll->wait_ms > 0;
    if (wanted)
        hold(s, poll, e);
    else if (newest)
        map_remove(&s->by_node, poll->node);
    pthread_mutex_unlock(&s->lock);
    return wanted;
}

static void check(struct api_call *call, const struct core_view *view)
{
    struct poll *poll = call->own;
    struct api_polls *s = call->api->polls;
    const struct engine_node *node = engine_node(view->engine, poll->node);
    if (!node || node->state == NODE_LOST || (int64_t)node->version_desired != poll->since) {
        pthread_mutex_lock(&s->lock);
        if (poll_of_node(s, poll->node) == poll)
            map_remove(&s->by_node, poll->node);
        pthread_mutex_unlock(&s->lock);
        answer_desired(poll, view->engine, view->now);
        return;
    }
    poll->contact_timeout_ms = engine_setting(view->engine, SETTING_CONTACT_TIMEOUT_MS);
    if (!try_hold(s, poll, view->engine))
        answer_unchanged(poll);
}

static void poll_gone(void *context, struct http_request *r)
{
    (void)r;
    struct poll *poll = context;
    struct api_polls *s = poll->call->api->polls;
    pthread_mutex_lock(&s->lock);
    bool mine = poll->held;
    poll->gone = true;
    if (mine)
        take_out(s, poll);
    pthread_mutex_unlock(&s->lock);
    if (mine)
        call_refuse(poll->call, 503, NULL, "the agent has gone");
}

/* Puts it in the place of an older one of its node, which is returned where it is the caller's now.
 */
static struct poll *come_in(struct api_polls *s, struct poll *poll)
{
    pthread_mutex_lock(&s->lock);
    struct poll *older = poll_of_node(s, poll->node);
    if (older && older->held)
        take_out(s, older);
    else
        older = NULL; /* being checked: it finds that it is not the newest */
    map_set(&s->by_node, poll->node, (uint64_t)(uintptr_t)poll);
    pthread_mutex_unlock(&s->lock);
    return older;
}

void route_agent_poll(struct api_call *call)
{
    const struct agent_poll *asked = call->input;
    engine_id node = call->who.node;
    if (node == 0 || !core_renew(call->api->core, node)) {
        call_refuse(call, 409, NULL,
                    node ? "this node was given up; register again" : "register first");
        return;
    }
    struct poll *poll = call->own = call_alloc(call, sizeof *poll);
    *poll =
        (struct poll){.call = call, .node = node, .since = asked->since, .wait_ms = asked->wait_ms};
    list_init(&poll->link);
    struct poll *older = come_in(call->api->polls, poll);
    if (older)
        answer_unchanged(older);
    http_request_on_gone(call->request, poll_gone, poll);
    call_query(call, check);
}

/* ---- going out ---- */

/* The polls of nodes whose desired state has changed, linked by poll.link to `ret`. */
static size_t take_changed(struct api_polls *s, const struct engine_result *result,
                           struct list *ret)
{
    size_t count = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; s->held && i < result->node_count; i++) {
        struct poll *poll = poll_of_node(s, result->nodes[i]);
        if (!poll || !poll->held)
            continue;
        take_out(s, poll);
        list_append(ret, &poll->link);
        count++;
    }
    pthread_mutex_unlock(&s->lock);
    return count;
}

void api_polls_commit(struct api_polls *s, const struct core_commit *commit)
{
    struct list taken;
    list_init(&taken);
    bool here = take_changed(s, commit->result, &taken) <= RENDERED_AT_ONCE;
    LIST_EACH_SAFE(item, &taken)
    {
        struct poll *poll = CONTAINER_OF(item, struct poll, link);
        if (!here) {
            call_query(poll->call, answer_query);
            continue;
        }
        poll->call->place = ON_WRITER;
        poll->call->batch = commit->batch;
        poll->call->seq = commit->seq_last;
        answer_desired(poll, commit->engine, commit->now);
    }
}

static void take_due(struct api_polls *s, time_ms slot, time_ms now, struct list *ret)
{
    LIST_EACH_SAFE(item, &s->slots[(uint64_t)slot % SLOTS])
    {
        struct poll *poll = CONTAINER_OF(item, struct poll, link);
        if (poll->due > now)
            continue;
        take_out(s, poll);
        list_append(ret, &poll->link);
    }
}

static void answer_taken(struct list *taken)
{
    LIST_EACH_SAFE(item, taken)
    answer_unchanged(CONTAINER_OF(item, struct poll, link));
}

void api_polls_tick(struct api_polls *s)
{
    struct list taken;
    list_init(&taken);
    time_ms now = clock_monotonic_ms();
    pthread_mutex_lock(&s->lock);
    time_ms first = MAX(s->ticked / SLOT_MS, now / SLOT_MS - SLOTS + 1);
    for (time_ms slot = first; slot <= now / SLOT_MS; slot++)
        take_due(s, slot, now, &taken);
    s->ticked = now;
    pthread_mutex_unlock(&s->lock);
    answer_taken(&taken);
}

void api_polls_stop(struct api_polls *s)
{
    struct list taken;
    list_init(&taken);
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    for (size_t i = 0; i < SLOTS; i++)
        take_due(s, (time_ms)i, TIME_NEVER, &taken);
    pthread_mutex_unlock(&s->lock);
    answer_taken(&taken);
}

size_t api_polls_held(struct api_polls *s)
{
    pthread_mutex_lock(&s->lock);
    size_t held = s->held;
    pthread_mutex_unlock(&s->lock);
    return held;
}

void api_polls_new(struct api_polls **ret, struct api *a)
{
    struct api_polls *s = xcalloc(1, sizeof *s);
    s->api = a;
    pthread_mutex_init(&s->lock, NULL);
    for (size_t i = 0; i < SLOTS; i++)
        list_init(&s->slots[i]);
    s->ticked = clock_monotonic_ms();
    *ret = s;
}

void api_polls_free(struct api_polls *s)
{
    if (!s)
        return;
    map_fini(&s->by_node);
    pthread_mutex_destroy(&s->lock);
    xfree(s);
}
