/* SPDX-License-Identifier: Apache-2.0 */
/* Idle agents: each joins with a token of its own, registers, and from then on holds a long poll.
 * Prints `ready` on a line when all of them do, one JSON object at the end. */
#include "load.h"
#include "mix.h"

#include "base/clock.h"

enum stage { STAGE_TOKEN, STAGE_JOIN, STAGE_REGISTER, STAGE_POLL };

struct idle_agent {
    enum stage stage;
    char secret[160]; /* the token, then the key */
    int64_t version, wait_ms;
};

struct idle_fleet {
    const struct load_arguments *a;
    struct idle_agent *agents;
    unsigned polling;
    uint64_t polls;
    struct load_refusals refusals;
};

static int64_t number_member(struct str body, const char *name, int64_t fallback)
{
    char quoted[64];
    int size = snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *at = memmem(body.data, body.size, quoted, (size_t)size);
    if (!at)
        return fallback;
    int64_t value = 0;
    for (at += size; at < body.data + body.size && *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (*at - '0');
    return value;
}

static bool agents_next(struct load_client *client, struct load_connection *c)
{
    struct idle_fleet *f = client->options.context;
    struct idle_agent *agent = &f->agents[c->index];
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_LIMIT_DEFAULT);
    const char *path = "/v1/node-tokens", *key = agent->secret;
    switch (agent->stage) {
    case STAGE_TOKEN:
        key = f->a->key;
        buf_append_text(&body, "{}");
        break;
    case STAGE_JOIN:
        path = "/v1/agent/join";
        buf_printf(&body, "{\"name\":\"gpu-%05u\",\"machine\":\"bench\"}", c->index);
        break;
    case STAGE_REGISTER:
        path = "/v1/agent/register";
        mix_node(&body, c->index);
        break;
    case STAGE_POLL:
        path = "/v1/agent/poll";
        buf_printf(&body, "{\"since\":%lld,\"wait_ms\":%lld}", (long long)agent->version,
                   (long long)agent->wait_ms);
        f->polls++;
        break;
    }
    buf_clear(&c->scratch);
    load_write(&c->scratch, &(struct load_request){.method = "POST", .path = str_from(path),
                                                   .body = buf_str(&body), .key = key,
                                                   .port = f->a->port});
    c->request = buf_str(&c->scratch);
    return true;
}

static void take_secret(struct idle_agent *agent, struct str secret)
{
    snprintf(agent->secret, sizeof agent->secret, "%.*s", STR_ARGS(secret));
}

static void agents_answer(struct load_client *client, struct load_connection *c, int status,
                          struct str body)
{
    struct idle_fleet *f = client->options.context;
    struct idle_agent *agent = &f->agents[c->index];
    if (!load_accepted(&f->refusals, status, body)) {
        client->stop = true;
        return;
    }
    switch (agent->stage) {
    case STAGE_TOKEN:
        take_secret(agent, load_member(body, "token"));
        agent->stage = STAGE_JOIN;
        return;
    case STAGE_JOIN:
        take_secret(agent, load_member(body, "key"));
        agent->stage = STAGE_REGISTER;
        return;
    case STAGE_REGISTER:
        agent->wait_ms = number_member(body, "renew_ms", 30000);
        agent->stage = STAGE_POLL;
        if (++f->polling == f->a->nodes) {
            puts("ready");
            fflush(stdout);
        }
        return;
    case STAGE_POLL:
        agent->version = number_member(body, "version", agent->version);
        return;
    }
}

int load_agents(const struct load_arguments *a)
{
    struct idle_fleet f = {.a = a, .agents = xcalloc(a->nodes, sizeof *f.agents)};
    struct load_client client;
    struct error err = {0};
    if (load_open(&client, &(struct load_options){.port = a->port, .key = a->key,
                                                  .connections = a->nodes, .next = agents_next,
                                                  .answer = agents_answer, .context = &f}, &err) < 0) {
        fprintf(stderr, "load: %s\n", err.text);
        return 1;
    }
    load_on_end(&client);
    int missing = load_run(&client, 0, 0);
    printf("{\"agents\":%u,\"polls\":%llu,\"refused\":%llu}\n", f.polling,
           (unsigned long long)f.polls, (unsigned long long)f.refusals.count);
    load_close(&client);
    xfree(f.agents);
    return missing < 0 || f.refusals.count ? 1 : 0;
}
