/* SPDX-License-Identifier: Apache-2.0 */
/* 80 bits: the 64 of the integer and 16 of zero, through a four-round Feistel network of two
 * 40-bit halves with SipHash as the round function (Luby and Rackoff 1988). The zero bits refuse
 * what was not made with the key. Written in base 32 without i, l, o, u. */
#include "wire/id.h"

#include "base/check.h"
#include "base/hash.h"

#include <string.h>

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
#define HALF_MASK (((uint64_t)1 << 40) - 1)
#define ID_DIGITS 16

static uint64_t round_value(struct id_key key, const char *prefix, uint64_t round, uint64_t half)
{
    uint64_t input[3] = {half, round, 0};
    memcpy(&input[2], prefix, strnlen(prefix, 8));
    return siphash((struct hash_key){key.k0, key.k1}, input, sizeof input) & HALF_MASK;
}

struct id_text id_format(struct id_key key, const char *prefix, uint64_t id)
{
    CHECK(strlen(prefix) <= 8);
    uint64_t left = id >> 40, right = id & HALF_MASK; /* left: 16 zero bits on top */
    for (uint64_t round = 0; round < 4; round++) {
        uint64_t next = left ^ round_value(key, prefix, round, right);
        left = right;
        right = next;
    }
    struct id_text ret;
    size_t size = strlen(prefix);
    char *out = ret.text + size + 1;
    memcpy(ret.text, prefix, size);
    ret.text[size] = '_';
    for (int i = 0; i < 8; i++) {
        out[7 - i] = alphabet[left >> (5 * i) & 31];
        out[15 - i] = alphabet[right >> (5 * i) & 31];
    }
    out[ID_DIGITS] = '\0';
    return ret;
}

static bool read_half(const char *text, uint64_t *ret)
{
    uint64_t half = 0;
    for (int i = 0; i < 8; i++) {
        const char *found = text[i] ? strchr(alphabet, text[i]) : NULL;
        if (found == NULL)
            return false;
        half = half << 5 | (uint64_t)(found - alphabet);
    }
    *ret = half;
    return true;
}

bool id_parse(struct id_key key, const char *prefix, struct str text, uint64_t *ret)
{
    size_t head = strlen(prefix);
    uint64_t left, right;
    if (text.size != head + 1 + ID_DIGITS || memcmp(text.data, prefix, head) != 0 || text.data[head] != '_')
        return false;
    if (!read_half(text.data + head + 1, &left) || !read_half(text.data + head + 9, &right))
        return false;
    for (uint64_t round = 4; round-- > 0;) {
        uint64_t previous = right ^ round_value(key, prefix, round, left);
        right = left;
        left = previous;
    }
    if (left >> 24 != 0)
        return false;
    *ret = left << 40 | right;
    return *ret != 0;
}
