/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/format.h"

#include "wire/unit.h"

#include <time.h>

void format_money(struct buf *out, udollar amount)
{
    if (amount < 0)
        buf_append_byte(out, '-');
    buf_append_byte(out, '$');
    if (amount == 0) { /* no digit of it counts */
        buf_append_byte(out, '0');
        return;
    }
    money_print(out, amount < 0 ? -MAX(amount, -INT64_MAX) : amount);
}

void format_limit(struct buf *out, udollar amount)
{
    buf_printf(out, "%lld.%06lld", (long long)(amount / 1000000), (long long)(amount % 1000000));
    while (out->data[out->size - 1] == '0' && out->data[out->size - 3] != '.')
        out->data[--out->size] = '\0';
}

void format_age(struct buf *out, time_ms from, time_ms to)
{
    if (to - from < 1000)
        buf_append_text(out, "now");
    else
        span_print(out, to - from);
}

void format_time(struct buf *out, time_ms at, time_ms now)
{
    time_t seconds = (time_t)div_floor(at, 1000), today = (time_t)div_floor(now, 1000);
    struct tm parts, present;
    char text[64];
    localtime_r(&seconds, &parts);
    localtime_r(&today, &present);
    size_t size;
    if (parts.tm_year != present.tm_year)
        size = strftime(text, sizeof text, "%Y-%m-%d %H:%M", &parts);
    else if (parts.tm_yday != present.tm_yday)
        size = strftime(text, sizeof text, "%b %d %H:%M", &parts);
    else
        size = strftime(text, sizeof text, "%H:%M:%S", &parts);
    buf_append(out, text, size);
}

void format_mib(struct buf *out, int64_t mib)
{
    if (mib < 1024 && mib > -1024) {
        buf_printf(out, "%lld MiB", (long long)mib);
        return;
    }
    milli_print(out, mul_div_floor(mib, 10, 1024) * 100);
    buf_append_text(out, " GiB");
}

void format_size(struct buf *out, int64_t nodes, int64_t units_milli, const char *unit)
{
    int64_t each = nodes > 0 ? units_milli / nodes : units_milli;
    buf_printf(out, "%lld × ", (long long)nodes);
    milli_print(out, each);
    if (*unit)
        buf_printf(out, " %s", unit);
}

void format_clean(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        buf_append_byte(out, c < 0x20 || c == 0x7f ? ' ' : (char)c);
    }
}

const char *format_unit(struct str unit, int64_t milli)
{
    if (str_is(unit, "gpu"))
        return milli == 1000 ? "GPU" : "GPUs";
    return milli == 1000 ? "core" : "cores";
}
