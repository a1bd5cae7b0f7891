/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/sha256.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(struct sha256), "room for the state");
static_assert(_Alignof(crypto_hash_sha256_state) <= _Alignof(struct sha256), "its alignment");

static crypto_hash_sha256_state *state_of(struct sha256 *s)
{
    return (crypto_hash_sha256_state *)(void *)s->state;
}

void sha256_init(struct sha256 *s)
{
    crypto_hash_sha256_init(state_of(s));
}

void sha256_add(struct sha256 *s, const void *data, size_t size)
{
    crypto_hash_sha256_update(state_of(s), data, size);
}

void sha256_end(struct sha256 *s, char ret_hex[SHA256_HEX])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(state_of(s), hash);
    sodium_bin2hex(ret_hex, SHA256_HEX, hash, sizeof hash);
}

int sha256_file(const char *path, char ret_hex[SHA256_HEX], struct error *err)
{
    char part[65536];
    struct sha256 s;
    ssize_t size;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    sha256_init(&s);
    while ((size = read(file, part, sizeof part)) != 0) {
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            break;
        sha256_add(&s, part, (size_t)size);
    }
    int failed = size < 0 ? errno : 0;
    close(file);
    sha256_end(&s, ret_hex);
    return failed ? error_set(err, -failed, "%s: %s", path, strerror(failed)) : 0;
}
