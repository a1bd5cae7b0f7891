/* SPDX-License-Identifier: Apache-2.0 */
/* Slurm's accounting as `sacct --parsable2` prints it: one line a job, separated by bars, in
 * whatever columns were asked for. Steps (JobID with a dot) are passed over. */
#include "sim/csv.h"
#include "sim/input.h"
#include "sim/job.h"

#include "wire/unit.h"

enum { ID, NAME, USER, ACCOUNT, SUBMIT, START, ELAPSED, LIMIT, STATE, NODES, CPUS, MEMORY, TRES };
static const struct csv_column columns[] = {
    [ID] = {"JobID|JobIDRaw", false},
    [NAME] = {"JobName", true},
    [USER] = {"User|UID", true},
    [ACCOUNT] = {"Account", true},
    [SUBMIT] = {"Submit", false},
    [START] = {"Start", true},
    [ELAPSED] = {"Elapsed|ElapsedRaw", false},
    [LIMIT] = {"Timelimit", true},
    [STATE] = {"State", false},
    [NODES] = {"NNodes|ReqNodes|AllocNodes", true},
    [CPUS] = {"NCPUS|ReqCPUS|AllocCPUS", true},
    [MEMORY] = {"ReqMem", true},
    [TRES] = {"AllocTRES|ReqTRES", true},
};
#define COUNT_MAX ((int64_t)1 << 24)
#define GPUS_A_NODE 16

/* "1-02:03:04", "02:03:04", "03:04", or seconds. */
static bool span_read(struct str text, time_ms *ret)
{
    struct str rest = text;
    int64_t days = 0, part, sum = 0;
    if (memchr(text.data ? text.data : "", '-', text.size) &&
        !str_to_i64(str_cut(&rest, '-'), &days))
        return false;
    for (int parts = 0; rest.size; parts++) {
        struct str seconds = str_cut(&rest, ':');
        seconds = str_cut(&seconds, '.');
        if (parts == 3 || !str_to_i64(seconds, &part) || part < 0 || part > COUNT_MAX)
            return false;
        sum = sum * 60 + part;
    }
    *ret = (days * 24 * 3600 + sum) * 1000;
    return days >= 0 && days < 100000 && text.size;
}

/* Of "billing=8,cpu=8,gres/gpu:h100=4,mem=64G,node=2". Empty: not there. */
static struct str tres_get(struct str tres, const char *name)
{
    while (tres.size) {
        struct str value = str_cut(&tres, ',');
        struct str key = str_cut(&value, '=');
        if (str_is(key, name))
            return value;
    }
    return (struct str){0};
}

static struct str tres_gpu_model(struct str tres)
{
    while (tres.size) {
        struct str item = str_cut(&tres, ',');
        struct str key = str_cut(&item, '=');
        if (str_starts(key, STR("gres/gpu:")))
            return (struct str){key.data + 9, key.size - 9};
    }
    return (struct str){0};
}

/* "64G", "4000M", "2Gn", "1.5T": MiB; n and c behind it: of a node, of a core. */
static bool memory_read(struct str text, int64_t *ret_mib, char *ret_of)
{
    *ret_of = 0;
    if (text.size && (text.data[text.size - 1] == 'n' || text.data[text.size - 1] == 'c'))
        *ret_of = text.data[--text.size];
    if (text.size == 0)
        return false;
    char unit = text.data[text.size - 1];
    int64_t scale = unit == 'T' ? 1024 * 1024 : unit == 'G' ? 1024 : unit == 'K' ? 0 : 1;
    if (unit < '0' || unit > '9')
        text.size--;
    int64_t thousandths;
    if (!decimal_parse(text, 1000, &thousandths) || thousandths < 0 ||
        thousandths > COUNT_MAX * 1000)
        return false;
    *ret_mib = scale ? mul_div_floor(thousandths, scale, 1000) : thousandths / 1024 / 1000;
    return true;
}

static int64_t count_read(struct str text, int64_t absent)
{
    int64_t value;
    return str_to_i64(text, &value) && value > 0 && value < COUNT_MAX ? value : absent;
}

