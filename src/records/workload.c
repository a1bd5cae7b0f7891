/* SPDX-License-Identifier: Apache-2.0 */
#include "records/workload.h"

#include "market/market.h"
#include "records/table.h"

#include <assert.h>
#include <errno.h>

const char *const workload_priority_names[] = {"low", "normal", "high", "critical", NULL};
const char *const workload_level_names[] = {"any", "zone", "fabric", "racks", "rack", "node", NULL};
const char *const workload_tier_names[] = {"none", "instant", "seconds", "minute", "minutes", NULL};
const char *const workload_kind_names[] = {"task", "instance", NULL};
static const char *const lost_contact_names[] = {"continue", "freeze", NULL};

static_assert(RATE_MOST == MARKET_RATE_MAX, "one bound of rates");
static_assert(SPAN_MOST == MARKET_WINDOW_MAX_MS, "one bound of spans");
static_assert(TIER_MINUTES == MARKET_TIERS, "a tier has the market's number");
static_assert(WORKLOAD_CHOICES_MAX == MARKET_ALTERNATIVES_MAX, "a choice is an alternative");

static const struct field workload_choice_fields[] = {
    SHORT(workload_choice, sku, OMIT, NAME_MOST, "Make of the node; empty: any."),
    SHORT(workload_choice, accelerator, OMIT, NAME_MOST, "GPU model; empty: any."),
    SHORT(workload_choice, provider, OMIT, NAME_MOST, "Who supplies the node; empty: any."),
    SHORT(workload_choice, region, OMIT, NAME_MOST, "Region; empty: any."),
    SHORT(workload_choice, zone, OMIT, NAME_MOST, "Zone; empty: any."),
    TEXTS(workload_choice, labels, OMIT, MARKET_LABELS_MAX, "Labels that must stand on the node."),
    INLINE(workload_choice, amounts, agent_amounts,
           "What each replica takes: whole GPUs, or one share of a GPU."),
    {"speed_milli", FIELD_I64, AT(workload_choice, speed_milli), .least = 1,
     .most = MARKET_SPEED_MAX, .fallback = 1000, .unit = "1/1000",
     .doc = "Speed against the one that the limit is stated for."},
};
RECORD(workload_choice, "One choice of hardware.");

#define I workload_instance
static const struct field workload_instance_fields[] = {
    TEXTS(I, ssh_keys, OMIT, WORKLOAD_KEYS_MAX, "Public keys that may log in, by id or name; the project's required ones come with them."),
    TEXTS(I, volumes, OMIT, WORKLOAD_VOLUMES_MAX, "Volumes, by id or name."),
    SHORT(I, startup_script, OMIT, 10000, "Run once, as root, when the boot disk is new."),
    SHORT(I, image, OMIT, NAME_MOST, "Image of the boot disk; empty: the node's own."),
    SHORT(I, cluster, OMIT, NAME_MOST, "Kubernetes cluster that it joins."),
    SHORT(I, email, OMIT, 254, "Who is told of its changes."),
    SHORT(I, limit, OMIT, 32, "Limit in dollars per instance-hour, as it was written."),
    RANGE(I, memory_gib, OMIT, 0, (int64_t)1 << 20, "GiB", "Memory, less than the type has; 0: all."),
    RANGE(I, boot_disks, OMIT, 0, INT32_MAX, "disks", "How often its boot disk was made anew."),
};
RECORD(workload_instance, "A machine handed to its owner.");

