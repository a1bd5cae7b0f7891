/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Snapshots of the engine's state: DIR/SEQ.snap, one file each, written aside (SEQ.tmp), flushed and
 * renamed. Works with system calls alone, so that a forked child may write one. */

#include "base/buf.h"
#include "base/error.h"
#include "base/number.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

#define SNAPSHOT_HEADER_SIZE 64
#define SNAPSHOT_SIZE_MAX BUF_LIMIT_DEFAULT

struct snapshot_header {
    uint32_t format;         /* of the body, the engine's; never 0 */
    uint32_t engine_version;
    uint64_t seq;            /* the last command that the state includes */
    uint64_t digest;         /* running digest of the journal up to seq */
    time_ms time;
    uint64_t size, checksum; /* of the body */
};

/* Encodes a header with its own checksum. */
void snapshot_header_write(const struct snapshot_header *header, unsigned char ret[static SNAPSHOT_HEADER_SIZE]);
/* -EBADMSG where the bytes are no header or damaged. */
int snapshot_header_read(struct str bytes, struct snapshot_header *ret, struct error *err);

/* Durable under its name when it returns 0; size and checksum of the header are filled in here. A
 * failure leaves no file under the name, nor aside. Replaces one of the same number. */
int snapshot_write(const char *dir, const struct snapshot_header *header, struct str body, struct error *err);
struct snapshot {
    struct snapshot_header header;
    struct buf body; /* give it back with buf_fini */
};

/* Reads one and checks it whole. -ENOENT; -EBADMSG: damaged; -EPROTO: its format is newer than
 * `format`. *ret is untouched on failure. */
int snapshot_read(const char *dir, uint64_t seq, uint32_t format, struct snapshot *ret, struct error *err);
/* The newest that is whole; an older one where newer ones are damaged (what was wrong is in err's
 * text, with 0 returned). -ENOENT: none is there; -EBADMSG: all are damaged; a newer format is
 * -EPROTO at once, never passed over. */
int snapshot_newest(const char *dir, uint32_t format, struct snapshot *ret, struct error *err);

/* Numbers of the files that are there, newest first, unchecked; *ret is the caller's to xfree. */
int snapshot_list(const char *dir, uint64_t **ret, size_t *ret_count, struct error *err);
/* Deletes all but the `keep` newest and what unfinished writes left. *ret_oldest: number of the
 * oldest that stays, 0 where there are fewer than `keep`: what the journal holds after it must stay. */
int snapshot_prune(const char *dir, size_t keep, uint64_t *ret_oldest, struct error *err);
