/* SPDX-License-Identifier: Apache-2.0 */
#include "server/event.h"

#include "base/memory.h"
#include "records/workload.h"
#include "wire/unit.h"

#include <stdarg.h>
#include <stdio.h>

#define NAME_OF(names, index) name_at(names, ARRAY_COUNT(names), (int64_t)(index))

static const char *name_at(const char *const *names, size_t count, int64_t index)
{
    return index >= 0 && (size_t)index < count && names[index] ? names[index] : "";
}

const char *event_type_name(enum engine_event_type type)
{
    static const char *const names[ENGINE_EVENT_TYPE_COUNT] = {
        [ENGINE_EVENT_WORKLOAD_SUBMITTED] = "workload_submitted",
        [ENGINE_EVENT_WORKLOAD_ASSIGNED] = "workload_assigned",
        [ENGINE_EVENT_WORKLOAD_READY] = "workload_ready",
        [ENGINE_EVENT_WORKLOAD_STARTED] = "workload_started",
        [ENGINE_EVENT_WORKLOAD_PREEMPTING] = "workload_preempting",
        [ENGINE_EVENT_WORKLOAD_WAITING] = "workload_waiting",
        [ENGINE_EVENT_WORKLOAD_FINISHED] = "workload_finished",
        [ENGINE_EVENT_WORKLOAD_FAILED] = "workload_failed",
        [ENGINE_EVENT_WORKLOAD_CANCELLED] = "workload_cancelled",
        [ENGINE_EVENT_WORKLOAD_REJECTED] = "workload_rejected",
        [ENGINE_EVENT_WORKLOAD_CHANGED] = "workload_changed",
        [ENGINE_EVENT_WORKLOAD_RETIRED] = "workload_retired",
        [ENGINE_EVENT_REPLICA_PLACED] = "replica_placed",
        [ENGINE_EVENT_REPLICA_STARTED] = "replica_started",
        [ENGINE_EVENT_REPLICA_ENDED] = "replica_ended",
        [ENGINE_EVENT_CHARGED] = "charged",
        [ENGINE_EVENT_ENTRY] = "ledger_entry",
        [ENGINE_EVENT_PRICE_POSTED] = "price_posted",
        [ENGINE_EVENT_GAP] = "gap",
        [ENGINE_EVENT_NODE_REGISTERED] = "node_registered",
        [ENGINE_EVENT_NODE_CHANGED] = "node_changed",
        [ENGINE_EVENT_NODE_LOST] = "node_lost",
        [ENGINE_EVENT_PROJECT_CREATED] = "project_created",
        [ENGINE_EVENT_PROJECT_CHANGED] = "project_changed",
        [ENGINE_EVENT_KEY_CREATED] = "key_created",
        [ENGINE_EVENT_KEY_REVOKED] = "key_revoked",
        [ENGINE_EVENT_SETTING_CHANGED] = "setting_changed",
        [ENGINE_EVENT_REPLICA_PHASE] = "replica_phase",
        [ENGINE_EVENT_OBJECT_CREATED] = "object_created",
        [ENGINE_EVENT_OBJECT_CHANGED] = "object_changed",
        [ENGINE_EVENT_OBJECT_DELETED] = "object_deleted",
        [ENGINE_EVENT_WORKLOAD_REQUEST] = "workload_request",
        [ENGINE_EVENT_RESERVATION] = "reservation",
        [ENGINE_EVENT_WORKLOAD_QUOTED] = "workload_quoted",
        [ENGINE_EVENT_BUDGET] = "budget",
        [ENGINE_EVENT_SUBSCRIPTION] = "subscription",
        [ENGINE_EVENT_HEADROOM_POSTED] = "headroom_posted",
    };
    return NAME_OF(names, type);
}

const char *workload_state_name(enum engine_workload_state state)
{
    static const char *const names[] = {"waiting", "assigned", "running", "preempting", "finished", "failed", "cancelled", "rejected",
                                        "paused"};
    return NAME_OF(names, state);
}

