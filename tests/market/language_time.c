/* SPDX-License-Identifier: Apache-2.0 */
/* Statements about time to come and about who stands behind an account: reservations, tiers,
 * owners, power, checkpoints, and the work that is done outside the writer. */
#include "scenario.h"

static market_id named_word(struct scenario *s, const struct line *l, size_t i)
{
    if (i >= l->count)
        scenario_fail(s, "a name is missing");
    return name_intern(&s->w->names, l->words[i]);
}

/* `1h` after the start of the scenario. */
static time_ms option_moment(struct scenario *s, const struct line *l, const char *key,
                             time_ms otherwise)
{
    time_ms after = option_time(s, l, key, -1);
    return after < 0 ? otherwise : s->w->started + after;
}

/* ---- reservations
 * ------------------------------------------------------------------------------------------ */

void do_reserve(struct scenario *s, const struct line *l)
{
    struct market_choice choice = {.amounts = {.gpu_milli = 8000}, .speed_milli = 1000};
    struct market_alternative level = {.limit = ONE};
    choice_options(s, l, &choice);
    alternative_options(s, l, &level);
    struct str tenant = line_option(l, 1, "tenant");
    struct market_reservation r = {
        .id = named_word(s, l, 1),
        .tenant = name_intern(&s->w->names, tenant.data ? tenant : STR("tenant")),
        .request_key = 7,
        .choice = choice,
        .replicas = (uint32_t)option_count(s, l, "nodes", 1),
        .level = level.level,
        .racks = level.racks,
        .from = option_moment(s, l, "from", s->w->now),
        .to = option_moment(s, l, "to", s->w->now + HOUR_MS),
        .limit = level.limit,
        .keep_idle = line_flag(l, 2, "keep_idle")};
    world_say(s->w, (struct market_command){.type = MARKET_RESERVATION_ADD, .reservation = r});
}

static void reservation_change(struct scenario *s, const struct line *l,
                               enum market_reservation_action action)
{
    world_say(s->w, (struct market_command){
                        .type = MARKET_RESERVATION_CHANGE,
                        .reservation_change = {.reservation = named_word(s, l, 1),
                                               .action = action,
                                               .replicas = (uint32_t)option_count(s, l, "nodes", 0),
                                               .from = option_moment(s, l, "from", 0),
                                               .to = option_moment(s, l, "to", 0),
                                               .floor = option_money(s, l, "floor", 0)}});
}

void do_pause(struct scenario *s, const struct line *l)
{
    reservation_change(s, l, RESERVATION_PAUSE);
}

void do_resume(struct scenario *s, const struct line *l)
{
    reservation_change(s, l, RESERVATION_RESUME);
}

void do_return(struct scenario *s, const struct line *l)
{
    reservation_change(s, l, RESERVATION_CANCEL);
}

bool reservation_field(struct scenario *s, market_id id, struct str field, number *ret)
{
    struct market_reservation_view v;
    if (id == 0 || !market_reservation_view(s->w->m, id, &v))
        return false;
    const struct {
        const char *name;
        number value;
    } fields[] = {{"rate", v.rate},
                  {"charged", v.charged},
                  {"resold", v.resold},
                  {"paused", (number)v.paused * ONE},
                  {"sold", (number)v.sold * ONE},
                  {"in_use", (number)v.used * ONE},
                  {"waiting", v.state == RESERVATION_WAITING ? ONE : 0},
                  {"bought", v.state == RESERVATION_BOUGHT ? ONE : 0},
                  {"open", v.state == RESERVATION_OPEN ? ONE : 0},
                  {"lent", v.state == RESERVATION_LENT ? ONE : 0},
                  {"over", v.state == RESERVATION_OVER ? ONE : 0}};
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++)
        if (str_is(field, fields[i].name)) {
            *ret = fields[i].value;
            return true;
        }
    return false;
}

/* ---- tiers, owners, power
 * ------------------------------------------------------------------------------------ */

void do_subscribe(struct scenario *s, const struct line *l)
{
    struct market_choice choice = {.speed_milli = 1000};
    choice_options(s, l, &choice);
    world_say(s->w, (struct market_command){
                        .type = MARKET_SUBSCRIPTION_SET,
                        .subscription = {.tenant = named_word(s, l, 1),
                                         .choice = choice,
                                         .tier = (uint32_t)option_count(s, l, "tier", 1),
                                         .units_milli = option_milli(s, l, "units", 1000),
                                         .rate = option_money(s, l, "rate", 0)}});
}

/* owner ACCOUNT OWNER [seller] */
void do_owner(struct scenario *s, const struct line *l)
{
    world_say(s->w, (struct market_command){.type = MARKET_OWNER_SET,
                                            .owner = {.account = named_word(s, l, 1),
                                                      .owner = named_word(s, l, 2),
                                                      .seller = line_flag(l, 3, "seller")}});
}

void do_power(struct scenario *s, const struct line *l)
{
    world_say(s->w, (struct market_command){.type = MARKET_POWER_SET,
                                            .power = {.site = named_word(s, l, 1),
                                                      .watts = option_count(s, l, "watts", 0)}});
}

/* checkpoint BID done=0.5: so much of its declared work is kept */
void do_checkpoint(struct scenario *s, const struct line *l)
{
    const struct track *t = world_track(s->w, named_word(s, l, 1));
    if (t == NULL)
        scenario_fail(s, "'%.*s' is not a bid", STR_ARGS(l->words[1]));
    world_say(s->w,
              (struct market_command){.type = MARKET_CHECKPOINTED,
                                      .lease = {.bid = t->id,
                                                .attempt = t->attempt,
                                                .at = s->w->now,
                                                .done_permille = option_milli(s, l, "done", 0)}});
}

void do_clear(struct scenario *s, const struct line *l)
{
    (void)l;
    world_say(s->w, (struct market_command){.type = MARKET_CLEAR});
}

/* The shadow clear, the forward curve and the prices of large tenants, and back into the market. */
void do_compute(struct scenario *s, const struct line *l)
{
    (void)l;
    world_compute(s->w);
}
