/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Prints again whenever something happened, for `--watch`. */

#include "cli/session.h"

/* Changes of state, for `types`. */
#define WATCH_WORKLOADS                                                                            \
    "workload_submitted,workload_assigned,workload_started,workload_preempting,workload_waiting,"  \
    "workload_finished,workload_failed,workload_cancelled,workload_rejected,workload_changed"
#define WATCH_NODES "node_registered,node_changed,node_lost," WATCH_WORKLOADS

/* `types`: of events that matter, comma-joined; empty: all. On a terminal the screen is redrawn, in
 * a pipe each print follows the last after an empty line. Ends with an exit code of print that is
 * not EXIT_OK, or when the server is gone for good. */
int watch_run(struct cli *cli, const char *types, int (*print)(struct cli *cli));