#define W workload_request
static const struct field workload_request_fields[] = {
    SHORT(W, name, OMIT, 100, "Name for people: letters, digits, `.`, `_`, `-`."),
    SHORT(W, project, OMIT, NAME_MOST,
          "Project that pays, by name or id; empty: the key's, else `default`."),
    {"nodes", FIELD_I64, AT(W, nodes), .least = 1, .most = WORKLOAD_NODES_MAX, .fallback = 1,
     .unit = "replicas", .doc = "Replicas, each on a node's share of its own, started together."},
    LIST(W, choices, FIELD_REQUIRED, workload_choice, WORKLOAD_CHOICES_MAX,
         "Hardware, in order of preference; all replicas run on the same choice."),
    SHORT(W, setup, OMIT, WORKLOAD_SCRIPT_MAX, "Shell script that runs first."),
    SHORT(W, run, OMIT, WORKLOAD_SCRIPT_MAX, "Shell script that is the work."),
    {"envs", FIELD_MAP, AT(W, envs), .flags = OMIT, .doc = "Environment variables."},
    {"secrets", FIELD_MAP, AT(W, secrets), .flags = FIELD_SECRET | OMIT,
     .doc = "Environment variables that nobody is shown."},
    {"mounts", FIELD_MAP, AT(W, mounts), .flags = OMIT,
     .doc = "Path on the node: path in the archive."},
    SHORT(W, archive, OMIT, 64, "SHA-256 of the uploaded archive, in hexadecimal."),
    SHORT(W, workdir, OMIT, 4096, "Path in the archive that becomes the working directory."),
    FLAG(W, preemptible, OMIT, "Whether a better use may take its place; false: firm."),
    PRESENT(W, limit_udollar_per_hour, limit_present, 0, RATE_MOST, UNIT_RATE,
            "The most it pays for a unit; absent: what its priority stands for."),
    {"priority", FIELD_ENUM, AT(W, priority), .names = workload_priority_names,
     .fallback = PRIORITY_NORMAL, .doc = "Name of a limit: a multiple of the pool's lowest ask."},
    {"level", FIELD_ENUM, AT(W, level), .names = workload_level_names, .flags = OMIT,
     .doc = "The loosest place in which all replicas stand together."},
    RANGE(W, racks, OMIT, 0, WORKLOAD_NODES_MAX, "racks", "With level `racks`: how many at most."),
    {"notice_ms", FIELD_I64, AT(W, notice_ms), .least = 0, .most = 24 * HOUR_MS,
     .fallback = 30000, .unit = "ms", .doc = "Time between the signal and the kill."},
    {"signal", FIELD_I64, AT(W, signal), .least = 1, .most = 64, .fallback = 15,
     .doc = "Number of the signal that announces the end."},
    RANGE(W, restart_cost_udollar, OMIT, 0, (int64_t)1 << 40, "µ$",
          "What a preemption costs it, declared; a refund pays no more."),
    RANGE(W, minimum_run_ms, OMIT, 0, SPAN_MOST, "ms",
          "Time in which it is not preempted; 0: the operator's."),
    RANGE(W, term_ms, OMIT, 0, SPAN_MOST, "ms",
          "Firm: for so long its price and place are locked; 0: the operator's."),
    {"renew", FIELD_BOOL, AT(W, renew), .fallback = 1,
     .doc = "Firm: take another term at each end while the limit allows."},
    FLAG(W, urgent, OMIT, "May start at the asks where the price guide does not admit it."),
    RANGE(W, max_run_ms, OMIT, 0, SPAN_MOST, "ms", "Ended with notice after so long; 0: no end."),
    RANGE(W, retries, OMIT, 0, 1000, "attempts", "How often it is tried again after a failure."),
    {"on_lost_contact", FIELD_ENUM, AT(W, on_lost_contact), .names = lost_contact_names,
     .flags = OMIT, .doc = "What its processes do while the server is out of reach."},
    RANGE(W, run_time_ms, OMIT, 0, SPAN_MOST, "ms", "Declared run time; 0: not declared."),
    RANGE(W, deadline_ms, OMIT, 0, TIME_MOST, TIME_UNIT, "Finish by then; 0: no deadline."),
    RANGE(W, earliest_ms, OMIT, 0, TIME_MOST, TIME_UNIT, "Start not before; 0: at once."),
    RANGE(W, nodes_max, OMIT, 0, WORKLOAD_NODES_MAX, "replicas",
          "Elastic: the most replicas; 0: as `nodes`."),
    {"kind", FIELD_ENUM, AT(W, kind), .names = workload_kind_names, .flags = OMIT,
     .doc = "A task runs a program; an instance is a machine handed to its owner."},
    {"instance", FIELD_RECORD, AT(W, instance), .record = &workload_instance_record,
     .flags = OMIT, .doc = "Of an instance: what it is handed over with."},
    NUMBERS(W, objects, FIELD_SECRET | FIELD_OUTPUT | OMIT, WORKLOAD_KEYS_MAX * 16,
            "The server's numbers of keys and volumes."),
    SHORT(W, reservation, OMIT, 100, "Name of a reservation of the project: it runs in its slot, for nothing more."),
    {"tier", FIELD_ENUM, AT(W, tier), .names = workload_tier_names, .flags = OMIT,
     .doc = "Tight start: it starts within the tier's time, from headroom that its project is subscribed to."},
};
RECORD(workload_request, "What somebody wants run, and what they bid for it.");

