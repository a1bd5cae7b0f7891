/* SPDX-License-Identifier: Apache-2.0 */
/* submit: the mix over N connections for a time, latencies and acknowledged ids kept. check: asks the
 * server for each of those ids. */
#include "load.h"
#include "mix.h"

#include "base/clock.h"

#include <stdlib.h>

#define PREPARED 2048 /* requests written beforehand and sent in turn */

struct submit {
    struct str *requests;
    uint64_t sent, deadline_us, in_time;
    struct load_samples samples;
    struct load_refusals refusals;
    FILE *ids;
};

static bool submit_next(struct load_client *client, struct load_connection *c)
{
    struct submit *s = client->options.context;
    c->request = s->requests[s->sent++ % PREPARED];
    return true;
}

static void submit_answer(struct load_client *client, struct load_connection *c, int status,
                          struct str body)
{
    struct submit *s = client->options.context;
    if (!load_accepted(&s->refusals, status, body))
        return;
    uint64_t now = (uint64_t)clock_monotonic_us();
    if (now <= s->deadline_us) {
        s->in_time++;
        load_samples_add(&s->samples, now - c->began_us);
    }
    struct str id = load_member(body, "id");
    if (s->ids && id.size)
        fprintf(s->ids, "%.*s\n", STR_ARGS(id));
}

static struct str *prepare(const struct load_arguments *a, struct buf *text)
{
    struct str *requests = xcalloc(PREPARED, sizeof *requests);
    size_t *ends = xcalloc(PREPARED, sizeof *ends);
    uint64_t state = a->seed;
    for (unsigned i = 0; i < PREPARED; i++) {
        _cleanup_buf_ struct buf body = BUF_INIT(BUF_LIMIT_DEFAULT);
        mix_submit(&body, a->seed * 1000000 + i, &state);
        load_write(text, &(struct load_request){.method = "POST", .path = STR("/v1/workloads"),
                                                .body = buf_str(&body), .key = a->key,
                                                .port = a->port});
        ends[i] = text->size;
    }
    for (unsigned i = 0; i < PREPARED; i++) {
        size_t from = i ? ends[i - 1] : 0;
        requests[i] = (struct str){text->data + from, ends[i] - from};
    }
    xfree(ends);
    return requests;
}

static void submit_print(struct submit *s, double seconds, int missing)
{
    printf("{\"per_s\":%.1f,\"answered\":%llu,\"seconds\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"max_ms\":%.3f,\"refused\":%llu,\"missing\":%d}\n",
           (double)s->in_time / seconds, (unsigned long long)s->in_time, seconds,
           load_samples_at(&s->samples, 500), load_samples_at(&s->samples, 990),
           load_samples_at(&s->samples, 1000), (unsigned long long)s->refusals.count, missing);
}

int load_submit(const struct load_arguments *a)
{
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct submit s = {.requests = prepare(a, &text)};
    struct load_client client;
    struct error err = {0};
    if (a->ids)
        s.ids = fopen(a->ids, "ae");
    if (load_open(&client, &(struct load_options){.port = a->port, .key = a->key,
                                                  .connections = a->connections,
                                                  .next = submit_next, .answer = submit_answer,
                                                  .context = &s}, &err) < 0) {
        fprintf(stderr, "load: %s\n", err.text);
        return 1;
    }
    uint64_t start = (uint64_t)clock_monotonic_us();
    s.deadline_us = start + (uint64_t)(a->seconds * 1e6);
    int missing = load_run(&client, s.deadline_us, 30000);
    submit_print(&s, a->seconds, missing);
    if (s.ids)
        fclose(s.ids);
    load_close(&client);
    xfree(s.samples.us);
    xfree(s.requests);
    return missing || s.refusals.count ? 1 : 0;
}

struct check {
    char **lines;
    size_t count, asked, found;
    const struct load_arguments *a;
    struct load_refusals refusals;
};

static bool check_next(struct load_client *client, struct load_connection *c)
{
    struct check *k = client->options.context;
    if (k->asked == k->count) {
        client->stop = true;
        return false;
    }
    char path[128];
    snprintf(path, sizeof path, "/v1/workloads/%s", k->lines[k->asked++]);
    buf_clear(&c->scratch);
    load_write(&c->scratch, &(struct load_request){.method = "GET", .path = str_from(path),
                                                   .key = k->a->key, .port = k->a->port});
    c->request = buf_str(&c->scratch);
    return true;
}

static void check_answer(struct load_client *client, struct load_connection *c, int status,
                         struct str body)
{
    (void)c;
    struct check *k = client->options.context;
    if (load_accepted(&k->refusals, status, body) && load_member(body, "id").size)
        k->found++;
}

int load_check(const struct load_arguments *a)
{
    char *text;
    struct check k = {.a = a};
    struct load_client client;
    struct error err = {0};
    k.lines = load_lines(a->ids, &text, &k.count);
    if (load_open(&client, &(struct load_options){.port = a->port, .key = a->key,
                                                  .connections = a->connections, .next = check_next,
                                                  .answer = check_answer, .context = &k}, &err) < 0) {
        fprintf(stderr, "load: %s\n", err.text);
        return 1;
    }
    uint64_t start = (uint64_t)clock_monotonic_us();
    int missing = load_run(&client, 0, 60000);
    double seconds = (double)((uint64_t)clock_monotonic_us() - start) / 1e6;
    printf("{\"acknowledged\":%zu,\"found\":%zu,\"lost\":%zu,\"missing\":%d,\"reads_per_s\":%.1f}\n",
           k.count, k.found, k.count - k.found, missing,
           seconds > 0 ? (double)k.count / seconds : 0.0);
    load_close(&client);
    xfree(k.lines);
    xfree(text);
    return k.found == k.count ? 0 : 1;
}
