/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Lists that the server gives page by page: fetched whole. */

#include "cli/session.h"
#include "wire/record.h"

struct pages {
    const char *path; /* with its query, without a cursor */
    const struct record *record;
    void *page;               /* a struct of that record: in the end it holds all items */
    struct record_list *list; /* its list */
    struct str *cursor;       /* its cursor */
    size_t item;              /* bytes of an item */
    size_t most;              /* stops after so many, the cursor says that there are more; 0: all */
};

/* cli->raw is the answer as one page. EXIT_OK or complained. */
int pages_get(struct cli *cli, const struct pages *pages);
