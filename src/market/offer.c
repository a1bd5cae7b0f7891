/* SPDX-License-Identifier: Apache-2.0 */
/* What a deadline costs, dry: how long its work takes where, and the least that it costs at the forward curve over the
 * pools that have room for it in time. */
#include "base/sort.h"
#include "market/calendar.h"
#include "market/refusal.h"

#define BLOCKS_MAX 256 /* starts that are looked at in one pool */

/* ---- how long ------------------------------------------------------------------------------------------ */

/* What is left of its work with that alternative, its start among it. */
static time_ms work_span(const struct promise *p, int64_t units, int64_t speed)
{
    time_ms run = p->run_time;
    if (p->work_milli)
        run = narrow_checked(((int128)p->work_milli * 1000 * HOUR_MS + (int128)units * speed - 1) / ((int128)units * speed));
    return mul_div_ceil(run, 1000 - p->done_permille, 1000) + p->startup;
}

time_ms promise_hold(const struct market *m, const struct promise *p, time_ms work)
{
    return work + m->settings[SETTING_GUARD_MS] + p->checkpoint;
}

time_ms promise_work(const struct form *f, const struct line *line, uint32_t replicas, const struct promise *p)
{
    return work_span(p, mul_checked(line->replica_milli, replicas), f->choices[line->alternative].speed_milli);
}

const struct line *form_line(const struct form *f, uint32_t alternative, uint32_t pool)
{
    for (uint32_t i = 0; i < f->line_count; i++)
        if (f->lines[i].alternative == alternative && f->lines[i].pool == pool)
            return &f->lines[i];
    return NULL;
}

/* ---- the quote --------------------------------------------------------------------------------------------- */

struct promise promise_of(const struct market_bid *bid)
{
    return (struct promise){.limit = bid->alternatives[0].limit, .earliest = bid->earliest, .deadline = bid->latest,
        .run_time = bid->run_time, .work_milli = bid->work_milli, .limit_total = bid->limit_total, .checkpoint = bid->checkpoint,
        .startup = bid->startup};
}

struct starts { /* of a block in one pool, latest first */
    time_ms at[BLOCKS_MAX];
    uint32_t count;
};

static int later_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    return COMPARE(*(const time_ms *)y, *(const time_ms *)x);
}

/* A block that ends later fits on no other nodes but for where something else begins. */
static void starts_find(const struct market *m, uint32_t pool, const struct window *within, time_ms hold, struct starts *ret)
{
    const struct calendar *k = m->calendar;
    time_ms *all = xcalloc(k->claim_count + 1, sizeof *all);
    uint32_t count = 0;
    all[count++] = within->to;
    for (uint32_t i = 1; i < k->claim_count; i++) {
        time_ms at = k->claims[i].from - hold;
        if (k->claims[i].kind && k->claims[i].pool == pool && at >= within->from && at < within->to)
            all[count++] = at;
    }
    sort(all, count, sizeof *all, later_compare, NULL);
    ret->count = 0;
    for (uint32_t i = 0; i < count && ret->count < BLOCKS_MAX; i++)
        if (i == 0 || all[i] != all[i - 1])
            ret->at[ret->count++] = all[i];
    xfree(all);
}

/* The last block on nodes that ask no more than the rate; where there is none, the one that asks least. */
static bool block_find(const struct market *m, const struct wish *w, time_ms hold, int64_t rate, struct offer *ret)
{
    struct window within = {w->from, w->to, 0};
    struct starts starts;
    starts_find(m, w->line->pool, &within, hold, &starts);
    for (uint32_t i = 0; i < starts.count && (ret->site.count == 0 || ret->site.ask_rate > rate); i++) {
        struct wish here = {w->c, w->line, starts.at[i], starts.at[i] + hold};
        struct site site;
        if (!claim_find(m, &here, &site))
            continue;
        if (ret->site.count && site.ask_rate >= ret->site.ask_rate) {
            site_fini(&site);
            continue;
        }
        site_fini(&ret->site);
        ret->site = site;
        ret->from = here.from;
        ret->to = here.to;
    }
    return ret->site.count > 0;
}