const char *workload_kind_name(bool due, bool preemptible)
{
    return due ? "deadline" : preemptible ? "preemptible" : "firm";
}

static const char *node_state_name(int64_t state)
{
    static const char *const names[] = {"up", "draining", "lost"};
    return NAME_OF(names, state);
}

const char *reason_name(enum engine_reason reason)
{
    static const char *const names[] = {"", "submitted", "preempted", "drained", "node_lost", "node_restarted", "budget", "cancelled",
                                        "max_run", "exited", "oom", "prepare", "retry", "completed", "relocated", "deadline", "paused", "resumed"};
    return NAME_OF(names, reason);
}

const char *setting_name(int64_t setting)
{
    static const char *const names[ENGINE_SETTING_END] = {
        [SETTING_TICK_MS] = "tick_ms",
        [SETTING_HORIZON_MS] = "horizon_ms",
        [SETTING_MINIMUM_RUN_MS] = "minimum_run_ms",
        [SETTING_RAMP_PERMILLE] = "ramp_permille",
        [SETTING_FEE_PERMILLE] = "fee_permille",
        [SETTING_TERM_MS] = "term_ms",
        [SETTING_KILL_MS] = "kill_ms",
        [SETTING_CHECKPOINT_MS] = "checkpoint_ms",
        [SETTING_LARGE_TENANT_PERMILLE] = "large_tenant_permille",
        [SETTING_SWEEP_CANDIDATES] = "sweep_candidates",
        [SETTING_CONTACT_TIMEOUT_MS] = "contact_timeout_ms",
        [SETTING_RETAIN_MS] = "retain_ms",
        [SETTING_LIMIT_LOW_PERMILLE] = "limit_low_permille",
        [SETTING_LIMIT_NORMAL_PERMILLE] = "limit_normal_permille",
        [SETTING_LIMIT_HIGH_PERMILLE] = "limit_high_permille",
        [SETTING_LIMIT_CRITICAL_PERMILLE] = "limit_critical_permille",
        [SETTING_NAMES_BURN] = "names_burn",
        [SETTING_TIER1_START_MS] = "tier_instant_start_ms",
        [SETTING_TIER2_START_MS] = "tier_seconds_start_ms",
        [SETTING_TIER3_START_MS] = "tier_minute_start_ms",
        [SETTING_TIER4_START_MS] = "tier_minutes_start_ms",
        [SETTING_TIER1_LOSS] = "tier_instant_loss_udollar_per_hour",
        [SETTING_TIER2_LOSS] = "tier_seconds_loss_udollar_per_hour",
        [SETTING_TIER3_LOSS] = "tier_minute_loss_udollar_per_hour",
        [SETTING_TIER4_LOSS] = "tier_minutes_loss_udollar_per_hour",
    };
    return NAME_OF(names, setting);
}

const char *tier_name(int64_t tier)
{
    return tier > TIER_NONE && tier <= TIER_MINUTES ? workload_tier_names[tier] : "";
}

const char *charge_name(int64_t charge)
{
    static const char *const names[] = {"menu", "transfer", "displacement", "refund", "term",
                                        "reservation", "subscription", "resale", "compensation"};
    return NAME_OF(names, charge);
}

/* ---- names of pools and accounts ------------------------------------------------------------------------ */

static struct str text_keep(struct arena *arena, struct buf *text)
{
    struct str kept = arena_str(arena, buf_str(text));
    buf_fini(text);
    return kept;
}

