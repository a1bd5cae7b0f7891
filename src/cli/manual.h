/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is written from the table of commands: man pages and docs/commands.md. */

/* `--man FOLDER` writes tessera.1 and one page a command ("tessera-node-add.1"); `--man -` prints
 * docs/commands.md. Not for people: tools/install and a test call it. */
int manual_main(int argc, char **argv);
