/* SPDX-License-Identifier: Apache-2.0 */
#include "store/journal_memory.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/number.h"

#include <pthread.h>
#include <string.h>

struct journal_memory {
    pthread_mutex_t lock;
    struct journal_group *groups; /* oldest first; each owns its commands and its events */
    size_t count, capacity;
    size_t commands_first, events_first; /* those before have none any more */
    struct journal_group last;
};

struct journal_memory *journal_memory_new(void)
{
    struct journal_memory *m = xcalloc(1, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

static struct str bytes_copy(struct str bytes)
{
    char *copy = xmalloc(bytes.size + 1);
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    return (struct str){copy, bytes.size};
}

static void bytes_drop(struct str *bytes)
{
    xfree((void *)(uintptr_t)bytes->data);
    *bytes = (struct str){0};
}

void journal_memory_free(struct journal_memory *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->count; i++) {
        bytes_drop(&m->groups[i].commands);
        bytes_drop(&m->groups[i].events);
    }
    xfree(m->groups);
    pthread_mutex_destroy(&m->lock);
    xfree(m);
}

void journal_memory_append(struct journal_memory *m, const struct journal_group *group)
{
    struct journal_group kept = *group;
    kept.commands = bytes_copy(group->commands);
    kept.events = bytes_copy(group->events);
    pthread_mutex_lock(&m->lock);
    CHECK(group->seq_first == m->last.seq_last + 1 && group->seq_last >= group->seq_first);
    ARRAY_RESERVE(m->groups, m->count, m->capacity);
    m->groups[m->count++] = kept;
    m->last = *group;
    m->last.commands = m->last.events = (struct str){0};
    pthread_mutex_unlock(&m->lock);
}

struct journal_group journal_memory_last(struct journal_memory *m)
{
    pthread_mutex_lock(&m->lock);
    struct journal_group last = m->last;
    pthread_mutex_unlock(&m->lock);
    return last;
}

uint64_t journal_memory_start(struct journal_memory *m)
{
    pthread_mutex_lock(&m->lock);
    uint64_t start = m->count ? m->groups[m->commands_first].seq_first - 1 : 0;
    pthread_mutex_unlock(&m->lock);
    return start;
}

/* The first one from `low` on that ends after `seq`. */
static size_t group_after(const struct journal_memory *m, size_t low, uint64_t seq)
{
    for (size_t high = m->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (m->groups[middle].seq_last > seq)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void journal_memory_truncate(struct journal_memory *m, uint64_t commands_before, uint64_t events_before)
{
    pthread_mutex_lock(&m->lock);
    uint64_t newest = m->last.seq_last;
    for (; m->count && m->groups[m->commands_first].seq_last < MIN(commands_before, newest); m->commands_first++)
        bytes_drop(&m->groups[m->commands_first].commands);
    for (; m->count && m->groups[m->events_first].seq_last < MIN(events_before, newest); m->events_first++)
        bytes_drop(&m->groups[m->events_first].events);
    size_t gone = MIN(m->commands_first, m->events_first);
    if (gone > m->count / 2) { /* now and then, not for each */
        m->count -= gone;
        memmove(m->groups, m->groups + gone, m->count * sizeof *m->groups);
        m->commands_first -= gone;
        m->events_first -= gone;
    }
    pthread_mutex_unlock(&m->lock);
}

bool journal_memory_read(struct journal_memory *m, uint64_t seq, bool events_alone, struct journal_group *ret,
                         struct journal_bytes *bytes)
{
    buf_clear(&bytes->commands);
    buf_clear(&bytes->events);
    pthread_mutex_lock(&m->lock);
    size_t at = group_after(m, events_alone ? m->events_first : m->commands_first, seq);
    bool found = at < m->count;
    if (found) {
        *ret = m->groups[at];
        if (!events_alone)
            buf_append_str(&bytes->commands, ret->commands);
        buf_append_str(&bytes->events, ret->events);
    }
    pthread_mutex_unlock(&m->lock);
    if (found) {
        ret->commands = buf_str(&bytes->commands);
        ret->events = buf_str(&bytes->events);
    }
    return found;
}
