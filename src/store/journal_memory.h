/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A journal that is forgotten with its process: the groups stand in memory. Behind journal.h, whose rules hold
 * (one writer, any number of readers); nothing here fails. */

#include "base/buf.h"
#include "store/journal.h"

struct journal_memory *journal_memory_new(void);
/* After its journal and readers were closed. NULL is allowed. */
void journal_memory_free(struct journal_memory *m);

/* As journal_append, journal_last, journal_start and journal_truncate. */
void journal_memory_append(struct journal_memory *m, const struct journal_group *group);
struct journal_group journal_memory_last(struct journal_memory *m);
uint64_t journal_memory_start(struct journal_memory *m);
void journal_memory_truncate(struct journal_memory *m, uint64_t commands_before, uint64_t events_before);
/* Copies of a group's bytes. */
struct journal_bytes {
    struct buf commands, events;
};
/* The first group with a command after `seq` that still has its commands (events alone: its events): its bytes are
 * copied into `bytes`. False: there is none. */
bool journal_memory_read(struct journal_memory *m, uint64_t seq, bool events_alone, struct journal_group *ret,
                         struct journal_bytes *bytes);
