/* SPDX-License-Identifier: Apache-2.0 */
/* Plays a scenario file, statement by statement. */
#include "scenario.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

void scenario_fail(struct scenario *s, const char *format, ...)
{
    unsigned line = s->at < s->line_count ? s->lines[s->at].line_number : 0;
    printf("# %s:%u: ", s->path, line);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    _Exit(1);
}

static void world_failed(struct world *w, const char *text)
{
    scenario_fail(w->context, "%s", text);
}

/* ---- reading
 * ------------------------------------------------------------------------------------------------
 */

/* `title: …` and `pending: …` are for people; the rest are statements. */
static bool header(char *line, const char *key, char *into, size_t size)
{
    size_t length = strlen(key);
    if (strncmp(line, key, length) != 0)
        return false;
    snprintf(into, size, "%s", line + length + (line[length] == ' '));
    return true;
}

void scenario_parse(struct scenario *s, const char *name, const char *text)
{
    *s = (struct scenario){.path = name, .text = xstrdup(text), .seed = 1};
    unsigned line_number = 0;
    for (char *line = s->text; line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end++ = 0;
        line_number++;
        if (!header(line, "title:", s->title, sizeof s->title) &&
            !header(line, "pending:", s->pending, sizeof s->pending))
            line_split(s, line, line_number);
        line = end;
    }
}

/* Of a page of documentation only the examples are played: fenced blocks that say `market`, each in a
 * world of its own. Lines keep their numbers. */
static void examples_take(struct scenario *s, const char *path, const char *text, struct buf *out)
{
    bool inside = false;
    size_t count = 0;
    for (const char *line = text; *line;) {
        size_t size = strcspn(line, "\n");
        bool fence = strncmp(line, "```", 3) == 0, opens = strncmp(line, "```market", 9) == 0;
        if (inside && !fence)
            buf_printf(out, "%.*s\n", (int)size, line);
        else
            buf_append_text(out, opens ? "world\n" : "\n");
        count += opens;
        inside = fence ? opens : inside;
        line += size + (line[size] != 0);
    }
    scenario_parse(s, path, buf_text(out));
    snprintf(s->title, sizeof s->title, "%zu worked examples", count);
    if (count == 0) {
        printf("Bail out! %s: no example in it\n", path);
        exit(2);
    }
}

void scenario_load(struct scenario *s, const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        printf("Bail out! %s: %s\n", path, strerror(errno));
        exit(2);
    }
    _cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
    char chunk[4096];
    for (size_t size; (size = fread(chunk, 1, sizeof chunk, file)) > 0;)
        buf_append(&text, chunk, size);
    fclose(file);
    size_t length = strlen(path);
    if (length > 3 && strcmp(path + length - 3, ".md") == 0) {
        _cleanup_buf_ struct buf examples = BUF_INIT(1 << 20);
        examples_take(s, path, buf_text(&text), &examples);
    } else {
        scenario_parse(s, path, buf_text(&text));
    }
}

static void groups_fini(struct scenario *s)
{
    for (size_t i = 0; i < s->group_count; i++)
        xfree(s->groups[i].members);
    s->group_count = 0;
}

void scenario_fini(struct scenario *s)
{
    groups_fini(s);
    world_free(s->w);
    names_fini(&s->words);
    void *arrays[] = {s->text, s->lines, s->groups, s->variables};
    for (size_t i = 0; i < ARRAY_COUNT(arrays); i++)
        xfree(arrays[i]);
}

/* ---- statements
 * --------------------------------------------------------------------------------------------- */

static void say(struct scenario *s, struct market_command c)
{
    world_say(s->w, c);
}

static void do_world(struct scenario *s, const struct line *l)
{
    (void)l;
    groups_fini(s);
    world_free(s->w);
    s->w = world_new(s->seed, world_failed, s);
    s->w->trace = s->trace;
    s->w->trace_digest = true;
}

static void do_seed(struct scenario *s, const struct line *l)
{
    s->seed = (uint64_t)(evaluate(s, l->words[1]) / ONE);
    do_world(s, l);
}

