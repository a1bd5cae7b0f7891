/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine and the market refuse, in words: `field: what is wrong, what is allowed`. */
#include "server/api_internal.h"
#include "wire/unit.h"

#include <errno.h>
#include <string.h>

#define NAMES_SHOWN 16

static int outcome_status(const struct engine_outcome *outcome)
{
    switch (outcome->code) {
    case ENGINE_NOT_FOUND:
        return 404;
    case ENGINE_CONFLICT:
    case ENGINE_STALE:
        return 409;
    case ENGINE_FORBIDDEN:
    case ENGINE_QUOTA:
        return 403;
    case ENGINE_OK:
    case ENGINE_INVALID:
        return 400;
    }
    return 400;
}

/* "choices[1].sku" -> "sku", "choices[0].labels[2]" -> "labels". */
static struct str last_word(const char *field)
{
    const char *dot = strrchr(field, '.');
    struct str word = str_from(dot ? dot + 1 : field);
    return str_cut(&word, '[');
}

static bool name_kind(const char *field, enum engine_name *ret)
{
    static const struct {
        const char *word;
        enum engine_name kind;
    } kinds[] = {{"sku", NAME_SKU},       {"accelerator", NAME_ACCELERATOR},
                 {"labels", NAME_LABEL},  {"provider", NAME_PROVIDER},
                 {"region", NAME_REGION}, {"zone", NAME_ZONE}};
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        if (str_is(last_word(field), kinds[i].word)) {
            *ret = kinds[i].kind;
            return true;
        }
    return false;
}

static void known_names(const struct engine *e, enum engine_name kind, struct buf *out)
{
    size_t count = engine_name_count(e, kind);
    if (count == 0)
        buf_append_text(out, "no node has any yet");
    for (size_t i = 0; i < MIN(count, NAMES_SHOWN); i++) {
        struct str name = engine_name_at(e, kind, i);
        buf_printf(out, "%s%.*s", i ? ", " : "known are ", STR_ARGS(name));
    }
    if (count > NAMES_SHOWN)
        buf_printf(out, " and %zu more", count - NAMES_SHOWN);
}

static void unknown_text(const struct engine *e, const char *field, struct buf *out)
{
    enum engine_name kind;
    buf_append_text(out, "nothing of that name");
    if (!name_kind(field, &kind))
        return;
    buf_append_text(out, ", ");
    known_names(e, kind, out);
}

/* The most of each that any one node has. */
static void largest_text(const struct engine *e, struct buf *out)
{
    struct market_amounts most = {0};
    for (size_t i = 0; i < engine_node_count(e); i++) {
        const struct market_amounts *has = &engine_node_at(e, i)->amounts;
        most.gpu_milli = MAX(most.gpu_milli, has->gpu_milli);
        most.core_milli = MAX(most.core_milli, has->core_milli);
        most.memory_mib = MAX(most.memory_mib, has->memory_mib);
        most.disk_mib = MAX(most.disk_mib, has->disk_mib);
    }
    buf_printf(out,
               "the most that a node has is %lld GPUs, %lld.%03lld cores, %lld MiB of memory, %lld "
               "MiB of disk",
               (long long)most.gpu_milli / 1000, (long long)most.core_milli / 1000,
               (long long)most.core_milli % 1000, (long long)most.memory_mib,
               (long long)most.disk_mib);
}

static void impossible_text(const struct engine *e, const struct engine_outcome *outcome,
                            struct buf *out)
{
    const int64_t *n = outcome->numbers;
    if (str_is(str_from(outcome->field), "units_milli")) {
        buf_printf(out, "%lld, its pools have %lld in all", (long long)n[0], (long long)n[1]);
    } else if (n[1] > 0) {
        buf_printf(out,
                   "%lld replicas could never stand together so, even on an empty fleet; at most "
                   "%lld could",
                   (long long)n[0], (long long)n[1]);
    } else if (engine_node_count(e) == 0) {
        buf_append_text(out, "no node has joined yet that could take this");
    } else {
        buf_append_text(out, "no node could take this, even on an empty fleet; ");
        largest_text(e, out);
    }
}

static void bound_text(const struct engine_outcome *outcome, struct buf *out)
{
    static const char *const before[] = {"", ", allowed is ", " to "};
    struct str field = str_from(outcome->field);
    bool times = str_is(field, "deadline_ms") || str_is(field, "earliest_ms");
    for (size_t i = 0; i < ARRAY_COUNT(before); i++) {
        buf_append_text(out, before[i]);
        if (times)
            time_print(out, outcome->numbers[i]);
        else
            buf_printf(out, "%lld", (long long)outcome->numbers[i]);
    }
}

