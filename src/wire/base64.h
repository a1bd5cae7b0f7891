/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Base64 (RFC 4648, with padding) and hexadecimal. */

#include "base/arena.h"
#include "base/buf.h"

#include <stdbool.h>

void base64_encode(struct str bytes, struct buf *out);
/* As a JSON string. */
void base64_encode_json(struct str bytes, struct buf *out);
bool base64_decode(struct str text, struct arena *arena, struct str *ret);
void hex_encode(struct str bytes, struct buf *out);
/* `text` must be exactly 2 × size digits. */
bool hex_decode(struct str text, unsigned char *ret, size_t size);
