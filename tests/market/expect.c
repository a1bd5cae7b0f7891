/* SPDX-License-Identifier: Apache-2.0 */
/* expect NAME is STATE · expect NAME on NODE… · expect NAME because OBSTACLE · expect refused FIELD
 * · expect LEFT < RIGHT */
#include "scenario.h"

static const char *const state_names[] = {"waiting", "assigned", "ready",
                                          "running", "vacating", "over"};
static const char *const obstacle_names[] = {"none",      "no_node",    "price",  "menu",
                                             "protected", "contiguity", "budget", "window",
                                             "held",      "forward",    "paused", "power", "owner", "deadline"};
static const char *const release_names[] = {"ended",     "cancelled", "preempted",
                                            "node_lost", "drained",   "budget"};

static void expect_state(struct scenario *s, const struct line *l)
{
    _cleanup_free_ market_id *ids = NULL;
    size_t count = targets(s, l->words[1], &ids);
    for (size_t i = 0; i < count; i++) {
        const struct track *t = world_track(s->w, ids[i]);
        if (t == NULL)
            scenario_fail(s, "'%s' is not a bid", name_text(&s->w->names, ids[i]));
        if (!str_is(l->words[3], state_names[t->state]))
            scenario_fail(s, "%s is %s, expected %.*s", name_text(&s->w->names, ids[i]),
                          state_names[t->state], STR_ARGS(l->words[3]));
    }
}

static void expect_reason(struct scenario *s, const struct line *l)
{
    _cleanup_free_ market_id *ids = NULL;
    size_t count = targets(s, l->words[1], &ids);
    for (size_t i = 0; i < count; i++) {
        const struct track *t = world_track(s->w, ids[i]);
        struct market_why why;
        const char *reason;
        if (t->state == TRACK_VACATING || t->state == TRACK_OVER)
            reason = release_names[t->reason];
        else if (market_why(s->w->m, ids[i], &why))
            reason = (size_t)why.obstacle < ARRAY_COUNT(obstacle_names)
                         ? obstacle_names[why.obstacle]
                         : "?";
        else
            reason = "not in the book";
        if (!str_is(l->words[3], reason))
            scenario_fail(s, "%s: the reason is %s, expected %.*s", name_text(&s->w->names, ids[i]),
                          reason, STR_ARGS(l->words[3]));
    }
}

static bool stands_on(const struct track *t, const market_id *nodes, size_t count)
{
    for (size_t i = 0; i < t->placement_count; i++) {
        bool found = false;
        for (size_t j = 0; j < count && !found; j++)
            found = t->placements[i].node == nodes[j];
        if (!found)
            return false;
    }
    return t->placement_count > 0;
}

/* All that it has stands on these nodes, or on nodes of these SKUs. */
static void expect_place(struct scenario *s, const struct line *l)
{
    const struct track *t = world_track(s->w, name_find(&s->w->names, l->words[1]));
    if (t == NULL)
        scenario_fail(s, "'%.*s' is not a bid", STR_ARGS(l->words[1]));
    _cleanup_free_ market_id *nodes = xcalloc(1, sizeof *nodes);
    size_t count = 0;
    for (size_t i = 3; i < l->count; i++) {
        _cleanup_free_ market_id *here = NULL;
        size_t more = targets(s, l->words[i], &here);
        nodes = xrealloc(nodes, count + more + 1, sizeof *nodes);
        memcpy(nodes + count, here, more * sizeof *here);
        count += more;
    }
    if (!stands_on(t, nodes, count))
        scenario_fail(s, "%.*s stands elsewhere (first on %s)", STR_ARGS(l->words[1]),
                      t->placement_count ? name_text(&s->w->names, t->placements[0].node)
                                         : "no node");
}

static void expect_refused(struct scenario *s, const struct line *l)
{
    const struct market_event *e = &s->w->last_refused;
    const char *field = e->refused.index == SIZE_MAX ? "none"
                        : e->refused.field           ? e->refused.field
                                                     : "-";
    if (l->count < 3 || !str_is(l->words[2], field))
        scenario_fail(s, "the last batch: refused %s", field);
}

static void print_number(struct buf *out, number value)
{
    buf_printf(out, "%s%lld.%06lld", value < 0 ? "-" : "",
               (long long)((value < 0 ? -value : value) / ONE),
               (long long)((value < 0 ? -value : value) % ONE));
}

static void expect_relation(struct scenario *s, const struct line *l)
{
    _cleanup_buf_ struct buf text = BUF_INIT(4096), shown = BUF_INIT(4096);
    for (size_t i = 1; i < l->count; i++)
        buf_append_str(&text, l->words[i]);
    number left, right;
    if (compare(s, buf_str(&text), &left, &right))
        return;
    buf_printf(&shown, "expected %s: it is ", buf_text(&text));
    print_number(&shown, left);
    buf_append_text(&shown, " against ");
    print_number(&shown, right);
    scenario_fail(s, "%s", buf_text(&shown));
}

void expect(struct scenario *s, const struct line *l)
{
    if (l->count >= 4 && str_is(l->words[2], "is"))
        expect_state(s, l);
    else if (l->count >= 4 && str_is(l->words[2], "because"))
        expect_reason(s, l);
    else if (l->count >= 4 && str_is(l->words[2], "on"))
        expect_place(s, l);
    else if (l->count >= 2 && str_is(l->words[1], "refused"))
        expect_refused(s, l);
    else
        expect_relation(s, l);
}
