/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Whole files that people name on the command line. */

#include "base/buf.h"
#include "base/error.h"

/* Appends the file, "-" is standard input. Negative errno; -EFBIG past the buffer's limit. err says
 * `PATH: what is wrong`. */
int input_read(const char *path, struct buf *out, struct error *err);
