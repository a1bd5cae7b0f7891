/* SPDX-License-Identifier: Apache-2.0 */
/* call: one request over and over, N connections for a time. A `#` in the path and in the body of
 * --body FILE becomes a number that was not used before. */
#include "load.h"

#include "base/clock.h"

#include <stdlib.h>

struct call {
    const struct load_arguments *a;
    struct str body;
    uint64_t number, deadline_us, in_time, bytes;
    struct load_samples samples;
    struct load_refusals refusals;
};

static void number_fill(struct buf *out, const struct call *k, struct str text)
{
    const char *mark;
    while (text.size && (mark = memchr(text.data, '#', text.size))) {
        buf_append_str(out, str_cut(&text, '#'));
        buf_printf(out, "%llu-%llu", (unsigned long long)k->a->seed, (unsigned long long)k->number);
    }
    buf_append_str(out, text);
}

static bool call_next(struct load_client *client, struct load_connection *c)
{
    struct call *k = client->options.context;
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_LIMIT_DEFAULT), path = BUF_INIT(4096);
    k->number++;
    number_fill(&body, k, k->body);
    number_fill(&path, k, str_from(k->a->path));
    buf_clear(&c->scratch);
    load_write(&c->scratch, &(struct load_request){.method = k->body.size ? "POST" : "GET",
                                                   .path = buf_str(&path),
                                                   .body = buf_str(&body),
                                                   .key = k->a->key,
                                                   .port = k->a->port});
    c->request = buf_str(&c->scratch);
    return true;
}

static void call_answer(struct load_client *client, struct load_connection *c, int status,
                        struct str body)
{
    struct call *k = client->options.context;
    uint64_t now = (uint64_t)clock_monotonic_us();
    if (!load_accepted(&k->refusals, status, body) || now > k->deadline_us)
        return;
    k->in_time++;
    k->bytes += body.size;
    load_samples_add(&k->samples, now - c->began_us);
}

int load_call(const struct load_arguments *a)
{
    char *text = NULL;
    size_t count = 0;
    char **lines = a->body ? load_lines(a->body, &text, &count) : NULL;
    struct call k = {.a = a, .body = str_from(count ? lines[0] : NULL)};
    struct load_client client;
    struct error err = {0};
    if (load_open(&client,
                  &(struct load_options){.port = a->port,
                                         .key = a->key,
                                         .connections = a->connections,
                                         .next = call_next,
                                         .answer = call_answer,
                                         .context = &k},
                  &err) < 0) {
        fprintf(stderr, "load: %s\n", err.text);
        return 1;
    }
    k.deadline_us = (uint64_t)clock_monotonic_us() + (uint64_t)(a->seconds * 1e6);
    int missing = load_run(&client, k.deadline_us, 30000);
    printf("{\"per_s\":%.1f,\"bytes\":%llu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"refused\":%llu,"
           "\"missing\":%d}\n",
           (double)k.in_time / a->seconds,
           (unsigned long long)(k.in_time ? k.bytes / k.in_time : 0),
           load_samples_at(&k.samples, 500), load_samples_at(&k.samples, 990),
           (unsigned long long)k.refusals.count, missing);
    load_close(&client);
    xfree(k.samples.us);
    xfree(lines);
    xfree(text);
    return missing || k.refusals.count ? 1 : 0;
}
