/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes as `sinfo` prints them: columns by the names in its header, between bars or blanks. */
#include "sim/cluster.h"

#include "base/map.h"
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SINFO_HOW "ask for them: sinfo -N -o '%%N|%%c|%%m|%%G'"
#define WORDS_MAX 32

enum { NODELIST, CPUS, MEMORY, GRES, COLUMNS };

struct table {
    const char *file;
    size_t line;
    char separator;        /* 0: blanks */
    size_t place[COLUMNS]; /* SIZE_MAX: absent */
    struct str words[WORDS_MAX];
    size_t count;
};

static void split(struct table *t, struct str line)
{
    t->count = 0;
    while (line.size && t->count < WORDS_MAX) {
        struct str word = str_cut(&line, t->separator ? t->separator : ' ');
        word = str_trim(word);
        if (word.size || t->separator)
            t->words[t->count++] = word;
    }
}

static bool header_take(struct table *t, struct str line)
{
    static const char *const names[COLUMNS][2] = {
        {"NODELIST", "HOSTNAMES"}, {"CPUS", "CPUS"}, {"MEMORY", "MEMORY"}, {"GRES", "GRES"}};
    t->separator = line.size && memchr(line.data, '|', line.size) ? '|' : 0;
    split(t, line);
    for (size_t c = 0; c < COLUMNS; c++) {
        t->place[c] = SIZE_MAX;
        for (size_t i = 0; i < t->count; i++)
            if (t->place[c] == SIZE_MAX &&
                (str_is(t->words[i], names[c][0]) || str_is(t->words[i], names[c][1])))
                t->place[c] = i;
    }
    return t->place[NODELIST] != SIZE_MAX && t->place[CPUS] != SIZE_MAX &&
           t->place[MEMORY] != SIZE_MAX;
}

static struct str word_of(const struct table *t, size_t column)
{
    return t->place[column] < t->count ? t->words[t->place[column]] : (struct str){0};
}

/* "gpu:h100:8(S:0-1),shard:16" */
static void gres_take(struct str gres, struct cluster_node *node)
{
    while (gres.size) {
        struct str item = str_cut(&gres, ',');
        struct str rest = str_cut(&item, '(');
        struct str kind = str_cut(&rest, ':'), model = {0}, number = rest;
        int64_t count;
        if (rest.size && memchr(rest.data, ':', rest.size)) {
            model = str_cut(&rest, ':');
            number = rest;
        }
        if (str_is(kind, "gpu") && str_to_i64(number, &count) && count > 0 &&
            count <= MARKET_NODE_GPUS_MAX) {
            node->amounts.gpu_milli = count * 1000;
            node->accelerator = model;
        }
    }
}

static int node_of(const struct table *t, struct cluster_node *ret, struct error *err)
{
    int64_t cpus, mib;
    struct str cores = word_of(t, CPUS), memory = word_of(t, MEMORY);
    if (cores.size && cores.data[cores.size - 1] == '+') /* "64+" of nodes that differ */
        cores.size--;
    if (memory.size && memory.data[memory.size - 1] == '+')
        memory.size--;
    if (!str_to_i64(cores, &cpus) || cpus < 1 || cpus > 1000000)
        return error_set(err, -EINVAL, "%s:%zu: CPUS: \"%.*s\" is not a number of cores", t->file,
                         t->line, STR_ARGS(cores));
    if (!str_to_i64(memory, &mib) || mib < 1 || mib > INT32_MAX)
        return error_set(err, -EINVAL, "%s:%zu: MEMORY: \"%.*s\" is not a number of MB", t->file,
                         t->line, STR_ARGS(memory));
    *ret = (struct cluster_node){.ask = -1, .on_demand = -1};
    ret->amounts.core_milli = cpus * 1000;
    ret->amounts.memory_mib = mib;
    gres_take(word_of(t, GRES), ret);
    return 0;
}

/* ---- "gpu[01-04,07],login" ---- */

struct names {
    struct cluster *c;
    struct str_map *known; /* a node stands once in each of its partitions */
    struct cluster_node node;
};

static bool name_add(struct names *n, struct str name)
{
    if (name.size == 0 || n->c->count >= CLUSTER_NODES_MAX)
        return false;
    if (str_map_find(n->known, name) == NULL) {
        n->node.name = name;
        str_map_set(n->known, name, 1);
        cluster_add(n->c, &n->node);
    }
    return true;
}

static bool range_add(struct names *n, struct str head, struct str range, struct str tail)
{
    char name[256];
    struct str last = range, first = str_cut(&last, '-');
    int64_t from, to;
    if (!str_to_i64(first, &from) || !str_to_i64(last.size ? last : first, &to) || from < 0 ||
        to < from || to - from >= CLUSTER_NODES_MAX || head.size + tail.size > 200)
        return false;
    for (int64_t i = from; i <= to; i++) {
        snprintf(name, sizeof name, "%.*s%0*lld%.*s", STR_ARGS(head), (int)MIN(first.size, 18),
                 (long long)i, STR_ARGS(tail));
        if (!name_add(n, str_from(name)))
            return false;
    }
    return true;
}

static bool list_add(struct names *n, struct str list)
{
    while (list.size) {
        size_t end = 0;
        for (bool inside = false; end < list.size && (inside || list.data[end] != ','); end++)
            inside = list.data[end] == '[' || (inside && list.data[end] != ']');
        struct str item = {list.data, end}, rest = item;
        list = end < list.size ? (struct str){list.data + end + 1, list.size - end - 1}
                               : (struct str){0};
        if (memchr(item.data, '[', item.size) == NULL) {
            if (!name_add(n, item))
                return false;
            continue;
        }
        struct str head = str_cut(&rest, '['), ranges = str_cut(&rest, ']');
        while (ranges.size)
            if (!range_add(n, head, str_cut(&ranges, ','), rest))
                return false;
    }
    return true;
}

int cluster_parse_sinfo(struct cluster *c, const char *file, struct buf *text, struct error *err)
{
    struct str rest = buf_str(text);
    struct table t = {.file = file, .line = 1};
    struct str_map known = {};
    if (!header_take(&t, str_trim(str_cut(&rest, '\n'))))
        return error_set(
            err, -EINVAL,
            "%s:1: needs the columns NODELIST, CPUS, MEMORY and, for GPUs, GRES; " SINFO_HOW, file);
    int status = 0;
    while (status == 0 && rest.size) {
        struct str line = str_trim(str_cut(&rest, '\n'));
        struct names names = {c, &known, {}};
        t.line++;
        if (line.size == 0)
            continue;
        split(&t, line);
        status = node_of(&t, &names.node, err);
        if (status == 0 && !list_add(&names, word_of(&t, NODELIST)))
            status = error_set(
                err, -EINVAL,
                "%s:%zu: NODELIST: \"%.*s\" is not a list of nodes, or there are more than %d",
                file, t.line, (int)MIN(word_of(&t, NODELIST).size, 80), word_of(&t, NODELIST).data,
                CLUSTER_NODES_MAX);
    }
    str_map_fini(&known);
    return status;
}
