/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api_buyer.h"

#include "base/clock.h"
#include "server/api_buyer_look.h"
#include "server/api_internal.h"
#include "server/core_thread.h"
#include "server/file.h"
#include "server/join_script.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#define CONNECT_TIMEOUT_MS 10000
#define JOIN_MOST_MS ((time_ms)30 * 60000) /* from its start to its registration */
#define REST_MS ((time_ms)10 * 60000)      /* after something was bought in vain */
#define COMMANDS_MOST (SEEN_KEYS_MOST + 4)
#define SNIPPET 9 /* "fkey_" and four letters */

struct api_buyer {
    struct api *api;
    struct core_thread thread;
    struct book book; /* written under the lock: providers are added by routes, the rest is the thread's */
    char *path;
    /* of the thread alone */
    struct engine_command commands[COMMANDS_MOST];
    size_t command_count;
    bool refused; /* the last commands were not all taken */
    struct arena arena; /* of one pass over a provider */
    struct provider *provider;
    struct order *order;
    struct bought_view seen;
    struct demand_look demand;
    struct seller_offers offers;
    struct seller seller;
};

/* ---- the file ---- */

static int book_save_locked(struct api_buyer *b, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT((size_t)1 << 20);
    book_write(&b->book, &text);
    int rc = text.overflow ? error_set(err, -EFBIG, "%s: too long", b->path) : data_write(b->path, buf_str(&text), err);
    if (text.data)
        explicit_bzero(text.data, text.size);
    return rc;
}

static int book_save(struct api_buyer *b, struct error *err)
{
    pthread_mutex_lock(&b->thread.lock);
    int rc = book_save_locked(b, err);
    pthread_mutex_unlock(&b->thread.lock);
    return rc;
}

static int book_load(struct api_buyer *b, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT((size_t)1 << 20);
    time_ms now = clock_monotonic_ms();
    if (!data_exists(b->path))
        return 0;
    int rc = data_read(b->path, &text, err);
    if (rc == 0 && (rc = book_read(buf_str(&text), &b->book, err)) < 0)
        error_prefix(err, "%s", b->path);
    for (size_t i = 0; i < b->book.count; i++)
        for (size_t k = 0; k < b->book.providers[i]->order_count; k++)
            b->book.providers[i]->orders[k].busy = b->book.providers[i]->orders[k].heard = now;
    if (text.data)
        explicit_bzero(text.data, text.size);
    return rc;
}

/* ---- the core ---- */

static int core_read(struct api_buyer *b, void (*seen)(void *context, const struct core_view *view))
{
    return core_thread_read(&b->thread, false, seen, b) ? 0 : -ECANCELED;
}

static void written(void *context, const struct core_answer *answer)
{
    struct api_buyer *b = context;
    b->refused = answer->failed;
    for (size_t i = 0; !answer->failed && i < b->command_count; i++)
        b->refused |= answer->outcomes[i].code != ENGINE_OK;
}

static struct engine_command *command_add(struct api_buyer *b, enum engine_command_type type)
{
    CHECK(b->command_count < COMMANDS_MOST);
    struct engine_command *c = &b->commands[b->command_count++];
    *c = (struct engine_command){.type = type};
    return c;
}

static int commands_push(struct api_buyer *b)
{
    b->refused = false;
    bool goes_on = b->command_count == 0 || core_thread_write(&b->thread, b->commands, b->command_count, written, b);
    b->command_count = 0;
    return !goes_on ? -ECANCELED : b->refused ? -EAGAIN : 0;
}

static void order_look(void *context, const struct core_view *view)
{
    struct api_buyer *b = context;
    bought_look(view->engine, b->order->name, &b->seen);
}

static int order_see(struct api_buyer *b, struct order *o)
{
    b->order = o;
    return core_read(b, order_look);
}

static void demand_find(void *context, const struct core_view *view)
{
    struct api_buyer *b = context;
    demand_look(view, b->api->ids, &b->arena, &b->demand);
}

