/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pages.h"

#include "cli/api_call.h"

#define ANSWER_MAX ((size_t)1 << 30)

static const char *page_path(struct cli *cli, const struct pages *pages, struct str cursor)
{
    _cleanup_buf_ struct buf path = BUF_INIT(64 * 1024);
    _cleanup_free_ char *text = str_dup(cursor);
    buf_append_text(&path, pages->path);
    api_query(&path, "cursor", cursor.size ? text : NULL);
    return arena_str(&cli->arena, buf_str(&path)).data;
}

/* What was there and what came, in the arena. */
static void join(struct cli *cli, const struct pages *pages, struct record_list *all,
                 const struct record_list *more)
{
    char *items = arena_alloc(&cli->arena, (all->count + more->count + 1) * pages->item);
    if (all->count)
        memcpy(items, all->items, all->count * pages->item);
    if (more->count)
        memcpy(items + all->count * pages->item, more->items, more->count * pages->item);
    *all = (struct record_list){items, all->count + more->count};
}

int pages_get(struct cli *cli, const struct pages *pages)
{
    struct record_list all = {};
    struct str cursor = {};
    bool several = false;
    do {
        int code = api_get(cli, page_path(cli, pages, cursor), pages->record, pages->page);
        if (code)
            return code;
        cursor = *pages->cursor;
        several |= cursor.size > 0;
        join(cli, pages, &all, pages->list);
    } while (cursor.size && (pages->most == 0 || all.count < pages->most));
    *pages->list = all;
    if (several) {
        _cleanup_buf_ struct buf text = BUF_INIT(ANSWER_MAX);
        record_to_json(pages->record, pages->page, AUDIENCE_AGENT, &text);
        cli->raw = arena_str(&cli->arena, buf_str(&text));
    }
    return EXIT_OK;
}
