/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/options.h"

#include "base/memory.h"
#include "base/str.h"
#include "wire/unit.h"

#include <errno.h>
#include <stdio.h>

struct option {
    const char *name;
    const char *argument; /* NULL: a flag */
    const char *doc;
    /* Reads the argument; false where it does not fit, as `allowed` says. */
    bool (*read)(struct sim_options *o, const char *text);
    const char *allowed;
};

static bool source_read(struct sim_source *source, const char *text)
{
    const char *colon = strchr(text, ':');
    size_t head = colon ? (size_t)(colon - text) : 0;
    if (!colon || memchr(text, '/', head)) {
        source->path = text;
        return *text != 0;
    }
    if (head == 0 || head >= sizeof source->format)
        return false;
    memcpy(source->format, text, head);
    source->format[head] = 0;
    source->path = colon + 1;
    return *source->path != 0;
}

static bool read_trace(struct sim_options *o, const char *text)
{
    return source_read(&o->trace, text) && *o->trace.format;
}

static bool read_fleet(struct sim_options *o, const char *text)
{
    return source_read(&o->fleet, text);
}

static bool read_policy(struct sim_options *o, const char *text)
{
    o->policy = text;
    return *text != 0;
}

static bool read_seed(struct sim_options *o, const char *text)
{
    int64_t seed;
    if (!str_to_i64(str_from(text), &seed) || seed < 0)
        return false;
    o->seed = (uint64_t)seed;
    return true;
}

static bool read_json(struct sim_options *o, const char *text)
{
    (void)text;
    o->json = true;
    return true;
}

static bool read_saturate(struct sim_options *o, const char *text)
{
    return decimal_parse(str_from(text), 1000, &o->saturate_milli) && o->saturate_milli >= 10 &&
           o->saturate_milli <= 4000;
}

static bool read_availability(struct sim_options *o, const char *text)
{
    o->availability = text;
    return *text != 0;
}

static bool read_limit(struct sim_options *o, const char *text)
{
    return str_to_i64(str_from(text), &o->limit) && o->limit >= 1;
}

static bool read_throughput(struct sim_options *o, const char *text)
{
    o->throughput = text;
    return *text != 0;
}

static bool read_ticks(struct sim_options *o, const char *text)
{
    struct str end = str_from(text);
    struct str first = str_cut(&end, '-');
    return str_to_i64(first, &o->tick_first) && str_to_i64(end, &o->tick_end) &&
           o->tick_first >= 0 && o->tick_first < o->tick_end;
}

static bool read_map(struct sim_options *o, const char *text)
{
    o->map = text;
    return strchr(text, '=') != NULL;
}

static bool read_set(struct sim_options *o, const char *text)
{
    if (!strchr(text, '=') || o->set_count == SIM_LIST_MAX)
        return false;
    o->sets[o->set_count++] = text;
    return true;
}

static bool read_until(struct sim_options *o, const char *text)
{
    return span_parse(str_from(text), &o->until) && o->until > 0;
}

static bool read_warmup(struct sim_options *o, const char *text)
{
    return span_parse(str_from(text), &o->warmup);
}

static bool read_failures(struct sim_options *o, const char *text)
{
    o->failures = text;
    return *text != 0;
}

static bool read_seeds(struct sim_options *o, const char *text)
{
    return str_to_i64(str_from(text), &o->seeds) && o->seeds >= 2 && o->seeds <= 1000;
}

static bool read_sweep(struct sim_options *o, const char *text)
{
    o->sweep = text;
    return strchr(text, '=') != NULL;
}

static bool read_compare(struct sim_options *o, const char *text)
{
    o->compare[o->compare[0] != NULL] = text;
    return *text != 0 && *text != '-';
}

static bool read_out(struct sim_options *o, const char *text)
{
    o->out = text;
    return *text != 0;
}

static bool read_reservations(struct sim_options *o, const char *text)
{
    o->reservations = text;
    return *text != 0;
}

static bool read_journal(struct sim_options *o, const char *text)
{
    snprintf(o->trace.format, sizeof o->trace.format, "journal");
    o->trace.path = text;
    return *text != 0;
}

