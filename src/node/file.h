/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Files and folders as the agent needs them: small ones read and written whole, trees removed. */

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/* Replaces what `ret` holds; ret->limit bounds it. -ENOENT, -EFBIG over the limit, other errno. */
int file_read(const char *path, struct buf *ret, struct error *err);
/* Writes aside and renames, so that a reader sees the old file or the new one; `flush` makes it
 * survive a power cut too. */
int file_replace(const char *path, struct str text, mode_t mode, bool flush, struct error *err);
/* Writes to a file that exists, as files of the kernel do. -errno; no message. */
int file_poke(const char *path, const char *text);
/* The folder and those above it that are lacking. */
int folder_make(const char *path, mode_t mode, struct error *err);
/* A file, or a folder with all below it; links are not followed and other mounts not entered.
 * Absent is 0. */
int folder_remove(const char *path, struct error *err);
/* Gives all below and itself to a user; links themselves, never what they point at. */
int tree_give(const char *path, uid_t user, gid_t group, struct error *err);
