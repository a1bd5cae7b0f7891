/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The files that go with a workload: a plain tar named by its SHA-256. It holds folders, files (with
 * the right to execute, or not) and links that stay inside; no owners and no times, names in order:
 * equal files make equal bytes. Nothing is compressed, so nothing blows up. */

#include "base/error.h"
#include "wire/sha256.h"

#include <stddef.h>
#include <stdint.h>

#define ARCHIVE_BYTES_MAX ((int64_t)256 << 20) /* of the archive itself */
#define ARCHIVE_ENTRIES_MAX 100000

struct archive_source {
    const char *path;   /* a folder, all of it that is not ignored, or a file */
    const char *prefix; /* what it is called in the archive: "workdir", "mounts/0" */
};

/* Writes `file` (made or replaced, readable by its owner) and its hash. Left out of a folder is what
 * its .skyignore says, or else the .gitignore files of it, its subfolders and the repository that
 * it stands in; and .git itself. A link that leaves its folder and what is neither file, folder nor
 * link are errors: err names the path. -EFBIG: over one of the bounds. */
int archive_pack(const struct archive_source *sources, size_t count, const char *file,
                 char ret_sha256[SHA256_HEX], struct error *err);

/* Unpacks into an existing folder. Trusts nothing: absolute paths, `..`, writing through a link or
 * over a file, links that could leave the folder, devices, anything compressed and whatever is over
 * the bounds are refused with -EINVAL; what was written until then stays, the caller removes it. */
int archive_extract(const char *file, const char *folder, struct error *err);
