/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/chart.h"

#include "base/number.h"
#include "cli/format.h"

#define CHART_HEIGHT 8

/* The price that held at a time: of the last point not after it. */
static udollar price_at(const struct api_price_point *points, size_t count, time_ms at)
{
    udollar price = points[0].price_udollar_per_hour;
    for (size_t i = 0; i < count && points[i].at_ms <= at; i++)
        price = points[i].price_udollar_per_hour;
    return price;
}

static void print_label(udollar price, FILE *out)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    format_money(&text, price);
    fprintf(out, "%12s ", buf_text(&text));
}

static void print_times(time_ms from, time_ms to, time_ms now, FILE *out)
{
    _cleanup_buf_ struct buf begin = BUF_INIT(64), end = BUF_INIT(64);
    format_time(&begin, from, now);
    format_time(&end, to, now);
    fprintf(out, "%12s  %s%*s\n", "", buf_text(&begin), (int)(CHART_WIDTH - begin.size),
            buf_text(&end));
}

/* Eighths of a row: what the bar of a column fills there. */
static void print_cell(int64_t eighths, FILE *out)
{
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    fputs(blocks[CLAMP(eighths, 0, 8)], out);
}

static void print_rows(const int64_t *heights, udollar low, udollar high, FILE *out)
{
    bool flat = low == high; /* then the bar is half as high and has one label, at its top */
    for (int row = CHART_HEIGHT - 1; row >= 0; row--) {
        if (row == (flat ? CHART_HEIGHT / 2 : CHART_HEIGHT) - 1)
            print_label(high, out);
        else if (row == 0 && !flat)
            print_label(low, out);
        else
            fprintf(out, "%12s ", "");
        fputs("│", out);
        int last = CHART_WIDTH - 1; /* lines end without spaces */
        while (last >= 0 && heights[last] - row * 8 <= 0)
            last--;
        for (int c = 0; c <= last; c++)
            print_cell(heights[c] - row * 8, out);
        fputc('\n', out);
    }
}

void chart_print(const struct api_price_point *points, size_t count, time_ms now, FILE *out)
{
    int64_t heights[CHART_WIDTH];
    if (count == 0) {
        fprintf(out, "No price was posted in this time.\n");
        return;
    }
    time_ms from = points[0].at_ms, to = MAX(points[count - 1].at_ms, from + 1);
    udollar low = points[0].price_udollar_per_hour, high = low;
    for (size_t i = 0; i < count; i++) {
        low = MIN(low, points[i].price_udollar_per_hour);
        high = MAX(high, points[i].price_udollar_per_hour);
    }
    for (int c = 0; c < CHART_WIDTH; c++) {
        udollar price =
            price_at(points, count, from + mul_div_floor(to - from, c, CHART_WIDTH - 1));
        /* the lowest price is one eighth high, so that it is seen */
        heights[c] = high == low ? CHART_HEIGHT * 4
                                 : 1 + mul_div_floor(price - low, CHART_HEIGHT * 8 - 1, high - low);
    }
    print_rows(heights, low, high, out);
    print_times(from, to, now, out);
}
