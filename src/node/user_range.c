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
/* In a machine made of namespaces the high numbers do not exist: of the 65,536 that do, those above accounts
 * and below what systemd gives away. */
#define INSIDE_FIRST 4096u
#define INSIDE_COUNT 14u

/* Ranges of this machine. */
struct span {
    uint32_t first, count;
};

/* One line of the file: "1900004096 1a2b3c /var/lib/tessera-agent". */
struct claim {
    int64_t first;
    struct str id, folder;
};

static bool user_exists(struct str map, uint64_t user)
{
    while (map.size) {
        struct str line = str_cut(&map, '\n');
        unsigned long long inside, outside, count;
        char text[128];
        snprintf(text, sizeof text, "%.*s", STR_ARGS(line));
        if (sscanf(text, "%llu %llu %llu", &inside, &outside, &count) == 3 && user >= inside && user - inside < count)
            return true;
    }
    return false;
}

static struct span span_find(void)
{
    const uint64_t usual = USER_RANGE_FIRST, inside = INSIDE_FIRST;
    _cleanup_buf_ struct buf map = BUF_INIT(CLAIMS_BYTES_MAX);
    if (file_read("/proc/self/uid_map", &map, NULL) == 0 && !user_exists(buf_str(&map), usual) &&
        user_exists(buf_str(&map), inside + INSIDE_COUNT * USER_RANGE_SIZE - 1))
        return (struct span){INSIDE_FIRST, INSIDE_COUNT};
    return (struct span){USER_RANGE_FIRST, USER_RANGE_COUNT};
}

static bool parse_claim(struct span span, struct str line, struct claim *ret)
{
    struct str number = str_cut(&line, ' ');
    ret->id = str_cut(&line, ' ');
    ret->folder = line;
    return str_to_i64(number, &ret->first) && ret->first >= span.first &&
           (ret->first - span.first) % USER_RANGE_SIZE == 0 && (ret->first - span.first) / USER_RANGE_SIZE < span.count && ret->id.size &&
           ret->folder.size;
}

/* The slots that running processes belong to. */
static void find_running(struct span span, struct map *ret)
{
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        struct stat st;
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9' ||
            fstatat(dirfd(folder), entry->d_name, &st, 0) < 0 || st.st_uid < span.first)
            continue;
        map_set(ret, 1 + (st.st_uid - span.first) / USER_RANGE_SIZE, 1);
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
struct claimant {
    struct span span;
    const char *id, *folder;
};
static int64_t keep_claims(const struct claimant *who, struct str text, struct buf *out, struct map *taken)
{
    struct span span = who->span;
    int64_t own = -1;
    while (text.size) {
        struct str line = str_cut(&text, '\n');
        struct claim claim;
        if (!parse_claim(span, line, &claim))
            continue;
        uint64_t slot = (uint64_t)(claim.first - span.first) / USER_RANGE_SIZE;
        if (str_is(claim.id, who->id) && str_is(claim.folder, who->folder))
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
static int64_t choose(struct span span, const char *id, const struct map *taken)
{
    uint64_t begin = hash_bytes(id, strlen(id)) % span.count;
    for (uint64_t i = 0; i < span.count; i++) {
        uint64_t slot = (begin + i) % span.count;
        if (!map_get(taken, slot + 1))
            return (int64_t)(span.first + slot * USER_RANGE_SIZE);
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
    const struct claimant who = {span_find(), id, folder};
    find_running(who.span, &taken);
    int64_t first = keep_claims(&who, buf_str(&text), &kept, &taken);
    if (first < 0) {
        first = choose(who.span, id, &taken);
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
