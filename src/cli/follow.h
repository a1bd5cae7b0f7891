/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Stays with one workload to its end: what happens to it on standard error, the log of rank 0 on
 * standard output, so that a pipe gets the work's own output. */

#include "cli/session.h"
#include "records/api.h"

/* The workload's exit code, EXIT_WORKLOAD where it ended without one, EXIT_INTERRUPTED where the
 * person left (it goes on), or an exit code of our own, complained. */
int follow_workload(struct cli *cli, const struct api_created *created);
