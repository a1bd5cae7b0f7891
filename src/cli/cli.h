/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `tessera COMMAND …`: parses the command line by the table of commands and runs one. */

int cli_main(int argc, char **argv);
