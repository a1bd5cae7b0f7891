/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside a guest: its first process. */

#include "node/guest.h"

/* Mounts what a system needs over guest->root and makes that the root of this mount namespace. */
int guest_enter(const struct guest *guest, struct error *err);
/* The life of its first process: keys, host keys, startup script, login, metadata. Reads lines from
 * `control`: "notice STATUS END_MS", "off". Does not return. */
_Noreturn void guest_init(const struct guest *guest, struct str resolvers, int control);
