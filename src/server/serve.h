/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `tessera serve`: the control plane, until SIGTERM or SIGINT. Exit code 0 after a clean stop, 1 where
 * it could not start or go on (the reason is on standard error), 2 for a wrong command line. */

int serve_main(int argc, char **argv);