static void do_setting(struct scenario *s, const struct line *l)
{
    static const struct {
        const char *name;
        int64_t scale; /* of a millionth: 1,000 where the setting is in ms or permille */
    } settings[MARKET_SETTING_COUNT] = {
        [SETTING_TICK_MS] = {"tick", 1000},
        [SETTING_HORIZON_MS] = {"horizon", 1000},
        [SETTING_MINIMUM_RUN_MS] = {"minimum_run", 1000},
        [SETTING_RAMP_PERMILLE] = {"ramp", 1000},
        [SETTING_FEE_PERMILLE] = {"fee", 1000},
        [SETTING_TERM_MS] = {"term", 1000},
        [SETTING_KILL_MS] = {"kill", 1000},
        [SETTING_CHECKPOINT_MS] = {"checkpoint", 1000},
        [SETTING_LARGE_TENANT_PERMILLE] = {"large_tenant", 1000},
        [SETTING_SWEEP_CANDIDATES] = {"sweep", ONE},
        [SETTING_HOLD] = {"hold", ONE},
        [SETTING_STARVING_TICKS] = {"starving", ONE},
        [SETTING_HOLD_FEE] = {"hold_fee", 1},
        [SETTING_GUARD_MS] = {"guard", 1000},
        [SETTING_LEND_IDLE_MS] = {"lend_idle", 1000},
        [SETTING_TIER1_START_MS] = {"tier1_start", 1000},
        [SETTING_TIER2_START_MS] = {"tier2_start", 1000},
        [SETTING_TIER3_START_MS] = {"tier3_start", 1000},
        [SETTING_TIER4_START_MS] = {"tier4_start", 1000},
        [SETTING_TIER1_LOSS] = {"tier1_loss", 1},
        [SETTING_TIER2_LOSS] = {"tier2_loss", 1},
        [SETTING_TIER3_LOSS] = {"tier3_loss", 1},
        [SETTING_TIER4_LOSS] = {"tier4_loss", 1},
    };
    for (size_t i = 0; i < MARKET_SETTING_COUNT; i++)
        if (l->count == 3 && settings[i].name && str_is(l->words[1], settings[i].name)) {
            int64_t value = narrow_checked(evaluate(s, l->words[2]) / settings[i].scale);
            say(s, (struct market_command){.type = MARKET_SETTING_SET,
                                           .setting = {(enum market_setting)i, value}});
            return;
        }
    scenario_fail(s, "unknown setting");
}

/* For each named bid or node, one command. */
static void each(struct scenario *s, const struct line *l, struct market_command c)
{
    _cleanup_free_ market_id *ids = NULL;
    if (l->count < 2)
        scenario_fail(s, "a name is missing");
    size_t count = targets(s, l->words[1], &ids);
    for (size_t i = 0; i < count; i++) {
        struct track *t = world_track(s->w, ids[i]);
        bool of_bid = c.type == MARKET_BID_CANCEL || c.type == MARKET_BID_CHANGE ||
                      c.type == MARKET_LEASE_STARTED || c.type == MARKET_LEASE_ENDED;
        if (of_bid ? t == NULL : world_plot(s->w, ids[i]) == NULL) {
            if (!s->lenient)
                scenario_fail(s, "'%s' is not a %s", name_text(&s->w->names, ids[i]),
                              of_bid ? "bid" : "node");
            continue;
        }
        if (c.type == MARKET_BID_CANCEL || c.type == MARKET_BID_CHANGE)
            c.change.bid = ids[i];
        else if (of_bid)
            c.lease.bid = ids[i], c.lease.attempt = t->attempt;
        else
            c.on_node.node = ids[i];
        say(s, c);
    }
}

static void do_start(struct scenario *s, const struct line *l)
{
    each(s, l, (struct market_command){.type = MARKET_LEASE_STARTED, .lease = {.at = s->w->now}});
}

static void do_finish(struct scenario *s, const struct line *l)
{
    each(s, l,
         (struct market_command){.type = MARKET_LEASE_ENDED,
                                 .lease = {.at = s->w->now - option_time(s, l, "ago", 0),
                                           .requeue = line_flag(l, 2, "requeue")}});
}

static void do_leave(struct scenario *s, const struct line *l)
{
    _cleanup_free_ market_id *ids = NULL;
    size_t count = targets(s, l->words[1], &ids);
    for (size_t i = 0; i < count; i++) {
        const struct track *t = world_track(s->w, ids[i]);
        for (size_t j = 0; t && t->state == TRACK_VACATING && j < t->placement_count; j++)
            say(s, (struct market_command){.type = MARKET_REPLICA_ENDED,
                                           .lease = {.bid = t->id,
                                                     .attempt = t->attempt,
                                                     .role = t->placements[j].role,
                                                     .rank = t->placements[j].rank}});
    }
}

static void do_cancel(struct scenario *s, const struct line *l)
{
    each(s, l, (struct market_command){.type = MARKET_BID_CANCEL});
}

static void do_change(struct scenario *s, const struct line *l)
{
    each(s, l,
         (struct market_command){.type = MARKET_BID_CHANGE,
                                 .change = {.limit = option_money(s, l, "limit", 0)}});
}

