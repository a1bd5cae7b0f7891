/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/unit.h"

bool decimal_parse(struct str text, int64_t scale, int64_t *ret)
{
    struct str fraction = text;
    struct str whole = str_cut(&fraction, '.');
    bool negative = whole.size && whole.data[0] == '-';
    int64_t value = 0;
    if (whole.size + fraction.size == (negative ? 1u : 0u) || (whole.size && whole.data[0] == '+'))
        return false;
    if (whole.size > (negative ? 1u : 0u) && !str_to_i64(whole, &value))
        return false;
    if (__builtin_mul_overflow(value, scale, &value))
        return false;
    for (size_t i = 0; i < fraction.size; i++) {
        int64_t digit = fraction.data[i] - '0';
        if (digit < 0 || digit > 9 || (scale % 10 != 0 && digit != 0))
            return false;
        scale /= 10;
        if (__builtin_add_overflow(value, negative ? -digit * scale : digit * scale, &value))
            return false;
    }
    *ret = value;
    return true;
}

bool money_parse(struct str text, udollar *ret)
{
    text = str_trim(text);
    if (text.size && text.data[0] == '$')
        text = (struct str){text.data + 1, text.size - 1};
    else if (text.size && text.data[text.size - 1] == '$')
        text.size--;
    return decimal_parse(text, 1000000, ret);
}

bool span_parse(struct str text, time_ms *ret)
{
    static const struct {
        struct str suffix;
        int64_t scale;
    } units[] = {{{"ms", 2}, 1}, {{"s", 1}, 1000}, {{"m", 1}, 60000}, {{"h", 1}, 3600000}, {{"d", 1}, 86400000}};
    text = str_trim(text);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        struct str suffix = units[i].suffix;
        if (text.size > suffix.size &&
            memcmp(text.data + text.size - suffix.size, suffix.data, suffix.size) == 0) {
            struct str number = {text.data, text.size - suffix.size};
            if (decimal_parse(number, units[i].scale, ret))
                return *ret >= 0;
        }
    }
    return decimal_parse(text, 1000, ret) && *ret >= 0;
}

/* Takes exactly `digits` digits off the front. */
static bool take_digits(struct str *rest, size_t digits, int64_t least, int64_t most, int64_t *ret)
{
    *ret = 0;
    if (rest->size < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (rest->data[i] < '0' || rest->data[i] > '9')
            return false;
        *ret = *ret * 10 + (rest->data[i] - '0');
    }
    *rest = (struct str){rest->data + digits, rest->size - digits};
    return *ret >= least && *ret <= most;
}

static bool take_byte(struct str *rest, const char *allowed, char *ret)
{
    if (rest->size == 0 || rest->data[0] == '\0' || strchr(allowed, rest->data[0]) == NULL)
        return false;
    if (ret)
        *ret = rest->data[0];
    *rest = (struct str){rest->data + 1, rest->size - 1};
    return true;
}

/* Days since 1970-01-01 of the Gregorian calendar, false where there is no such day. */
static bool date_days(int64_t year, int64_t month, int64_t day, int64_t *ret)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int64_t length = before[month] - before[month - 1] + (leap && month == 2);
    int64_t past = year - 1;
    *ret = past * 365 + past / 4 - past / 100 + past / 400 - 719162;
    *ret += before[month - 1] + (leap && month > 2) + day - 1;
    return day <= length;
}

/* ".25" -> 250; nothing -> 0. */
static bool take_fraction(struct str *rest, int64_t *ret)
{
    int64_t scale = 100;
    *ret = 0;
    if (!take_byte(rest, ".", NULL))
        return true;
    size_t digits = 0;
    for (; rest->size && rest->data[0] >= '0' && rest->data[0] <= '9'; digits++, scale /= 10) {
        *ret += (rest->data[0] - '0') * scale;
        *rest = (struct str){rest->data + 1, rest->size - 1};
    }
    return digits > 0;
}

