/* SPDX-License-Identifier: Apache-2.0 */
/* What happened here, told until the server has said what it makes of it. */
#include "agent/agent_internal.h"

#include "base/log.h"
#include "node/file.h"

#include <errno.h>
#include <stdio.h>

#define BATCH_MAX 200
#define RETRY_MS 500
#define LOG_PATIENCE_MS 5000 /* an end is told once its log is there, or after so long without */
#define ANSWER_BYTES_MAX ((size_t)1 << 20)

struct report_job {
    struct job job;
    struct agent *agent;
    struct buf body;
    struct arena arena; /* of addresses */
    size_t count, most;
    struct {
        struct hold_name name;
        int32_t kind;
        int64_t port;
    } items[BATCH_MAX];
    int code;
    struct http_reply reply;
    struct error problem;
};

/* ---- what is to be told ---- */

static struct agent_report base(const struct replica *r, int32_t kind)
{
    return (struct agent_report){.kind = kind,
                                 .workload = r->identity.workload,
                                 .attempt = r->identity.attempt,
                                 .role = r->identity.role,
                                 .rank = r->identity.rank,
                                 .ago_ms = -1};
}

/* Times of another boot say nothing of how long ago it was. */
static void set_time(const struct replica *r, struct str boot, int64_t at_boot_ms,
                     struct agent_report *report)
{
    if (str_is(boot, r->agent->boot))
        report->ago_ms = MAX(now_ms() - at_boot_ms, 0);
}

static struct agent_report report_started(const struct replica *r)
{
    struct agent_report report = base(r, AGENT_STARTED);
    report.at_ms = MAX(r->started.at_wall_ms, 0);
    set_time(r, r->started.boot, r->started.at_boot_ms, &report);
    return report;
}

static struct agent_report report_ended(const struct replica *r)
{
    struct agent_report report = base(r, AGENT_ENDED);
    report.exit_code = r->ended.exit_code;
    report.signal = r->ended.signal;
    report.oom = r->ended.oom;
    report.text = r->ended.text;
    report.last_lines = r->ended.last_lines;
    report.at_ms = MAX(r->ended.at_wall_ms, 0);
    set_time(r, r->ended.boot, r->ended.at_boot_ms, &report);
    return report;
}

static bool end_is_ripe(const struct replica *r)
{
    return ship_done(r) || now_ms() > r->ended_ms + LOG_PATIENCE_MS;
}

static void add(struct report_job *job, const struct replica *r, const struct agent_report *report,
                struct agent_report *ret)
{
    job->items[job->count].name = r->name;
    job->items[job->count].kind = report->kind;
    job->items[job->count].port = report->port;
    ret[job->count++] = *report;
}

/* Where it will answer, while it boots. */
static struct agent_report report_phase(const struct replica *r, struct report_job *job)
{
    struct agent_report report = base(r, AGENT_PHASE);
    report.phase = AGENT_PHASE_STARTING;
    report.ssh_destination = report.private_ip = guest_address(r, &job->arena);
    report.ago_ms = 0;
    return report;
}

static void gather_one(struct report_job *job, const struct replica *r, struct agent_report *ret)
{
    if (r->host && r->state == REPLICA_HELD && !r->told_phase && job->count < job->most) {
        struct agent_report report = report_phase(r, job);
        add(job, r, &report, ret);
    }
    if (r->has_started && !r->told_started && job->count < job->most &&
        (r->state == REPLICA_HELD || r->state == REPLICA_ENDED)) {
        struct agent_report report = report_started(r);
        add(job, r, &report, ret);
    }
    if (r->state == REPLICA_ENDED && end_is_ripe(r) && job->count < job->most) {
        struct agent_report report = report_ended(r);
        add(job, r, &report, ret);
    }
    if (r->busy_port && !r->told_busy && job->count < job->most) {
        struct agent_report report = base(r, AGENT_PORT_BUSY);
        report.port = r->busy_port;
        report.ago_ms = 0;
        add(job, r, &report, ret);
    }
}

static size_t gather(struct agent *a, struct report_job *job, struct agent_report *ret)
{
    LIST_EACH(item, &a->replicas)
    if (job->count < job->most)
        gather_one(job, CONTAINER_OF(item, struct replica, link), ret);
    return job->count;
}

/* ---- the call ---- */

