/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/input.h"

#include "base/check.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#define ZLIB_CONST
#include <zlib.h>

#define STEP ((size_t)1 << 16)

static int too_large(const struct buf *b, struct error *err)
{
    return error_set(err, -EFBIG, "larger than %zu bytes", b->limit);
}

/* One call of inflate into the free end of `ret`; Z_OK, Z_STREAM_END or a negative errno. */
static int inflate_step(z_stream *z, struct buf *ret, struct error *err)
{
    size_t step = ret->limit - ret->size < STEP ? ret->limit - ret->size : STEP;
    char *room = step ? buf_reserve(ret, step) : NULL;
    if (!room)
        return too_large(ret, err);
    z->next_out = (Bytef *)room;
    z->avail_out = (uInt)step;
    int status = inflate(z, Z_NO_FLUSH);
    ret->size += step - z->avail_out;
    ret->data[ret->size] = 0;
    if (status == Z_OK || status == Z_STREAM_END)
        return status;
    return error_set(err, -EINVAL, "gzip: %s",
                     status == Z_BUF_ERROR ? "ends too early" : "damaged");
}

static int inflate_all(z_stream *z, struct buf *ret, struct error *err)
{
    for (;;) {
        int status = inflate_step(z, ret, err);
        if (status < 0)
            return status;
        if (status != Z_STREAM_END)
            continue;
        if (z->avail_in == 0)
            return 0;
        inflateReset(z); /* gzip files may stand one behind the other */
    }
}

int input_unpack(struct str bytes, struct buf *ret, struct error *err)
{
    if (bytes.size < 2 || memcmp(bytes.data, "\x1f\x8b", 2) != 0) {
        buf_append_str(ret, bytes);
        return ret->overflow ? too_large(ret, err) : 0;
    }
    if (bytes.size > UINT_MAX)
        return error_set(err, -EFBIG, "larger than %u bytes", UINT_MAX);
    z_stream z = {.next_in = (z_const Bytef *)bytes.data, .avail_in = (uInt)bytes.size};
    CHECK(inflateInit2(&z, 15 + 16) == Z_OK);
    int status = inflate_all(&z, ret, err);
    inflateEnd(&z);
    return status;
}

static int read_all(FILE *file, struct buf *ret, struct error *err)
{
    for (;;) {
        char *room = buf_reserve(ret, STEP);
        if (!room)
            return too_large(ret, err);
        size_t got = fread(room, 1, STEP, file);
        ret->size += got;
        ret->data[ret->size] = 0;
        if (got < STEP)
            break;
    }
    return ferror(file) ? error_set(err, -EIO, "cannot be read") : 0;
}

int input_read(const char *path, struct buf *ret, struct error *err)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    _cleanup_buf_ struct buf raw = BUF_INIT(INPUT_LIMIT);
    int status = read_all(file, &raw, err);
    fclose(file);
    if (status == 0)
        status = input_unpack(buf_str(&raw), ret, err);
    return status ? error_prefix(err, "%s", path) : 0;
}
