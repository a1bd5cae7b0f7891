/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hold_log.h"

#include "base/number.h"
#include "wire/json.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int hold_log_open(struct hold_log *log, const char *path, int64_t most)
{
    struct stat st;
    *log = (struct hold_log){.most = most};
    log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log->fd < 0)
        return -errno;
    log->size = fstat(log->fd, &st) == 0 ? st.st_size : 0;
    return 0;
}

static void write_file(struct hold_log *log, struct str text)
{
    while (text.size && log->fd >= 0) {
        ssize_t size = write(log->fd, text.data, text.size);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0) { /* a full disk costs the rest of the log, not the replica */
            log->full = true;
            return;
        }
        log->size += size;
        text.data += size;
        text.size -= (size_t)size;
    }
}

void hold_log_add(struct hold_log *log, struct str piece)
{
    size_t kept = MIN(piece.size, (size_t)HOLD_TAIL_MAX);
    uint64_t at = log->said + piece.size - kept;
    for (size_t i = 0; i < kept; i++)
        log->tail[(at + i) % HOLD_TAIL_MAX] = piece.data[piece.size - kept + i];
    log->said += piece.size;
    if (log->full)
        return;
    int64_t room = MAX(log->most - log->size, 0);
    write_file(log, (struct str){piece.data, MIN(piece.size, (size_t)room)});
    if ((int64_t)piece.size > room) {
        write_file(log, STR("\n[tessera: the log is full, the rest is not kept]\n"));
        log->full = true;
    }
}

/* The length of the character that the text begins with, 0 where it is none. */
static size_t character(struct str text)
{
    for (size_t size = 1; size <= 4 && size <= text.size; size++)
        if (utf8_valid((struct str){text.data, size}))
            return size;
    return 0;
}

static void append_clean(struct str text, struct buf *out)
{
    while (text.size) {
        size_t size = character(text);
        if (size)
            buf_append(out, text.data, size);
        else
            buf_append_byte(out, '?');
        text.data += MAX(size, 1u);
        text.size -= MAX(size, 1u);
    }
}

static bool continues(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

void hold_log_last_lines(const struct hold_log *log, size_t most, struct buf *out)
{
    char flat[HOLD_TAIL_MAX];
    size_t size = (size_t)MIN(log->said, (uint64_t)MIN(most, (size_t)HOLD_TAIL_MAX));
    for (size_t i = 0; i < size; i++)
        flat[i] = log->tail[(log->said - size + i) % HOLD_TAIL_MAX];
    struct str text = {flat, size};
    if (log->said > size) {
        /* cut in the middle: begin with a whole line, or at least with a whole character */
        const char *line = memchr(text.data, '\n', text.size);
        size_t skip = line && line + 1 < text.data + text.size ? (size_t)(line + 1 - text.data) : 0;
        while (skip == 0 && text.size && continues(*text.data)) {
            text.data++;
            text.size--;
        }
        text.data += skip;
        text.size -= skip;
    }
    append_clean(text, out);
}
