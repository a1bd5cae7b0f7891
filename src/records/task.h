/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Task files: YAML in SkyPilot's form, with Tessera's fields under `market:`, to a workload_request.
 * A field that is not supported is refused by its path, never ignored. */

#include "records/workload.h"

/* What of the submitter's folder the task needs. The caller packs it (wire/archive.h), uploads it
 * and fills request->archive. Where things go in the archive is in the request already: workdir
 * under `workdir`, mount number i under `mounts/i`. */
struct task_file {
    struct workload_request request;
    struct str workdir;        /* local path as written, empty: none */
    struct record_list mounts; /* of struct record_pair: target -> local path as written; in the
                                  order of request->mounts */
};

/* Lives in the arena and the text. On error nothing of ret may be used and err says
 * `resources.accelerators: what is wrong, what is allowed`. */
int task_parse(struct str yaml, struct arena *arena, struct task_file *ret, struct error *err);
/* Sets or replaces environment variables and secrets given on a command line ("NAME=value"). */
int task_set_env(struct task_file *task, struct str pair, bool secret, struct arena *arena, struct error *err);
/* Before it is sent: variables that the file leaves to the command line (`TOKEN: null`) have a
 * value, and an archive is there if paths need one. */
int task_check(const struct task_file *task, struct error *err);
