/* SPDX-License-Identifier: Apache-2.0 */
/* The server's own executable, for machines that join. */
#include "server/api_route.h"

#include "wire/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SELF "/proc/self/exe" /* the file that runs, also where another one took its name since */

struct api_binary {
    pthread_mutex_t lock;
    bool loaded;
    char sha256[SHA256_HEX], etag[SHA256_HEX + 2];
    uint64_t size;
};

void api_binary_new(struct api_binary **ret)
{
    struct api_binary *b = xcalloc(1, sizeof *b);
    pthread_mutex_init(&b->lock, NULL);
    *ret = b;
}

void api_binary_free(struct api_binary *b)
{
    if (!b)
        return;
    pthread_mutex_destroy(&b->lock);
    xfree(b);
}

static int load(struct api_binary *b, struct error *err)
{
    struct stat status;
    if (stat(SELF, &status) < 0)
        return error_set(err, -errno, "%s: %s", SELF, strerror(errno));
    int r = sha256_file(SELF, b->sha256, err);
    if (r < 0)
        return r;
    snprintf(b->etag, sizeof b->etag, "\"%s\"", b->sha256);
    b->size = (uint64_t)status.st_size;
    b->loaded = true;
    return 0;
}

int api_binary_load(struct api_binary *b, struct error *err)
{
    pthread_mutex_lock(&b->lock);
    int r = b->loaded ? 0 : load(b, err);
    pthread_mutex_unlock(&b->lock);
    return r;
}

const char *api_binary_sha256(const struct api_binary *b)
{
    return b->sha256;
}

void route_binary_get(struct api_call *call, const struct core_view *view)
{
    (void)view;
    struct api_binary *b = call->api->binary;
    struct error err = {0};
    int file = -1;
    if (api_binary_load(b, &err) < 0 || (file = open(SELF, O_RDONLY | O_CLOEXEC)) < 0) {
        log_error("the executable cannot be read: %s", err.code ? err.text : strerror(errno));
        call_refuse(call, 503, NULL, "the server cannot read its own executable");
        return;
    }
    call_header(call, "ETag", str_from(b->etag));
    call_respond_file(call, file, b->size);
}