static int demand_see(struct api_buyer *b, const struct provider *p)
{
    b->demand.plan = (struct plan){&b->offers, str_from(p->name), p->margin_permille};
    return core_read(b, demand_find);
}

/* ---- the node of an order ---- */

static void node_command_add(struct api_buyer *b, enum engine_command_type type, bool evict)
{
    struct engine_command *c = command_add(b, type);
    c->on_node.node = b->seen.node;
    c->on_node.evict = evict;
    c->on_node.last_contact = clock_wall_ms();
}

static void keys_revoke_add(struct api_buyer *b)
{
    for (size_t i = 0; i < b->seen.key_count; i++)
        command_add(b, ENGINE_KEY_REVOKE)->revoke = b->seen.keys[i];
}

static int node_drain(struct api_buyer *b, bool evict)
{
    if (!b->seen.node || !b->seen.up)
        return 0;
    node_command_add(b, ENGINE_NODE_DRAIN, evict);
    return commands_push(b);
}

/* Per unit-hour, rounded up: below it the machine costs more than it brings. */
static udollar order_cost(const struct order *o)
{
    return MIN(mul_div_ceil(o->price, 1000, o->units_milli), MARKET_RATE_MAX);
}

/* ---- placing ---- */

static int token_make(struct api_buyer *b, const struct order *o, char ret[CORE_KEY_SIZE])
{
    core_make_key(ret);
    keys_revoke_add(b); /* of an earlier try whose order never arrived */
    struct engine_command *c = command_add(b, ENGINE_KEY_CREATE);
    core_hash_key(b->api->core, str_from(ret), c->key.hash);
    c->key.snippet = (struct str){ret, SNIPPET};
    c->key.role = ROLE_JOIN;
    c->key.kind = PRINCIPAL_AGENT;
    c->key.principal = STR("bought node");
    c->key.name = str_from(o->name);
    return commands_push(b);
}

static int script_make(struct api_buyer *b, const struct order *o, const char *token, struct buf *out, struct error *err)
{
    int rc = api_binary_load(b->api->binary, err);
    const struct join_script script = {
        .url = b->api->options.advertise, .pin = b->api->options.pin, .token = token, .sha256 = api_binary_sha256(b->api->binary), .name = o->name,
        .provider = b->provider->name, .region = o->region, .sku = o->sku, .ask = order_cost(o), .cores = o->cores, .memory_mib = o->memory_mib, .disk_mib = o->disk_mib};
    if (rc == 0)
        join_script_write(&script, out);
    return rc;
}

static int order_fid_set(struct api_buyer *b, struct order *o, struct str fid, struct error *err)
{
    pthread_mutex_lock(&b->thread.lock);
    snprintf(o->bid, sizeof o->bid, "%.*s", STR_ARGS(fid));
    o->state = ORDER_PLACED;
    o->busy = o->heard = clock_monotonic_ms();
    int rc = book_save_locked(b, err);
    pthread_mutex_unlock(&b->thread.lock);
    return rc;
}

static int order_end(struct api_buyer *b, struct order *o, struct error *err)
{
    pthread_mutex_lock(&b->thread.lock);
    o->state = ORDER_ENDING;
    int rc = book_save_locked(b, err);
    pthread_mutex_unlock(&b->thread.lock);
    return rc;
}

static void provider_rest(struct api_buyer *b, struct provider *p)
{
    pthread_mutex_lock(&b->thread.lock);
    p->rest = clock_monotonic_ms() + REST_MS;
    pthread_mutex_unlock(&b->thread.lock);
}

static int order_forget(struct api_buyer *b, struct provider *p, struct order *o, struct error *err)
{
    pthread_mutex_lock(&b->thread.lock);
    order_remove(p, (size_t)(o - p->orders));
    int rc = book_save_locked(b, err);
    pthread_mutex_unlock(&b->thread.lock);
    return rc;
}