static void do_down(struct scenario *s, const struct line *l)
{
    each(s, l,
         (struct market_command){
             .type = MARKET_NODE_DOWN,
             .on_node = {.last_contact = s->w->now - option_time(s, l, "ago", 0)}});
}

/* The same node again, after a loss. */
static void do_up(struct scenario *s, const struct line *l)
{
    _cleanup_free_ market_id *ids = NULL;
    size_t count = targets(s, l->words[1], &ids);
    for (size_t i = 0; i < count; i++)
        if (world_plot(s->w, ids[i]))
            say(s, (struct market_command){.type = MARKET_NODE_UP,
                                           .node = world_plot(s->w, ids[i])->spec});
}

static void do_drain(struct scenario *s, const struct line *l)
{
    each(s, l,
         (struct market_command){.type = MARKET_NODE_DRAIN,
                                 .on_node = {.evict = line_flag(l, 2, "evict")}});
}

static void do_undrain(struct scenario *s, const struct line *l)
{
    each(s, l, (struct market_command){.type = MARKET_NODE_UNDRAIN});
}

static void do_ask(struct scenario *s, const struct line *l)
{
    each(s, l,
         (struct market_command){.type = MARKET_ASK_SET,
                                 .on_node = {.ask = narrow_checked(evaluate(s, l->words[2]))}});
}

static void do_account(struct scenario *s, const struct line *l)
{
    struct str budget = line_option(l, 2, "budget");
    bool credits = line_flag(l, 2, "credits");
    say(s, (struct market_command){
               .type = MARKET_ACCOUNT_SET,
               .account = {.tenant = name_intern(&s->w->names, l->words[1]),
                           .limited = budget.data != NULL,
                           .budget = budget.data ? narrow_checked(evaluate(s, budget)) : 0,
                           .credits = credits,
                           .refill = option_money(s, l, "refill", 0),
                           .most = option_money(s, l, "most", 0)}});
}

static void do_wait(struct scenario *s, const struct line *l)
{
    world_wait(s->w, narrow_checked(evaluate(s, l->words[1]) / 1000));
}

static void do_tick(struct scenario *s, const struct line *l)
{
    int64_t count = l->count > 1 ? narrow_checked(evaluate(s, l->words[1]) / ONE) : 1;
    for (int64_t i = 0; i < count; i++)
        world_tick(s->w);
}

/* Until the menu has stood still for two ticks (at most so many; 20,000 where none is said). */
static void do_settle(struct scenario *s, const struct line *l)
{
    int64_t most = l->count > 1 ? narrow_checked(evaluate(s, l->words[1]) / ONE) : 20000;
    for (int64_t i = 0; i < most; i++) {
        bool still = s->w->tag_count > 0;
        for (size_t j = 0; j < s->w->tag_count; j++)
            still &= s->w->tags[j].steady >= 2;
        if (still)
            return;
        world_tick(s->w);
    }
    scenario_fail(s, "the menu did not come to rest in %lld ticks", (long long)most);
}

static void do_agents(struct scenario *s, const struct line *l)
{
    struct str start = line_option(l, 1, "start"), leave = line_option(l, 1, "leave"),
               compute = line_option(l, 1, "compute");
    if (compute.data)
        s->w->auto_compute = !str_is(compute, "by_hand");
    if (start.data)
        s->w->auto_start = !str_is(start, "by_hand");
    if (leave.data)
        s->w->leave = str_is(leave, "by_hand")       ? LEAVE_BY_HAND
                      : str_is(leave, "at_deadline") ? LEAVE_AT_DEADLINE
                                                     : LEAVE_AT_ONCE;
}

static void do_checks(struct scenario *s, const struct line *l)
{
    s->w->check_every = (uint64_t)(evaluate(s, l->words[1]) / ONE);
    s->w->watch_rates = s->w->check_every == 1;
}

static void do_batch(struct scenario *s, const struct line *l)
{
    s->in_batch = true;
    s->reverse = line_flag(l, 1, "reverse") || s->always_reverse;
}

static void do_apply(struct scenario *s, const struct line *l)
{
    (void)l;
    struct market_command *batch = s->w->batch;
    for (size_t i = 0; s->reverse && i < s->w->batch_count / 2; i++) {
        struct market_command c = batch[i];
        batch[i] = batch[s->w->batch_count - 1 - i];
        batch[s->w->batch_count - 1 - i] = c;
    }
    s->in_batch = s->reverse = false;
}

static void do_reload(struct scenario *s, const struct line *l)
{
    (void)l;
    world_reload(s->w);
}