static const struct option options[SIM_OPTION_COUNT] = {
    [OPTION_TRACE] = {"trace", "FORMAT:FILE", "the workloads; --trace help lists the formats",
                      read_trace, "FORMAT:FILE"},
    [OPTION_FLEET] = {"fleet", "FORMAT:FILE", "the nodes", read_fleet, "FILE or FORMAT:FILE"},
    [OPTION_POLICY] = {"policy", "NAME",
                       "who decides; `help` lists all with the traces that they fit", read_policy,
                       "a name"},
    [OPTION_SEED] = {"seed", "N", "of everything that is drawn (default 1)", read_seed,
                     "0 or more"},
    [OPTION_JSON] = {"json", NULL, "print one JSON object, nothing rounded", read_json, ""},
    [OPTION_SATURATE] = {"saturate", "X",
                         "openb: pods arrive until they ask for X times the GPUs (default 1.3)",
                         read_saturate, "0.01 to 4"},
    [OPTION_AVAILABILITY] = {"availability", "DIR", "cant-be-late: traces.csv and changes_*.csv",
                             read_availability, "a folder"},
    [OPTION_LIMIT] = {"limit", "N", "the first N workloads of the trace", read_limit, "1 or more"},
    [OPTION_THROUGHPUT] = {"throughput", "FILE",
                           "itp: iterations a second by model, batch and GPUs", read_throughput,
                           "a file"},
    [OPTION_TICKS] = {"ticks", "FIRST-END",
                      "cant-be-late: only windows that lie in these ticks, END not included",
                      read_ticks, "FIRST-END"},
    [OPTION_MAP] = {"map", "OURS=THEIRS,…", "csv: other names of columns", read_map,
                    "pairs of column names"},
    [OPTION_SET] = {"set", "KEY=VALUE",
                    "a setting of the market or of the world (docs/sim.md); may be repeated",
                    read_set, "KEY=VALUE, at most 64 times"},
    [OPTION_UNTIL] = {"until", "SPAN", "stop after so long: 12h, 7d", read_until, "a span above 0"},
    [OPTION_WARMUP] = {"warmup", "SPAN", "do not count what comes before", read_warmup, "a span"},
    [OPTION_FAILURES] = {"failures", "FILE|mtbf=SPAN",
                         "nodes that fail: node,down,back in a file, or drawn for each node",
                         read_failures, "a file, or mtbf=SPAN,repair=SPAN"},
    [OPTION_SEEDS] = {"seeds", "N", "so many runs: means and 95 % intervals", read_seeds,
                      "2 to 1000"},
    [OPTION_SWEEP] = {"sweep", "KEY=A,B,…", "one run for each value", read_sweep, "KEY=A,B,…"},
    [OPTION_COMPARE] = {"compare", "A B", "two policies side by side, paired by seed", read_compare,
                        "two names of policies"},
    [OPTION_OUT] = {"out", "DIR",
                    "write summary.json, workloads.csv, series.csv, timing.json, report.html",
                    read_out, "a folder"},
    [OPTION_JOURNAL] = {"journal", "DIR",
                        "instead of a trace: what a server with this data folder was told; with "
                        "--set or --policy, what would have come of it",
                        read_journal, "a data folder"},
    [OPTION_RESERVATIONS] = {"reservations", "FILE",
                             "capacity that the market has sold ahead: tenant,name,nodes,gpus,to,…",
                             read_reservations, "a file"},
    [OPTION_HELP] = {"help", NULL, "print this help", read_json, ""},
};

static int option_take(struct sim_options *o, size_t index, const char *text, struct error *err)
{
    const struct option *option = &options[index];
    if (!option->read(o, text))
        return error_set(err, -EINVAL, "--%s: %.100s: allowed is %s", option->name, text,
                         option->allowed);
    o->given[index] = true;
    return 0;
}

static size_t option_find(struct str name)
{
    for (size_t i = 0; i < SIM_OPTION_COUNT; i++)
        if (str_is(name, options[i].name))
            return i;
    return SIM_OPTION_COUNT;
}

int sim_options_parse(int argc, const char *const *argv, struct sim_options *ret, struct error *err)
{
    *ret = (struct sim_options){.seed = 1,
                                .saturate_milli = 1300,
                                .limit = INT64_MAX,
                                .tick_end = INT64_MAX,
                                .until = INT64_MAX,
                                .seeds = 1};
    for (int i = 1; i < argc; i++) {
        struct str value = str_from(argv[i]);
        if (!str_starts(value, STR("--")))
            return error_set(err, -EINVAL, "%.100s: not an option", argv[i]);
        value = (struct str){value.data + 2, value.size - 2};
        bool joined = memchr(value.data, '=', value.size) != NULL;
        struct str name = str_cut(&value, '=');
        size_t index = option_find(name);
        if (index == SIM_OPTION_COUNT)
            return error_set(err, -EINVAL, "--%.*s: no such option; tessera sim --help lists them",
                             STR_ARGS(name));
        if (!options[index].argument && joined)
            return error_set(err, -EINVAL, "--%s takes no value", options[index].name);
        const char *text = joined ? value.data : "";
        if (options[index].argument && !joined && ++i == argc)
            return error_set(err, -EINVAL, "--%s: %s is missing", options[index].name,
                             options[index].argument);
        if (options[index].argument && !joined)
            text = argv[i];
        int status = option_take(ret, index, text, err);
        if (status == 0 && index == OPTION_COMPARE && !ret->compare[1])
            status = ++i == argc ? error_set(err, -EINVAL, "--compare: names two policies")
                                 : option_take(ret, index, argv[i], err);
        if (status)
            return status;
    }
    return 0;
}

int sim_options_allow(const struct sim_options *o, uint64_t used, const char *format,
                      struct error *err)
{
    for (size_t i = 0; i < SIM_OPTION_COUNT; i++)
        if (o->given[i] && !(used >> i & 1))
            return error_set(err, -EINVAL, "--%s: a trace of format %s has no use for it",
                             options[i].name, format);
    return 0;
}

void sim_options_help(void)
{
    printf("Usage: tessera sim --trace FORMAT:FILE --fleet FILE [--policy NAME] [options]\n\n"
           "Runs the market in virtual time over a trace of workloads and a fleet, and says what "
           "happened.\n\nOptions:\n");
    for (size_t i = 0; i < SIM_OPTION_COUNT; i++) {
        char left[48];
        snprintf(left, sizeof left, "--%s%s%s", options[i].name, options[i].argument ? " " : "",
                 options[i].argument ? options[i].argument : "");
        printf("  %-26s %s\n", left, options[i].doc);
    }
}
