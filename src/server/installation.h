/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What tells one installation from another on the same machine, kept with its data: a number from 1
 * to 250, from which addresses, cgroups and uids derive, and the key behind ids as people see them. */

#include "base/error.h"
#include "wire/id.h"

#define INSTALLATION_MAX 250

struct installation {
    int number;
    struct id_key key;
};

/* Reads DATA/installation. -ENOENT: none is there. */
int installation_read(struct installation *ret, const char *data, struct error *err);
/* Makes it: claims a number in the file that all installations of the machine share, and draws the
 * key. */
int installation_make(struct installation *ret, const char *data, struct error *err);
