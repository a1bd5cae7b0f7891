/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pages.h"

#include "base/number.h"
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

struct gathered {
    char *items;
    size_t count, capacity;
};

/* Appends a page; the whole grows by doubling, in the arena. */
static void gather(struct cli *cli, struct gathered *all, const struct record_list *page,
                   size_t item)
{
    if (all->count + page->count > all->capacity) {
        size_t capacity = MAX(all->count + page->count, 2 * all->capacity);
        char *items = arena_alloc(&cli->arena, capacity * item + 1);
        if (all->count)
            memcpy(items, all->items, all->count * item);
        all->items = items;
        all->capacity = capacity;
    }
    if (page->count)
        memcpy(all->items + all->count * item, page->items, page->count * item);
    all->count += page->count;
}

int pages_get(struct cli *cli, const struct pages *pages)
{
    struct gathered all = {};
    struct str cursor = {};
    bool several = false;
    do {
        int code = api_get(cli, page_path(cli, pages, cursor), pages->record, pages->page);
        if (code)
            return code;
        cursor = *pages->cursor;
        several |= cursor.size > 0;
        gather(cli, &all, pages->list, pages->item);
    } while (cursor.size && (pages->most == 0 || all.count < pages->most));
    *pages->list = (struct record_list){all.items, all.count};
    if (several) {
        _cleanup_buf_ struct buf text = BUF_INIT(ANSWER_MAX);
        record_to_json(pages->record, pages->page, AUDIENCE_AGENT, &text);
        cli->raw = arena_str(&cli->arena, buf_str(&text));
    }
    return EXIT_OK;
}
