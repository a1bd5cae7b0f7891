/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Small files of the data folder. */

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>

/* DATA/name, owned by the caller. */
char *data_path(const char *data, const char *name);
/* Whole, at most 1 MiB. -ENOENT where there is none. */
int data_read(const char *path, struct buf *out, struct error *err);
/* Aside, flushed and renamed; mode 0600. */
int data_write(const char *path, struct str text, struct error *err);
bool data_exists(const char *path);
/* Opens DATA/lock and takes it until the descriptor is closed; -EBUSY: another process has it, named. */
int data_lock(const char *data, int *ret_fd, struct error *err);
