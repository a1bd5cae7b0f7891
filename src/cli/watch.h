/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Prints again whenever something happened, for `--watch`. */

#include "cli/session.h"

/* `types`: of events that matter, comma-joined; empty: all. On a terminal the screen is redrawn, in
 * a pipe each print follows the last after an empty line. Ends with an exit code of print that is
 * not EXIT_OK, or when the server is gone for good. */
int watch_run(struct cli *cli, const char *types, int (*print)(struct cli *cli));