static void run_report(struct job *job, struct http_client *client)
{
    struct report_job *p = CONTAINER_OF(job, struct report_job, job);
    struct http_call call = {.path = "/v1/agent/report",
                             .content_type = "application/json",
                             .body = buf_str(&p->body),
                             .body_limit = ANSWER_BYTES_MAX};
    p->code = http_client_call(client, &call, &p->reply, &p->problem);
}

static void mark_started(struct replica *r)
{
    char path[HOLD_PATH_MAX];
    struct error err;
    r->told_started = true;
    if (hold_path(path, r->folder, "told") == 0 &&
        file_replace(path, STR("started\n"), 0600, false, &err))
        log_warning("%s", err.text);
}

static void take_verdict(struct agent *a, const struct report_job *p, size_t i, int32_t verdict)
{
    struct replica *r = replica_find(a, str_from(p->items[i].name.text));
    if (r == NULL)
        return;
    if (verdict == AGENT_STALE) {
        /* Whether it must end is for the desired state to say: asked for anew. */
        log_info("%s: the server has moved on", r->name.text);
        contact_renew(a);
    }
    if (p->items[i].kind == AGENT_STARTED)
        mark_started(r);
    else if (p->items[i].kind == AGENT_PHASE)
        r->told_phase = true;
    else if (p->items[i].kind == AGENT_PORT_BUSY)
        r->told_busy = r->busy_port == p->items[i].port;
    else if (r->state == REPLICA_ENDED) {
        replica_move(r, REPLICA_TOLD);
        r->told_ms = now_ms();
    }
}

static int take_verdicts(struct agent *a, struct report_job *p)
{
    struct arena arena = {0};
    struct agent_outcomes answer;
    int rc = record_from_json(&agent_outcomes_record, buf_str(&p->reply.body), &arena, &answer,
                              &p->problem);
    if (rc == 0 && answer.outcomes.count != p->count)
        rc = error_set(&p->problem, -EPROTO, "%zu outcomes for %zu reports", answer.outcomes.count,
                       p->count);
    a->report_singly = a->report_singly && rc;
    const struct agent_outcome *outcome = answer.outcomes.items;
    for (size_t i = 0; rc == 0 && i < p->count; i++)
        take_verdict(a, p, i, outcome[i].verdict);
    arena_fini(&arena);
    return rc;
}

/* It understood us and will never take this. */
static bool refused(int status)
{
    return status == 400 || status == 413 || status == 422;
}

/* One report must not hold up all others: they are sent singly, and what is refused then is
 * dropped. */
static int take_refusal(struct agent *a, struct report_job *p)
{
    a->report_singly = true;
    if (p->count > 1)
        return 0;
    log_error("%s: the server refuses a report: %.*s", p->items[0].name.text,
              STR_ARGS(buf_str(&p->reply.body)));
    take_verdict(a, p, 0, AGENT_STALE);
    return 0;
}

static void done_report(struct job *job)
{
    struct report_job *p = CONTAINER_OF(job, struct report_job, job);
    struct agent *a = p->agent;
    a->reporting = false;
    if (p->code == 0 && refused(p->reply.status))
        p->code = take_refusal(a, p);
    else if (p->code == 0 && p->reply.status != 200)
        p->code = error_set(&p->problem, -EPROTO, "the server answers %d", p->reply.status);
    else if (p->code == 0)
        p->code = take_verdicts(a, p);
    if (p->code) {
        a->report_at_ms = now_ms() + RETRY_MS;
        if (a->in_contact)
            log_warning("report: %s", p->problem.text);
    }
    http_reply_fini(&p->reply);
    buf_fini(&p->body);
    arena_fini(&p->arena);
    xfree(p);
}

void report_pump(struct agent *a)
{
    static struct agent_report reports[BATCH_MAX];
    if (a->reporting || !a->registered || now_ms() < a->report_at_ms)
        return;
    struct report_job *p = xcalloc(1, sizeof *p);
    p->most = a->report_singly ? 1 : BATCH_MAX;
    struct agent_reports all = {{reports, gather(a, p, reports)}};
    if (p->count == 0) {
        arena_fini(&p->arena);
        xfree(p);
        return;
    }
    p->job = (struct job){.run = run_report, .done = done_report};
    p->agent = a;
    p->body = BUF_INIT(BUF_LIMIT_DEFAULT);
    record_to_json(&agent_reports_record, &all, AUDIENCE_AGENT, &p->body);
    a->reporting = true;
    worker_give(a->reporter, &p->job);
}
