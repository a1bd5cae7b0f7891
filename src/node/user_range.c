/* SPDX-License-Identifier: Apache-2.0 */
#include "node/user_range.h"

#include "base/hash.h"
#include "base/map.h"
#include "node/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLAIMS_BYTES_MAX ((size_t)8 << 20)

/* One line of the file: "1900004096 1a2b3c /var/lib/tessera-agent". */
struct claim {
    int64_t first;
    struct str id, folder;
};

static bool parse_claim(struct str line, struct claim *ret)
{
    struct str number = str_cut(&line, ' ');
    ret->id = str_cut(&line, ' ');
    ret->folder = line;
    return str_to_i64(number, &ret->first) && ret->first >= USER_RANGE_FIRST &&
           (ret->first - USER_RANGE_FIRST) % USER_RANGE_SIZE == 0 &&
           (ret->first - USER_RANGE_FIRST) / USER_RANGE_SIZE < USER_RANGE_COUNT && ret->id.size &&
           ret->folder.size;
}

/* The slots that running processes belong to. */
static void find_running(struct map *ret)
{
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        struct stat st;
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9' ||
            fstatat(dirfd(folder), entry->d_name, &st, 0) < 0 || st.st_uid < USER_RANGE_FIRST)
            continue;
        map_set(ret, 1 + (st.st_uid - USER_RANGE_FIRST) / USER_RANGE_SIZE, 1);
    }
    if (folder)
        closedir(folder);
}

static bool folder_exists(struct str folder)
{
    _cleanup_free_ char *path = str_dup(folder);
    return access(path, F_OK) == 0;
}

/* Copies the claims that still count to `out`, marks their slots as taken, and finds our own. */
static int64_t keep_claims(struct str text, const char *id, const char *folder, struct buf *out,
                           struct map *taken)
{
    int64_t own = -1;
    while (text.size) {
        struct str line = str_cut(&text, '\n');
        struct claim claim;
        if (!parse_claim(line, &claim))
            continue;
        uint64_t slot = (uint64_t)(claim.first - USER_RANGE_FIRST) / USER_RANGE_SIZE;
        if (str_is(claim.id, id) && str_is(claim.folder, folder))
            own = claim.first;
        else if (!folder_exists(claim.folder) && !map_get(taken, slot + 1))
            continue;
        map_set(taken, slot + 1, 1);
        buf_append_str(out, line);
        buf_append_byte(out, '\n');
    }
    return own;
}

/* The first free slot from one that the id derives. */
static int64_t choose(const char *id, const struct map *taken)
{
    uint64_t begin = hash_bytes(id, strlen(id)) % USER_RANGE_COUNT;
    for (uint64_t i = 0; i < USER_RANGE_COUNT; i++) {
        uint64_t slot = (begin + i) % USER_RANGE_COUNT;
        if (!map_get(taken, slot + 1))
            return (int64_t)(USER_RANGE_FIRST + slot * USER_RANGE_SIZE);
    }
    return -1;
}

static int claim_locked(const char *claims_file, const char *id, const char *folder,
                        struct user_range *ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(CLAIMS_BYTES_MAX);
    _cleanup_buf_ struct buf kept = BUF_INIT(CLAIMS_BYTES_MAX);
    _cleanup_(map_fini) struct map taken = {0};
    int rc = file_read(claims_file, &text, err);
    if (rc && rc != -ENOENT)
        return rc;
    find_running(&taken);
    int64_t first = keep_claims(buf_str(&text), id, folder, &kept, &taken);
    if (first < 0) {
        first = choose(id, &taken);
        if (first < 0)
            return error_set(err, -ENOSPC, "%s: all ranges are taken", claims_file);
        buf_printf(&kept, "%lld %s %s\n", (long long)first, id, folder);
        rc = file_replace(claims_file, buf_str(&kept), 0644, true, err);
    }
    *ret = (struct user_range){.first = (uint32_t)first, .count = USER_RANGE_SIZE};
    return rc == -ENOENT ? 0 : rc;
}

int user_range_claim(const char *claims_file, const char *id, const char *folder,
                     struct user_range *ret, struct error *err)
{
    char lock_path[512];
    snprintf(lock_path, sizeof lock_path, "%s.lock", claims_file);
    int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0) {
        int code = -errno;
        if (lock >= 0)
            close(lock);
        return error_set(err, code, "%s: %s", lock_path, strerror(-code));
    }
    struct user_range range = {0};
    int rc = claim_locked(claims_file, id, folder, &range, err);
    close(lock);
    if (rc == 0)
        *ret = range;
    return rc;
}
