/* SPDX-License-Identifier: Apache-2.0 */
#include "sequence.h"

#include "base/hash.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what a seed draws
 * ------------------------------------------------------------------------------- */

enum op {
    OP_BID,
    OP_BATCH,
    OP_FINISH,
    OP_CANCEL,
    OP_CHANGE,
    OP_TICK,
    OP_WAIT,
    OP_DOWN,
    OP_UP,
    OP_DRAIN,
    OP_ASK,
    OP_ACCOUNT,
    OP_SETTING,
    OP_PROBE,
    OP_COUNT,
};

/* Each sequence leaves some kinds of events and bids out altogether, and is full of others. */
struct swarm {
    struct prng random;
    uint32_t weights[OP_COUNT];
    uint32_t skus, nodes, per_rack, per_fabric, gpus, tenants, most_nodes, grid;
    bool firm, alternatives, levels, parts, shares, restart, cores, urgent;
    bool owners, large, still, deadlines, tiers;
    uint32_t bids;
};


static uint64_t below(struct swarm *s, uint64_t bound)
{
    return prng_below(&s->random, bound);
}

static bool chance(struct swarm *s, uint64_t percent)
{
    return below(s, 100) < percent;
}

static struct buf *step(struct sequence *q)
{
    ARRAY_RESERVE(q->steps, q->count, q->capacity);
    q->steps[q->count] = BUF_INIT(1 << 16);
    return &q->steps[q->count++];
}

static void swarm_draw(struct swarm *s, uint64_t seed)
{
    static const uint32_t usual[OP_COUNT] = {30, 6, 12, 4, 8, 20, 14, 3, 4, 2, 2, 1, 1, 5};
    *s = (struct swarm){.random = {seed}};
    for (int i = 0; i < OP_COUNT; i++)
        s->weights[i] =
            usual[i] *
            (chance(s, 20) && i != OP_BID && i != OP_TICK ? 0 : 1 + (uint32_t)below(s, 3));
    s->skus = 1 + (uint32_t)below(s, 3);
    s->per_rack = 1 + (uint32_t)below(s, 4);
    s->per_fabric = s->per_rack * (1 + (uint32_t)below(s, 3));
    s->nodes = 1 + (uint32_t)below(s, 9);
    s->gpus = chance(s, 60) ? 8 : chance(s, 50) ? 4 : 1;
    s->tenants = 1 + (uint32_t)below(s, 4);
    s->most_nodes = 1 + (uint32_t)below(s, 5);
    s->grid = chance(s, 30) ? 4 : 300; /* a coarse one makes ties */
    bool *const options[] = {&s->firm,   &s->alternatives, &s->levels, &s->parts,
                             &s->shares, &s->restart,      &s->cores,  &s->urgent};
    for (size_t i = 0; i < ARRAY_COUNT(options); i++)
        *options[i] = chance(s, 50);
    s->owners = seed >= SEED_MORE && chance(s, 40);
    s->large = seed >= SEED_MORE && chance(s, 60);
    s->tiers = seed >= SEED_TIERS;
    s->deadlines = seed >= SEED_DEADLINE && !s->tiers;
    s->still = seed >= SEED_STILL && !s->deadlines && !s->tiers;
    if (s->deadlines) {
        s->weights[OP_SETTING] = 0; /* a longer kill time makes those late who count on a shorter one */
        for (int i = OP_DOWN; i <= OP_DRAIN && chance(s, 60); i++)
            s->weights[i] = 0;
    }
    if (s->still) /* affiliates may wait for a pool whose price they do not move */
        s->firm = s->restart = s->urgent = s->owners = false;
}

/* One number out of [least, least + bound), in a format. One draw a call: the order in which
 * arguments are worked out is the compiler's. */
static void some(struct swarm *s, struct buf *b, const char *format, uint64_t least, uint64_t bound)
{
    char text[64];
    unsigned long long value = least + below(s, bound);
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wformat-nonliteral\"")
        snprintf(text, sizeof text, format, value);
    _Pragma("GCC diagnostic pop") buf_append_text(b, text);
}

