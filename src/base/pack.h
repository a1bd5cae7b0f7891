/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The bytes of snapshots, digests and journal records: LEB128 varints (signed ones zigzagged)
 * and length-prefixed strings, written to a buf and read back with a sticky error. */

#include "base/buf.h"
#include "base/str.h"

void pack_u64(struct buf *out, uint64_t value);
void pack_i64(struct buf *out, int64_t value);
void pack_str(struct buf *out, struct str text);

struct unpack {
    const unsigned char *data;
    size_t size, at;
    bool bad; /* sticky: something did not fit; everything read since is zero */
};

static inline struct unpack unpack_from(struct str bytes)
{
    return (struct unpack){.data = (const unsigned char *)bytes.data, .size = bytes.size};
}
uint64_t unpack_u64(struct unpack *in);
int64_t unpack_i64(struct unpack *in);
/* Borrowed from the input. */
struct str unpack_str(struct unpack *in);
/* A count of elements that take at least `least` bytes each: bad where more than can follow. */
size_t unpack_count(struct unpack *in, size_t least);
