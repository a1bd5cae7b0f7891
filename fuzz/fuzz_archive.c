/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an archive, unpacked into a folder beside which a file stands that must not change. */

#include "base/check.h"
#include "wire/archive.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/dev/shm/tessera-fuzz-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)st, (void)type;
    return place->level > 0 ? remove(path) : 0;
}

static void remove_all(void)
{
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    rmdir(top);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char input[64], out[64], beside[64];
    struct error err = {};
    struct stat st;
    if (input[0] == '\0') {
        CHECK(mkdtemp(top) != NULL);
        snprintf(input, sizeof input, "%s/input", top);
        snprintf(out, sizeof out, "%s/out", top);
        snprintf(beside, sizeof beside, "%s/beside", top);
        atexit(remove_all);
    }
    CHECK(mkdir(out, 0700) == 0);
    int file = open(input, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(write(file, data, size) == (ssize_t)size);
    close(file);
    archive_extract(input, out, &err);
    CHECK(stat(beside, &st) < 0);
    nftw(out, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    CHECK(rmdir(out) == 0);
    return 0;
}
