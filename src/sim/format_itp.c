/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/elastic.h"
#include "sim/format.h"

#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define GPUS_MAX 1000000
#define PER_NODE_MAX 64

static const struct elastic_policy *const policies[] = {&elastic_market, &elastic_elasticflow,
                                                        &elastic_naive, &elastic_edf};

static const struct elastic_policy *policy_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(policies); i++)
        if (str_is(str_from(name), policies[i]->name))
            return policies[i];
    CHECK(!"the name was checked");
}

struct itp_fleet {
    int64_t gpus, per_node;
    char type[16];
};

static bool fleet_field(struct itp_fleet *f, struct str name, struct str value)
{
    if (str_is(name, "gpus"))
        return str_to_i64(value, &f->gpus) && f->gpus >= 1 && f->gpus <= GPUS_MAX;
    if (str_is(name, "per_node"))
        return str_to_i64(value, &f->per_node) && f->per_node >= 1 && f->per_node <= PER_NODE_MAX;
    if (!str_is(name, "type") || value.size == 0 || value.size >= sizeof f->type)
        return false;
    snprintf(f->type, sizeof f->type, "%.*s", STR_ARGS(value));
    return true;
}

/* "gpus=64,per_node=8,type=A100". */
static int fleet_parse(const char *text, struct itp_fleet *ret, struct error *err)
{
    *ret = (struct itp_fleet){.per_node = 8, .type = "A100"};
    struct str rest = str_from(text);
    while (rest.size) {
        struct str value = str_cut(&rest, ',');
        struct str name = str_cut(&value, '=');
        if (!fleet_field(ret, name, value))
            return error_set(err, -EINVAL,
                             "--fleet: %.*s: allowed is gpus=1 to %d, per_node=1 to %d, type=NAME",
                             (int)MIN(name.size, 40), name.data, GPUS_MAX, PER_NODE_MAX);
    }
    bool blocks = (ret->per_node & (ret->per_node - 1)) == 0 && ret->gpus % ret->per_node == 0;
    if (ret->gpus == 0 || !blocks)
        return error_set(
            err, -EINVAL,
            "--fleet: per_node is a power of two, and gpus a multiple of it: gpus=64,per_node=8");
    return 0;
}

static void itp_report(const struct sim_options *o, const struct elastic_result *r,
                       struct report *ret)
{
    double jobs = (double)MAX(r->jobs, 1u);
    report_text(ret, "policy", o->policy);
    report_real(ret, "deadline_ratio", (double)r->met / jobs);
    report_integer(ret, "jobs", (int64_t)r->jobs);
    report_integer(ret, "admitted", (int64_t)r->admitted);
    report_integer(ret, "met", (int64_t)r->met);
    report_integer(ret, "late_after_admission", (int64_t)r->late_after_admission);
    report_real(ret, "bound", (double)r->bound / jobs);
    report_integer(ret, "changes", r->changes);
}

static int itp_run(const struct sim_options *o, struct report *ret, struct error *err)
{
    struct itp trace = {};
    struct itp_fleet fleet;
    struct elastic_result result;
    if (!o->throughput)
        return error_set(err, -EINVAL, "--throughput: the table of speeds is needed");
    int status = fleet_parse(o->fleet.path, &fleet, err);
    if (status == 0)
        status = itp_read_speeds(&trace, o->throughput, fleet.type, err);
    if (status == 0)
        status = itp_read_jobs(&trace, o->trace.path, err);
    if (status == 0) {
        trace.count = MIN(trace.count, (size_t)o->limit);
        clock_t start = clock();
        elastic_simulate(&trace, (uint32_t)fleet.gpus, (uint32_t)fleet.per_node,
                         policy_find(o->policy), &result);
        fprintf(stderr, "sim: %.3f s\n", (double)(clock() - start) / CLOCKS_PER_SEC);
        itp_report(o, &result, ret);
    }
    itp_fini(&trace);
    return status;
}

const struct sim_format format_itp = {
    .name = "itp",
    .doc = "elastic training jobs with deadlines (Microsoft ITP as prepared for ElasticFlow)",
    .options = 1u << OPTION_THROUGHPUT | 1u << OPTION_LIMIT,
    .policies = "market elasticflow naive edf",
    .fleet = "itp",
    .run = itp_run,
};
