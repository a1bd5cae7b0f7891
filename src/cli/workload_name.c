/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/workload_name.h"

#include "cli/api_call.h"
#include "records/api.h"

/* The newest workload of a name. Returns how many of it the newest page holds, or minus an exit
 * code. */
static int find_named(struct cli *cli, const char *name, const char *states, struct str *ret)
{
    struct api_workloads page = {};
    _cleanup_buf_ struct buf path = BUF_INIT(4096);
    buf_append_text(&path, "/v1/workloads");
    api_query(&path, "state", states);
    int code =
        api_call(cli, &(struct api_call){.path = buf_text(&path)}, &api_workloads_record, &page);
    const struct api_workload *works = page.workloads.items;
    int count = 0;
    for (size_t i = 0; code == EXIT_OK && i < page.workloads.count; i++)
        if (str_is(works[i].name, name) && count++ == 0)
            *ret = works[i].id;
    return code ? -code : count;
}

int workload_named(struct cli *cli, const char *word, bool changes, const char **ret)
{
    struct str id = str_from(word);
    int count = 1;
    if (!str_starts(id, STR("work_"))) {
        count = find_named(cli, word, WORKLOAD_LIVE_STATES, &id);
        if (count == 0 && !changes)
            count = find_named(cli, word, NULL, &id);
    }
    if (count < 0)
        return -count;
    if (count == 0)
        return cli_fail(EXIT_NOT_FOUND,
                        "%s: no workload%s has this name; `tessera queue --all` lists them", word,
                        changes ? " that lives" : "");
    if (count > 1 && changes)
        return cli_fail(EXIT_CONFLICT, "%s: %d workloads of this name live; say which by its id",
                        word, count);
    *ret = arena_str(&cli->arena, id).data;
    return EXIT_OK;
}
