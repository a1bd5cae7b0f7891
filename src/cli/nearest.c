/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/nearest.h"

#include "base/number.h"

#include <string.h>

#define LENGTH_MAX 40

/* Insertions, deletions, replacements and swaps of neighbours (Damerau 1964, optimal alignment). */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][LENGTH_MAX + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > LENGTH_MAX || m > LENGTH_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *before = rows[(i + 2) % 3], *two_before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t change = before[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = MIN(change, MIN(before[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN(row[j], two_before[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

struct nearest nearest_to(const char *word)
{
    return (struct nearest){.word = word, .distance = 1 + (strlen(word) + 2) / 3};
}

void nearest_try(struct nearest *nearest, const char *candidate)
{
    size_t size = strlen(nearest->word);
    size_t distance = edit_distance(nearest->word, candidate);
    /* "log" for "logs", "prio" for "priority": the head of a word is near it */
    if (size >= 3 && strncmp(candidate, nearest->word, size) == 0)
        distance = MIN(distance, 1);
    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->found = candidate;
    }
}
