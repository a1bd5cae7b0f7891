/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a group's commands and as its events: what can be read is written again, and that
 * reads and writes as the same bytes. */
#include "records/journal_codec.h"

#define ARENA_LIMIT ((size_t)16 << 20)

static void commands_write(const struct engine_command *commands, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++)
        journal_command_pack(&commands[i], out);
}

static void commands_round(struct str bytes)
{
    _cleanup_(arena_fini) struct arena arena = {.limit = ARENA_LIMIT}, again = {.limit = 2 * ARENA_LIMIT};
    _cleanup_buf_ struct buf first = BUF_INIT(BUF_LIMIT_DEFAULT), second = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct engine_command *commands;
    size_t count, count_again;
    struct error err = {0};
    if (journal_commands_unpack(bytes, &arena, &commands, &count, &err) < 0)
        return;
    commands_write(commands, count, &first);
    CHECK(journal_commands_unpack(buf_str(&first), &again, &commands, &count_again, &err) == 0);
    CHECK(count == count_again);
    commands_write(commands, count, &second);
    CHECK(str_equal(buf_str(&first), buf_str(&second)));
}

static void events_write(const struct engine_event *events, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++)
        journal_event_pack(&events[i], out);
}

static void events_round(struct str bytes)
{
    _cleanup_(arena_fini) struct arena arena = {.limit = ARENA_LIMIT}, again = {.limit = 2 * ARENA_LIMIT};
    _cleanup_buf_ struct buf first = BUF_INIT(BUF_LIMIT_DEFAULT), second = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct engine_event *events;
    size_t count, count_again;
    struct error err = {0};
    if (journal_events_unpack(bytes, &arena, &events, &count, &err) < 0)
        return;
    events_write(events, count, &first);
    CHECK(journal_events_unpack(buf_str(&first), &again, &events, &count_again, &err) == 0);
    CHECK(count == count_again);
    events_write(events, count, &second);
    CHECK(str_equal(buf_str(&first), buf_str(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str bytes = {(const char *)data + 1, size - 1};
    if (data[0] & 1)
        commands_round(bytes);
    else
        events_round(bytes);
    return 0;
}
