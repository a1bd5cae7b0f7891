/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual time: traces and fleets as people have them, the life of a job under every scheduler, and
 * that nothing is lost, doubled or decided by chance. */
#include "sim/baseline.h"
#include "sim/experiment.h"
#include "sim/repeat.h"

#include "base/hash.h"
#include "base/memory.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct buf text_of(const char *text)
{
    struct buf b = BUF_INIT(1 << 20);
    buf_append_text(&b, text);
    return b;
}

/* ---- files ---- */

static void csv_says_what_it_says(void **state)
{
    (void)state;
    struct jobs jobs = {};
    struct error err;
    _cleanup_buf_ struct buf text = text_of(
        "submit,run,tenant,replicas,gpus,memory_gb,limit,preemptible,level,deadline,end,note\n"
        "2026-01-01T00:10:00Z,60.5,a,2,8,64,2.5,false,rack,2026-01-01T01:00:00Z,,x\n"
        "2026-01-01T00:00:00Z,3600,b,,0.5,,,,,,failed,y\n");
    assert_int_equal(jobs_parse_csv(&jobs, "t.csv", NULL, &text, &err), 0);
    jobs_settle(&jobs, 10);
    assert_int_equal(jobs.count, 2);
    assert_true(str_is(jobs.items[0].tenant, "b"));
    assert_int_equal(jobs.items[0].end, JOB_FAILS);
    assert_int_equal(jobs.items[0].amounts.gpu_milli, 500);
    assert_int_equal(jobs.items[0].limit, -1);
    assert_int_equal(jobs.items[1].submit, 600000);
    assert_int_equal(jobs.items[1].deadline, HOUR_MS);
    assert_int_equal(jobs.items[1].run, 60500);
    assert_int_equal(jobs.items[1].replicas, 2);
    assert_int_equal(jobs.items[1].amounts.memory_mib, 64 * 1024);
    assert_int_equal(jobs.items[1].limit, 2500000);
    assert_int_equal(jobs.items[1].level, LEVEL_RACK);
    assert_false(jobs.items[1].preemptible);
    jobs_fini(&jobs);
}

static void csv_is_refused_by_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {"submit,run,gpus\n0,1,1\n0,1,1.5\n", "t.csv:3: gpus: whole GPUs, or a share below 1"},
        {"submit,gpus\n0,1\n", "t.csv:1: no column run|duration|run_time"},
        {"submit,run,preemptible\n0,1,maybe\n",
         "t.csv:2: preemptible: \"maybe\", allowed is true or false"},
        {"submit,run,end\n0,1,lost\n",
         "t.csv:2: end: \"lost\", allowed is finished, failed or cancelled"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct jobs jobs = {};
        struct error err;
        _cleanup_buf_ struct buf text = text_of(cases[i].text);
        assert_true(jobs_parse_csv(&jobs, "t.csv", NULL, &text, &err) < 0);
        assert_string_equal(err.text, cases[i].complaint);
        jobs_fini(&jobs);
    }
}

