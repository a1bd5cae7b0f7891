/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/outcome.h"

#include "wire/json.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define OUTPUT_LIMIT ((size_t)1 << 32)

static const char *state_name(const struct world_job *j)
{
    switch (j->state) {
    case WORLD_COMING:
        return "coming";
    case WORLD_WAITING:
        return "waiting";
    case WORLD_STARTING:
    case WORLD_RUNNING:
    case WORLD_LEAVING:
        return "running";
    case WORLD_FINISHED:
        return j->job->end == JOB_FAILS ? "failed" : "finished";
    case WORLD_CANCELLED:
        return "cancelled";
    case WORLD_REJECTED:
        return "rejected";
    }
    return "";
}

/* A field that holds what a reader would take for a border is quoted. */
static void field(struct buf *out, struct str text)
{
    bool plain = true;
    for (size_t i = 0; i < text.size; i++)
        plain &= text.data[i] != ',' && text.data[i] != '"' && text.data[i] != '\n';
    if (plain) {
        buf_append_str(out, text);
        return;
    }
    buf_append_byte(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        buf_append_byte(out, text.data[i]);
        if (text.data[i] == '"')
            buf_append_byte(out, '"');
    }
    buf_append_byte(out, '"');
}

static void time_field(struct buf *out, time_ms at)
{
    buf_append_byte(out, ',');
    if (at >= 0)
        buf_printf(out, "%lld.%03lld", (long long)(at / 1000), (long long)(at % 1000));
}

static void workloads_print(const struct world *w, struct buf *out)
{
    buf_append_text(out, "name,tenant,state,submit,first_start,end,replicas,units,preemptible,"
                         "limit_usd,run,estimate,attempts,preemptions,lost_with_nodes,kept,lost,"
                         "overhead,cost_usd\n");
    for (size_t i = 0; i < w->arrived; i++) {
        const struct world_job *j = &w->jobs[i];
        field(out, j->job->name);
        buf_append_byte(out, ',');
        field(out, j->job->tenant);
        buf_printf(out, ",%s", state_name(j));
        time_field(out, j->submit);
        time_field(out, j->first_start);
        time_field(out, j->ended);
        buf_printf(out, ",%u,%.3f,%s,%.6f", j->job->replicas,
                   (double)job_units_milli(j->job) / 1000, j->preemptible ? "true" : "false",
                   (double)j->limit / 1e6);
        time_field(out, j->job->run);
        time_field(out, j->estimate);
        buf_printf(out, ",%u,%u,%u", j->attempts, j->stops, j->losses);
        time_field(out, j->kept);
        time_field(out, j->lost);
        time_field(out, j->overhead);
        buf_printf(out, ",%.6f\n", (double)j->cost / 1e6);
    }
}

static void series_print(const struct market_record *record, struct buf *out)
{
    buf_append_text(out, "at,pool,price_usd,lowest_ask_usd,used_units,free_units,wanted_units\n");
    for (size_t i = 0; i < record->sample_count; i++) {
        const struct market_sample *s = &record->samples[i];
        buf_printf(out, "%lld,%u,%.6f,%.6f,%.3f,%.3f,%.3f\n", (long long)(s->at / 1000), s->pool,
                   (double)s->post / 1e6, (double)s->lowest_ask / 1e6, (double)s->used_milli / 1000,
                   (double)s->free_milli / 1000, (double)s->wanted_milli / 1000);
    }
}

static int file_write(const char *folder, const char *name, struct str text, struct error *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    bool ok = file && fwrite(text.data ? text.data : "", 1, text.size, file) == text.size;
    ok = file && fclose(file) == 0 && ok;
    return ok ? 0 : error_set(err, -EIO, "--out: %.3000s: %s", path, strerror(errno));
}

static int buf_write(const char *folder, const char *name, struct buf *text, struct error *err)
{
    int status = text->overflow ? error_set(err, -EFBIG, "--out: %s would be too large", name)
                                : file_write(folder, name, buf_str(text), err);
    buf_clear(text);
    return status;
}

int outcome_write(const char *folder, const struct outcome *o, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(OUTPUT_LIMIT);
    if (mkdir(folder, 0777) < 0 && errno != EEXIST)
        return error_set(err, -errno, "--out: %.3000s: %s", folder, strerror(errno));
    report_json(o->report, &text);
    int status = buf_write(folder, "summary.json", &text, err);
    workloads_print(o->world, &text);
    if (status == 0)
        status = buf_write(folder, "workloads.csv", &text, err);
    series_print(o->record, &text);
    if (status == 0)
        status = buf_write(folder, "series.csv", &text, err);
    buf_printf(&text, "{\"processor_s\":%.3f}\n", o->seconds);
    if (status == 0)
        status = buf_write(folder, "timing.json", &text, err);
    outcome_page(o, &text);
    return status ? status : buf_write(folder, "report.html", &text, err);
}
