/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/repeat.h"

#include "base/memory.h"
#include "wire/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

/* Reports of one experiment, by seed. */
struct runs {
    struct report *reports;
    size_t count;
};

/* 97.5 % quantiles of Student's t by degrees of freedom. */
static double student(size_t freedom)
{
    static const double table[] = {0,     12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365,
                                   2.306, 2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
                                   2.120, 2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069,
                                   2.064, 2.060,  2.056, 2.052, 2.048, 2.045, 2.042};
    return freedom < ARRAY_COUNT(table) ? table[freedom] : 1.96;
}

static double mean_of(const double *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return sum / (double)count;
}

double repeat_interval(const double *values, size_t count)
{
    double mean = mean_of(values, count), squares = 0;
    if (count < 2)
        return 0;
    for (size_t i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    return student(count - 1) * sqrt(squares / (double)(count - 1) / (double)count);
}

static int runs_make(const struct sim_options *o, struct str policy, const char *set,
                     struct runs *ret, struct error *err)
{
    const struct scheduler *scheduler = experiment_scheduler(policy);
    struct experiment x;
    *ret = (struct runs){.count = (size_t)o->seeds};
    if (!scheduler)
        return error_set(err, -EINVAL, "--compare: %.*s: allowed are " EXPERIMENT_POLICIES,
                         (int)MIN(policy.size, 40), policy.data);
    int status = experiment_read(&x, o, set, err);
    ret->reports = xcalloc(ret->count, sizeof *ret->reports);
    for (size_t i = 0; status == 0 && i < ret->count; i++) {
        struct world w;
        struct market_record record = {};
        experiment_run(&x, scheduler, o->seed + i, &w, &record);
        experiment_report(&x, scheduler, &w, &record, &ret->reports[i]);
        world_fini(&w);
        market_record_fini(&record);
    }
    experiment_fini(&x);
    return status;
}

/* The values of one item over the seeds; false where it is a text. */
static bool values_of(const struct runs *r, size_t item, double *ret)
{
    for (size_t i = 0; i < r->count; i++)
        ret[i] = report_value(&r->reports[i].items[item]);
    return isfinite(ret[0]);
}

static bool is_label(const char *key)
{
    struct str k = str_from(key);
    return str_is(k, "seed") || str_is(k, "digest") || str_is(k, "policy");
}

static void number(struct buf *out, const char *key, double value)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    json_key(out, key);
    real_print(&text, value);
    json_raw(out, buf_str(&text));
}

/* ---- seeds ---- */

static void runs_print(const struct runs *r, bool json, struct buf *out)
{
    double *values = xcalloc(r->count, sizeof *values);
    for (size_t item = 0; item < r->reports[0].count; item++) {
        const char *key = r->reports[0].items[item].key;
        if (is_label(key) || !values_of(r, item, values))
            continue;
        double mean = mean_of(values, r->count), half = repeat_interval(values, r->count);
        if (json) {
            json_key(out, key);
            json_open(out, '{');
            number(out, "mean", mean);
            number(out, "ci95", half);
            json_close(out, '}');
        } else
            buf_printf(out, "%-26s %14.4f  ± %.4f\n", key, mean, half);
    }
    xfree(values);
}

static void runs_fini(struct runs *r)
{
    xfree(r->reports);
}

static int seeds_run(const struct sim_options *o, struct buf *out, struct error *err)
{
    struct runs r;
    int status = runs_make(o, str_from(o->policy), NULL, &r, err);
    if (status == 0 && o->json) {
        json_open(out, '{');
        json_key(out, "policy");
        json_text(out, o->policy);
        json_key(out, "seeds");
        json_integer(out, o->seeds);
        runs_print(&r, true, out);
        json_close(out, '}');
        buf_append_byte(out, '\n');
    } else if (status == 0) {
        buf_printf(out, "%s, %lld seeds: mean ± half of the 95 %% interval\n\n", o->policy,
                   (long long)o->seeds);
        runs_print(&r, false, out);
    }
    runs_fini(&r);
    return status;
}

/* ---- a sweep ---- */

static const char *const sweep_keys[] = {"finished",    "waiting",         "mean_wait_s",
                                         "p95_wait_s",  "mean_jct_s",      "utilisation_percent",
                                         "preemptions", "lost_unit_hours", "surplus_usd",
                                         "cost_usd"};

static void sweep_row(const struct runs *r, struct str value, bool json, struct buf *out)
{
    if (json) {
        json_open(out, '{');
        json_key(out, "value");
        json_string(out, value);
        runs_print(r, true, out);
        json_close(out, '}');
        return;
    }
    double *values = xcalloc(r->count, sizeof *values);
    buf_printf(out, "%-14.*s", STR_ARGS(value));
    for (size_t k = 0; k < ARRAY_COUNT(sweep_keys); k++)
        for (size_t item = 0; item < r->reports[0].count; item++)
            if (str_is(str_from(r->reports[0].items[item].key), sweep_keys[k]) &&
                values_of(r, item, values))
                buf_printf(out, " %*.2f", (int)MAX(strlen(sweep_keys[k]), 12u),
                           mean_of(values, r->count));
    buf_append_byte(out, '\n');
    xfree(values);
}