static void sacct_is_read(void **state)
{
    (void)state;
    struct jobs jobs = {};
    struct error err;
    _cleanup_buf_ struct buf text = text_of(
        "JobID|JobName|Account|Submit|Start|Elapsed|Timelimit|State|NNodes|NCPUS|ReqMem|AllocTRES\n"
        "7|train|vision|2026-03-01T10:00:00|2026-03-01T10:05:00|1-02:00:00|2-00:00:00|COMPLETED|2|"
        "64|64Gn|billing=64,cpu=64,gres/gpu:h100=16,gres/gpu=16,mem=512G,node=2\n"
        "7.batch|batch|vision|2026-03-01T10:05:00|2026-03-01T10:05:00|1-02:00:00||COMPLETED|1|32||"
        "\n"
        "8|x|vision|2026-03-01T10:01:00|Unknown|00:00:00|UNLIMITED|PENDING|1|1||\n"
        "9|y|nlp|2026-03-01T10:01:00|2026-03-01T10:02:00|00:30|01:00:00|CANCELLED by 1000|1|4|8G|\n"
        "10|z|nlp|2026-03-01T10:01:30|2026-03-01T10:09:30|00:00:00|01:00:00|CANCELLED by "
        "1|1|4|2Gc|\n"
        "11|o|nlp|2026-03-01T11:00:00|2026-03-01T11:00:00|00:10:00|01:00:00|OUT_OF_MEMORY|1|4||\n");
    assert_int_equal(jobs_parse_slurm(&jobs, "sacct", &text, &err), 0);
    jobs_settle(&jobs, 100);
    assert_int_equal(jobs.count, 4);
    assert_int_equal(jobs.skipped, 2);
    const struct job *train = &jobs.items[0];
    assert_int_equal(train->run, 26 * HOUR_MS);
    assert_int_equal(train->estimate, 48 * HOUR_MS);
    assert_int_equal(train->replicas, 2);
    assert_int_equal(train->amounts.gpu_milli, 8000);
    assert_int_equal(train->amounts.core_milli, 32000);
    assert_int_equal(train->amounts.memory_mib, 256 * 1024);
    assert_true(str_is(train->accelerator, "h100"));
    assert_int_equal(jobs.items[1].end, JOB_IS_CANCELLED);
    assert_int_equal(jobs.items[1].run, 30000);
    assert_int_equal(jobs.items[1].amounts.memory_mib, 8 * 1024);
    assert_int_equal(jobs.items[2].patience, 8 * 60000);
    assert_int_equal(jobs.items[2].amounts.memory_mib, 8 * 1024);
    assert_int_equal(jobs.items[3].end, JOB_FAILS);
    jobs_fini(&jobs);
}

/* Demand that rises is submitted, what it falls by ends; what rises by more than a node takes whole ones. */
static void demand_becomes_jobs(void **state)
{
    (void)state;
    struct jobs jobs = {};
    struct error err;
    _cleanup_buf_ struct buf text = text_of("minute,vc,running_gpus,pending_gpus\n"
                                            "0,a,4,\n0,b,1,0\n10,a,20,5\n10,b,0,0\n20,a,20,1\n30,a,0,0\n");
    assert_int_equal(jobs_parse_helios(&jobs, "h", &text, &err), 0);
    jobs_settle(&jobs, 100);
    static const struct {
        int64_t submit, run, replicas, gpus;
    } expected[] = {{0, 10, 1, 1}, {0, 20, 1, 4}, {10, 20, 2, 8}, {10, 20, 1, 5}};
    assert_int_equal(jobs.count, ARRAY_COUNT(expected));
    for (size_t i = 0; i < jobs.count; i++) {
        const struct job *job = &jobs.items[i];
        assert_int_equal(job->submit, expected[i].submit * 60000);
        assert_int_equal(job->run, expected[i].run * 60000);
        assert_int_equal(job->replicas, expected[i].replicas);
        assert_int_equal(job->amounts.gpu_milli, expected[i].gpus * 1000);
        assert_true(job->preemptible);
    }
    jobs_fini(&jobs);
}

/* 4,000 tokens of context or 400 generated make a second of a GPU; each minute's replicas are what it takes. */
static void requests_become_replicas(void **state)
{
    (void)state;
    struct jobs jobs = {};
    struct error err;
    const char *rows = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
                       "2023-11-16 18:15:46.6805900,240000,0\n2023-11-16 18:15:50,0,24000\n"
                       "2023-11-16 18:16:01.5,4,0\n2023-11-16 18:18:01,4000,400\n";
    _cleanup_buf_ struct buf text = text_of(rows), same = text_of(rows);
    assert_int_equal(jobs_parse_azure(&jobs, "a", NULL, &text, &err), 0);
    jobs_settle(&jobs, 100);
    assert_int_equal(jobs.count, 3);
    assert_int_equal(jobs.items[0].run, 60000);
    assert_int_equal(jobs.items[1].run, 120000);
    assert_int_equal(jobs.items[2].submit, 180000);
    assert_false(jobs.items[0].preemptible);
    assert_int_equal(jobs.items[0].amounts.gpu_milli, 1000);
    jobs_fini(&jobs);
    assert_int_equal(jobs_parse_azure(&jobs, "a", "times=3", &same, &err), 0);
    assert_int_equal(jobs.count, 7); /* 6 at first, of which 1 stays; 1 at the end */
    jobs_fini(&jobs);
}

