/* SPDX-License-Identifier: Apache-2.0 */
/* Lines, words and arithmetic. Numbers are exact millionths; `30s`, `5min` and `1h` are seconds. */
#include "scenario.h"

#include <ctype.h>

void line_split(struct scenario *s, char *text, unsigned line_number)
{
    ARRAY_RESERVE(s->lines, s->line_count, s->line_capacity);
    struct line *l = &s->lines[s->line_count];
    *l = (struct line){.line_number = line_number};
    for (char *p = text; *p && *p != '#';) {
        while (isspace((unsigned char)*p))
            p++;
        char *start = p;
        while (*p && !isspace((unsigned char)*p) && *p != '#')
            p++;
        if (p == start)
            break;
        if (l->count == WORDS_MAX)
            scenario_fail(s, "line %u has more than %d words", line_number, WORDS_MAX);
        l->words[l->count++] = (struct str){start, (size_t)(p - start)};
    }
    s->line_count += l->count > 0;
}

struct str line_option(const struct line *l, size_t first, const char *key)
{
    size_t size = strlen(key);
    for (size_t i = first; i < l->count; i++)
        if (l->words[i].size > size && memcmp(l->words[i].data, key, size) == 0 &&
            l->words[i].data[size] == '=')
            return (struct str){l->words[i].data + size + 1, l->words[i].size - size - 1};
    return (struct str){0};
}

bool line_flag(const struct line *l, size_t first, const char *word)
{
    for (size_t i = first; i < l->count; i++)
        if (str_is(l->words[i], word))
            return true;
    return false;
}

/* ---- arithmetic
 * ---------------------------------------------------------------------------------------- */

struct parser {
    struct scenario *s;
    struct str all;
    size_t at;
};

static char peek(const struct parser *p)
{
    return p->at < p->all.size ? p->all.data[p->at] : 0;
}

static number sum(struct parser *p);

static number unit_of(struct parser *p)
{
    size_t start = p->at;
    while (isalpha((unsigned char)peek(p)))
        p->at++;
    struct str unit = {p->all.data + start, p->at - start};
    if (unit.size == 0 || str_is(unit, "s"))
        return ONE;
    if (str_is(unit, "ms"))
        return ONE / 1000;
    if (str_is(unit, "min"))
        return (number)60 * ONE;
    if (str_is(unit, "h"))
        return (number)3600 * ONE;
    if (str_is(unit, "d"))
        return (number)86400 * ONE;
    if (str_is(unit, "k"))
        return (number)1000 * ONE;
    scenario_fail(p->s, "unknown unit '%.*s' in '%.*s'", STR_ARGS(unit), STR_ARGS(p->all));
}

static number literal(struct parser *p)
{
    number value = 0, scale = 0;
    for (; isdigit((unsigned char)peek(p)) || (peek(p) == '.' && scale == 0); p->at++) {
        if (peek(p) == '.') {
            scale = ONE;
            continue;
        }
        if (scale == 0) {
            value = value * 10 + (peek(p) - '0') * (number)ONE;
        } else {
            scale /= 10;
            value += (peek(p) - '0') * scale;
        }
    }
    return value * unit_of(p) / ONE;
}

static struct str word(struct parser *p)
{
    size_t start = p->at;
    while (isalnum((unsigned char)peek(p)) || peek(p) == '_')
        p->at++;
    return (struct str){p->all.data + start, p->at - start};
}

/* max(a,b) and min(a,b) */
static number extreme(struct parser *p, bool most)
{
    p->at++;
    number a = sum(p);
    if (peek(p) != ',')
        scenario_fail(p->s, "a ',' is missing in '%.*s'", STR_ARGS(p->all));
    p->at++;
    number b = sum(p);
    if (peek(p) != ')')
        scenario_fail(p->s, "a ')' is missing in '%.*s'", STR_ARGS(p->all));
    p->at++;
    return (a > b) == most ? a : b;
}

static number named(struct parser *p)
{
    struct str name = word(p), field = {0};
    if (peek(p) == '(' && (str_is(name, "max") || str_is(name, "min")))
        return extreme(p, str_is(name, "max"));
    if (peek(p) == '.') {
        p->at++;
        field = word(p);
    }
    number value;
    if (!field_value(p->s, name, field, &value))
        scenario_fail(p->s, "nothing is known of '%.*s.%.*s'", STR_ARGS(name), STR_ARGS(field));
    return value;
}

static number factor(struct parser *p)
{
    if (peek(p) == '-') {
        p->at++;
        return -factor(p);
    }
    if (peek(p) == '(') {
        p->at++;
        number value = sum(p);
        if (peek(p) != ')')
            scenario_fail(p->s, "a ')' is missing in '%.*s'", STR_ARGS(p->all));
        p->at++;
        return value;
    }
    if (isdigit((unsigned char)peek(p)))
        return literal(p);
    if (isalpha((unsigned char)peek(p)))
        return named(p);
    scenario_fail(p->s, "not an expression: '%.*s'", STR_ARGS(p->all));
}

static number product(struct parser *p)
{
    number value = factor(p);
    while (peek(p) == '*' || peek(p) == '/') {
        bool times = peek(p) == '*';
        p->at++;
        number other = factor(p);
        if (!times && other == 0)
            scenario_fail(p->s, "division by zero in '%.*s'", STR_ARGS(p->all));
        value = times ? value * other / ONE : value * ONE / other;
    }
    return value;
}

static number sum(struct parser *p)
{
    number value = product(p);
    while (peek(p) == '+' || peek(p) == '-') {
        bool plus = peek(p) == '+';
        p->at++;
        number other = product(p);
        value = plus ? value + other : value - other;
    }
    return value;
}

number evaluate(struct scenario *s, struct str text)
{
    struct parser p = {.s = s, .all = text};
    number value = sum(&p);
    if (p.at != text.size)
        scenario_fail(s, "not an expression: '%.*s'", STR_ARGS(text));
    return value;
}

bool compare(struct scenario *s, struct str text, number *ret_left, number *ret_right)
{
    size_t at = 0;
    while (at < text.size && !strchr("<>=!", text.data[at]))
        at++;
    size_t end = at;
    while (end < text.size && strchr("<>=!", text.data[end]))
        end++;
    struct str operator= {text.data + at, end - at};
    *ret_left = evaluate(s, (struct str){text.data, at});
    *ret_right = evaluate(s, (struct str){text.data + end, text.size - end});
    if (str_is(operator, "="))
        return *ret_left == *ret_right;
    if (str_is(operator, "<"))
        return *ret_left < *ret_right;
    if (str_is(operator, "<="))
        return *ret_left <= *ret_right;
    if (str_is(operator, ">"))
        return *ret_left > *ret_right;
    if (str_is(operator, ">="))
        return *ret_left >= *ret_right;
    if (str_is(operator, "!="))
        return *ret_left != *ret_right;
    scenario_fail(s, "unknown comparison in '%.*s'", STR_ARGS(text));
}
