/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a replica says: written to a file up to a cap, and the end of it kept for the record of its
 * end. */

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define HOLD_TAIL_MAX 8192

struct hold_log {
    int fd; /* -1 = nothing is written */
    int64_t size, most;
    bool full;
    char tail[HOLD_TAIL_MAX]; /* a ring: byte n of the output stands at n % HOLD_TAIL_MAX */
    uint64_t said;            /* bytes of output in all */
};

/* Opens (and goes on with) a file; -errno. */
int hold_log_open(struct hold_log *log, const char *path, int64_t most);
void hold_log_add(struct hold_log *log, struct str piece);
/* Appends the last lines: at most `most` bytes of valid UTF-8, from the beginning of a line where
 * one begins in the last `most` bytes. Bytes that are not UTF-8 become '?'. */
void hold_log_last_lines(const struct hold_log *log, size_t most, struct buf *out);
