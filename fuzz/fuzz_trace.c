/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a trace or a fleet of the simulator: the first byte says of which format. */
#include "sim/cluster.h"
#include "sim/experiment.h"
#include "sim/hydra.h"
#include "sim/input.h"
#include "sim/itp.h"
#include "sim/job.h"
#include "sim/openb.h"
#include "sim/spot.h"

static void fuzz_openb(struct str nodes, struct str pods)
{
    struct error err;
    struct openb o = {.node_text = BUF_INIT(1 << 20), .pod_text = BUF_INIT(1 << 20)};
    buf_append_str(&o.node_text, nodes);
    buf_append_str(&o.pod_text, pods);
    if (openb_parse_nodes(&o, "nodes", &err) == 0)
        openb_parse_pods(&o, "pods", &err);
    openb_fini(&o);
}

static struct buf copy_of(struct str text)
{
    struct buf b = BUF_INIT(1 << 20);
    buf_append_str(&b, text);
    return b;
}

static void fuzz_spot(struct str series, struct str changes, struct str windows)
{
    struct error err;
    struct spot_traces s = {};
    struct buf a = copy_of(series), b = copy_of(changes), c = copy_of(windows);
    if (spot_parse_series(&s, "series", &a, &err) == 0 &&
        spot_parse_changes(&s, "changes", &b, &err) == 0)
        spot_parse_windows(&s, "windows", &c, &err);
    buf_fini(&b);
    buf_fini(&c);
    spot_fini(&s);
}

static void fuzz_itp(struct str speeds, struct str jobs)
{
    struct error err;
    struct itp t = {.speed_text = copy_of(speeds)};
    struct buf text = copy_of(jobs);
    if (itp_parse_speeds(&t, "speeds", "A100", &err) == 0)
        itp_parse_jobs(&t, "jobs", &text, &err);
    buf_fini(&text);
    itp_fini(&t);
}

static void fuzz_input(struct str bytes)
{
    struct error err;
    _cleanup_buf_ struct buf out = BUF_INIT(1 << 20);
    input_unpack(bytes, &out, &err);
}

static void fuzz_reservations(struct str bytes)
{
    struct error err;
    struct experiment x = {};
    struct buf text = copy_of(bytes);
    experiment_parse_reservations(&x, "reservations", &text, &err);
    buf_fini(&text);
    experiment_fini(&x);
}

static void fuzz_jobs(unsigned kind, struct str bytes)
{
    struct error err;
    struct jobs jobs = {};
    struct cluster cluster = {};
    struct buf text = copy_of(bytes);
    if (kind == 0)
        jobs_parse_csv(&jobs, "jobs", NULL, &text, &err);
    else if (kind == 1)
        jobs_parse_slurm(&jobs, "sacct", &text, &err);
    else if (kind == 2)
        jobs_parse_philly(&jobs, "philly", &text, &err);
    else if (kind == 3)
        jobs_parse_chronus(&jobs, "chronus", &text, &err);
    else if (kind == 4)
        jobs_parse_helios(&jobs, "helios", &text, &err);
    else if (kind == 5)
        jobs_parse_azure(&jobs, "azure", NULL, &text, &err);
    else if (kind == 6)
        jobs_parse_pollux(&jobs, "pollux", NULL, &text, &err);
    else
        cluster_parse(&cluster, "fleet", &text, &err);
    jobs_settle(&jobs, 1000);
    buf_fini(&text);
    jobs_fini(&jobs);
    cluster_fini(&cluster);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str rest = {(const char *)data + 1, size - 1};
    switch (data[0] % 18) {
    case 0:
        fuzz_input(rest);
        break;
    case 1:
        fuzz_openb(rest, STR("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,1,1000\n"));
        break;
    case 2:
        fuzz_openb(STR("sn,cpu_milli,memory_mib,gpu,model\na,1,1,1,T4\n"), rest);
        break;
    case 3:
        fuzz_spot(rest, STR("trace,tick,available\na,1,1\n"),
                  STR("env,restart_overhead_h,start_tick,end_tick\n"));
        break;
    case 4:
        fuzz_spot(STR("trace,tick_seconds,n_ticks\na,600,9\n"), rest,
                  STR("env,restart_overhead_h,start_tick,end_tick\n"));
        break;
    case 5:
        fuzz_spot(STR("trace,tick_seconds,n_ticks\navailability.1n.aws-10-26-2022.e.head,600,9\n"),
                  STR("trace,tick,available\n"), rest);
        break;
    case 6: {
        struct error err;
        struct hydra h = {};
        struct buf text = copy_of(rest);
        hydra_parse(&h, "hydra", &text, 100, &err);
        buf_fini(&text);
        hydra_fini(&h);
        break;
    }
    case 7:
        fuzz_itp(rest,
                 STR("submit_time,iteration,model_name,ddl,batch_size,num_gpu\n1,1,m,2,8,1\n"));
        break;
    case 8:
        fuzz_itp(
            STR("gpu_type,model,global_batch_size,num_gpus,iterations_per_s\nA100,m,8,1,1.0\n"),
            rest);
        break;
    case 17:
        fuzz_reservations(rest);
        break;
    default:
        fuzz_jobs(data[0] % 18 - 9, rest);
        break;
    }
    return 0;
}