/* It was when the provider was added; this start may be another. */
static int advertised(const struct api_buyer *b, struct error *err)
{
    return b->api->options.advertise ? 0 : error_set(err, -EAGAIN, "bought machines could not reach this server: start it with --listen and --advertise");
}

/* It is not there: its call never went out, or never arrived. A token is never kept in a file, so it is made anew. */
static int order_place(struct api_buyer *b, struct provider *p, struct order *o, struct error *err)
{
    _cleanup_buf_ struct buf script = BUF_INIT(16384);
    char token[CORE_KEY_SIZE];
    struct str fid;
    int rc = advertised(b, err);
    if (rc < 0)
        return rc;
    rc = token_make(b, o, token);
    if (rc == 0)
        rc = script_make(b, o, token, &script, err);
    const struct seller_order order = {.name = str_from(o->name), .type = str_from(o->type),
        .region = str_from(o->region), .ssh_key = str_from(p->ssh_key), .script = buf_str(&script), .limit = o->limit};
    if (rc == 0)
        rc = seller_bid_make(&b->seller, &order, &fid, err);
    explicit_bzero(token, sizeof token);
    if (script.data)
        explicit_bzero(script.data, script.size);
    if (rc == 0) {
        log_info("provider %s: bid for %s, %s in %s, at most %lld µ$ an hour", p->name, o->name, o->sku, o->region, (long long)o->limit);
        return order_fid_set(b, o, fid, err);
    }
    if (rc == -EEXIST) /* an earlier try arrived after all; its token is gone, so it is of no use */
        return order_end(b, o, err);
    if (rc == -EINVAL || rc == -ENOENT) { /* it will never be taken: gone with its token, and a rest */
        provider_rest(b, p);
        int ended = order_end(b, o, NULL);
        return ended < 0 ? ended : rc;
    }
    return rc;
}

/* ---- what becomes of an order ---- */

/* Runs empty, is given back, loses its keys, and is forgotten, in this order. */
static int order_ending(struct api_buyer *b, struct provider *p, struct order *o, const struct seller_bid *bid, struct error *err)
{
    bool gone = bid->status == SELLER_NONE || bid->status == SELLER_ENDED;
    int rc = 0;
    if (b->seen.up && (!b->seen.draining || gone || p->leaving))
        rc = node_drain(b, gone || p->leaving || bid->status == SELLER_PREEMPTING);
    if (rc == 0)
        rc = order_see(b, o);
    if (rc < 0 || (b->seen.up && b->seen.replicas && !gone))
        return rc;
    if (!gone)
        rc = seller_bid_end(&b->seller, bid->fid, err);
    if (rc < 0)
        return rc;
    keys_revoke_add(b);
    if (b->seen.node && b->seen.up)
        node_command_add(b, ENGINE_NODE_LOST_SET, false);
    rc = commands_push(b);
    if (rc < 0)
        return rc;
    log_info("provider %s: %s is given back", p->name, o->name);
    return order_forget(b, p, o, err);
}

static int order_drained(struct api_buyer *b, struct order *o, bool drained, struct error *err)
{
    if (o->drained == drained)
        return 0;
    pthread_mutex_lock(&b->thread.lock);
    o->drained = drained;
    int rc = book_save_locked(b, err);
    pthread_mutex_unlock(&b->thread.lock);
    return rc;
}

/* The seller wants it back, or has it: what runs there leaves as for any better use. */
static int order_withdrawn(struct api_buyer *b, struct provider *p, struct order *o, struct error *err)
{
    if (!b->seen.up || b->seen.draining)
        return 0;
    log_info("provider %s: %s has to be left", p->name, o->name);
    int rc = order_drained(b, o, true, err);
    return rc < 0 ? rc : node_drain(b, true);
}