/* ---- the scene
 * ------------------------------------------------------------------------------------------ */

static void scene(struct sequence *q, struct swarm *s)
{
    struct buf *b = step(q);
    buf_printf(b, "seed %llu\nsetting large_tenant 1\nsetting tick ", (unsigned long long)q->seed);
    some(s, b, "%llus\nsetting minimum_run ", 1, 15);
    some(s, b, "%llus\nsetting kill ", 0, 60);
    some(s, b, "%llus\nsetting fee 0.", 0, 12);
    some(s, b, "%02llu\nsetting horizon ", 0, 30);
    some(s, b, "%llumin\nagents start=auto leave=", 1, 90);
    static const char *const leaves[] = {"at_once", "at_deadline", "by_hand"};
    buf_printf(b, "%s\n", leaves[below(s, 3)]);
    for (uint32_t i = 0; i < s->skus; i++) {
        buf_printf(b, "nodes %c %u gpus=%u per_rack=%u per_fabric=%u ", 'a' + (int)i, s->nodes + 1,
                   s->gpus, s->per_rack, s->per_fabric);
        some(s, b, "zone=z%llu ask=0.", 0, 2);
        some(s, b, "%02llu seller=s", 0, 100);
        some(s, b, "%llu", 0, 2);
        if (chance(s, 50))
            some(s, b, " step=0.%02llu", 0, 20);
        buf_append_text(b, "\n");
    }
    if (s->large)
        some(s, b, "setting large_tenant 0.%02llu\n", 2, 60);
    if (s->deadlines)
        some(s, b, "setting guard %llus\n", 0, 30);
    if (s->tiers) {
        some(s, b, "setting tier1_start %llus\n", 0, 20);
        some(s, b, "setting tier2_start %llus\n", 0, 60);
    }
    if (s->owners) {
        some(s, b, "owner t%llu mill\n", 0, s->tenants);
        some(s, b, "owner t%llu mill\n", 0, s->tenants);
        some(s, b, "owner s%llu mill seller\n", 0, 2);
    }
    q->fixed = q->count;
}

/* ---- statements
 * ------------------------------------------------------------------------------------------- */

static void limit(struct swarm *s, struct buf *b)
{
    buf_printf(b, " limit=%.2f", (double)(1 + below(s, s->grid)) * (300.0 / s->grid) / 100);
}

static void level(struct swarm *s, struct buf *b, uint32_t nodes)
{
    static const char *const names[] = {"any", "zone", "fabric", "racks racks=2", "rack"};
    if (s->levels && nodes > 1)
        buf_printf(b, " level=%s", names[below(s, ARRAY_COUNT(names))]);
}

static void amounts(struct swarm *s, struct buf *b)
{
    if (s->shares && chance(s, 20))
        buf_printf(b, " gpus=0.%d", 1 + (int)below(s, 9));
    else
        buf_printf(b, " gpus=%u",
                   s->parts ? 1u << below(s, s->gpus == 8   ? 4
                                             : s->gpus == 4 ? 3
                                                            : 1)
                            : s->gpus);
    if (s->cores && chance(s, 50))
        buf_printf(b, " cores=%llu", (unsigned long long)below(s, 30));
}

static void deadline(struct swarm *s, struct buf *b)
{
    some(s, b, " deadline run_time=%llus", 1, 200);
    some(s, b, " latest=now+%llus", 60, 600);
    if (chance(s, 30))
        some(s, b, " earliest=now+%llus", 0, 100);
    if (chance(s, 30))
        some(s, b, " checkpoint=%llus", 0, 60);
    if (chance(s, 20))
        some(s, b, " startup=%llus", 0, 20);
}