bool time_parse(struct str text, time_ms *ret)
{
    struct str rest = str_trim(text);
    int64_t year, month, day, days, hour, minute, second = 0, milli = 0, zone_hour, zone_minute = 0;
    if (!take_digits(&rest, 4, 1970, 9999, &year) || !take_byte(&rest, "-", NULL) ||
        !take_digits(&rest, 2, 1, 12, &month) || !take_byte(&rest, "-", NULL) ||
        !take_digits(&rest, 2, 1, 31, &day) || !date_days(year, month, day, &days) ||
        !take_byte(&rest, "Tt ", NULL) || !take_digits(&rest, 2, 0, 23, &hour) ||
        !take_byte(&rest, ":", NULL) || !take_digits(&rest, 2, 0, 59, &minute))
        return false;
    if (take_byte(&rest, ":", NULL) && (!take_digits(&rest, 2, 0, 59, &second) || !take_fraction(&rest, &milli)))
        return false;
    char sign;
    if (take_byte(&rest, "+-", &sign)) {
        if (!take_digits(&rest, 2, 0, 23, &zone_hour))
            return false;
        if (rest.size && (!take_byte(&rest, ":", NULL) || !take_digits(&rest, 2, 0, 59, &zone_minute)))
            return false;
        minute -= (zone_hour * 60 + zone_minute) * (sign == '-' ? -1 : 1);
    } else {
        take_byte(&rest, "Zz", NULL);
    }
    *ret = ((days * 24 + hour) * 60 + minute) * 60000 + second * 1000 + milli;
    return rest.size == 0 && *ret >= 0;
}

/* Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days. */
void time_print(struct buf *out, time_ms time)
{
    int64_t days = div_floor(time, 86400000) + 719468, rest = time - div_floor(time, 86400000) * 86400000;
    int64_t era = div_floor(days, 146097), of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), shifted = (5 * of_year + 2) / 153;
    int64_t day = of_year - (153 * shifted + 2) / 5 + 1, month = shifted < 10 ? shifted + 3 : shifted - 9;
    const struct {
        char before;
        int64_t value;
        unsigned width;
    } parts[] = {{'-', month, 2}, {'-', day, 2}, {'T', rest / 3600000, 2}, {':', rest / 60000 % 60, 2}, {':', rest / 1000 % 60, 2},
                 {'.', rest % 1000, 3}};
    year += era * 400 + (month <= 2);
    if (year < 0)
        buf_append_byte(out, '-');
    buf_append_number(out, (uint64_t)(year < 0 ? -year : year), 4);
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        buf_append_byte(out, parts[i].before);
        buf_append_number(out, (uint64_t)parts[i].value, parts[i].width);
    }
    buf_append_byte(out, 'Z');
}

void money_print(struct buf *out, udollar amount)
{
    uint64_t value = amount < 0 ? 0 - (uint64_t)amount : (uint64_t)amount;
    uint64_t dollars = value / 1000000, micro = value % 1000000;
    unsigned digits; /* after the point: at least four that count in all */
    if (value < 10000)
        digits = 6;
    else if (value < 100000)
        digits = 5;
    else if (value < 1000000)
        digits = 4;
    else if (value < 10000000)
        digits = 3;
    else
        digits = 2;
    uint64_t cut = 1;
    for (unsigned i = digits; i < 6; i++)
        cut *= 10;
    if (amount < 0)
        buf_append_byte(out, '-');
    buf_append_number(out, dollars, 1);
    buf_append_byte(out, '.');
    buf_append_number(out, micro / cut, digits);
}

void span_print(struct buf *out, time_ms span)
{
    if (span < 1000)
        buf_printf(out, "%lldms", (long long)span);
    else if (span < 60000)
        buf_printf(out, "%llds", (long long)(span / 1000));
    else if (span < HOUR_MS)
        buf_printf(out, "%lldm %llds", (long long)(span / 60000), (long long)(span / 1000 % 60));
    else if (span < 24 * HOUR_MS)
        buf_printf(out, "%lldh %lldm", (long long)(span / HOUR_MS), (long long)(span / 60000 % 60));
    else
        buf_printf(out, "%lldd %lldh", (long long)(span / (24 * HOUR_MS)), (long long)(span / HOUR_MS % 24));
}

void milli_print(struct buf *out, int64_t milli)
{
    if (milli % 1000 == 0)
        buf_printf(out, "%lld", (long long)(milli / 1000));
    else
        buf_printf(out, "%lld.%03lld", (long long)(milli / 1000), (long long)(milli % 1000));
    while (milli % 1000 != 0 && out->data[out->size - 1] == '0')
        out->data[--out->size] = '\0';
}
