/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The startup script of a bought machine: fetches this server's executable, checks it, and starts an agent
 * that joins, now and at each later boot. */

#include "base/buf.h"
#include "base/number.h"

struct join_script { /* texts as they may stand in a command line: letters, digits and . _ - : / */
    const char *url, *pin; /* pin: NULL = plain http */
    const char *token, *sha256;
    const char *name, *provider, *region, *sku;
    udollar ask; /* per unit-hour */
    int64_t cores, memory_mib, disk_mib; /* disk 0 = what there is */
};
void join_script_write(const struct join_script *s, struct buf *out);
