/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An archive, fetched by its hash, checked, unpacked and put where the workload looks for it. */

#include "base/error.h"
#include "net/http_client.h"
#include "wire/record.h"

struct fetch {
    const char *data;          /* of the agent; archives are kept in DATA/archives */
    const char *folder;        /* of the replica, made already, with home and home/workdir in it */
    struct str archive;        /* SHA-256, 64 digits */
    struct str workdir;        /* path in the archive that becomes home/workdir; may be empty */
    struct record_list mounts; /* target -> path in the archive */
    bool own_mounts; /* absolute targets are possible; they lie in FOLDER/mounts/N until then */
    uint32_t user;
};

/* -ECONNREFUSED, -ETIMEDOUT, -ECANCELED, -EAGAIN: worth another try (from the beginning, with a
 * fresh folder); anything else is final. */
int fetch_files(const struct fetch *f, struct http_client *client, struct error *err);

/* Where mount number `index` lies, if its target is absolute: FOLDER/mounts/N. */
int fetch_mount_source(const char *folder, size_t index, char *ret, size_t size);

/* Removes archives that nothing has used for an hour. */
void fetch_sweep(const char *data);
