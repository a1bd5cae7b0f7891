/* SPDX-License-Identifier: Apache-2.0 */
#include "server/installation.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/file.h"
#include "wire/json.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Lines `NUMBER FOLDER`, one for each installation of this machine, whoever runs it. */
#define SHARED "/var/tmp/tessera-installations"

static bool hex_read(struct str text, uint64_t *ret)
{
    unsigned long long value = 0;
    int used = 0;
    char copy[17];
    if (text.size != 16)
        return false;
    snprintf(copy, sizeof copy, "%.*s", STR_ARGS(text));
    bool good = sscanf(copy, "%16llx%n", &value, &used) == 1 && used == 16;
    *ret = value;
    return good;
}

int installation_read(struct installation *ret, const char *data, struct error *err)
{
    _cleanup_free_ char *path = data_path(data, "installation");
    _cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
    int r = data_read(path, &text, err);
    if (r < 0)
        return r;
    _cleanup_(arena_fini) struct arena arena = {.limit = 1 << 20};
    struct json_value tree;
    if (json_parse(buf_str(&text), &arena, &tree, NULL) < 0)
        return error_set(err, -EBADMSG, "%s: not the JSON that was written; restore it from a backup", path);
    struct str key = json_get_str(&tree, "id_key");
    int64_t number = json_get_i64(&tree, "number", 0);
    if (number < 1 || number > INSTALLATION_MAX || key.size != 32 || !hex_read((struct str){key.data, 16}, &ret->key.k0) ||
        !hex_read((struct str){key.data + 16, 16}, &ret->key.k1))
        return error_set(err, -EBADMSG, "%s: number must be 1 to 250 and id_key 32 hexadecimal digits", path);
    ret->number = (int)number;
    return 0;
}

/* ---- the shared file ------------------------------------------------------------------------------ */

/* /var/tmp is sticky and world-writable: never followed, never made over somebody else's. */
static int shared_open(void)
{
    const char *named = getenv("TESSERA_INSTALLATIONS");
    const char *path = named ? named : SHARED;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd < 0 && errno == EEXIST)
            fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        else if (fd >= 0 && fchmod(fd, 0666) < 0)
            errno = 0; /* others then take a number of their own drawing */
    }
    if (fd >= 0 && flock(fd, LOCK_EX) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A claim holds while its data is there; a folder that may not be looked into counts as there. */
static bool claim_holds(struct str folder)
{
    char path[4200];
    snprintf(path, sizeof path, "%.*s/installation", STR_ARGS(folder));
    return access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

struct claims {
    bool taken[INSTALLATION_MAX + 1];
    struct buf lines; /* those that hold */
};

static void claims_read(struct claims *claims, int fd, struct str own)
{
    _cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
    char piece[4096];
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) > 0 && !text.overflow)
        buf_append(&text, piece, (size_t)n);
    struct str rest = buf_str(&text);
    while (rest.size > 0) {
        struct str folder = str_cut(&rest, '\n');
        struct str digits = str_cut(&folder, ' ');
        int64_t number = 0;
        if (!str_to_i64(digits, &number) || number < 1 || number > INSTALLATION_MAX || str_equal(folder, own) || !claim_holds(folder))
            continue;
        claims->taken[number] = true;
        buf_printf(&claims->lines, "%lld %.*s\n", (long long)number, STR_ARGS(folder));
    }
}

static int claim_write(int fd, const struct claims *claims)
{
    return lseek(fd, 0, SEEK_SET) == 0 && write(fd, claims->lines.data, claims->lines.size) == (ssize_t)claims->lines.size &&
                   ftruncate(fd, (off_t)claims->lines.size) == 0
               ? 0
               : -EIO;
}

/* From where the folder's name says on, so that two that cannot see each other rarely meet. */
static int number_pick(const struct claims *claims, struct str folder)
{
    int start = (int)(hash_bytes(folder.data, folder.size) % INSTALLATION_MAX);
    for (int i = 0; i < INSTALLATION_MAX; i++) {
        int number = (start + i) % INSTALLATION_MAX + 1;
        if (!claims->taken[number])
            return number;
    }
    return 0;
}

static int installation_store(const struct installation *installation, const char *data, struct error *err)
{
    _cleanup_free_ char *path = data_path(data, "installation");
    char text[128];
    int size = snprintf(text, sizeof text, "{\"number\":%d,\"id_key\":\"%016llx%016llx\"}\n", installation->number,
                        (unsigned long long)installation->key.k0, (unsigned long long)installation->key.k1);
    return data_write(path, (struct str){text, (size_t)size}, err);
}

/* With the shared file locked until the claim's own file is there: nobody takes it for void. */
static int claim_and_store(struct installation *ret, const char *data, int shared, struct error *err)
{
    _cleanup_free_ char *real = realpath(data, NULL);
    struct str folder = str_from(real ? real : data);
    struct claims claims = {.lines = BUF_INIT(1 << 20)};
    if (shared >= 0)
        claims_read(&claims, shared, folder);
    ret->number = number_pick(&claims, folder);
    int r = ret->number == 0 ? error_set(err, -EUSERS, "%d installations claim this machine already (%s)", INSTALLATION_MAX, SHARED) : 0;
    if (r == 0)
        r = installation_store(ret, data, err);
    if (r == 0 && shared >= 0) {
        buf_printf(&claims.lines, "%d %.*s\n", ret->number, STR_ARGS(folder));
        if (claim_write(shared, &claims) < 0)
            log_warning("%s cannot be written; installation number %d may meet another's", SHARED, ret->number);
    }
    buf_fini(&claims.lines);
    return r;
}

int installation_make(struct installation *ret, const char *data, struct error *err)
{
    randombytes_buf(&ret->key, sizeof ret->key);
    int shared = shared_open();
    if (shared < 0)
        log_warning("%s cannot be used (%m); the installation's number is drawn without it", SHARED);
    int r = claim_and_store(ret, data, shared, err);
    if (shared >= 0)
        close(shared);
    return r;
}