static const struct seller_offer *offer_of(const struct api_buyer *b, const struct order *o)
{
    for (size_t i = 0; i < b->offers.count; i++)
        if (str_is(b->offers.items[i].fid, o->type) && str_is(b->offers.items[i].region, o->region))
            return &b->offers.items[i];
    return NULL;
}

static int order_ask_set(struct api_buyer *b, struct order *o)
{
    const struct seller_offer *offer = offer_of(b, o);
    if (offer && offer->price >= 0) {
        pthread_mutex_lock(&b->thread.lock);
        o->price = MIN(offer->price, o->limit); /* nobody pays more than the limit */
        pthread_mutex_unlock(&b->thread.lock);
    }
    if (!b->seen.up || b->seen.ask == order_cost(o))
        return 0;
    struct engine_command *c = command_add(b, ENGINE_ASK_SET);
    c->on_node.node = b->seen.node;
    c->on_node.ask = order_cost(o);
    return commands_push(b);
}

/* Allocated: it works, or is on its way, or has had nothing to do for long. */
static int order_kept(struct api_buyer *b, struct provider *p, struct order *o, struct error *err)
{
    time_ms now = clock_monotonic_ms();
    int rc = 0;
    if (b->seen.up && b->seen.draining && o->drained) {
        node_command_add(b, ENGINE_NODE_UNDRAIN, false);
        rc = commands_push(b);
        b->seen.draining = false;
        o->busy = now;
    }
    if (rc == 0 && b->seen.up)
        rc = order_drained(b, o, false, err);
    if (rc == 0)
        rc = order_ask_set(b, o);
    if (rc < 0)
        return rc;
    o->heard = b->seen.up ? now : o->heard;
    o->busy = b->seen.replicas || !b->seen.up ? now : o->busy;
    if (b->seen.replicas && !o->used) {
        o->used = true;
        rc = book_save(b, err);
    }
    bool useless = !b->seen.up && now - o->heard >= JOIN_MOST_MS, idle = b->seen.up && now - o->busy >= p->idle_ms;
    if (rc < 0 || (!useless && !idle))
        return rc;
    if (useless || !o->used)
        provider_rest(b, p);
    log_info("provider %s: %s %s", p->name, o->name, useless ? "did not join" : "has had nothing to do");
    return order_end(b, o, err);
}

static int order_pass(struct api_buyer *b, struct provider *p, struct order *o, struct error *err)
{
    static const char *const words[] = {"wanted", "open", "allocated", "preempting", "paused", "ended"};
    struct seller_bid bid;
    int rc = seller_bid_find(&b->seller, str_from(o->name), &bid, err);
    if (rc == 0)
        rc = order_see(b, o);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&b->thread.lock);
    snprintf(o->status, sizeof o->status, "%s", o->state == ORDER_ENDING ? "ending" : words[bid.status]);
    pthread_mutex_unlock(&b->thread.lock);
    bool there = bid.status != SELLER_NONE && bid.status != SELLER_ENDED;
    if (o->state != ORDER_ENDING && p->leaving)
        rc = order_end(b, o, err);
    else if (o->state == ORDER_WANTED && there)
        rc = order_fid_set(b, o, bid.fid, err);
    else if (o->state == ORDER_WANTED)
        return order_place(b, p, o, err);
    if (rc < 0)
        return rc;
    if (o->state == ORDER_PLACED && !there)
        rc = order_end(b, o, err);
    if (rc == 0 && o->state == ORDER_ENDING)
        return order_ending(b, p, o, &bid, err);
    if (rc < 0 || bid.status == SELLER_ALLOCATED)
        return rc < 0 ? rc : order_kept(b, p, o, err);
    o->heard = o->busy = clock_monotonic_ms();
    return order_withdrawn(b, p, o, err);
}

/* ---- what to buy ---- */

/* It takes what waits, or will once it has won and joined. */
static bool order_pending(const struct bought_view *seen, const struct order *o)
{
    return o->state != ORDER_ENDING && (!seen->up || seen->replicas == 0);
}

