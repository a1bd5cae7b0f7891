/* SPDX-License-Identifier: Apache-2.0 */
#include "market/admit.h"

#include "base/sort.h"

#include <string.h>

#define KNOWN_LEAST 20 /* so many must have asked before anything is expected */

void admit_note(struct admit *a, const struct admit_asked *asked)
{
    a->asked[a->next] = *asked;
    a->next = (a->next + 1) % ADMIT_HISTORY;
    a->count = MIN(a->count + 1, ADMIT_HISTORY);
}

/* Dearest first. */
static int asked_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct admit_asked *a = x, *b = y;
    int128 left = (int128)b->value * a->work, right = (int128)a->value * b->work;
    int c = COMPARE(left, right);
    return c ? c : COMPARE(a->at, b->at);
}

udollar admit_displaced(const struct admit *a, time_ms now, const struct admit_promise *p)
{
    if (a->count < KNOWN_LEAST)
        return 0;
    struct admit_asked line[ADMIT_HISTORY];
    memcpy(line, a->asked, a->count * sizeof *line);
    time_ms oldest = TIME_NEVER;
    for (uint32_t i = 0; i < a->count; i++)
        oldest = MIN(oldest, line[i].at);
    if (now <= oldest)
        return 0;
    sort(line, a->count, sizeof *line, asked_compare, NULL);
    /* work that the capacity can do in the time that was looked at, without the promise and with it
     */
    int128 window = now - oldest, most = window * p->free_milli;
    int128 least = MAX(window * (p->free_milli - p->units_milli), 0), done = 0, displaced = 0;
    for (uint32_t i = 0; i < a->count && done < most; i++) {
        int128 from = MAX(done, least), to = MIN(done + line[i].work, most);
        if (to > from)
            displaced += line[i].value * (to - from) / line[i].work * p->span / window;
        done += line[i].work;
    }
    return narrow_checked(displaced);
}

bool admit_takes(const struct admit *a, time_ms now, const struct admit_promise *p)
{
    return admit_displaced(a, now, p) / 4 <= p->value;
}