static void pollux_is_one_workload(void **state)
{
    (void)state;
    struct error err;
    const char *rows = "workload,name,submit_s,application,num_gpus_requested,run\n"
                       "w-1,a-0,107,cifar10,12,\nw-2,b-0,5,bert,1,60\nw-1,c-1,110,imagenet,4,\n";
    const char *parts[] = {NULL, "w-1", "w-2", "w-3"};
    const size_t counts[] = {1, 2, 1, 0};
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        struct jobs jobs = {};
        _cleanup_buf_ struct buf text = text_of(rows);
        int status = jobs_parse_pollux(&jobs, "p", parts[i], &text, &err);
        assert_int_equal(jobs.count, counts[i]);
        assert_int_equal(status == 0, i == 1 || i == 2);
        if (i == 1) {
            assert_true(jobs.items[0].drawn);
            assert_int_equal(jobs.items[0].replicas, 2);
            assert_in_range(jobs.items[0].run, HOUR_MS / 120, HOUR_MS / 12);
            assert_in_range(jobs.items[1].run, 25 * HOUR_MS, 250 * HOUR_MS);
        }
        if (i == 2)
            assert_int_equal(jobs.items[0].run, 60000);
        jobs_fini(&jobs);
    }
    assert_string_equal(err.text, "p: no workload w-3");
}

