/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The command line of `tessera sim`. */

#include "base/error.h"
#include "base/number.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_LIST_MAX 64

enum sim_option {
    OPTION_TRACE,
    OPTION_FLEET,
    OPTION_POLICY,
    OPTION_SEED,
    OPTION_JSON,
    OPTION_SATURATE,
    OPTION_AVAILABILITY,
    OPTION_LIMIT,
    OPTION_THROUGHPUT,
    OPTION_TICKS,
    OPTION_MAP,
    OPTION_SET,
    OPTION_UNTIL,
    OPTION_WARMUP,
    OPTION_FAILURES,
    OPTION_SEEDS,
    OPTION_SWEEP,
    OPTION_COMPARE,
    OPTION_OUT,
    OPTION_JOURNAL,
    OPTION_RESERVATIONS,
    OPTION_HELP,
    SIM_OPTION_COUNT,
};

/* "FORMAT:FILE". */
struct sim_source {
    char format[24]; /* "" where none stands before a colon */
    const char *path;
};

struct sim_options {
    bool given[SIM_OPTION_COUNT];
    struct sim_source trace, fleet;
    const char *policy;
    uint64_t seed;
    bool json;
    int64_t saturate_milli;
    const char *availability;
    int64_t limit;
    const char *throughput;
    int64_t tick_first, tick_end; /* [first, end) */
    const char *map;
    const char *sets[SIM_LIST_MAX]; /* "key=value" */
    size_t set_count;
    int64_t until, warmup; /* ms; until: TIME_NEVER where not given */
    const char *failures;  /* a file, or "mtbf=SPAN[,repair=SPAN]" */
    int64_t seeds;
    const char *sweep;      /* "key=a,b,c" */
    const char *compare[2]; /* policies */
    const char *out;
    const char *reservations; /* a file */
};

/* Fills `ret` from the words behind `sim`; -EINVAL with a text where they do not fit. */
int sim_options_parse(int argc, const char *const *argv, struct sim_options *ret,
                      struct error *err);
/* Refuses what was given and is not among `used` (bits by enum sim_option). */
int sim_options_allow(const struct sim_options *o, uint64_t used, const char *format,
                      struct error *err);
void sim_options_help(void);
