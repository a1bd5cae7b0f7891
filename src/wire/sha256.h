/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* SHA-256, for archives and the binary: the names of content. */

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define SHA256_HEX 65 /* 64 small hexadecimal digits and a terminator */

struct sha256 {
    uint64_t state[16]; /* of the library */
};
void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t size);
void sha256_end(struct sha256 *s, char ret_hex[SHA256_HEX]);
/* Of a whole file. */
int sha256_file(const char *path, char ret_hex[SHA256_HEX], struct error *err);