/* The new readers name file, line and column like the others. */
static void series_are_refused_by_line_and_column(void **state)
{
    (void)state;
    static const struct {
        int reader;
        const char *part, *text, *complaint;
    } cases[] = {
        {0, NULL, "vc,minute\na,1\n", "t:1: no column running_gpus"},
        {0, NULL, "vc,minute,running_gpus\na,1,1\nb,1,1\na,1,2\n", "t:4: minute: not later than the row of the same vc before it"},
        {0, NULL, "vc,minute,running_gpus\na,1,-1\n", "t:2: running_gpus: -1 is out of range, allowed is 0 to 100000"},
        {1, NULL, "TIMESTAMP,ContextTokens\n", "t:1: no column GeneratedTokens|generated_tokens"},
        {1, NULL, "TIMESTAMP,ContextTokens,GeneratedTokens\nx,1,1\n", "t:2: TIMESTAMP: \"x\" is not a date and time"},
        {1, "times=0", "TIMESTAMP,ContextTokens,GeneratedTokens\n", "--trace: #times=0: allowed is #times=N, N from 1 to 100000"},
        {2, NULL, "workload,name,submit_s,application,num_gpus\nw,a,1,bert,1\nv,b,1,bert,1\n",
         "t:3: workload: another than w; say which: pollux:FILE#w"},
        {2, NULL, "name,submit_s,application,num_gpus\na,1,x,1\n", "t:2: application: \"x\" is of no known size, and there is no run"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct jobs jobs = {};
        struct error err;
        _cleanup_buf_ struct buf text = text_of(cases[i].text);
        int status = cases[i].reader == 0   ? jobs_parse_helios(&jobs, "t", &text, &err)
                     : cases[i].reader == 1 ? jobs_parse_azure(&jobs, "t", cases[i].part, &text, &err)
                                            : jobs_parse_pollux(&jobs, "t", cases[i].part, &text, &err);
        assert_true(status < 0);
        assert_string_equal(err.text, cases[i].complaint);
        jobs_fini(&jobs);
    }
}

/* One node an offer, prices per GPU; what is not sold is left out. */
static void offers_become_nodes(void **state)
{
    (void)state;
    struct cluster c = {};
    struct error err;
    _cleanup_buf_ struct buf text = text_of("cloud,instance,gpu,gpu_count,vcpus,memory_gib,region,zone,ondemand_usd_h,spot_usd_h\n"
                                            "aws,p5,H100,8.0,192.0,2048.0,us-east-1,use1-az2,98.32,40.00\n"
                                            "gcp,-,L4,1.0,,,us-c1,,0.5,\nazure,x,M60,1,6,56,west,,,\n");
    _cleanup_buf_ struct buf series = text_of("date,instance,gpu,gpu_count,ondemand_usd_h\n2024-01-01,-,L4,1,1\n");
    assert_int_equal(cluster_parse(&c, "o", &text, &err), 0);
    assert_int_equal(c.count, 2);
    assert_true(str_is(c.nodes[0].sku, "p5"));
    assert_true(str_is(c.nodes[0].zone, "aws/use1-az2"));
    assert_int_equal(c.nodes[0].ask, 5000000);
    assert_int_equal(c.nodes[0].on_demand, 12290000);
    assert_int_equal(c.nodes[0].amounts.core_milli, 192000);
    assert_int_equal(c.nodes[1].ask, 500000);
    assert_int_equal(c.nodes[1].amounts.memory_mib, 96 * 1024);
    assert_true(str_is(c.nodes[1].sku, "l4-1x"));
    cluster_fini(&c);
    assert_true(cluster_parse(&c, "o", &series, &err) < 0);
    assert_string_equal(err.text, "o:2: date: a series of prices is not a fleet; keep one row an offer");
    cluster_fini(&c);
}

static void fleets_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t count;
        const char *name, *sku;
        int64_t gpu_milli, core_milli, memory_mib;
    } cases[] = {
        {"count,name,accelerator,gpus,cpus,memory_gb,per_rack\n5,n,H100,8,96,1024,2\n", 5, "n-5",
         "h100-8x", 8000, 96000, 1 << 20},
        {"NODELIST|CPUS|MEMORY|GRES\ngpu[01-03,07]|64|512000|gpu:a100:4(S:0-1)\ngpu01|64|512000|"
         "x\n",
         4, "gpu07", "a100-4x", 4000, 64000, 512000},
        {"NODELIST   CPUS MEMORY GRES\nc1  8+  16000  (null)\n", 1, "c1", "cpu-8", 0, 8000, 16000},
        {"{\"items\":[{\"metadata\":{\"name\":\"k1\",\"labels\":{\"nvidia.com/gpu.product\":"
         "\"NVIDIA-H100-80GB-HBM3\"}},\"status\":{\"allocatable\":{\"cpu\":\"95500m\",\"memory\":"
         "\"1048576Ki\",\"nvidia.com/gpu\":\"8\"}}}]}",
         1, "k1", "h100-8x", 8000, 95500, 1024},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct cluster c = {};
        struct error err = {};
        _cleanup_buf_ struct buf text = text_of(cases[i].text);
        assert_int_equal(cluster_parse(&c, "fleet", &text, &err), 0);
        assert_int_equal(c.count, cases[i].count);
        const struct cluster_node *last = &c.nodes[c.count - 1];
        assert_true(str_is(last->name, cases[i].name));
        assert_true(str_is(last->sku, cases[i].sku));
        assert_int_equal(last->amounts.gpu_milli, cases[i].gpu_milli);
        assert_int_equal(last->amounts.core_milli, cases[i].core_milli);
        assert_int_equal(last->amounts.memory_mib, cases[i].memory_mib);
        cluster_fini(&c);
    }
    struct cluster c = {};
    struct error err;
    _cleanup_buf_ struct buf plain = text_of("PARTITION AVAIL TIMELIMIT NODES STATE NODELIST\n");
    assert_true(cluster_parse(&c, "fleet", &plain, &err) < 0);
    assert_non_null(strstr(err.text, "sinfo -N -o '%N|%c|%m|%G'"));
    cluster_fini(&c);
}

/* ---- lives ---- */

