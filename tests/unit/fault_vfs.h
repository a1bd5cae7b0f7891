/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A SQLite VFS named "fault": the system's own, whose writes and syncs fail when a test says so. */

#include <stdatomic.h>

enum fault { FAULT_NONE, FAULT_FULL, FAULT_IO };
extern _Atomic int fault_vfs_fault;
/* How many writes found it; a test waits for that. */
extern _Atomic int fault_vfs_hits;
/* Files whose name does not hold this text are left alone; NULL = none are. */
extern const char *fault_vfs_name;
void fault_vfs_register(void);
