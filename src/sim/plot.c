/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/plot.h"

#include "base/number.h"

#include <math.h>

#define WIDTH 760.0
#define HEIGHT 220.0
#define LEFT 64.0
#define BOTTOM 28.0
#define TOP 8.0
#define TICKS 4

static const char *const colours[] = {"#2f6fde", "#d9622b", "#2b9a66", "#8e4ec6",
                                      "#c2298a", "#8a6d00", "#00798c", "#555555"};
#define COLOURS (sizeof colours / sizeof *colours)

/* 1, 2 or 5 times a power of ten, at least `value`. */
static double round_up(double value)
{
    double unit = pow(10, floor(log10(value > 0 ? value : 1)));
    double steps[] = {1, 2, 5, 10};
    for (size_t i = 0; i < 4; i++)
        if (steps[i] * unit >= value)
            return steps[i] * unit;
    return 10 * unit;
}

static double scale_y(double value, double top)
{
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
}

static void frame(struct buf *out, const char *title, const char *unit, double top)
{
    buf_printf(out,
               "<figure><figcaption>%s <span>%s</span></figcaption>"
               "<svg viewBox='0 0 %g %g' role='img' aria-label='%s'>",
               title, unit, WIDTH, HEIGHT, title);
    for (int i = 0; i <= TICKS; i++) {
        double value = top * i / TICKS, y = scale_y(value, top);
        buf_printf(out,
                   "<line x1='%g' y1='%.1f' x2='%g' y2='%.1f' class='grid'/>"
                   "<text x='%g' y='%.1f' text-anchor='end'>%.4g</text>",
                   LEFT, y, WIDTH, y, LEFT - 6, y + 4, value);
    }
}

static void axis_days(struct buf *out, double from, double to)
{
    for (int i = 0; i <= TICKS; i++)
        buf_printf(out, "<text x='%.1f' y='%g' text-anchor='%s'>day %.3g</text>",
                   LEFT + (WIDTH - LEFT) * i / TICKS, HEIGHT - 8,
                   i == 0       ? "start"
                   : i == TICKS ? "end"
                                : "middle",
                   from + (to - from) * i / TICKS);
}

static void legend(struct buf *out, const struct plot_line *lines, size_t count)
{
    buf_append_text(out, "<p class='legend'>");
    for (size_t i = 0; i < count && count > 1; i++)
        buf_printf(out, "<span style='color:%s'>&#9632; %s</span> ", colours[i % COLOURS],
                   lines[i].name);
    buf_append_text(out, "</p></figure>\n");
}

void plot_lines(struct buf *out, const char *title, const char *unit, const struct plot_line *lines,
                size_t count)
{
    double from = 0, to = 0, most = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < lines[i].count; k++) {
            most = lines[i].y[k] > most ? lines[i].y[k] : most;
            to = lines[i].x[k] > to ? lines[i].x[k] : to;
        }
    double top = round_up(most);
    frame(out, title, unit, top);
    axis_days(out, from, to);
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "<polyline fill='none' stroke='%s' points='", colours[i % COLOURS]);
        for (size_t k = 0; k < lines[i].count; k++)
            buf_printf(out, "%.1f,%.1f ", LEFT + (WIDTH - LEFT) * lines[i].x[k] / (to > 0 ? to : 1),
                       scale_y(lines[i].y[k], top));
        buf_append_text(out, "'/>");
    }
    buf_append_text(out, "</svg>");
    legend(out, lines, count);
}

void plot_bars(struct buf *out, const char *title, const char *unit, const struct plot_bar *bars,
               size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        most = bars[i].value > most ? bars[i].value : most;
    double top = round_up(most), step = (WIDTH - LEFT) / (double)(count ? count : 1);
    frame(out, title, unit, top);
    for (size_t i = 0; i < count; i++) {
        double x = LEFT + step * (double)i, y = scale_y(bars[i].value, top);
        buf_printf(out,
                   "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='%s'/>"
                   "<text x='%.1f' y='%.1f' text-anchor='middle'>%.4g</text>"
                   "<text x='%.1f' y='%g' text-anchor='middle'>%s</text>",
                   x + step * 0.15, y, step * 0.7, HEIGHT - BOTTOM - y, colours[0], x + step / 2,
                   y > TOP + 14 ? y - 4 : y + 12, bars[i].value, x + step / 2, HEIGHT - 8,
                   bars[i].name);
    }
    buf_append_text(out, "</svg></figure>\n");
}
