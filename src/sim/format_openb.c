/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/format.h"
#include "sim/fragmentation.h"

#include "base/memory.h"

#include <errno.h>
#include <stdio.h>

static const struct policy *const policies[] = {&policy_market, &policy_random, &policy_bestfit,
                                                &policy_fgd};

static const struct policy *policy_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(policies); i++)
        if (str_is(str_from(name), policies[i]->name))
            return policies[i];
    return NULL;
}

static void openb_report(const struct fragmentation *f, const struct fragmentation_result *r,
                         struct report *ret)
{
    report_text(ret, "policy", f->policy->name);
    report_integer(ret, "seed", (int64_t)f->seed);
    report_integer(ret, "pods", (int64_t)r->arrived);
    report_integer(ret, "placed", (int64_t)r->placed);
    if (r->reached[100])
        report_real(ret, "allocated_at_100", r->allocated[100]);
    if (r->reached[130])
        report_real(ret, "allocated_at_130", r->allocated[130]);
    report_integer(ret, "refused_that_fit", (int64_t)r->refused_that_fit);
    report_integer(ret, "moved", (int64_t)r->moved);
    report_integer(ret, "failed_gpu", (int64_t)r->failed_gpu);
    report_integer(ret, "failed_cpu_only", (int64_t)r->failed_cpu_only);
}

static int openb_run(const struct sim_options *o, struct report *ret, struct error *err)
{
    struct openb trace = {};
    struct fragmentation f = {policy_find(o->policy), o->seed, o->saturate_milli};
    struct fragmentation_result result;
    int status = openb_read_nodes(&trace, o->fleet.path, err);
    if (status == 0)
        status = openb_read_pods(&trace, o->trace.path, err);
    if (status == 0) {
        fragmentation_run(&trace, &f, &result);
        openb_report(&f, &result, ret);
        fprintf(stderr, "sim: %.1f us a pod\n", result.pod_us);
    }
    openb_fini(&trace);
    return status;
}

const struct sim_format format_openb = {
    .name = "openb",
    .doc = "Alibaba's pod lists: how much of the GPUs can be given away when pods only arrive",
    .options = 1u << OPTION_SATURATE | 1u << OPTION_SEED,
    .policies = "market fgd bestfit random",
    .fleet = "openb",
    .run = openb_run,
};
