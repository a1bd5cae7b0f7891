/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What git would not look at: the rules of .gitignore files (gitignore(5)), gathered on the way down
 * a tree. Of all rules that match a path the last one read decides. */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct ignore_rule;
struct ignore {
    struct ignore_rule *rules;
    size_t count, capacity;
};

/* Appends the rules of folder/name; no such file is no rules. */
int ignore_load(struct ignore *ignore, const char *folder, const char *name, struct error *err);
/* Takes the newest rules back, down to `count` (leaving a folder). */
void ignore_cut(struct ignore *ignore, size_t count);
/* `path` begins with the folder that a rule was read in, as it was given there. */
bool ignore_match(const struct ignore *ignore, const char *path, bool is_folder);
void ignore_fini(struct ignore *ignore);
