/* SPDX-License-Identifier: Apache-2.0 */
/* slurm_submit PROCESSES SECONDS: the job mix into Slurm through its own library, from several processes
 * at once, each call timed. Built by bench/slurm where libslurm is present; prints one JSON object. */
#include "mix_job.h"

#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALLS_MAX 200000 /* of one process */

struct share {
    unsigned count, failed;
    uint32_t us[CALLS_MAX];
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int submit(uint64_t *state)
{
    static char *environment[] = {"PATH=/usr/bin:/bin", NULL};
    struct mix_job mix = mix_job(state);
    char gres[32];
    job_desc_msg_t job;
    submit_response_msg_t *answer = NULL;
    snprintf(gres, sizeof gres, "gres:gpu:%d", mix.gpus);
    slurm_init_job_desc_msg(&job);
    job.name = "bench";
    job.script = "#!/bin/sh\nexit 0\n";
    job.work_dir = "/tmp";
    job.environment = environment;
    job.env_size = 1;
    job.user_id = getuid();
    job.group_id = getgid();
    job.min_nodes = job.max_nodes = (uint32_t)mix.nodes;
    job.num_tasks = (uint32_t)mix.nodes;
    job.ntasks_per_node = 1;
    job.cpus_per_task = (uint16_t)mix.gpus;
    job.min_cpus = (uint32_t)(mix.nodes * mix.gpus);
    job.tres_per_node = gres;
    job.pn_min_memory = (uint64_t)mix.gpus * 10240;
    job.time_limit = (uint32_t)mix.minutes;
    int code = slurm_submit_batch_job(&job, &answer);
    if (answer)
        slurm_free_submit_response_response_msg(answer);
    return code;
}

static void run(struct share *share, unsigned number, double seconds)
{
    uint64_t state = number + 1;
    double end = now() + seconds;
    while (share->count < CALLS_MAX) {
        double begin = now();
        if (begin >= end)
            return;
        if (submit(&state) != SLURM_SUCCESS) {
            if (share->failed++ == 0)
                fprintf(stderr, "slurm_submit: %s\n", slurm_strerror(slurm_get_errno()));
            continue;
        }
        share->us[share->count++] = (uint32_t)((now() - begin) * 1e6);
    }
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print(const struct share *shares, unsigned processes, double span)
{
    unsigned count = 0, failed = 0;
    uint32_t *all = malloc((size_t)processes * CALLS_MAX * sizeof *all);
    for (unsigned p = 0; all && p < processes; p++) {
        memcpy(all + count, shares[p].us, shares[p].count * sizeof *all);
        count += shares[p].count;
        failed += shares[p].failed;
    }
    if (all && count)
        qsort(all, count, sizeof *all, compare_u32);
    printf("{\"per_s\":%.1f,\"answered\":%u,\"failed\":%u,\"p50_ms\":%.2f,\"p99_ms\":%.2f}\n",
           count / span, count, failed, all && count ? all[count / 2] / 1e3 : 0,
           all && count ? all[(size_t)count * 99 / 100] / 1e3 : 0);
    free(all);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    unsigned processes = (unsigned)strtoul(argv[1], NULL, 10);
    double seconds = strtod(argv[2], NULL), begin = now();
    struct share *shares = mmap(NULL, processes * sizeof *shares, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shares == MAP_FAILED)
        return 1;
    for (unsigned p = 0; p < processes; p++)
        if (fork() == 0) {
            run(&shares[p], p, seconds);
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    print(shares, processes, now() - begin);
    return 0;
}