/* An open bid stands for the work that waits now: for less, and for more, than when it was placed. */
static int order_value(struct api_buyer *b, struct order *o, udollar limit, struct error *err)
{
    if (o->state != ORDER_PLACED || strcmp(o->status, "open") != 0 || limit == o->limit)
        return 0;
    int rc = seller_bid_limit(&b->seller, str_from(o->bid), limit, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&b->thread.lock);
    o->limit = limit;
    rc = book_save_locked(b, err);
    pthread_mutex_unlock(&b->thread.lock);
    return rc;
}

static int order_new(struct api_buyer *b, struct provider *p, const struct seller_offer *offer, udollar limit, struct error *err)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return error_set(err, -EIO, "the system gives no randomness");
    pthread_mutex_lock(&b->thread.lock);
    struct order *o = &p->orders[p->order_count++];
    *o = (struct order){.limit = limit, .price = MIN(MAX(offer->price, 0), limit), .units_milli = seller_offer_units(offer), .cores = offer->cores,
                        .gpus = offer->gpus, .memory_mib = plan_memory_mib(offer), .disk_mib = offer->disk_gb * 1024, .created = clock_wall_ms()};
    char name[sizeof o->name];
    snprintf(name, sizeof name, "%s-%012llx", p->name, (unsigned long long)(random & 0xffffffffffff));
    memcpy(o->name, name, sizeof name);
    snprintf(o->type, sizeof o->type, "%.*s", STR_ARGS(offer->fid));
    snprintf(o->sku, sizeof o->sku, "%.*s", STR_ARGS(offer->name));
    snprintf(o->region, sizeof o->region, "%.*s", STR_ARGS(offer->region));
    snprintf(o->status, sizeof o->status, "wanted");
    o->busy = o->heard = clock_monotonic_ms();
    int rc = book_save_locked(b, err);
    if (rc < 0)
        p->order_count--;
    pthread_mutex_unlock(&b->thread.lock);
    if (rc == 0)
        rc = order_see(b, o);
    return rc < 0 ? rc : order_place(b, p, o, err);
}

/* Each pending order takes one machine's worth of what waits; an open one for which nothing is left goes. */
static int orders_match(struct api_buyer *b, struct provider *p, struct plan_machine *machines, size_t *count, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->order_count; i++) {
        struct order *o = &p->orders[i];
        rc = order_see(b, o);
        if (rc < 0 || !order_pending(&b->seen, o))
            continue;
        size_t k = 0;
        while (k < *count && &b->offers.items[machines[k].offer] != offer_of(b, o))
            k++;
        if (k < *count) {
            rc = order_value(b, o, plan_limit(machines[k].value, p->margin_permille), err);
            (*count)--;
            memmove(&machines[k], &machines[k + 1], (*count - k) * sizeof *machines);
        } else if (o->state == ORDER_PLACED && strcmp(o->status, "open") == 0) {
            rc = order_end(b, o, err);
        }
    }
    return rc;
}

static int buy(struct api_buyer *b, struct provider *p, struct error *err)
{
    struct plan_machine machines[BOOK_ORDERS_MOST];
    int rc = b->offers.count ? demand_see(b, p) : 0;
    if (rc < 0)
        return rc;
    size_t count = plan_machines(&b->demand.plan, b->demand.demands, b->offers.count ? b->demand.count : 0, machines, BOOK_ORDERS_MOST);
    rc = orders_match(b, p, machines, &count, err);
    bool rests = p->rest > clock_monotonic_ms() || p->leaving;
    if (rc == 0 && count && !rests)
        rc = advertised(b, err);
    for (size_t i = 0; rc == 0 && !rests && i < count && (int64_t)p->order_count < p->most; i++)
        rc = order_new(b, p, &b->offers.items[machines[i].offer], plan_limit(machines[i].value, p->margin_permille), err);
    return rc;
}

