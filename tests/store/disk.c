/* SPDX-License-Identifier: Apache-2.0 */
#include "disk.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/number.h"

#include <errno.h>
#include <string.h>

#define SECTOR 512

static void writes_forget(struct disk_file *f)
{
    for (size_t i = 0; i < f->count; i++)
        xfree(f->writes[i].data);
    f->count = 0;
}

void disk_fini(struct disk *d)
{
    for (size_t i = 0; i < d->files_count; i++) {
        writes_forget(d->files[i]);
        xfree(d->files[i]->writes);
        buf_fini(&d->files[i]->now);
        buf_fini(&d->files[i]->durable);
        xfree(d->files[i]);
    }
    for (size_t i = 0; i < d->links_count; i++)
        xfree(d->links[i].name);
    xfree(d->files);
    xfree(d->links);
    *d = (struct disk){};
}

/* The step in which the power goes out is begun, so that what it does may or may not be kept. */
static int step_end(struct disk *d)
{
    d->steps++;
    d->out |= d->steps == d->cut_at;
    return d->out ? -EIO : 0;
}

struct disk_file *disk_find(const struct disk *d, const char *name)
{
    for (size_t i = d->links_count; i-- > 0;)
        if (strcmp(d->links[i].name, name) == 0)
            return d->links[i].file;
    return NULL;
}

static int link_add(struct disk *d, const char *name, struct disk_file *file)
{
    ARRAY_RESERVE(d->links, d->links_count, d->links_capacity);
    d->links[d->links_count++] = (struct disk_link){xstrdup(name), file};
    return 0;
}

int disk_create(struct disk *d, const char *name, struct disk_file **ret)
{
    if (d->out)
        return -EIO;
    struct disk_file *f = xcalloc(1, sizeof *f);
    f->now.limit = f->durable.limit = BUF_LIMIT_DEFAULT;
    ARRAY_RESERVE(d->files, d->files_count, d->files_capacity);
    d->files[d->files_count++] = f;
    link_add(d, name, f);
    *ret = f;
    return step_end(d);
}

static void bytes_put(struct buf *b, size_t offset, const char *data, size_t size)
{
    if (b->size < offset + size) {
        size_t more = offset + size - b->size;
        char *room = buf_reserve(b, more);
        CHECK(room != NULL);
        memset(b->data + b->size, 0, more);
        b->size += more;
    }
    memcpy(b->data + offset, data, size);
}

static void bytes_resize(struct buf *b, size_t size)
{
    if (b->size > size)
        b->size = size;
    else if (b->size < size)
        bytes_put(b, size - 1, "", 1);
}

static void write_apply(struct buf *b, const struct disk_write *w)
{
    if (w->data)
        bytes_put(b, w->offset, w->data, w->size);
    else
        bytes_resize(b, w->offset);
}

static int write_add(struct disk *d, struct disk_file *f, struct disk_write w)
{
    ARRAY_RESERVE(f->writes, f->count, f->capacity);
    f->writes[f->count++] = w;
    write_apply(&f->now, &w);
    return step_end(d);
}

int disk_write(struct disk *d, struct disk_file *f, size_t offset, struct str bytes)
{
    if (d->out)
        return -EIO;
    d->writes++;
    if (d->full_at && d->writes >= d->full_at)
        return -ENOSPC;
    char *copy = xmalloc(bytes.size + 1);
    memcpy(copy, bytes.data, bytes.size);
    return write_add(d, f, (struct disk_write){offset, bytes.size, copy});
}

int disk_truncate(struct disk *d, struct disk_file *f, size_t size)
{
    return d->out ? -EIO : write_add(d, f, (struct disk_write){.offset = size});
}

int disk_sync(struct disk *d, struct disk_file *f)
{
    if (d->out || step_end(d) < 0)
        return -EIO;
    if (d->ignore_sync)
        return 0;
    for (size_t i = 0; i < f->count; i++)
        write_apply(&f->durable, &f->writes[i]);
    writes_forget(f);
    if (!f->entry_new)
        return 0;
    f->entry_new = false;
    return disk_sync_folder(d);
}

int disk_sync_folder(struct disk *d)
{
    if (d->out || step_end(d) < 0)
        return -EIO;
    if (!d->ignore_folder_sync)
        d->links_durable = d->links_count;
    return 0;
}

int disk_remove(struct disk *d, const char *name)
{
    if (d->out)
        return -EIO;
    link_add(d, name, NULL);
    return step_end(d);
}

/* One entry that replaces another: after a cut the old name, the new one or both lead to the file,
 * but the new name never leads nowhere where it led somewhere before. */
int disk_rename(struct disk *d, const char *from, const char *to)
{
    if (d->out)
        return -EIO;
    struct disk_file *file = disk_find(d, from);
    CHECK(file != NULL);
    link_add(d, to, file);
    link_add(d, from, NULL);
    return step_end(d);
}

/* ---- the cut ----------------------------------------------------------------------------------- */

/* What a cut leaves of one unsynced write: each sector on its own. */
static void write_tear(struct buf *b, const struct disk_write *w, unsigned percent, struct prng *random)
{
    if (w->data == NULL) {
        if (prng_below(random, 100) < percent)
            bytes_resize(b, w->offset);
        return;
    }
    for (size_t at = 0; at < w->size;) {
        size_t end = MIN(w->size, at + SECTOR - (w->offset + at) % SECTOR);
        uint64_t dice = prng_below(random, 100);
        if (dice < percent)
            bytes_put(b, w->offset + at, w->data + at, end - at);
        else if (dice == 99)
            for (size_t i = at; i < end; i++)
                bytes_put(b, w->offset + i, &(char){(char)prng_next(random)}, 1);
        at = end;
    }
}

static void file_restart(struct disk_file *f, unsigned percent, struct prng *random)
{
    /* A disk that reorders may have any of them, in whatever order they came; one that does not
     * stops somewhere in the midst. */
    size_t reached = prng_below(random, 3) ? f->count : prng_below(random, f->count + 1);
    for (size_t i = 0; i < reached; i++)
        write_tear(&f->durable, &f->writes[i], percent, random);
    writes_forget(f);
    buf_clear(&f->now);
    buf_append_str(&f->now, buf_str(&f->durable));
    f->entry_new = false;
}

void disk_restart(struct disk *d, struct prng *random)
{
    static const unsigned kept[] = {0, 10, 50, 90, 98, 100};
    unsigned percent = kept[prng_below(random, ARRAY_COUNT(kept))];
    for (size_t i = 0; i < d->files_count; i++)
        file_restart(d->files[i], percent, random);
    size_t left = d->links_durable;
    for (size_t i = d->links_durable; i < d->links_count; i++)
        if (prng_below(random, 2))
            d->links[left++] = d->links[i];
        else
            xfree(d->links[i].name);
    d->links_count = d->links_durable = left;
    d->out = false;
    d->cut_at = d->full_at = 0;
}