static void one_bid(struct swarm *s, struct buf *b)
{
    uint32_t nodes = 1 + (uint32_t)below(s, s->most_nodes);
    buf_printf(b, "bid w%u nodes=%u", ++s->bids, nodes);
    some(s, b, " tenant=t%llu", 0, s->tenants);
    amounts(s, b);
    limit(s, b);
    level(s, b, nodes);
    if (chance(s, 50))
        buf_printf(b, " sku=%c", 'a' + (int)below(s, s->skus));
    buf_printf(b, " notice=%llus", (unsigned long long)below(s, 40));
    if (s->restart)
        buf_printf(b, " restart=%.2f", (double)below(s, 300) / 100);
    if (chance(s, 15))
        buf_printf(b, " minimum_run=%llus", (unsigned long long)below(s, 100));
    if (s->tiers && chance(s, 40)) {
        some(s, b, " tier=%llu\n", 1, 4);
        return;
    }
    bool has_deadline = s->deadlines && chance(s, 40);
    if (has_deadline)
        deadline(s, b);
    else if (s->firm && chance(s, 30))
        some(s, b, chance(s, 50) ? " firm renew term=%llus" : " firm term=%llus", 5, 200);
    if (s->urgent && chance(s, 10))
        buf_append_text(b, " urgent");
    if (!has_deadline && chance(s, 30) && !s->still)
        buf_printf(b, " run_time=%llus", 1 + (unsigned long long)below(s, 300));
    buf_append_text(b, "\n");
    for (uint32_t i = 0; s->alternatives && i < below(s, 3); i++) {
        buf_printf(b, "  or sku=%c", 'a' + (int)below(s, s->skus));
        level(s, b, nodes);
        if (chance(s, 40))
            limit(s, b);
        buf_append_text(b, "\n");
    }
}

static unsigned some_bid(struct swarm *s)
{
    return 1 + (unsigned)below(s, MAX(s->bids, 1));
}

static void node_name(struct swarm *s, struct buf *b)
{
    buf_printf(b, " %c", 'a' + (int)below(s, s->skus));
    some(s, b, "%llu", 1, s->nodes + 1);
}

static void simple(struct swarm *s, struct buf *b, enum op op)
{
    if (op == OP_FINISH)
        some(s, b, chance(s, 30) ? "finish w%llu requeue" : "finish w%llu", 1, MAX(s->bids, 1));
    else if (op == OP_CANCEL)
        buf_printf(b, "cancel w%u", some_bid(s));
    else if (op == OP_CHANGE)
        buf_printf(b, "change w%u", some_bid(s)), limit(s, b);
    else if (op == OP_DOWN)
        buf_append_text(b, "down"), node_name(s, b),
            buf_printf(b, " ago=%llus", (unsigned long long)below(s, 5));
    else if (op == OP_UP)
        buf_append_text(b, "up"), node_name(s, b);
    else if (op == OP_ASK)
        buf_append_text(b, "ask"), node_name(s, b),
            buf_printf(b, " %.2f", (double)below(s, 150) / 100);
    buf_append_text(b, "\n");
}

static void drain(struct swarm *s, struct buf *b)
{
    bool on = chance(s, 50);
    buf_append_text(b, on ? "drain" : "undrain");
    node_name(s, b);
    buf_append_text(b, on && chance(s, 50) ? " evict\n" : "\n");
}

static void account(struct swarm *s, struct buf *b)
{
    buf_printf(b, "account t%llu", (unsigned long long)below(s, s->tenants));
    if (chance(s, 70))
        buf_printf(b, " budget=%.2f", (double)below(s, 2000) / 100);
    buf_append_text(b, "\n");
}

static void setting(struct swarm *s, struct buf *b)
{
    static const char *const names[] = {"minimum_run", "horizon", "kill", "checkpoint", "term"};
    buf_printf(b, "setting %s", names[below(s, ARRAY_COUNT(names))]);
    some(s, b, " %llus\n", 1, 100);
}

