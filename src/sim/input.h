/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Files of traces and fleets, plain or gzip, whole in memory. */

#include "base/buf.h"
#include "base/error.h"

#define INPUT_LIMIT ((size_t)1 << 30)

/* Reads a file and unpacks it where it is gzip; `ret` holds at most its own limit. */
int input_read(const char *path, struct buf *ret, struct error *err);
/* Unpacks one or more gzip members; plain bytes are copied. */
int input_unpack(struct str bytes, struct buf *ret, struct error *err);