/* Two nodes of two GPUs. */
static void small(struct experiment *x, const char *rows)
{
    struct error err;
    _cleanup_buf_ struct buf fleet =
        text_of("count,name,accelerator,gpus,cpus,memory_gb\n2,n,T4,2,8,32\n");
    _cleanup_buf_ struct buf trace =
        text_of("submit,run,name,tenant,replicas,gpus,cpus,limit,end\n");
    buf_append_text(&trace, rows);
    *x = (struct experiment){.world = world_options_default()};
    assert_int_equal(jobs_parse_csv(&x->jobs, "t", NULL, &trace, &err), 0);
    jobs_settle(&x->jobs, 1000000);
    assert_int_equal(cluster_parse(&x->cluster, "f", &fleet, &err), 0);
    assert_int_equal(experiment_set(x, "minimum_run_ms=0", &err), 0);
}

static const struct world_job *named(const struct world *w, const char *name)
{
    for (size_t i = 0; i < w->arrived; i++)
        if (str_is(w->jobs[i].job->name, name))
            return &w->jobs[i];
    fail();
    return NULL;
}

static void a_higher_bid_preempts_and_work_is_kept(void **state)
{
    (void)state;
    struct experiment x;
    struct world w;
    struct market_record record = {};
    small(&x, "0,3600,low,a,2,2,1,0.5,\n1800,600,high,b,2,2,1,2.0,\n");
    experiment_run(&x, &scheduler_market, 1, &w, &record);
    const struct world_job *low = named(&w, "low"), *high = named(&w, "high");
    assert_int_equal(low->state, WORLD_FINISHED);
    assert_int_equal(low->attempts, 2);
    assert_int_equal(low->stops, 1);
    assert_int_equal(low->lost, 0);
    assert_int_equal(low->kept, 3600000);
    /* the notice lets it save; then 5 s to start */
    assert_int_equal(high->first_start, 1800000 + 20000 + 5000);
    assert_int_equal(high->ended, high->first_start + 600000);
    /* it goes on where it was: 60 s of restart, no work twice */
    assert_int_equal(low->ended, high->ended + 5000 + 60000 + 3600000 - (1800000 - 5000));
    assert_true(high->cost > low->cost / 6);
    assert_int_equal(low->cost + high->cost, record.charged);
    world_fini(&w);
    experiment_fini(&x);
}

/* Sold ahead: idle it is lent, its holder's work gets it back within the notice and pays nothing more. */
static void a_reservation_is_lent_and_recalled(void **state)
{
    (void)state;
    for (int keep_idle = 0; keep_idle <= 1; keep_idle++) {
        struct experiment x = {.world = world_options_default()};
        struct world w;
        struct error err;
        struct market_record record = {};
        char rows[200];
        snprintf(rows, sizeof rows, "tenant,name,nodes,gpus,to,keep_idle\nholder,mine,1,8,86400,%d\n", keep_idle);
        _cleanup_buf_ struct buf trace = text_of("name,submit,run,gpus,limit,tenant,reservation\n"
                                                 "lent,0,20000,8,1,batch,\nown,7200,3600,8,0.10,holder,mine\n");
        _cleanup_buf_ struct buf fleet = text_of("gpus,cpus,memory_gb\n8,64,512\n"), sold = text_of(rows);
        _cleanup_buf_ struct buf bad = text_of("tenant,name,nodes,gpus,to\na,b,1,8,0\n");
        assert_int_equal(jobs_parse_csv(&x.jobs, "t", NULL, &trace, &err), 0);
        jobs_settle(&x.jobs, 100);
        assert_int_equal(cluster_parse(&x.cluster, "f", &fleet, &err), 0);
        assert_int_equal(experiment_parse_reservations(&x, "r", &sold, &err), 0);
        x.world.until = 12 * HOUR_MS;
        experiment_run(&x, &scheduler_market, 1, &w, &record);
        assert_int_equal(record.bought, 1);
        assert_true(record.reserved > 0);
        assert_int_equal(w.jobs[1].first_start, keep_idle ? 7205000 : 7225000); /* 20 s to save, 5 s to start */
        assert_int_equal(w.jobs[1].cost, 0);
        assert_int_equal(w.jobs[0].stops, keep_idle ? 0 : 1);
        assert_int_equal(w.jobs[0].state, keep_idle ? WORLD_WAITING : WORLD_FINISHED);
        assert_int_equal(record.resold < 0, !keep_idle);
        assert_true(experiment_parse_reservations(&x, "r", &bad, &err) < 0);
        assert_string_equal(err.text, "r:2: tenant, name, to: must be given, and to later than from");
        world_fini(&w);
        market_record_fini(&record);
        experiment_fini(&x);
    }
}