static void some_probe(struct swarm *s, struct buf *b)
{
    switch (below(s, 4)) {
    case 0:
        buf_printf(b, "probe why w%u\n", some_bid(s));
        return;
    case 1:
        buf_printf(b, "probe cancel w%u\n", some_bid(s));
        return;
    case 2:
        buf_append_text(b, "probe capacity");
        node_name(s, b);
        buf_append_text(b, "\n");
        return;
    case 3:
        buf_printf(b, "probe quote w%u\n", some_bid(s));
        return;
    }
}

/* Whether the batch says something of the end of that workload already. */
static bool ends_it(struct str batch, struct str name)
{
    while (batch.size) {
        struct str line = str_cut(&batch, '\n'), verb = str_cut(&line, ' ');
        if ((str_is(verb, "finish") || str_is(verb, "cancel")) && str_equal(str_cut(&line, ' '), name))
            return true;
    }
    return false;
}

/* Two ends of one workload in a batch contradict each other: people and agents send the one that is
 * true, so the second is left out. It is drawn all the same, and a seed means what it meant. */
static void one_end(struct swarm *s, struct buf *b, enum op op)
{
    _cleanup_buf_ struct buf text = BUF_INIT(256);
    simple(s, &text, op);
    struct str rest = buf_str(&text), line = str_cut(&rest, '\n');
    (void)str_cut(&line, ' ');
    if (!ends_it(buf_str(b), str_cut(&line, ' ')))
        buf_append_str(b, buf_str(&text));
}

static void batch(struct swarm *s, struct buf *b)
{
    buf_append_text(b, "batch\n");
    for (uint64_t i = 0, count = 2 + below(s, 6); i < count; i++) {
        uint64_t what = below(s, 10);
        if (what < 6)
            one_bid(s, b);
        else if (what < 8)
            one_end(s, b, what == 6 ? OP_FINISH : OP_CANCEL);
        else
            simple(s, b, what == 8 ? OP_DOWN : OP_UP);
    }
    buf_append_text(b, "apply\n");
}

static enum op draw_op(struct swarm *s)
{
    uint64_t all = 0;
    for (int i = 0; i < OP_COUNT; i++)
        all += s->weights[i];
    uint64_t at = below(s, all);
    for (int i = 0; i < OP_COUNT; i++) {
        if (at < s->weights[i])
            return (enum op)i;
        at -= s->weights[i];
    }
    return OP_TICK;
}

static void subscribe(struct swarm *s, struct buf *b)
{
    some(s, b, "subscribe t%llu", 0, s->tenants);
    some(s, b, " tier=%llu", 1, 4);
    some(s, b, " units=%llu", 0, 1 + s->gpus * s->nodes);
    some(s, b, " rate=0.%02llu", 0, 100);
    if (chance(s, 70))
        buf_printf(b, " sku=%c", 'a' + (int)below(s, s->skus));
    buf_append_text(b, "\n");
}

static void one_step(struct swarm *s, struct buf *b)
{
    if (s->tiers && chance(s, 8)) {
        subscribe(s, b);
        return;
    }
    enum op op = draw_op(s);
    if (op == OP_BID && s->bids < 60)
        one_bid(s, b);
    else if (op == OP_BATCH && s->bids < 60)
        batch(s, b);
    else if (op == OP_TICK || op == OP_BID || op == OP_BATCH)
        buf_printf(b, "tick %llu\n", 1 + (unsigned long long)(chance(s, 20) ? below(s, 30) : 0));
    else if (op == OP_WAIT)
        some(s, b, "wait %llums\nleave w", 0, 9000), some(s, b, "%llu\n", 1, MAX(s->bids, 1));
    else if (op == OP_DRAIN)
        drain(s, b);
    else if (op == OP_ACCOUNT)
        account(s, b);
    else if (op == OP_SETTING)
        setting(s, b);
    else if (op == OP_PROBE)
        some_probe(s, b);
    else
        simple(s, b, op);
}

void sequence_make(struct sequence *q, uint64_t seed, size_t steps)
{
    struct swarm s;
    *q = (struct sequence){.seed = seed};
    swarm_draw(&s, seed);
    scene(q, &s);
    for (size_t i = 0; i < steps; i++)
        one_step(&s, step(q));
    if (s.still)
        buf_append_text(step(q), "probe still\n");
}