static void sweep_head(const struct sim_options *o, struct str key, struct buf *out)
{
    if (o->json) {
        json_open(out, '{');
        json_key(out, "policy");
        json_text(out, o->policy);
        json_key(out, "sweep");
        json_string(out, key);
        json_key(out, "rows");
        json_open(out, '[');
        return;
    }
    buf_printf(out, "%-14.*s", STR_ARGS(key));
    for (size_t k = 0; k < ARRAY_COUNT(sweep_keys); k++)
        buf_printf(out, " %12s", sweep_keys[k]);
    buf_append_byte(out, '\n');
}

static int sweep_run(const struct sim_options *o, struct buf *out, struct error *err)
{
    struct str values = str_from(o->sweep);
    struct str key = str_cut(&values, '=');
    int status = 0;
    sweep_head(o, key, out);
    while (status == 0 && values.size) {
        struct str value = str_cut(&values, ',');
        char pair[256];
        struct runs r;
        snprintf(pair, sizeof pair, "%.*s=%.*s", (int)MIN(key.size, 100), key.data,
                 (int)MIN(value.size, 100), value.data);
        status = runs_make(o, str_from(o->policy), pair, &r, err);
        if (status == 0)
            sweep_row(&r, value, o->json, out);
        runs_fini(&r);
    }
    if (o->json) {
        json_close(out, ']');
        json_close(out, '}');
        buf_append_byte(out, '\n');
    }
    return status;
}

/* ---- two policies ---- */

struct pair {
    double a, b, half; /* means; half of the interval of the paired difference */
    const char *verdict;
};

static struct pair pair_make(const double *a, const double *b, size_t count)
{
    double *difference = xcalloc(count, sizeof *difference);
    for (size_t i = 0; i < count; i++)
        difference[i] = a[i] - b[i];
    double mean = mean_of(difference, count), half = repeat_interval(difference, count);
    xfree(difference);
    const char *verdict = count < 2            ? "one run"
                          : fabs(mean) <= half ? "no difference"
                          : mean < 0           ? "lower"
                                               : "higher";
    return (struct pair){mean_of(a, count), mean_of(b, count), half, verdict};
}

static void pair_print(const struct pair *p, const char *key, bool json, struct buf *out)
{
    if (!json) {
        buf_printf(out, "%-26s %14.4f %14.4f %14.4f ± %-12.4f %s\n", key, p->a, p->b, p->a - p->b,
                   p->half, p->verdict);
        return;
    }
    json_key(out, key);
    json_open(out, '{');
    number(out, "a", p->a);
    number(out, "b", p->b);
    number(out, "difference", p->a - p->b);
    number(out, "ci95", p->half);
    json_key(out, "verdict");
    json_text(out, p->verdict);
    json_close(out, '}');
}

static void pairs_print(const struct runs *a, const struct runs *b, bool json, struct buf *out)
{
    double *x = xcalloc(a->count, sizeof *x), *y = xcalloc(a->count, sizeof *y);
    for (size_t i = 0; i < a->reports[0].count; i++)
        for (size_t j = 0; j < b->reports[0].count; j++) {
            const char *key = a->reports[0].items[i].key;
            if (is_label(key) || !str_is(str_from(key), b->reports[0].items[j].key) ||
                !values_of(a, i, x) || !values_of(b, j, y))
                continue;
            struct pair p = pair_make(x, y, a->count);
            pair_print(&p, key, json, out);
        }
    xfree(x);
    xfree(y);
}

static int compare_run(const struct sim_options *o, struct buf *out, struct error *err)
{
    struct runs a = {}, b = {};
    int status = runs_make(o, str_from(o->compare[0]), NULL, &a, err);
    if (status == 0)
        status = runs_make(o, str_from(o->compare[1]), NULL, &b, err);
    if (status == 0 && o->json) {
        json_open(out, '{');
        json_key(out, "a");
        json_text(out, o->compare[0]);
        json_key(out, "b");
        json_text(out, o->compare[1]);
        json_key(out, "seeds");
        json_integer(out, o->seeds);
        pairs_print(&a, &b, true, out);
        json_close(out, '}');
        buf_append_byte(out, '\n');
    } else if (status == 0) {
        buf_printf(out, "%-26s %14s %14s %14s   95 %%         the first is, of %lld seeds\n", "",
                   o->compare[0], o->compare[1], "difference", (long long)o->seeds);
        pairs_print(&a, &b, false, out);
    }
    runs_fini(&a);
    runs_fini(&b);
    return status;
}

int repeat_run(const struct sim_options *o, struct report *ret, struct error *err)
{
    if (o->out)
        return error_set(err, -EINVAL,
                         "--out: is for one run; leave --seeds, --sweep and --compare away");
    if (o->sweep && o->compare[0])
        return error_set(err, -EINVAL, "--sweep: not with --compare");
    if (o->compare[0])
        return compare_run(o, &ret->whole, err);
    return o->sweep ? sweep_run(o, &ret->whole, err) : seeds_run(o, &ret->whole, err);
}