static void a_lost_node_takes_back_to_the_last_checkpoint(void **state)
{
    (void)state;
    for (size_t s = 0; s < 2; s++) {
        const struct scheduler *scheduler = s ? &scheduler_fifo : &scheduler_market;
        struct experiment x;
        struct world w;
        struct market_record record = {};
        struct world_failure failures[] = {{0, 2705000, 6000000}, {1, 2705000, 6000000}};
        small(&x, "0,7200,only,a,1,1,1,2.0,\n");
        x.world.failures = failures;
        x.world.failure_count = 2;
        experiment_run(&x, scheduler, 1, &w, &record);
        const struct world_job *only = named(&w, "only");
        assert_int_equal(only->state, WORLD_FINISHED);
        assert_int_equal(only->losses, 1);
        assert_int_equal(only->lost, 900000); /* 45 min done, 30 saved */
        assert_int_equal(only->ended, 6000000 + 5000 + 60000 + 7200000 - 1800000);
        world_fini(&w);
        experiment_fini(&x);
    }
}

static void ends_are_as_the_trace_says(void **state)
{
    (void)state;
    struct experiment x;
    struct world w;
    struct market_record record = {};
    struct report report = {};
    small(&x,
          "0,600,ok,a,1,1,1,2.0,\n0,600,bad,a,1,1,1,2.0,failed\n0,300,off,a,1,1,1,2.0,cancelled\n"
          "0,60,huge,a,3,2,1,2.0,\n0,60,cheap,a,1,1,1,0.000001,\n");
    experiment_run(&x, &scheduler_market, 1, &w, &record);
    assert_int_equal(named(&w, "ok")->state, WORLD_FINISHED);
    assert_int_equal(named(&w, "bad")->state, WORLD_FINISHED);
    assert_int_equal(named(&w, "bad")->attempts, 1);
    assert_int_equal(named(&w, "off")->state, WORLD_CANCELLED);
    assert_int_equal(named(&w, "off")->ended, 305000);
    assert_int_equal(named(&w, "huge")->state, WORLD_REJECTED);
    assert_int_equal(named(&w, "cheap")->state, WORLD_WAITING); /* below the ask */
    experiment_report(&x, &scheduler_market, &w, &record, &report);
    world_fini(&w);
    experiment_fini(&x);
}

static void work_done_by_the_end_counts(void **state)
{
    (void)state;
    struct experiment x;
    struct world w;
    struct market_record record = {};
    small(&x, "0,36000,long,a,1,1,1,2.0,\n");
    x.world.until = 3605000;
    experiment_run(&x, &scheduler_market, 1, &w, &record);
    assert_int_equal(named(&w, "long")->state, WORLD_RUNNING);
    assert_int_equal(named(&w, "long")->kept, 3600000);
    world_fini(&w);
    experiment_fini(&x);
}

/* ---- all of them, over drawn traces ---- */

static void drawn(struct experiment *x, uint64_t seed)
{
    _cleanup_buf_ struct buf rows = BUF_INIT(1 << 20);
    struct prng p = {seed};
    for (int i = 0; i < 200; i++)
        buf_printf(
            &rows, "%llu,%llu,,t%llu,%llu,%llu,1,,%s\n", (unsigned long long)prng_below(&p, 40000),
            (unsigned long long)prng_below(&p, 9000) + 1, (unsigned long long)prng_below(&p, 3),
            (unsigned long long)prng_below(&p, 2) + 1, (unsigned long long)prng_below(&p, 2) + 1,
            prng_below(&p, 10)  ? ""
            : prng_below(&p, 2) ? "failed"
                                : "cancelled");
    small(x, rows.data);
    x->world.mtbf = 40000000;
    x->world.repair = 900000;
    x->world.until = 60000000;
}

static const struct scheduler *const all[] = {
    &scheduler_market,       &scheduler_fifo,     &scheduler_backfill, &scheduler_sjf,
    &scheduler_static_quota, &scheduler_priority, &scheduler_tiresias};

