/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Names in place of ids: shorter to type, and not unique. */

#include "cli/session.h"

#define WORKLOAD_LIVE_STATES "waiting,assigned,running,preempting"

/* The id of a workload, given by id or by name: the newest of the name that lives, or else that has
 * ended. What changes one wants it to be the only one that lives. *ret is in cli->arena. EXIT_OK or
 * complained. */
int workload_named(struct cli *cli, const char *word, bool changes, const char **ret);
