/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A disk in memory that can lose its power. What was written but not synced stands apart; at the
 * cut each 512-byte sector of it is kept, dropped or filled with rubbish on its own, in any order,
 * and so is each file made, renamed or removed since its folder was last synced. */

#include "base/buf.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_write {
    size_t offset, size;
    char *data; /* NULL: the file was cut or grown to `offset` */
};
struct disk_file {
    struct buf now, durable;
    struct disk_write *writes; /* since its last sync, in order */
    size_t count, capacity;
    bool entry_new; /* its first sync also syncs the folder, as SQLite does with its logs */
};

/* A name is given to a file, or taken away (file NULL). */
struct disk_link {
    char *name;
    struct disk_file *file;
};
struct disk {
    struct disk_file **files;
    size_t files_count, files_capacity;
    struct disk_link *links; /* all since the start, later ones win */
    size_t links_count, links_capacity, links_durable;
    uint64_t steps;   /* writes, syncs, links and unlinks so far */
    uint64_t cut_at;  /* the power goes out in this step; 0 = never */
    uint64_t full_at; /* this write and all later ones find the disk full; 0 = never */
    uint64_t writes;
    bool out;         /* nothing works any more */
    bool ignore_sync; /* a disk that lies, to see that the tests notice */
    bool ignore_folder_sync;
};

void disk_fini(struct disk *d);
/* NULL where no file has the name. */
struct disk_file *disk_find(const struct disk *d, const char *name);
/* All return 0, -EIO (power out) or -ENOSPC. */
int disk_create(struct disk *d, const char *name, struct disk_file **ret);
int disk_write(struct disk *d, struct disk_file *f, size_t offset, struct str bytes);
int disk_truncate(struct disk *d, struct disk_file *f, size_t size);
int disk_sync(struct disk *d, struct disk_file *f);
int disk_sync_folder(struct disk *d);
int disk_remove(struct disk *d, const char *name);
int disk_rename(struct disk *d, const char *from, const char *to);
/* After the power went out: what the platters hold, as the randomness has it; works again. */
void disk_restart(struct disk *d, struct prng *random);