static void refusal_text(const struct engine *e, const struct engine_outcome *outcome,
                         struct buf *out)
{
    switch (outcome->refusal) {
    case REFUSED_BOUND:
        bound_text(outcome, out);
        break;
    case REFUSED_UNKNOWN:
        unknown_text(e, outcome->field, out);
        break;
    case REFUSED_EXISTS:
        buf_append_text(out, "exists already");
        break;
    case REFUSED_UNSUPPORTED:
        buf_append_text(out, "not supported by this version");
        break;
    case REFUSED_STATE:
        buf_append_text(out, "its state does not allow that");
        break;
    case REFUSED_IMPOSSIBLE:
        impossible_text(e, outcome, out);
        break;
    case REFUSED_NONE:
        buf_append_text(out, "not allowed");
        break;
    }
}

static void conflict_text(const char *field, struct buf *out)
{
    if (strcmp(field, "Idempotency-Key") == 0)
        buf_append_text(out, "it was used with another body");
    else if (strcmp(field, "name") == 0)
        buf_append_text(out, "in use already");
    else if (strcmp(field, "zone") == 0 || strcmp(field, "region") == 0)
        buf_append_text(out, "several places have that name: say what lies above it, too");
    else
        buf_append_text(out, "its state does not allow that");
}

static void invalid_text(const struct engine *e, const char *field, struct buf *out)
{
    enum engine_name kind;
    if (name_kind(field, &kind))
        unknown_text(e, field, out);
    else if (str_is(last_word(field), "amounts"))
        buf_printf(out,
                   "allowed are whole GPUs up to %d or a share below one, and cores and memory "
                   "that a machine can have",
                   MARKET_NODE_GPUS_MAX);
    else if (strcmp(field, "tier") == 0)
        buf_append_text(out, "its project is not subscribed to so many units of that tier, or of a slower one, in any pool that it may stand in; an operator "
                             "subscribes it (`tessera tier set`)");
    else
        buf_append_text(out, "not allowed");
}

static void quota_text(const struct engine_outcome *outcome, struct buf *out)
{
    buf_printf(out, "%lld", (long long)outcome->numbers[0] / 1000);
    if (outcome->numbers[0] % 1000)
        buf_printf(out, ".%03lld", (long long)outcome->numbers[0] % 1000);
    buf_printf(out, " %s would be in use, allowed is %lld", outcome->field, (long long)outcome->numbers[1]);
}

static void code_text(const struct engine *e, const struct engine_outcome *outcome,
                      const char *field, struct buf *out)
{
    switch (outcome->code) {
    case ENGINE_NOT_FOUND:
        buf_append_text(out, "nothing of that name or id");
        break;
    case ENGINE_CONFLICT:
        conflict_text(field, out);
        break;
    case ENGINE_FORBIDDEN:
        buf_append_text(out, "used, expired or bound to another node");
        break;
    case ENGINE_STALE:
        buf_append_text(out, "of another attempt, or known already");
        break;
    case ENGINE_QUOTA:
        quota_text(outcome, out);
        break;
    case ENGINE_OK:
    case ENGINE_INVALID:
        invalid_text(e, field, out);
        break;
    }
}

/* As the caller wrote it. */
static const char *field_of(const struct engine_outcome *outcome)
{
    if (outcome->code == ENGINE_QUOTA)
        return "quota";
    return strcmp(outcome->field, "idempotency_key") == 0 ? "Idempotency-Key" : outcome->field;
}

int outcome_error(const struct engine *e, const struct engine_outcome *outcome, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(ERROR_TEXT_MAX);
    const char *field = field_of(outcome);
    if (outcome->refusal != REFUSED_NONE)
        refusal_text(e, outcome, &text);
    else
        code_text(e, outcome, field, &text);
    error_set(err, -EINVAL, "%s%s%s", field, field[0] ? ": " : "", buf_text(&text));
    return outcome_status(outcome);
}

void call_refuse_outcome(struct api_call *call, const struct engine *e,
                         const struct engine_outcome *outcome)
{
    struct error err = {0};
    int status = outcome_error(e, outcome, &err);
    call_refuse_error(call, status, &err);
}
