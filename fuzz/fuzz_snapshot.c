/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the header of a snapshot: what is accepted must be written back as the same bytes, and
 * promise no more than fits. The checksum is put right first for every other input, so that the
 * fields behind it are reached. */

#include "base/check.h"
#include "base/hash.h"
#include "store/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char bytes[SNAPSHOT_HEADER_SIZE], again[SNAPSHOT_HEADER_SIZE];
    struct snapshot_header header = {};
    struct error err = {};
    snapshot_header_read((struct str){(const char *)data, size}, &header, &err);
    if (size < SNAPSHOT_HEADER_SIZE)
        return 0;
    memcpy(bytes, data, sizeof bytes);
    if (data[0] != 'T')
        memcpy(bytes, "TESSNAP1", 8);
    uint64_t checksum = hash_bytes(bytes, sizeof bytes - 8);
    for (size_t i = 0; i < 8; i++)
        bytes[56 + i] = (unsigned char)(checksum >> (8 * i));
    if (snapshot_header_read((struct str){(char *)bytes, sizeof bytes}, &header, &err) < 0)
        return 0;
    CHECK(header.format > 0 && header.size <= SNAPSHOT_SIZE_MAX);
    snapshot_header_write(&header, again);
    CHECK(memcmp(bytes, again, sizeof bytes) == 0);
    return 0;
}
