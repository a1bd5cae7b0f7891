/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Users for workloads: numbers that no account has, a range for each installation. Ranges are
 * claimed in one file of the machine, under a lock, so that two installations never share one. Where
 * those numbers do not exist (a machine made of namespaces), ranges are taken below 65,536. */

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define USER_RANGE_FIRST 1900000000u /* above what systemd hands to containers, below 2^31 */
#define USER_RANGE_SIZE 4096u
#define USER_RANGE_COUNT 16384u

struct user_range {
    uint32_t first, count; /* count 0 = none */
    uint32_t next;         /* offset of the one to try first */
};

/* Claims a range for the installation `id` (letters and digits) that lives in `folder`, or finds
 * the claim that it has. A claim ends when its folder is gone and no process runs under its
 * numbers. */
int user_range_claim(const char *claims_file, const char *id, const char *folder,
                     struct user_range *ret, struct error *err);
