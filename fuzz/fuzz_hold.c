/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever an agent reads from its own disk or from the kernel, with any bytes in it: records of
 * holders, names of folders, cgroups and mounts. What is taken says the same when written again. */

#include "agent/hold_record.h"
#include "base/check.h"
#include "node/cgroup.h"
#include "records/agent.h"

#include <stddef.h>

static void read_as(const struct record *record, struct str text)
{
    union {
        struct hold_spec spec;
        struct hold_started started;
        struct hold_ended ended;
        struct hold_command command;
        struct agent_facts facts;
        struct agent_desired desired;
    } value, again;
    struct arena arena = {.limit = (size_t)64 << 20};
    struct buf first = BUF_INIT((size_t)64 << 20), second = BUF_INIT((size_t)64 << 20);
    struct error err = {0};
    if (record_from_json(record, text, &arena, &value, &err) == 0) {
        record_to_json(record, &value, AUDIENCE_AGENT, &first);
        CHECK(record_from_json(record, buf_str(&first), &arena, &again, &err) == 0);
        record_to_json(record, &again, AUDIENCE_AGENT, &second);
        CHECK(str_equal(buf_str(&first), buf_str(&second)));
    }
    buf_fini(&first);
    buf_fini(&second);
    arena_fini(&arena);
}

static void read_name(struct str text)
{
    struct hold_identity identity;
    struct hold_name name;
    if (!hold_name_parse(text, &identity))
        return;
    CHECK(hold_name_format(&identity, &name) == 0);
    CHECK(str_is(text, name.text) && memchr(name.text, '/', text.size) == NULL);
}

static void read_groups(struct str text)
{
    struct cgroup_part part;
    struct cgroup found;
    cgroup_parse_mounts(text, &found);
    CHECK(found.count <= CGROUP_PARTS_MAX);
    if (!cgroup_part_parse(text, &part))
        return;
    struct buf line = BUF_INIT(4096);
    struct cgroup_part again;
    cgroup_part_text(&part, &line);
    CHECK(cgroup_part_parse(buf_str(&line), &again));
    CHECK(again.abilities == part.abilities && again.unified == part.unified);
    CHECK(strcmp(again.path, part.path) == 0);
    buf_fini(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct record *records[] = {&hold_spec_record,   &hold_started_record,
                                      &hold_ended_record,  &hold_command_record,
                                      &agent_facts_record, &agent_desired_record};
    struct str text = {(const char *)data, size};
    read_name(text);
    read_groups(text);
    for (size_t i = 0; i < ARRAY_COUNT(records); i++)
        read_as(records[i], text);
    return 0;
}
