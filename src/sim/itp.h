/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Training jobs with deadlines whose speed by number of GPUs is measured: Microsoft's ITP clusters
 * as the authors of ElasticFlow prepared them (Gu et al., ASPLOS 2023). */

#include "base/buf.h"
#include "base/error.h"
#include "base/number.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ITP_SIZES 11 /* powers of two: 1 … 1,024 GPUs */

struct itp_job {
    time_ms submit, deadline;
    int64_t work; /* iterations x 10^9 */
    int64_t
        speed[ITP_SIZES]; /* iterations x 10^9 a ms, on 2^i GPUs; the best of that many or fewer */
    uint32_t sizes;       /* how many of them are measured */
    uint32_t requested;   /* exponent of the GPUs asked for, rounded up */
};

struct itp_speed {
    struct str model;
    int64_t batch;
    int64_t speed[ITP_SIZES]; /* 0: not measured */
};

struct itp {
    struct itp_job *jobs; /* by submission, then as they came */
    size_t count, capacity;
    struct itp_speed *speeds;
    size_t speed_count, speed_capacity;
    struct buf speed_text;
};

/* The rows of one GPU type; reads before the jobs. */
int itp_read_speeds(struct itp *t, const char *path, const char *gpu_type, struct error *err);
int itp_read_jobs(struct itp *t, const char *path, struct error *err);
int itp_parse_speeds(struct itp *t, const char *file, const char *gpu_type,
                     struct error *err); /* speed_text is there */
int itp_parse_jobs(struct itp *t, const char *file, struct buf *text, struct error *err);
void itp_fini(struct itp *t);
