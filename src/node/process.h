/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Processes, where no control group knows them; and the boot that they live in. */

#include <stddef.h>
#include <sys/types.h>

#define PROCESS_BOOT_MAX 64

/* Children, their children and so on; at most `most`, returns how many there are. A child subreaper
 * sees all that it ever started. */
size_t process_descendants(pid_t of, pid_t *ret, size_t most);
/* Sends it to all of them, until a look finds no new ones. */
void process_signal_descendants(pid_t of, int signal);

/* The kernel's id of this boot; empty where it tells none. */
void process_boot(char ret[PROCESS_BOOT_MAX]);
