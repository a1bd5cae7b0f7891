/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Plots as SVG inside a page of HTML: lines over time, bars by name. */

#include "base/buf.h"

#include <stddef.h>

struct plot_line {
    const char *name;
    const double *x, *y; /* x in days */
    size_t count;
};

/* `unit` stands at the axis; the y axis begins at 0. */
void plot_lines(struct buf *out, const char *title, const char *unit, const struct plot_line *lines,
                size_t count);

struct plot_bar {
    char name[40];
    double value;
};
void plot_bars(struct buf *out, const char *title, const char *unit, const struct plot_bar *bars,
               size_t count);