void sequence_fini(struct sequence *q)
{
    for (size_t i = 0; i < q->count; i++)
        buf_fini(&q->steps[i]);
    xfree(q->steps);
}

void sequence_text(const struct sequence *q, struct buf *out)
{
    for (size_t i = 0; i < q->count; i++)
        buf_append_str(out, buf_str(&q->steps[i]));
}

/* ---- playing
 * ------------------------------------------------------------------------------------------------
 */

struct result {
    uint64_t digest, outcome, cases;
};

static void play_child(const struct sequence *q, struct manner manner, int results)
{
    _cleanup_buf_ struct buf text = BUF_INIT(1 << 24);
    for (size_t i = 0; i < q->count; i++) {
        buf_append_str(&text, buf_str(&q->steps[i]));
        if (manner.reload_every && i >= q->fixed && i % manner.reload_every == 0)
            buf_append_text(&text, "reload\n");
    }
    struct scenario s;
    scenario_parse(&s, "sequence", buf_text(&text));
    s.lenient = true;
    s.always_reverse = manner.reverse;
    s.trace = manner.trace;
    scenario_run(&s);
    struct result r = {s.w->digest, scenario_outcome(&s), s.w->count.cases};
    CHECK(write(results, &r, sizeof r) == sizeof r);
    scenario_fini(&s);
}

static void read_all(int file, struct buf *out)
{
    char chunk[4096];
    for (ssize_t size; (size = read(file, chunk, sizeof chunk)) > 0;)
        buf_append(out, chunk, (size_t)size);
}

bool sequence_play(const struct sequence *q, struct manner manner, struct played *ret)
{
    int output[2], results[2];
    CHECK(pipe(output) == 0 && pipe(results) == 0);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(output[0]);
        close(results[0]);
        if (manner.trace == NULL)
            CHECK(dup2(output[1], 1) == 1 && dup2(output[1], 2) == 2);
        alarm(60);
        play_child(q, manner, results[1]);
        fflush(stdout);
        exit(0);
    }
    close(output[1]);
    close(results[1]);
    ret->output = BUF_INIT(1 << 16);
    read_all(output[0], &ret->output);
    struct result r = {0};
    bool there = read(results[0], &r, sizeof r) == sizeof r;
    close(output[0]);
    close(results[0]);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    ret->digest = r.digest;
    ret->outcome = r.outcome;
    ret->cases = r.cases;
    return there && status == 0;
}

/* ---- shrinking
 * ---------------------------------------------------------------------------------------------- */

/* Without the steps [at, at + size). */
static bool fails_without(const struct sequence *q, size_t at, size_t size,
                          bool (*fails)(const struct sequence *q))
{
    struct sequence shorter = {
        .seed = q->seed, .fixed = q->fixed, .steps = xcalloc(q->count, sizeof *q->steps)};
    for (size_t i = 0; i < q->count; i++)
        if (i < at || i >= at + size)
            shorter.steps[shorter.count++] = q->steps[i];
    bool still = fails(&shorter);
    xfree(shorter.steps); /* the texts are borrowed */
    return still;
}

static void take_out(struct sequence *q, size_t at, size_t size)
{
    for (size_t i = at; i < at + size; i++)
        buf_fini(&q->steps[i]);
    memmove(q->steps + at, q->steps + at + size, (q->count - at - size) * sizeof *q->steps);
    q->count -= size;
}

void sequence_shrink(struct sequence *q, bool (*fails)(const struct sequence *q))
{
    for (size_t size = q->count / 2; size > 0; size /= 2)
        for (bool less = true; less;) {
            less = false;
            for (size_t at = q->fixed; at + size <= q->count;) {
                if (fails_without(q, at, size, fails)) {
                    take_out(q, at, size);
                    less = true;
                } else {
                    at += size;
                }
            }
            if (size > 1)
                break;
        }
}
