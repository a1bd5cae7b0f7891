/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/csv.h"

#include "base/number.h"
#include "wire/unit.h"

#include <errno.h>
#include <stdio.h>

int csv_fail(const struct csv *c, struct error *err, const char *format, ...)
{
    char what[ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return error_set(err, -EINVAL, "%s:%zu: %.300s", c->file, c->line, what);
}

static struct str line_take(struct csv *c)
{
    struct str line = str_cut(&c->rest, '\n');
    c->line++;
    if (line.size && line.data[line.size - 1] == '\r')
        line.size--;
    return line;
}

/* A field in quotes: up to the quote that closes it, with doubled ones made single in place. */
static int quoted_take(struct csv *c, struct str *line, struct str *ret, struct error *err)
{
    char *data = c->text->data + (line->data - c->text->data);
    size_t from = 1, to = 0;
    for (; from < line->size; from++) {
        if (data[from] == '"' && (from + 1 == line->size || data[from + 1] != '"'))
            break;
        from += data[from] == '"';
        data[to++] = data[from];
    }
    if (from >= line->size || (from + 1 < line->size && data[from + 1] != c->form.separator))
        return csv_fail(c, err, "a quote that does not close");
    *ret = (struct str){data, to};
    size_t used = MIN(from + 2, line->size);
    *line = (struct str){data + used, line->size - used};
    return 0;
}

/* The next field of a line; *more is false behind the last one. */
static int field_take(struct csv *c, struct str *line, struct str *ret, bool *more,
                      struct error *err)
{
    if (line->size && line->data[0] == '"') {
        int status = quoted_take(c, line, ret, err);
        *more = line->size > 0;
        return status;
    }
    const char *separator = line->size ? memchr(line->data, c->form.separator, line->size) : NULL;
    *more = separator != NULL;
    *ret = str_trim(str_cut(line, c->form.separator));
    return 0;
}

static int line_split(struct csv *c, struct str line, struct error *err)
{
    for (size_t i = 0; i < c->form.count; i++)
        c->fields[i] = STR("");
    if (line.size > CSV_LINE_MAX)
        return csv_fail(c, err, "a line of %zu bytes (at most %zu)", line.size, CSV_LINE_MAX);
    bool more = true;
    for (size_t field = 0; more; field++) {
        struct str text;
        int status = field_take(c, &line, &text, &more, err);
        if (status)
            return status;
        for (size_t i = 0; i < c->form.count; i++)
            if (c->place[i] == field)
                c->fields[i] = text;
    }
    return 0;
}

int csv_next(struct csv *c, struct error *err)
{
    while (c->rest.size) {
        struct str line = line_take(c);
        if (str_trim(line).size == 0)
            continue;
        int status = line_split(c, line, err);
        return status ? status : 1;
    }
    return 0;
}

static bool names_have(struct str names, struct str name)
{
    while (names.size)
        if (str_equal(str_cut(&names, '|'), name))
            return true;
    return false;
}

/* "ours=theirs,…": whether their name stands for one of ours. */
static bool map_has(const char *map, struct str ours, struct str theirs)
{
    struct str rest = str_from(map);
    while (rest.size) {
        struct str pair = str_cut(&rest, ',');
        struct str left = str_trim(str_cut(&pair, '='));
        if (str_equal(str_trim(pair), theirs) && names_have(ours, left))
            return true;
    }
    return false;
}

static int map_check(const struct csv *c, struct error *err)
{
    struct str rest = str_from(c->form.map);
    while (rest.size) {
        struct str pair = str_cut(&rest, ',');
        struct str ours = str_trim(str_cut(&pair, '='));
        bool known = false;
        for (size_t i = 0; i < c->form.count; i++)
            known |= names_have(str_from(c->form.columns[i].names), ours);
        if (!known)
            return error_set(err, -EINVAL, "--map: %.*s: no such column here", STR_ARGS(ours));
    }
    return 0;
}

static int header_read(struct csv *c, struct error *err)
{
    struct str line = line_take(c);
    if (str_starts(line, STR("\xef\xbb\xbf")))
        line = (struct str){line.data + 3, line.size - 3};
    bool more = true;
    for (size_t field = 0; more; field++) {
        struct str name = {0};
        int status = field_take(c, &line, &name, &more, err);
        if (status)
            return status;
        for (size_t i = 0; i < c->form.count; i++) {
            struct str names = str_from(c->form.columns[i].names);
            if (c->place[i] == SIZE_MAX &&
                (names_have(names, name) || map_has(c->form.map, names, name)))
                c->place[i] = field;
        }
    }
    for (size_t i = 0; i < c->form.count; i++)
        if (c->place[i] == SIZE_MAX && !c->form.columns[i].optional)
            return csv_fail(c, err, "no column %s", c->form.columns[i].names);
    return 0;
}

int csv_open(struct csv *c, const char *file, struct buf *text, const struct csv_form *form,
             struct error *err)
{
    CHECK(form->count <= CSV_COLUMNS_MAX);
    *c = (struct csv){.file = file, .text = text, .rest = buf_str(text), .form = *form};
    if (!c->form.separator)
        c->form.separator = ',';
    for (size_t i = 0; i < form->count; i++)
        c->place[i] = form->no_header ? i : SIZE_MAX;
    int status = map_check(c, err);
    if (status || form->no_header)
        return status;
    return header_read(c, err);
}

/* The digits that `scale` can hold; the rest must be digits too. */
static bool number_parse(struct str text, int64_t scale, int64_t *ret)
{
    struct str fraction = text;
    struct str whole = str_cut(&fraction, '.');
    size_t kept = 0;
    for (int64_t unit = scale; unit % 10 == 0; unit /= 10)
        kept++;
    for (size_t i = kept; i < fraction.size; i++)
        if (fraction.data[i] < '0' || fraction.data[i] > '9')
            return false;
    if (fraction.size > kept)
        text.size -= fraction.size - kept;
    if (text.size && whole.size && text.data[text.size - 1] == '.')
        text.size--;
    return decimal_parse(text, scale, ret);
}

int csv_number(const struct csv *c, size_t column, struct csv_range range, int64_t *ret,
               struct error *err)
{
    const char *name = c->form.columns[column].names;
    struct str text = c->fields[column];
    if (!number_parse(text, range.scale, ret))
        return csv_fail(c, err, "%s: \"%.*s\" is not a number", name, (int)MIN(text.size, 40),
                        text.size ? text.data : "");
    if (*ret < range.least || *ret > range.most)
        return csv_fail(c, err, "%s: %.*s is out of range, allowed is %lld to %lld", name,
                        STR_ARGS(text), (long long)div_ceil(range.least, range.scale),
                        (long long)(range.most / range.scale));
    return 0;
}

int csv_number_given(const struct csv *c, size_t column, struct csv_range range, int64_t *ret,
                     struct error *err)
{
    return c->fields[column].size ? csv_number(c, column, range, ret, err) : 0;
}