/* let NAME = EXPRESSION */
static void do_let(struct scenario *s, const struct line *l)
{
    if (l->count < 4 || !str_is(l->words[2], "="))
        scenario_fail(s, "let NAME = EXPRESSION");
    _cleanup_buf_ struct buf text = BUF_INIT(4096);
    for (size_t i = 3; i < l->count; i++)
        buf_append_str(&text, l->words[i]);
    number value = evaluate(s, buf_str(&text));
    market_id name = name_intern(&s->words, l->words[1]);
    for (size_t i = 0; i < s->variable_count; i++)
        if (s->variables[i].name == name) {
            s->variables[i].value = value;
            return;
        }
    ARRAY_RESERVE(s->variables, s->variable_count, s->variable_capacity);
    s->variables[s->variable_count++] = (struct variable){name, value};
}

/* ---- playing
 * -------------------------------------------------------------------------------------------------
 */

static const struct statement {
    const char *word;
    void (*play)(struct scenario *s, const struct line *l);
    enum { BARE, COMMAND, NEEDS_WORD } kind; /* COMMAND: one batch, unless `batch` gathers them */
} statements[] = {
    {"world", do_world, BARE},
    {"seed", do_seed, NEEDS_WORD},
    {"setting", do_setting, COMMAND},
    {"nodes", say_nodes, COMMAND},
    {"bids", draft_begin, BARE},
    {"bid", draft_begin, BARE},
    {"or", draft_or, BARE},
    {"and", draft_and, BARE},
    {"start", do_start, COMMAND},
    {"finish", do_finish, COMMAND},
    {"leave", do_leave, COMMAND},
    {"cancel", do_cancel, COMMAND},
    {"change", do_change, COMMAND},
    {"down", do_down, COMMAND},
    {"up", do_up, COMMAND},
    {"drain", do_drain, COMMAND},
    {"undrain", do_undrain, COMMAND},
    {"ask", do_ask, COMMAND},
    {"account", do_account, COMMAND},
    {"wait", do_wait, NEEDS_WORD},
    {"tick", do_tick, BARE},
    {"settle", do_settle, BARE},
    {"agents", do_agents, BARE},
    {"checks", do_checks, NEEDS_WORD},
    {"batch", do_batch, BARE},
    {"apply", do_apply, COMMAND},
    {"reload", do_reload, BARE},
    {"population", say_population, COMMAND},
    {"reserve", do_reserve, COMMAND},
    {"pause", do_pause, COMMAND},
    {"resume", do_resume, COMMAND},
    {"return", do_return, COMMAND},
    {"subscribe", do_subscribe, COMMAND},
    {"owner", do_owner, COMMAND},
    {"power", do_power, COMMAND},
    {"checkpoint", do_checkpoint, COMMAND},
    {"clear", do_clear, COMMAND},
    {"compute", do_compute, BARE},
    {"let", do_let, BARE},
    {"expect", expect, NEEDS_WORD},
    {"probe", probe, NEEDS_WORD},
};

static void play(struct scenario *s, const struct line *l)
{
    bool goes_on = str_is(l->words[0], "or") || str_is(l->words[0], "and");
    if (!goes_on)
        draft_end(s);
    for (size_t i = 0; i < ARRAY_COUNT(statements); i++) {
        if (!str_is(l->words[0], statements[i].word))
            continue;
        if (l->count < 2 && statements[i].kind == NEEDS_WORD)
            scenario_fail(s, "'%s' wants a word", statements[i].word);
        statements[i].play(s, l);
        if (statements[i].kind == COMMAND && !s->in_batch)
            world_apply(s->w);
        return;
    }
    scenario_fail(s, "unknown statement '%.*s'", STR_ARGS(l->words[0]));
}

/* The line of the `end` that closes the block which opens at `at`. */
static size_t block_end(struct scenario *s, size_t at)
{
    size_t depth = 0;
    for (size_t i = at; i < s->line_count; i++) {
        depth += str_is(s->lines[i].words[0], "repeat");
        depth -= str_is(s->lines[i].words[0], "end");
        if (depth == 0)
            return i;
    }
    scenario_fail(s, "'repeat' without 'end'");
}

static void play_lines(struct scenario *s, size_t first, size_t end)
{
    for (s->at = first; s->at < end; s->at++) {
        const struct line *l = &s->lines[s->at];
        if (!str_is(l->words[0], "repeat")) {
            play(s, l);
            continue;
        }
        draft_end(s);
        size_t begin = s->at + 1, close = block_end(s, s->at);
        int64_t times = l->count > 1 ? narrow_checked(evaluate(s, l->words[1]) / ONE) : 0;
        for (int64_t i = 0; i < times; i++)
            play_lines(s, begin, close);
        s->at = close;
    }
}

void scenario_run(struct scenario *s)
{
    do_world(s, NULL);
    play_lines(s, 0, s->line_count);
    draft_end(s);
    world_apply(s->w);
}
