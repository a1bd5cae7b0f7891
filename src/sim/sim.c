/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim.h"

#include "sim/format.h"

#include "base/memory.h"

#include <errno.h>
#include <stdio.h>

#define OPTIONS_ALWAYS                                                                             \
    (1u << OPTION_TRACE | 1u << OPTION_JOURNAL | 1u << OPTION_POLICY | 1u << OPTION_JSON | 1u << OPTION_HELP)
#define EXIT_FAILED 1
#define EXIT_USAGE 2

static const struct sim_format *const formats[] = {&format_openb,  &format_spot,   &format_hydra,
                                                   &format_itp,    &format_csv,    &format_slurm,
                                                   &format_philly, &format_chronus,
                                                   &format_helios, &format_azure,  &format_pollux,
                                                   &format_journal};

static const struct sim_format *format_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(formats); i++)
        if (str_is(str_from(name), formats[i]->name))
            return formats[i];
    return NULL;
}

static void formats_print(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(formats); i++)
        printf("  %-14s %s\n", formats[i]->name, formats[i]->doc);
}

static void policies_print(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(formats); i++)
        printf("  --trace %-14s --policy %s\n", formats[i]->name, formats[i]->policies);
}

static bool policy_fits(const struct sim_format *f, const char *name)
{
    struct str rest = str_from(f->policies);
    while (rest.size)
        if (str_is(str_cut(&rest, ' '), name))
            return true;
    return false;
}

/* The first word of the list, in `storage`. */
static const char *policy_default(const struct sim_format *f, char storage[32])
{
    struct str rest = str_from(f->policies);
    struct str first = str_cut(&rest, ' ');
    snprintf(storage, 32, "%.*s", STR_ARGS(first));
    return storage;
}

static int fleet_check(const struct sim_options *o, const struct sim_format *f, struct error *err)
{
    if (f->fleet && !o->given[OPTION_FLEET])
        return error_set(err, -EINVAL, "--fleet: a trace of format %s needs one: --fleet %s%sFILE",
                         f->name, f->fleet, *f->fleet ? ":" : "");
    if (f->fleet && *o->fleet.format && strcmp(o->fleet.format, f->fleet) != 0)
        return error_set(err, -EINVAL,
                         "--fleet: %s: a trace of format %s takes %s:", o->fleet.format, f->name,
                         f->fleet);
    return 0;
}

static int check(const struct sim_options *o, const struct sim_format *f, struct error *err)
{
    uint64_t used = f->options | OPTIONS_ALWAYS | (f->fleet ? 1u << OPTION_FLEET : 0);
    int status = sim_options_allow(o, used, f->name, err);
    if (status)
        return status;
    if (!policy_fits(f, o->policy))
        return error_set(err, -EINVAL, "--policy: %s: a trace of format %s takes %s", o->policy,
                         f->name, f->policies);
    return fleet_check(o, f, err);
}

static int complain(const struct error *err, int code)
{
    fprintf(stderr, "tessera sim: %s\n", err->text);
    return code;
}

static int run(struct sim_options *o, const struct sim_format *f)
{
    struct error err = {};
    char storage[32];
    if (!o->policy)
        o->policy = policy_default(f, storage);
    if (check(o, f, &err))
        return complain(&err, EXIT_USAGE);
    struct report report = {.whole = BUF_INIT(BUF_LIMIT_DEFAULT)};
    int status = f->run(o, &report, &err);
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    if (status == 0 && report.whole.size)
        buf_append_str(&out, buf_str(&report.whole));
    else if (status == 0 && o->json)
        report_json(&report, &out);
    else if (status == 0)
        report_table(&report, &out);
    buf_fini(&report.whole);
    if (status)
        return complain(&err, EXIT_FAILED);
    bool written = fwrite(out.data, 1, out.size, stdout) == out.size && fflush(stdout) == 0;
    return written ? 0 : EXIT_FAILED;
}

int sim_main(int argc, char **argv)
{
    struct sim_options o;
    struct error err = {};
    if (sim_options_parse(argc, (const char *const *)argv, &o, &err))
        return complain(&err, EXIT_USAGE);
    if (o.policy && strcmp(o.policy, "help") == 0) {
        policies_print();
        return 0;
    }
    if (o.given[OPTION_HELP]) {
        sim_options_help();
        printf("\nTraces:\n");
        formats_print();
        return 0;
    }
    const struct sim_format *f = format_find(o.trace.format);
    if (f)
        return run(&o, f);
    error_set(&err, -EINVAL,
              "--trace: %s; known are:", o.given[OPTION_TRACE] ? o.trace.format : "missing");
    complain(&err, EXIT_USAGE);
    formats_print();
    return EXIT_USAGE;
}
