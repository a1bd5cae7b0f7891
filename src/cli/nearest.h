/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What somebody may have meant: the candidate at the least edit distance, if it is near at all. */

#include <stddef.h>

struct nearest {
    const char *word;
    const char *found; /* borrowed from nearest_try; NULL: nothing near */
    size_t distance;
};

struct nearest nearest_to(const char *word);
void nearest_try(struct nearest *nearest, const char *candidate);
