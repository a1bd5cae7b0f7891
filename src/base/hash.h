/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) for tie keys and
 * digests, and a cheap mixer for hash tables. None of it is for secrets. */

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0, k1;
};

uint64_t siphash(struct hash_key key, const void *data, size_t size);
/* Folds bytes into a running digest. */
static inline uint64_t digest_add(uint64_t digest, const void *data, size_t size)
{
    return siphash((struct hash_key){digest, 0x7465737365726121u}, data, size);
}

/* For hash tables: fixed for ever, so that no run differs from another. */
uint64_t hash_bytes(const void *data, size_t size);
static inline uint64_t hash_u64(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ (x >> 32);
}

/* SplitMix64 (Steele, Lea and Flood 2014): randomness as data, from a seed. */
struct prng {
    uint64_t state;
};
uint64_t prng_next(struct prng *p);
/* Uniform in [0, bound); bound > 0. */
uint64_t prng_below(struct prng *p, uint64_t bound);
