/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The command line against the table of commands. Options may stand anywhere, also before the
 * command; `--name VALUE`, `--name=VALUE`, `-n VALUE`, `-nVALUE`, `-fw`; `--` ends them. */

struct cli;

/* Fills cli->command, values, operands, program, help and json. EXIT_OK, or EXIT_USAGE once it has
 * complained. cli->command stays NULL where only --help or nothing was given. */
int arguments_parse(struct cli *cli, int argc, char **argv);
/* Frees what arguments_parse made. */
void arguments_fini(struct cli *cli);
