/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Ids as people see them: a type prefix and 16 letters or digits, "work_4k2m8q0r7t1v9x3z", made
 * from the engine's integer by a keyed permutation, so that they tell nothing and need no table. */

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct id_key {
    uint64_t k0, k1;
};

#define ID_TEXT_MAX 32
struct id_text {
    char text[ID_TEXT_MAX];
};

/* prefix: "work", "node", "proj", "key", "prin", "pool"; at most 8 letters. */
struct id_text id_format(struct id_key key, const char *prefix, uint64_t id);
/* False where the prefix is another or the rest was not made with this key. */
bool id_parse(struct id_key key, const char *prefix, struct str text, uint64_t *ret);
