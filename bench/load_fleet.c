/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet without agents: nodes registered in batches, one workload for each, contact renewed in
 * batches at an even pace. */
#include "load.h"
#include "mix.h"

#include "base/clock.h"

struct fleet {
    const struct load_arguments *a;
    unsigned sent, done;
    struct load_refusals refusals;
    char **lines;
    size_t line_count;
    uint64_t due_us, step_us, requests;
    FILE *ids;
};

static int run(struct fleet *f, unsigned connections, load_next *next, load_answer *answer)
{
    struct load_client client;
    struct error err = {0};
    if (load_open(&client, &(struct load_options){.port = f->a->port, .key = f->a->key,
                                                  .connections = connections, .next = next,
                                                  .answer = answer, .context = f}, &err) < 0) {
        fprintf(stderr, "load: %s\n", err.text);
        return 1;
    }
    load_on_end(&client);
    int missing = load_run(&client, 0, 60000);
    load_close(&client);
    return missing || f->refusals.count ? 1 : 0;
}

static void post(struct fleet *f, struct load_connection *c, const char *path, struct str body)
{
    buf_clear(&c->scratch);
    load_write(&c->scratch, &(struct load_request){.method = "POST", .path = str_from(path),
                                                   .body = body, .key = f->a->key,
                                                   .port = f->a->port});
    c->request = buf_str(&c->scratch);
}

/* ---- register */

static bool register_next(struct load_client *client, struct load_connection *c)
{
    struct fleet *f = client->options.context;
    if (f->sent == f->a->nodes) {
        client->stop = true;
        return false;
    }
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_LIMIT_DEFAULT);
    buf_append_text(&body, "{\"nodes\":[");
    for (unsigned i = 0; i < f->a->batch && f->sent < f->a->nodes; i++) {
        if (i)
            buf_append_byte(&body, ',');
        mix_node(&body, f->sent++);
    }
    buf_append_text(&body, "]}");
    post(f, c, "/v1/nodes", buf_str(&body));
    return true;
}

static void register_answer(struct load_client *client, struct load_connection *c, int status,
                            struct str body)
{
    (void)c;
    struct fleet *f = client->options.context;
    if (!load_accepted(&f->refusals, status, body)) {
        client->stop = true;
        return;
    }
    const char *at = memmem(body.data, body.size, "\"nodes\":[", 9), *end = body.data + body.size;
    for (at = at ? at + 9 : end; at < end && *at == '"';) {
        const char *close = memchr(at + 1, '"', (size_t)(end - at - 1));
        if (!close)
            break;
        f->done++;
        if (f->ids)
            fprintf(f->ids, "%.*s\n", (int)(close - at - 1), at + 1);
        at = close + 1;
        at += at < end && *at == ',';
    }
}

int load_register(const struct load_arguments *a)
{
    struct fleet f = {.a = a, .ids = a->ids ? fopen(a->ids, "we") : NULL};
    int64_t start = clock_monotonic_us();
    int code = run(&f, 1, register_next, register_answer);
    if (f.ids)
        fclose(f.ids);
    printf("{\"registered\":%u,\"seconds\":%.3f}\n", f.done,
           (double)(clock_monotonic_us() - start) / 1e6);
    return code || f.done != a->nodes;
}

/* ---- fill */

static bool fill_next(struct load_client *client, struct load_connection *c)
{
    struct fleet *f = client->options.context;
    if (f->sent == f->a->nodes) {
        client->stop = true;
        return false;
    }
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_LIMIT_DEFAULT);
    mix_fill(&body, f->sent++);
    post(f, c, "/v1/workloads", buf_str(&body));
    return true;
}

static void fill_answer(struct load_client *client, struct load_connection *c, int status,
                        struct str body)
{
    (void)c;
    struct fleet *f = client->options.context;
    struct str id = load_member(body, "id");
    if (!load_accepted(&f->refusals, status, body))
        return;
    f->done++;
    if (f->ids)
        fprintf(f->ids, "%.*s\n", STR_ARGS(id));
}

int load_fill(const struct load_arguments *a)
{
    struct fleet f = {.a = a, .ids = a->ids ? fopen(a->ids, "ae") : NULL};
    int64_t start = clock_monotonic_us();
    int code = run(&f, a->connections, fill_next, fill_answer);
    if (f.ids)
        fclose(f.ids);
    printf("{\"filled\":%u,\"seconds\":%.3f}\n", f.done,
           (double)(clock_monotonic_us() - start) / 1e6);
    return code || f.done != a->nodes;
}

/* ---- renew */

static bool renew_next(struct load_client *client, struct load_connection *c)
{
    struct fleet *f = client->options.context;
    uint64_t now = (uint64_t)clock_monotonic_us();
    if (now < f->due_us)
        return false;
    f->due_us = MAX(f->due_us + f->step_us, now);
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_LIMIT_DEFAULT);
    buf_append_text(&body, "{\"nodes\":[");
    for (unsigned i = 0; i < f->a->batch; i++) {
        if (f->sent == f->line_count)
            f->sent = 0;
        buf_printf(&body, "%s\"%s\"", i ? "," : "", f->lines[f->sent++]);
        if (f->sent == f->line_count)
            break;
    }
    buf_append_text(&body, "]}");
    post(f, c, "/v1/nodes/renew", buf_str(&body));
    f->requests++;
    return true;
}

static void renew_answer(struct load_client *client, struct load_connection *c, int status,
                         struct str body)
{
    (void)c;
    struct fleet *f = client->options.context;
    load_accepted(&f->refusals, status, body);
}

int load_renew(const struct load_arguments *a)
{
    char *text;
    struct fleet f = {.a = a};
    f.lines = load_lines(a->ids, &text, &f.line_count);
    if (f.line_count == 0)
        return 1;
    size_t batches = (f.line_count + a->batch - 1) / a->batch;
    f.step_us = (uint64_t)a->interval_s * 1000000 / batches;
    int code = run(&f, 1, renew_next, renew_answer);
    printf("{\"nodes\":%zu,\"requests\":%llu,\"refused\":%llu}\n", f.line_count,
           (unsigned long long)f.requests, (unsigned long long)f.refusals.count);
    xfree(f.lines);
    xfree(text);
    return code;
}