static bool is_name(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

static bool is_sha256(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!((text.data[i] >= '0' && text.data[i] <= '9') ||
              (text.data[i] >= 'a' && text.data[i] <= 'f')))
            return false;
    return text.size == 64;
}

/* A shell's idea of a name: other names cannot be exported. */
static bool is_variable(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return text.size > 0;
}

static int check_variables(const char *field, const struct record_list *list, struct error *err)
{
    const struct record_pair *pairs = list->items;
    for (size_t i = 0; i < list->count; i++)
        if (!is_variable(pairs[i].key))
            return error_set(err, -EINVAL,
                             "%s: \"%.*s\" is not a variable's name, allowed are letters, digits, "
                             "_, no digit first",
                             field, (int)MIN(pairs[i].key.size, 40), pairs[i].key.data);
    return 0;
}

static int check_choices(const struct workload_request *request, struct error *err)
{
    const struct workload_choice *choices = request->choices.items;
    if (request->choices.count == 0)
        return error_set(err, -EINVAL, "choices: empty, at least one is needed");
    for (size_t i = 0; i < request->choices.count; i++) {
        const struct agent_amounts *amounts = &choices[i].amounts;
        if (amounts->gpu_milli > 1000 && amounts->gpu_milli % 1000 != 0)
            return error_set(err, -EINVAL,
                             "choices[%zu].amounts.gpu_milli: %lld, allowed are whole GPUs or a "
                             "share below 1000", i, (long long)amounts->gpu_milli);
        if (amounts->gpu_milli == 0 && amounts->core_milli == 0)
            return error_set(err, -EINVAL,
                             "choices[%zu].amounts: takes neither a GPU nor a core, at least one "
                             "of the two is needed", i);
    }
    return 0;
}

int workload_email_check(struct str email, const char *field, struct error *err)
{
    size_t ats = 0;
    bool good = email.size == 0 || (email.data[0] != '@' && email.data[email.size - 1] != '@');
    for (size_t i = 0; i < email.size && good; i++) {
        char c = email.data[i];
        ats += c == '@';
        good = c > ' ' && c <= '~' && !strchr("<>()[]\\,;:\"", c);
    }
    if (good && (email.size == 0 || ats == 1))
        return 0;
    return error_set(err, -EINVAL, "%s: not an address for mail, allowed is name@host in printable ASCII", field);
}

int workload_check(const struct workload_request *request, struct error *err)
{
    if (!is_name(request->name))
        return error_set(err, -EINVAL, "name: allowed are letters, digits, `.`, `_` and `-`");
    bool program = request->run.size || request->setup.size;
    if (request->kind == WORKLOAD_TASK && !program)
        return error_set(err, -EINVAL, "run: is missing");
    if (request->kind == WORKLOAD_INSTANCE && (program || request->archive.size))
        return error_set(err, -EINVAL, "%s: an instance has none, allowed is instance.startup_script",
                         request->run.size ? "run" : request->setup.size ? "setup" : "archive");
    if (request->archive.size && !is_sha256(request->archive))
        return error_set(err, -EINVAL, "archive: not a SHA-256 of 64 hexadecimal digits");
    if (request->archive.size == 0 && (request->workdir.size || request->mounts.count))
        return error_set(err, -EINVAL, "archive: is missing, `%s` needs it",
                         request->workdir.size ? "workdir" : "mounts");
    if ((request->level == LEVEL_RACKS) != (request->racks > 0))
        return error_set(err, -EINVAL, "racks: goes with level `racks` and is at least 1 there");
    if (request->nodes_max && request->nodes_max < request->nodes)
        return error_set(err, -EINVAL, "nodes_max: %lld is less than nodes, %lld",
                         (long long)request->nodes_max, (long long)request->nodes);
    if (request->deadline_ms && request->deadline_ms <= request->earliest_ms)
        return error_set(err, -EINVAL, "deadline_ms: not after earliest_ms");
    int r = workload_email_check(request->instance.email, "instance.email", err);
    if (r < 0)
        return r;
    if (request->tier && (!request->preemptible || request->deadline_ms || request->reservation.size))
        return error_set(err, -EINVAL, "tier: goes with preemptible work, and without %s",
                         request->deadline_ms ? "deadline_ms" : request->reservation.size ? "reservation" : "a term");
    r = check_variables("envs", &request->envs, err);
    if (r == 0)
        r = check_variables("secrets", &request->secrets, err);
    return r == 0 ? check_choices(request, err) : r;
}