/* ---- one look at a provider ---- */

static int seller_known(struct api_buyer *b, struct provider *p, struct error *err)
{
    struct str project, key;
    if (p->project[0] && p->ssh_key[0])
        return 0;
    int rc = seller_project(&b->seller, str_from(p->project_wanted), &project, err);
    if (rc < 0)
        return rc;
    b->seller.project = project;
    rc = seller_ssh_key(&b->seller, STR("tessera-buyer"), &key, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&b->thread.lock);
    snprintf(p->project, sizeof p->project, "%.*s", STR_ARGS(project));
    snprintf(p->ssh_key, sizeof p->ssh_key, "%.*s", STR_ARGS(key));
    rc = book_save_locked(b, err);
    pthread_mutex_unlock(&b->thread.lock);
    return rc;
}

static int seller_pass(struct api_buyer *b, struct provider *p, struct error *err)
{
    b->seller = (struct seller){b->thread.client, str_from(p->project), &b->arena};
    int rc = seller_known(b, p, err);
    b->seller.project = str_from(p->project);
    if (rc == 0)
        rc = seller_offers(&b->seller, &b->offers, err);
    if (rc < 0)
        return rc;
    plan_sort(&b->offers);
    for (size_t i = p->order_count; rc != -ECANCELED && i > 0; i--) { /* one in trouble holds up no other */
        struct error own = {0};
        int one = order_pass(b, p, &p->orders[i - 1], &own);
        if (one < 0 && (rc == 0 || one == -ECANCELED)) {
            rc = one;
            *err = own;
        }
    }
    return rc < 0 ? rc : buy(b, p, err);
}

static void problem_set(struct api_buyer *b, struct provider *p, const struct error *err)
{
    if (err && strcmp(p->problem, err->text) != 0)
        log_warning("provider %s: %s", p->name, err->text);
    pthread_mutex_lock(&b->thread.lock);
    snprintf(p->problem, sizeof p->problem, "%s", err ? err->text : "");
    pthread_mutex_unlock(&b->thread.lock);
}

static void provider_gone(struct api_buyer *b, struct provider *p)
{
    struct error err = {0};
    pthread_mutex_lock(&b->thread.lock);
    size_t at = 0;
    while (b->book.providers[at] != p)
        at++;
    b->book.count--;
    memmove(&b->book.providers[at], &b->book.providers[at + 1], (b->book.count - at) * sizeof *b->book.providers);
    if (book_save_locked(b, &err) < 0)
        log_error("%s", err.text);
    pthread_mutex_unlock(&b->thread.lock);
    log_info("provider %s is forgotten", p->name);
    explicit_bzero(p->key, sizeof p->key);
    xfree(p);
}

/* False: the server stops. */
static bool provider_pass(struct api_buyer *b, struct provider *p)
{
    struct http_client *client = NULL;
    struct error err = {0};
    arena_clear(&b->arena);
    b->offers.count = 0;
    if (p->leaving && p->order_count == 0) {
        provider_gone(b, p);
        return true;
    }
    if (demand_see(b, p) < 0)
        return false;
    if (p->order_count == 0 && (b->demand.count == 0 || p->rest > clock_monotonic_ms()))
        return true;
    const struct http_client_options options = {.server = p->url, .key = p->key, .pin = p->pin[0] ? p->pin : NULL, .insecure = p->insecure,
                                                .connect_timeout_ms = CONNECT_TIMEOUT_MS};
    int rc = http_client_new(&client, &options, &err);
    if (rc == 0)
        rc = core_thread_call(&b->thread, client) ? seller_pass(b, p, &err) : -ECANCELED;
    bool goes_on = core_thread_call(&b->thread, NULL);
    http_client_free(client);
    if (goes_on && rc != -ECANCELED)
        problem_set(b, p, rc < 0 && err.text[0] ? &err : NULL);
    return goes_on;
}

/* ---- the thread ---- */

