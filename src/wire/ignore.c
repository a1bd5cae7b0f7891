/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/ignore.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/str.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#define IGNORE_FILE_MAX (1 << 20)
#define PATTERN_MAX 1024

struct ignore_rule {
    char *folder, *pattern;
    bool keeps;        /* "!": not ignored after all */
    bool folders_only; /* it ended in a slash */
    bool anchored;     /* it held a slash: matched from its folder on, else against the last name */
};

/* One name against one part of a pattern. */
static bool part_matches(struct str part, struct str name)
{
    char pattern[PATTERN_MAX + 1], text[PATTERN_MAX + 1];
    if (part.size > PATTERN_MAX || name.size > PATTERN_MAX)
        return false;
    memcpy(pattern, part.data, part.size);
    memcpy(text, name.data, name.size);
    pattern[part.size] = text[name.size] = '\0';
    return fnmatch(pattern, text, 0) == 0;
}

/* Part by part; `**` stands for any number of folders, at the end for everything inside. */
static bool parts_match(struct str pattern, struct str path)
{
    while (pattern.size) {
        struct str part = str_cut(&pattern, '/');
        if (str_is(part, "**")) {
            if (pattern.size == 0)
                return path.size > 0;
            for (; path.size; str_cut(&path, '/'))
                if (parts_match(pattern, path))
                    return true;
            return false;
        }
        if (path.size == 0 || !part_matches(part, str_cut(&path, '/')))
            return false;
    }
    return path.size == 0;
}

static bool rule_matches(const struct ignore_rule *rule, const char *path, bool is_folder)
{
    size_t size = strlen(rule->folder);
    if ((rule->folders_only && !is_folder) || strncmp(path, rule->folder, size) != 0 || path[size] != '/')
        return false;
    const char *inside = path + size + 1, *last = strrchr(path, '/') + 1;
    return rule->anchored ? parts_match(str_from(rule->pattern), str_from(inside))
                          : part_matches(str_from(rule->pattern), str_from(last));
}

bool ignore_match(const struct ignore *ignore, const char *path, bool is_folder)
{
    for (size_t i = ignore->count; i > 0; i--)
        if (rule_matches(&ignore->rules[i - 1], path, is_folder))
            return !ignore->rules[i - 1].keeps;
    return false;
}

static bool ends_in(struct str text, char c)
{
    return text.size && text.data[text.size - 1] == c;
}

static void add_rule(struct ignore *ignore, const char *folder, struct str line)
{
    struct ignore_rule rule = {};
    if (ends_in(line, '\r'))
        line.size--;
    while (ends_in(line, ' ') && !(line.size > 1 && line.data[line.size - 2] == '\\'))
        line.size--;
    if (line.size == 0 || line.data[0] == '#')
        return;
    rule.keeps = line.data[0] == '!';
    if (rule.keeps)
        line = (struct str){line.data + 1, line.size - 1};
    rule.folders_only = ends_in(line, '/');
    if (rule.folders_only)
        line.size--;
    if (line.size == 0 || line.size > PATTERN_MAX)
        return;
    rule.anchored = memchr(line.data, '/', line.size) != NULL;
    if (line.data[0] == '/')
        line = (struct str){line.data + 1, line.size - 1};
    rule.folder = xstrdup(folder);
    rule.pattern = str_dup(line);
    ARRAY_RESERVE(ignore->rules, ignore->count, ignore->capacity);
    ignore->rules[ignore->count++] = rule;
}

int ignore_load(struct ignore *ignore, const char *folder, const char *name, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(IGNORE_FILE_MAX), path = BUF_INIT(8192);
    char part[4096];
    size_t size;
    buf_printf(&path, "%s/%s", folder, name);
    FILE *file = fopen(buf_text(&path), "re");
    if (file == NULL)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0 : error_set(err, -errno, "%s: %s", buf_text(&path), strerror(errno));
    while ((size = fread(part, 1, sizeof part, file)) > 0)
        buf_append(&text, part, size);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed || text.overflow)
        return error_set(err, -EIO, "%s: %s", buf_text(&path), failed ? "cannot be read" : "is larger than 1 MiB");
    for (struct str rest = buf_str(&text); rest.size;)
        add_rule(ignore, folder, str_cut(&rest, '\n'));
    return 0;
}

void ignore_cut(struct ignore *ignore, size_t count)
{
    while (ignore->count > count) {
        struct ignore_rule *rule = &ignore->rules[--ignore->count];
        xfree(rule->folder);
        xfree(rule->pattern);
    }
}

void ignore_fini(struct ignore *ignore)
{
    ignore_cut(ignore, 0);
    xfree(ignore->rules);
    *ignore = (struct ignore){};
}
