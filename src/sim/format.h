/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The kinds of trace that `tessera sim` takes: each is read and run its own way. */

#include "sim/options.h"
#include "sim/report.h"

struct sim_format {
    const char *name, *doc;
    uint64_t options;     /* bits by enum sim_option that it has a use for */
    const char *policies; /* names with spaces between; the first is the default */
    const char *fleet; /* format of its fleets, "": told by the content; NULL: it brings its own */
    int (*run)(const struct sim_options *o, struct report *ret, struct error *err);
};

extern const struct sim_format format_openb, format_spot, format_hydra, format_itp;
/* These run on the engine in virtual time, or on a baseline of it (sim/experiment.h). */
extern const struct sim_format format_csv, format_slurm, format_philly, format_chronus,
    format_helios, format_azure, format_pollux, format_journal;