static struct str text_made(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
static struct str text_made(struct arena *arena, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return arena_str(arena, (struct str){text, (size_t)CLAMP(size, 0, (int)sizeof text - 1)});
}

static bool pool_find(const struct engine *e, market_id pool, struct market_pool_view *ret)
{
    const struct market *m = engine_market(e);
    size_t count = market_pool_count(m);
    if (pool == 0)
        return false;
    if (pool <= count && (*ret = market_pool(m, pool - 1)).pool == pool)
        return true; /* where it stands as long as no pool ever goes */
    for (size_t i = 0; i < count; i++)
        if ((*ret = market_pool(m, i)).pool == pool)
            return true;
    return false;
}

static bool pool_same_name(const struct market_pool_view *a, const struct market_pool_view *b)
{
    return a->sku == b->sku && a->provider == b->provider && a->region == b->region && a->zone == b->zone &&
           memcmp(a->labels, b->labels, sizeof a->labels) == 0;
}

/* How many older pools have the same name. */
static size_t pool_older(const struct engine *e, const struct market_pool_view *pool)
{
    const struct market *m = engine_market(e);
    size_t older = 0;
    for (size_t i = 0; i < market_pool_count(m); i++) {
        struct market_pool_view other = market_pool(m, i);
        if (other.pool >= pool->pool)
            break;
        older += pool_same_name(&other, pool);
    }
    return older;
}

static void labels_append(const struct engine *e, const struct market_pool_view *pool, struct buf *out)
{
    for (size_t i = 0; i < MARKET_LABELS_MAX && pool->labels[i]; i++) {
        buf_append_byte(out, i == 0 ? '+' : ',');
        buf_append_str(out, engine_name(e, NAME_LABEL, pool->labels[i]));
    }
}

struct str pool_name(const struct engine *e, market_id pool, struct arena *arena)
{
    struct market_pool_view view;
    if (!pool_find(e, pool, &view))
        return STR("");
    struct buf name = BUF_INIT(4096);
    buf_append_str(&name, engine_name(e, NAME_SKU, view.sku));
    buf_append_byte(&name, '@');
    buf_append_str(&name, engine_name(e, NAME_PROVIDER, view.provider));
    buf_append_byte(&name, '/');
    buf_append_str(&name, engine_name(e, NAME_REGION, view.region));
    buf_append_byte(&name, '/');
    buf_append_str(&name, engine_name(e, NAME_ZONE, view.zone));
    labels_append(e, &view, &name);
    size_t older = pool_older(e, &view);
    if (older > 0)
        buf_printf(&name, "#%zu", older + 1);
    return text_keep(arena, &name);
}

market_id pool_named(const struct engine *e, struct str name, struct arena *arena)
{
    const struct market *m = engine_market(e);
    for (size_t i = 0; i < market_pool_count(m); i++) {
        market_id pool = market_pool(m, i).pool;
        if (str_equal(pool_name(e, pool, arena), name))
            return pool;
    }
    return 0;
}

static struct str project_name(const struct engine *e, engine_id id)
{
    const struct engine_project *project = id ? engine_project(e, id) : NULL;
    return project ? project->name : STR("");
}

struct str account_name(const struct engine *e, struct id_key key, struct market_account account, struct arena *arena)
{
    switch (account.kind) {
    case ACCOUNT_TENANT:
        return text_made(arena, "project:%.*s", STR_ARGS(project_name(e, account.id)));
    case ACCOUNT_POOL:
        return text_made(arena, "pool:%.*s", STR_ARGS(pool_name(e, account.id, arena)));
    case ACCOUNT_CARRY:
        return text_made(arena, "carry:%.*s", STR_ARGS(pool_name(e, account.id, arena)));
    case ACCOUNT_SELLER:
        return text_made(arena, "seller:%s", id_format(key, "seller", account.id).text);
    case ACCOUNT_FEE:
        return STR("fee");
    case ACCOUNT_ISSUE:
        return STR("issue");
    case ACCOUNT_EXTERNAL:
        return STR("external");
    }
    return STR("");
}

/* ---- sentences ---------------------------------------------------------------------------------------------- */

struct words {
    char text[64];
};

/* Exact, with at least four decimals: "$0.0400", "-$12.345678". */
static struct words money(udollar amount)
{
    struct words w;
    unsigned long long value = amount < 0 ? 0 - (unsigned long long)amount : (unsigned long long)amount;
    int size = snprintf(w.text, sizeof w.text, "%s$%llu.%06llu", amount < 0 ? "-" : "", value / 1000000, value % 1000000);
    for (int cut = 0; cut < 2 && w.text[size - 1] == '0'; cut++)
        w.text[--size] = '\0';
    return w;
}

static struct words thousandths(int64_t milli)
{
    struct words w;
    int size = snprintf(w.text, sizeof w.text, "%lld.%03lld", (long long)(milli / 1000), (long long)(milli < 0 ? -(milli % 1000) : milli % 1000));
    while (w.text[size - 1] == '0')
        w.text[--size] = '\0';
    if (w.text[size - 1] == '.')
        w.text[--size] = '\0';
    return w;
}

static struct words span(time_ms ms)
{
    struct words w;
    if (ms < 120000)
        snprintf(w.text, sizeof w.text, "%.40s s", thousandths(ms).text);
    else if (ms < 2 * HOUR_MS)
        snprintf(w.text, sizeof w.text, "%lld min", (long long)(ms / 60000));
    else
        snprintf(w.text, sizeof w.text, "%lld h %lld min", (long long)(ms / HOUR_MS), (long long)(ms % HOUR_MS / 60000));
    return w;
}

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

/* Why a workload has to leave, or waits again, in words. */
static const char *reason_words(int64_t reason)
{
    static const char *const words[] = {
        [REASON_NONE] = "",
        [REASON_SUBMITTED] = "it was submitted",
        [REASON_PREEMPTED] = "a higher bid takes its place",
        [REASON_DRAINED] = "its node is drained",
        [REASON_NODE_LOST] = "contact with its node was lost",
        [REASON_NODE_RESTARTED] = "its node was restarted",
        [REASON_BUDGET] = "the project's budget is used up",
        [REASON_CANCELLED] = "it was cancelled",
        [REASON_MAX_RUN] = "its longest run time is over",
        [REASON_EXITED] = "a replica ended with an error",
        [REASON_OOM] = "a replica ran out of memory",
        [REASON_PREPARE] = "it could not be prepared",
        [REASON_RETRY] = "it failed and is tried again",
        [REASON_COMPLETED] = "it is done",
        [REASON_RELOCATED] = "it moves to another place",
        [REASON_DEADLINE] = "its deadline cannot be met any more",
        [REASON_PAUSED] = "its owner paused it",
        [REASON_RESUMED] = "its owner resumed it",
    };
    return NAME_OF(words, reason);
}

static struct str ended_text(const struct engine_event *event, struct arena *arena)
{
    if (event->reason == REASON_PREPARE)
        return text_made(arena, "rank %lld could not be prepared", (long long)event->exit_rank);
    if (event->oom)
        return text_made(arena, "rank %lld ran out of memory", (long long)event->exit_rank);
    if (event->exited && event->signal)
        return text_made(arena, "rank %lld was ended by signal %lld", (long long)event->exit_rank, (long long)event->signal);
    if (event->exited)
        return text_made(arena, "rank %lld ended with code %lld", (long long)event->exit_rank, (long long)event->exit_code);
    return str_from(reason_words(event->reason));
}

static struct str because(const char *what, const struct engine_event *event, struct arena *arena)
{
    const char *why = reason_words(event->reason);
    return why[0] ? text_made(arena, "%s: %s", what, why) : str_from(what);
}

static struct str workload_text(const struct engine_event *event, struct str pool, struct arena *arena)
{
    switch ((int)event->type) {
    case ENGINE_EVENT_WORKLOAD_SUBMITTED:
        return text_made(arena, "submitted: %lld node%s, at most %s per unit-hour", (long long)event->nodes, plural(event->nodes),
                         money(event->limit).text);
    case ENGINE_EVENT_WORKLOAD_ASSIGNED:
        return text_made(arena, "won %s units on %lld node%s of %.*s at %s an hour", thousandths(event->units_milli).text,
                         (long long)event->nodes, plural(event->nodes), STR_ARGS(pool), money(event->rate).text);
    case ENGINE_EVENT_WORKLOAD_READY:
        return STR("its place is free: it may start");
    case ENGINE_EVENT_WORKLOAD_STARTED:
        return event->rate ? text_made(arena, "runs, at %s an hour", money(event->rate).text) : STR("runs");
    case ENGINE_EVENT_WORKLOAD_PREEMPTING:
        return text_made(arena, "has to leave within %s: %s", span(MAX(event->deadline - event->at, 0)).text, reason_words(event->reason));
    case ENGINE_EVENT_WORKLOAD_WAITING:
        return because(event->state == WORKLOAD_PAUSED ? "is paused" : "waits again", event, arena);
    case ENGINE_EVENT_WORKLOAD_FINISHED:
        return STR("finished");
    case ENGINE_EVENT_WORKLOAD_FAILED:
        return text_made(arena, "failed: %.*s", STR_ARGS(ended_text(event, arena)));
    case ENGINE_EVENT_WORKLOAD_CANCELLED:
        return because("cancelled", event, arena);
    case ENGINE_EVENT_WORKLOAD_REJECTED:
        return because("rejected", event, arena);
    case ENGINE_EVENT_WORKLOAD_CHANGED:
        return text_made(arena, "pays at most %s per unit-hour from now on", money(event->limit).text);
    case ENGINE_EVENT_WORKLOAD_RETIRED:
        return STR("is kept in the tables alone from now on");
    default:
        return STR("");
    }
}

static struct str replica_text(const struct engine_event *event, struct str node, struct arena *arena)
{
    switch ((int)event->type) {
    case ENGINE_EVENT_REPLICA_PLACED:
        return text_made(arena, "rank %lld goes to %.*s", (long long)event->rank, STR_ARGS(node));
    case ENGINE_EVENT_REPLICA_STARTED:
        return text_made(arena, "rank %lld started on %.*s", (long long)event->rank, STR_ARGS(node));
    case ENGINE_EVENT_REPLICA_ENDED:
        if (event->oom)
            return text_made(arena, "rank %lld ran out of memory on %.*s", (long long)event->rank, STR_ARGS(node));
        if (event->signal)
            return text_made(arena, "rank %lld was ended by signal %lld", (long long)event->rank, (long long)event->signal);
        return text_made(arena, "rank %lld ended with code %lld", (long long)event->rank, (long long)event->exit_code);
    default:
        return STR("");
    }
}

static struct str money_text(const struct engine_event *event, const struct api_event *out, struct arena *arena)
{
    switch ((int)event->type) {
    case ENGINE_EVENT_CHARGED:
        return text_made(arena, "%s for %s at %s an hour (%s)", money(event->amount).text, span(event->to - event->from).text,
                         money(event->rate).text, charge_name(event->charge));
    case ENGINE_EVENT_ENTRY:
        return text_made(arena, "%s from %.*s to %.*s", money(event->amount).text, STR_ARGS(out->debit), STR_ARGS(out->credit));
    case ENGINE_EVENT_PRICE_POSTED:
        return text_made(arena, "%.*s: %s per unit-hour, %s units free", STR_ARGS(out->pool), money(out->price_udollar_per_hour).text,
                         thousandths(event->free_milli).text);
    case ENGINE_EVENT_GAP:
        return text_made(arena, "what runs is worth %s an hour; no placement is worth more than %s", money(event->surplus).text,
                         money(event->bound).text);
    default:
        return STR("");
    }
}

static struct str fleet_text(const struct engine_event *event, const struct api_event *out, struct arena *arena)
{
    switch ((int)event->type) {
    case ENGINE_EVENT_NODE_REGISTERED:
        return text_made(arena, "%.*s is there", STR_ARGS(out->node_name));
    case ENGINE_EVENT_NODE_CHANGED:
        return text_made(arena, "%.*s is %s and asks %s per unit-hour", STR_ARGS(out->node_name), node_state_name(event->state),
                         money(event->limit).text);
    case ENGINE_EVENT_NODE_LOST:
        return text_made(arena, "contact with %.*s is lost", STR_ARGS(out->node_name));
    case ENGINE_EVENT_PROJECT_CREATED:
        return text_made(arena, "project %.*s", STR_ARGS(out->project));
    case ENGINE_EVENT_PROJECT_CHANGED:
        return event->limit ? text_made(arena, "project %.*s may spend %s in all", STR_ARGS(out->project), money(event->amount).text)
                            : text_made(arena, "project %.*s is billed without limit", STR_ARGS(out->project));
    case ENGINE_EVENT_KEY_CREATED:
        return STR("a key was made");
    case ENGINE_EVENT_KEY_REVOKED:
        return STR("a key was revoked");
    case ENGINE_EVENT_SETTING_CHANGED:
        return text_made(arena, "%s is %lld", setting_name(event->setting), (long long)event->value);
    default:
        return STR("");
    }
}

static const char *object_kind_name(int64_t kind)
{
    static const char *const names[ENGINE_OBJECT_KINDS] = {
        [OBJECT_SSH_KEY] = "ssh key", [OBJECT_SCRIPT] = "script",   [OBJECT_VOLUME] = "volume", [OBJECT_CLUSTER] = "cluster",
        [OBJECT_QUOTA] = "quota",     [OBJECT_WEBHOOK] = "webhook", [OBJECT_NOTE] = "note",       [OBJECT_CONTROL_PLANE] = "control plane",
    };
    return NAME_OF(names, kind);
}

const char *reservation_state_name(enum market_reservation_state state)
{
    static const char *const names[] = {"waiting", "bought", "open", "lent", "paused", "over"};
    return NAME_OF(names, state);
}

static struct str reservation_text(const struct engine_event *event, struct arena *arena)
{
    static const char *const words[] = {
        [RESERVATION_WAITING] = "waits for nodes at its limit", [RESERVATION_BOUGHT] = "is bought", [RESERVATION_OPEN] = "is open",
        [RESERVATION_LENT] = "stands idle and is lent", [RESERVATION_PAUSED] = "is paused and resold", [RESERVATION_OVER] = "is over",
    };
    return text_made(arena, "reservation %.*s %s", STR_ARGS(event->text), NAME_OF(words, event->state));
}

static struct str quoted_text(const struct engine_event *event, struct arena *arena)
{
    _cleanup_buf_ struct buf by = BUF_INIT(64), latest = BUF_INIT(64);
    if (!event->value)
        return STR("has no promise to be done by its deadline: it runs where it can");
    time_print(&by, event->deadline);
    time_print(&latest, event->from);
    return text_made(arena, "promised to be done by %s for at most %s: starts by %s", buf_text(&by), money(event->amount).text, buf_text(&latest));
}

static struct str subscription_text(const struct engine_event *event, const struct api_event *out, struct arena *arena)
{
    const char *tier = tier_name(event->value);
    if (event->units_milli == 0)
        return text_made(arena, "project %.*s is not subscribed to tier %s any more", STR_ARGS(out->project), tier);
    if (event->state)
        return text_made(arena, "project %.*s cannot pay for its %s unit%s of tier %s: nothing is held", STR_ARGS(out->project),
                         thousandths(event->units_milli).text, plural(event->units_milli / 1000), tier);
    return text_made(arena, "project %.*s may start %s unit%s within tier %s, at %s an hour for each that is held", STR_ARGS(out->project),
                     thousandths(event->units_milli).text, plural(event->units_milli / 1000), tier, money(event->rate).text);
}

static struct str headroom_text(const struct engine_event *event, const struct api_event *out, struct arena *arena)
{
    return text_made(arena, "%.*s holds %s unit%s for tier %s; work that could leave in time is credited %s per unit-hour", STR_ARGS(out->pool),
                     thousandths(event->units_milli).text, event->units_milli == 1000 ? "" : "s", tier_name(event->value),
                     money(event->amount).text);
}

static struct str owned_text(const struct engine_event *event, const struct api_event *out, struct arena *arena)
{
    switch ((int)event->type) {
    case ENGINE_EVENT_REPLICA_PHASE:
        return text_made(arena, event->state > 1 ? "instance %lld boots on %.*s" : "instance %lld is made ready on %.*s",
                         (long long)event->rank + 1, STR_ARGS(out->node_name));
    case ENGINE_EVENT_OBJECT_CREATED:
        return text_made(arena, "%s %.*s was made", object_kind_name(event->state), STR_ARGS(event->text));
    case ENGINE_EVENT_OBJECT_CHANGED:
        return text_made(arena, "%s %.*s was changed", object_kind_name(event->state), STR_ARGS(event->text));
    case ENGINE_EVENT_OBJECT_DELETED:
        return text_made(arena, "%s %.*s was deleted", object_kind_name(event->state), STR_ARGS(event->text));
    case ENGINE_EVENT_WORKLOAD_REQUEST:
        return STR("has another request from now on");
    case ENGINE_EVENT_RESERVATION:
        return reservation_text(event, arena);
    case ENGINE_EVENT_WORKLOAD_QUOTED:
        return quoted_text(event, arena);
    case ENGINE_EVENT_BUDGET:
        return text_made(arena, "project %.*s has spent %s, %lld %% of its budget of %s or more", STR_ARGS(out->project), money(event->amount).text,
                         (long long)event->value, money(event->limit).text);
    case ENGINE_EVENT_SUBSCRIPTION:
        return subscription_text(event, out, arena);
    case ENGINE_EVENT_HEADROOM_POSTED:
        return headroom_text(event, out, arena);
    default:
        return STR("");
    }
}

static struct str sentence(const struct engine_event *event, const struct api_event *out, struct arena *arena)
{
    if (event->type <= ENGINE_EVENT_WORKLOAD_RETIRED)
        return workload_text(event, out->pool, arena);
    if (event->type <= ENGINE_EVENT_REPLICA_ENDED)
        return replica_text(event, out->node_name, arena);
    if (event->type <= ENGINE_EVENT_GAP)
        return money_text(event, out, arena);
    if (event->type >= ENGINE_EVENT_REPLICA_PHASE)
        return owned_text(event, out, arena);
    return fleet_text(event, out, arena);
}

/* ---- the record --------------------------------------------------------------------------------------------- */

static struct str id_text(struct id_key key, const char *prefix, uint64_t id, struct arena *arena)
{
    return id ? arena_str(arena, str_from(id_format(key, prefix, id).text)) : STR("");
}

void event_names_find(const struct engine *e, struct id_key key, const struct engine_event *event, struct arena *arena,
                      struct event_names *ret)
{
    const struct engine_node *node = event->node ? engine_node(e, event->node) : NULL;
    const struct engine_workload *workload = event->workload ? engine_workload(e, event->workload) : NULL;
    const struct engine_key *made = event->key ? engine_key(e, event->key) : NULL;
    *ret = (struct event_names){
        .project = project_name(e, event->project),
        .workload = workload ? workload->name : STR(""),
        .node = node ? node->name : STR(""),
        .pool = pool_name(e, event->pool, arena),
        .key = made ? made->snippet : STR(""),
    };
    if (event->type != ENGINE_EVENT_ENTRY)
        return;
    struct market_account debit = {(enum market_account_kind)event->debit_kind, (market_id)event->debit_id};
    struct market_account credit = {(enum market_account_kind)event->credit_kind, (market_id)event->credit_id};
    ret->debit = account_name(e, key, debit, arena);
    ret->credit = account_name(e, key, credit, arena);
}

static void names_fill(struct id_key key, const struct engine_event *event, const struct event_names *names, struct arena *arena,
                       struct api_event *ret)
{
    ret->project = names->project;
    ret->workload = id_text(key, "work", event->workload, arena);
    ret->node = id_text(key, "node", event->node, arena);
    ret->node_name = names->node;
    ret->pool = names->pool;
    /* A workload's events know the key that submitted it: that is nobody's name. */
    ret->name = event->workload ? names->workload : names->key;
    ret->debit = names->debit;
    ret->credit = names->credit;
}

static void numbers_fill(const struct engine_event *event, struct api_event *ret)
{
    bool price = event->type == ENGINE_EVENT_PRICE_POSTED;
    ret->at_ms = event->at;
    ret->attempt = event->attempt;
    ret->rank = event->rank;
    ret->rate_udollar_per_hour = event->rate;
    bool headroom = event->type == ENGINE_EVENT_HEADROOM_POSTED;
    ret->amount_udollar = headroom ? 0 : event->amount;
    ret->credit_udollar_per_hour = headroom ? event->amount : 0;
    ret->units_milli = event->units_milli;
    ret->from_ms = event->from;
    ret->to_ms = event->to;
    bool project = event->type == ENGINE_EVENT_PROJECT_CREATED || event->type == ENGINE_EVENT_PROJECT_CHANGED;
    bool budget = event->type == ENGINE_EVENT_BUDGET;
    ret->limit_udollar_per_hour = project || budget ? 0 : event->limit;
    ret->budget_udollar = budget ? event->limit : 0;
    ret->deadline_ms = event->deadline;
    ret->exit_code = event->exit_code;
    ret->signal = event->signal;
    ret->price_udollar_per_hour = price ? event->marginal + event->scarcity : 0;
    ret->marginal_udollar_per_hour = event->marginal;
    ret->scarcity_udollar_per_hour = event->scarcity;
    ret->guide_udollar_per_hour = event->guide;
    ret->free_milli = event->free_milli;
    ret->wanted_milli = event->wanted_milli;
    ret->used_milli = event->used_milli;
    ret->surplus_udollar_per_hour = event->surplus;
    ret->bound_udollar_per_hour = event->bound;
    ret->value = event->value;
}

static const char *state_of(const struct engine_event *event)
{
    if (event->type <= ENGINE_EVENT_WORKLOAD_RETIRED)
        return workload_state_name((enum engine_workload_state)event->state);
    if (event->type >= ENGINE_EVENT_NODE_REGISTERED && event->type <= ENGINE_EVENT_NODE_LOST)
        return node_state_name(event->state);
    if (event->type == ENGINE_EVENT_RESERVATION)
        return reservation_state_name((enum market_reservation_state)event->state);
    if (event->type == ENGINE_EVENT_SUBSCRIPTION)
        return event->units_milli == 0 ? "ended" : event->state ? "unpaid" : "active";
    return "";
}

void event_render_named(struct id_key key, const struct engine_event *event, const struct event_names *names, struct arena *arena,
                        struct api_event *ret)
{
    *ret = (struct api_event){.type = str_from(event_type_name(event->type))};
    names_fill(key, event, names, arena, ret);
    numbers_fill(event, ret);
    ret->state = str_from(state_of(event));
    ret->reason = str_from(reason_name((enum engine_reason)event->reason));
    if (event->type == ENGINE_EVENT_SETTING_CHANGED)
        ret->setting = str_from(setting_name(event->setting));
    if (event->type == ENGINE_EVENT_SUBSCRIPTION || event->type == ENGINE_EVENT_HEADROOM_POSTED)
        ret->tier = str_from(tier_name(event->value));
    ret->text = sentence(event, ret, arena);
}

void event_render(const struct engine *e, struct id_key key, const struct engine_event *event, struct arena *arena, struct api_event *ret)
{
    struct event_names names;
    event_names_find(e, key, event, arena, &names);
    event_render_named(key, event, &names, arena, ret);
}
