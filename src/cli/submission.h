/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* From a task file or a command line to a submitted workload: reads, packs, uploads, posts. */

#include "cli/session.h"
#include "records/api.h"
#include "records/task.h"

/* FILE or `-- COMMAND`, with the options on top. Uploads nothing; the archive is only named where
 * `submission_pack` made it. EXIT_OK or complained. */
int submission_read(struct cli *cli, struct task_file *ret);
/* Packs and uploads what the task needs of this machine, unless the server has it. */
int submission_upload(struct cli *cli, struct task_file *task);
/* read, upload, post. */
int submission_send(struct cli *cli, struct task_file *ret_task, struct api_created *ret);
