/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A SQLite VFS named "powercut" over a struct disk, as unix behaves: shared memory and locks live
 * with the process, the first sync of a new log also syncs the folder. For one thread. */

#include "disk.h"

/* Registers it once; from now on it stands on this disk, and what locks and shared memory there were
 * are forgotten. All connections must be closed. */
void powercut_vfs_use(struct disk *disk);