static double item(const struct report *r, const char *key)
{
    for (size_t i = 0; i < r->count; i++)
        if (str_is(str_from(r->items[i].key), key))
            return report_value(&r->items[i]);
    fail();
    return 0;
}

static void conserved(const struct world *w, const struct report *r)
{
    assert_true(item(r, "submitted") == item(r, "finished") + item(r, "running") +
                                            item(r, "waiting") + item(r, "rejected") +
                                            item(r, "cancelled"));
    int128 held = 0;
    for (size_t i = 0; i < w->arrived; i++) {
        const struct world_job *j = &w->jobs[i];
        held += j->held;
        assert_true(j->kept <= j->job->run && j->lost >= 0 && j->overhead >= 0);
        if (j->state == WORLD_FINISHED)
            assert_int_equal(j->kept, j->job->run);
        assert_int_equal(j->attempts >= 1, j->first_start >= 0 || j->attempts > 0);
    }
    assert_true(held == w->used && w->used <= w->capacity);
}

static void nothing_is_lost_and_equal_seeds_give_equal_bytes(void **state)
{
    (void)state;
    for (size_t s = 0; s < ARRAY_COUNT(all); s++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            char first[8192] = "";
            for (int again = 0; again < 2; again++) {
                struct experiment x;
                struct world w;
                struct market_record record = {};
                struct report report = {};
                _cleanup_buf_ struct buf text = BUF_INIT(sizeof first);
                drawn(&x, seed);
                experiment_run(&x, all[s], seed, &w, &record);
                experiment_report(&x, all[s], &w, &record, &report);
                conserved(&w, &report);
                report_json(&report, &text);
                if (again)
                    assert_string_equal(text.data, first);
                snprintf(first, sizeof first, "%s", text.data);
                world_fini(&w);
                experiment_fini(&x);
            }
        }
}

static void intervals_are_students(void **state)
{
    (void)state;
    double values[] = {1, 2, 3, 4, 5};
    assert_true(fabs(repeat_interval(values, 5) - 1.9634) < 1e-3);
    assert_true(repeat_interval(values, 1) == 0);
}

static void settings_are_refused_by_name(void **state)
{
    (void)state;
    struct experiment x;
    struct error err;
    small(&x, "0,1,a,a,1,1,1,1,\n");
    assert_true(experiment_set(&x, "colour=red", &err) < 0);
    assert_string_equal(err.text,
                        "--set: colour: no such setting (value \"red\"); docs/sim.md lists them");
    assert_true(experiment_set(&x, "ask=cheap", &err) < 0);
    assert_string_equal(err.text,
                        "--set: ask: \"cheap\" does not fit; docs/sim.md says what is allowed");
    assert_int_equal(experiment_set(&x, "add_nodes=3", &err), 0);
    assert_int_equal(x.cluster.count, 5);
    assert_true(experiment_failures(&x, "mtbf=1h,repair=never", &err) < 0);
    experiment_fini(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_says_what_it_says),
        cmocka_unit_test(csv_is_refused_by_line_and_column),
        cmocka_unit_test(sacct_is_read),
        cmocka_unit_test(demand_becomes_jobs),
        cmocka_unit_test(requests_become_replicas),
        cmocka_unit_test(pollux_is_one_workload),
        cmocka_unit_test(series_are_refused_by_line_and_column),
        cmocka_unit_test(offers_become_nodes),
        cmocka_unit_test(fleets_are_told_apart),
        cmocka_unit_test(a_higher_bid_preempts_and_work_is_kept),
        cmocka_unit_test(a_reservation_is_lent_and_recalled),
        cmocka_unit_test(a_lost_node_takes_back_to_the_last_checkpoint),
        cmocka_unit_test(ends_are_as_the_trace_says),
        cmocka_unit_test(work_done_by_the_end_counts),
        cmocka_unit_test(nothing_is_lost_and_equal_seeds_give_equal_bytes),
        cmocka_unit_test(intervals_are_students),
        cmocka_unit_test(settings_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