static bool pass(struct api_buyer *b)
{
    for (size_t i = BOOK_PROVIDERS_MOST; i > 0; i--) {
        pthread_mutex_lock(&b->thread.lock);
        b->provider = i <= b->book.count ? b->book.providers[i - 1] : NULL;
        pthread_mutex_unlock(&b->thread.lock);
        if (b->provider && !provider_pass(b, b->provider))
            return false;
    }
    return true;
}

/* The shortest span of those that have something to look after. */
static time_ms poll_span(struct api_buyer *b)
{
    time_ms span = TIME_NEVER;
    pthread_mutex_lock(&b->thread.lock);
    for (size_t i = 0; i < b->book.count; i++)
        span = MIN(span, b->book.providers[i]->poll_ms);
    pthread_mutex_unlock(&b->thread.lock);
    return span;
}

static void *buyer_main(void *context)
{
    struct api_buyer *b = context;
    while (core_thread_sleep(&b->thread, poll_span(b)) && pass(b))
        ;
    return NULL;
}

int api_buyer_new(struct api_buyer **ret, struct api *api, struct error *err)
{
    struct api_buyer *b = *ret = xcalloc(1, sizeof *b);
    b->api = api;
    b->path = data_path(core_data(api->core), "providers.json");
    core_thread_init(&b->thread, api->core);
    int rc = book_load(b, err);
    return rc < 0 ? rc : core_thread_start(&b->thread, "buyer", buyer_main, b, err);
}

/* Nodes that come and go are what it waits for; what waits is seen in time by its polls. */
void api_buyer_commit(struct api_buyer *b, const struct core_commit *commit)
{
    bool changed = false;
    for (size_t i = 0; i < commit->result->event_count; i++)
        changed |= commit->result->events[i].type == ENGINE_EVENT_NODE_LOST;
    if (changed)
        core_thread_wake(&b->thread);
}

void api_buyer_stop(struct api_buyer *b)
{
    if (b)
        core_thread_stop(&b->thread);
}

void api_buyer_free(struct api_buyer *b)
{
    if (b == NULL)
        return;
    core_thread_fini(&b->thread);
    arena_fini(&b->arena);
    book_fini(&b->book);
    xfree(b->path);
    xfree(b);
}

/* ---- for the routes ---- */

int api_buyer_add(struct api_buyer *b, struct provider *p, struct error *err)
{
    int rc = 0;
    pthread_mutex_lock(&b->thread.lock);
    if (book_find(&b->book, str_from(p->name)))
        rc = error_set(err, -EEXIST, "name: there is a provider of this name");
    else if (b->book.count == BOOK_PROVIDERS_MOST)
        rc = error_set(err, -ENOSPC, "name: there are %d providers, more are not allowed", BOOK_PROVIDERS_MOST);
    if (rc == 0) {
        b->book.providers[b->book.count++] = p;
        rc = book_save_locked(b, err);
        b->book.count -= rc < 0;
    }
    b->thread.look = true;
    pthread_cond_broadcast(&b->thread.changed);
    pthread_mutex_unlock(&b->thread.lock);
    return rc;
}

int api_buyer_remove(struct api_buyer *b, struct str name, struct error *err)
{
    pthread_mutex_lock(&b->thread.lock);
    struct provider *p = book_find(&b->book, name);
    int rc = p ? 0 : error_set(err, -ENOENT, "no such provider");
    if (p) {
        p->leaving = true;
        rc = book_save_locked(b, err);
    }
    b->thread.look = true;
    pthread_cond_broadcast(&b->thread.changed);
    pthread_mutex_unlock(&b->thread.lock);
    return rc;
}

void api_buyer_look(struct api_buyer *b, void (*look)(void *context, const struct book *book), void *context)
{
    pthread_mutex_lock(&b->thread.lock);
    look(context, &b->book);
    pthread_mutex_unlock(&b->thread.lock);
}