static bool line_offer(const struct market *m, const struct candidate *c, const struct line *line, const struct promise *p, struct offer *ret)
{
    int64_t units = candidate_units(c, line);
    time_ms work = promise_work(c->form, line, c->replicas, p), hold = promise_hold(m, p, work);
    struct wish within = {c, line, MAX(m->now, p->earliest), p->deadline - hold};
    if (within.to < within.from || !candidate_fits(m, c, line))
        return false;
    ret->rate = mul_checked(forward_least(m, line->pool, &(struct window){within.from, within.to, 0}, hold), units);
    if (!block_find(m, &within, hold, ret->rate, ret))
        return false;
    ret->line = line;
    ret->rate = MAX(ret->rate, ret->site.ask_rate);
    ret->most = narrow_checked((int128)ret->rate * work / RATE_SCALE);
    ret->above_limit = p->limit_total ? ret->most > p->limit_total : ret->rate > (int128)candidate_net(c, line) * units;
    return true;
}

void offer_fini(struct offer *o)
{
    site_fini(&o->site);
}

static bool offer_beats(const struct offer *a, const struct offer *b)
{
    if (b->line == NULL || a->above_limit != b->above_limit)
        return b->line == NULL || !a->above_limit;
    return a->most < b->most;
}

void offer_find(const struct market *m, const struct candidate *c, const struct promise *p, struct offer *ret)
{
    *ret = (struct offer){0};
    for (uint32_t i = 0; i < c->form->used_count; i++) {
        struct offer here = {0};
        if (!line_offer(m, c, &c->form->lines[i], p, &here))
            continue;
        if (offer_beats(&here, ret)) {
            offer_fini(ret);
            *ret = here;
        } else {
            offer_fini(&here);
        }
    }
}

static struct refusal check_terms(const struct market *m, const struct market_bid *bid)
{
    if (bid->credits)
        return refuse(REFUSED_UNSUPPORTED, "credits");
    if (bid->reservation)
        return refuse(REFUSED_UNSUPPORTED, "reservation");
    for (size_t i = 0; i < bid->alternative_count; i++)
        if (bid->alternatives[i].transfer)
            return refuse(REFUSED_UNSUPPORTED, "transfer");
    if (bid->work_milli < 0 || bid->work_milli > (int64_t)1 << 50)
        return refuse_bound("work", bid->work_milli, 0, (int64_t)1 << 50);
    if (bid->run_time <= 0 && bid->work_milli == 0)
        return refuse_bound("run_time", bid->run_time, 1, MARKET_WINDOW_MAX_MS);
    if (bid->limit_total < 0)
        return refuse_bound("limit_total", bid->limit_total, 0, INT64_MAX);
    if (bid->checkpoint < 0 || bid->checkpoint > MARKET_WINDOW_MAX_MS)
        return refuse_bound("checkpoint", bid->checkpoint, 0, MARKET_WINDOW_MAX_MS);
    if (bid->latest > m->now + MARKET_WINDOW_MAX_MS)
        return refuse_bound("deadline", bid->latest, m->now + 1, m->now + MARKET_WINDOW_MAX_MS);
    return accept();
}

struct refusal promise_refusal(const struct market *m, const struct market_bid *bid, const struct form *form)
{
    struct refusal r = check_terms(m, bid);
    struct promise p = promise_of(bid);
    time_ms least = TIME_NEVER;
    if (r.reason)
        return r;
    for (uint32_t i = 0; i < form->line_count; i++)
        if (line_capacity(m, form, &form->lines[i], bid->roles[0].replicas_min) >= bid->roles[0].replicas_min)
            least = MIN(least, promise_hold(m, &p, MIN(promise_work(form, &form->lines[i], bid->roles[0].replicas_min, &p), TIME_NEVER / 4)));
    least = MAX(m->now, bid->earliest) + MIN(least, MARKET_WINDOW_MAX_MS);
    return bid->latest < least ? refuse_bound("deadline", bid->latest, least, m->now + MARKET_WINDOW_MAX_MS) : accept();
}