static void amounts_set(const struct csv *c, struct job *job)
{
    struct str tres = c->fields[TRES];
    int64_t nodes = count_read(tres_get(tres, "node"), count_read(c->fields[NODES], 1));
    int64_t cpus = count_read(tres_get(tres, "cpu"), count_read(c->fields[CPUS], nodes));
    int64_t gpus = count_read(tres_get(tres, "gres/gpu"), 0), mib = 0;
    char of = 0;
    job->accelerator = tres_gpu_model(tres);
    /* Slurm may spread GPUs over nodes unevenly; gangs here are even. */
    while (gpus && (gpus % nodes || gpus / nodes > GPUS_A_NODE) && nodes < gpus)
        nodes++;
    job->replicas = (uint32_t)nodes;
    job->amounts.gpu_milli = gpus / nodes * 1000;
    job->amounts.core_milli = div_ceil(cpus, nodes) * 1000;
    if (memory_read(tres_get(tres, "mem"), &mib, &of))
        mib = div_ceil(mib, nodes);
    else if (memory_read(c->fields[MEMORY], &mib, &of))
        mib = of == 'c' ? mib * div_ceil(cpus, nodes) : of == 'n' ? mib : div_ceil(mib, nodes);
    job->amounts.memory_mib = mib;
}

/* What Slurm itself ended, it would not have: the run goes on to what it asked for. */
static bool end_set(const struct csv *c, struct job *job)
{
    struct str rest = c->fields[STATE];
    struct str state = str_cut(&rest, ' ');
    if (state.size && state.data[state.size - 1] == '+')
        state.size--;
    if (str_is(state, "PENDING") || str_is(state, "RUNNING") || str_is(state, "REQUEUED") ||
        str_is(state, "RESIZING") || str_is(state, "SUSPENDED"))
        return false;
    if (str_is(state, "CANCELLED"))
        job->end = JOB_IS_CANCELLED;
    else if (str_is(state, "FAILED") || str_is(state, "OUT_OF_MEMORY") ||
             str_is(state, "OUT_OF_ME") || str_is(state, "BOOT_FAIL"))
        job->end = JOB_FAILS;
    else
        job->end = JOB_FINISHES; /* COMPLETED, TIMEOUT, PREEMPTED, NODE_FAIL, DEADLINE */
    return true;
}

/* `job` has its end already. */
static int job_read(const struct csv *c, struct job *job, struct error *err)
{
    time_ms start;
    job->name = c->fields[NAME].size ? c->fields[NAME] : c->fields[ID];
    job->tenant = c->fields[ACCOUNT].size ? c->fields[ACCOUNT] : c->fields[USER];
    if (!time_parse(c->fields[SUBMIT], &job->submit))
        return csv_fail(c, err, "Submit: \"%.*s\" is not a time",
                        (int)MIN(c->fields[SUBMIT].size, 40), c->fields[SUBMIT].data);
    if (!span_read(c->fields[ELAPSED], &job->run))
        return csv_fail(c, err, "Elapsed: \"%.*s\" is not a time",
                        (int)MIN(c->fields[ELAPSED].size, 40), c->fields[ELAPSED].data);
    (void)span_read(c->fields[LIMIT], &job->estimate); /* UNLIMITED, Partition_Limit: nothing */
    amounts_set(c, job);
    if (job->end == JOB_IS_CANCELLED && job->run == 0 && time_parse(c->fields[START], &start))
        job->patience = MAX(start - job->submit, 0);
    return 0;
}

static bool is_step(const struct csv *c)
{
    return memchr(c->fields[ID].data, '.', c->fields[ID].size) != NULL;
}

int jobs_parse_slurm(struct jobs *jobs, const char *file, struct buf *text, struct error *err)
{
    struct csv_form form = {columns, sizeof columns / sizeof *columns, .separator = '|'};
    struct csv c;
    int status = csv_open(&c, file, text, &form, err);
    while (status == 0 && (status = csv_next(&c, err)) == 1) {
        struct job job = job_default();
        bool wanted = c.fields[ID].size && !is_step(&c) && end_set(&c, &job);
        status = wanted ? job_read(&c, &job, err) : 0;
        if (status == 0 && wanted)
            jobs_add(jobs, &job);
        jobs->skipped += !wanted;
    }
    return status;
}

int jobs_read_slurm(struct jobs *jobs, const char *path, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(INPUT_LIMIT);
    int status = input_read(path, &text, err);
    return status ? status : jobs_parse_slurm(jobs, path, &text, err);
}
