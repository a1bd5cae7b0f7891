/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Places to mount on that a machine does not have, made in a mount namespace alone: the folder
 * above is covered by one in memory that shows all that was there, and the new place. The machine's
 * own files stay as they are. */

#include "base/error.h"

#include <stdbool.h>

/* Makes an absolute path a folder, or else a file, where nothing is there. The process must be in a
 * private mount namespace of its own; `stage` is a folder to work in. */
int mount_point_make(const char *target, bool folder, const char *stage, struct error *err);
