/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pack.h"

void pack_u64(struct buf *out, uint64_t value)
{
    if (value < 0x80) { /* most are */
        buf_append_byte(out, (char)value);
        return;
    }
    char bytes[10];
    size_t size = 0;
    while (value >= 0x80) {
        bytes[size++] = (char)(value | 0x80);
        value >>= 7;
    }
    bytes[size++] = (char)value;
    buf_append(out, bytes, size);
}

void pack_i64(struct buf *out, int64_t value)
{
    pack_u64(out, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

void pack_str(struct buf *out, struct str text)
{
    pack_u64(out, text.size);
    buf_append_str(out, text);
}

uint64_t unpack_u64(struct unpack *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && in->at < in->size && !in->bad; shift += 7) {
        unsigned char byte = in->data[in->at++];
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    in->bad = true;
    return 0;
}

int64_t unpack_i64(struct unpack *in)
{
    uint64_t value = unpack_u64(in);
    return (int64_t)((value >> 1) ^ (0 - (value & 1)));
}

struct str unpack_str(struct unpack *in)
{
    size_t size = unpack_count(in, 1);
    if (in->bad)
        return (struct str){0};
    struct str text = {(const char *)in->data + in->at, size};
    in->at += size;
    return text;
}

size_t unpack_count(struct unpack *in, size_t least)
{
    uint64_t count = unpack_u64(in);
    if (in->bad || count > (in->size - in->at) / least) {
        in->bad = true;
        return 0;
    }
    return (size_t)count;
}
