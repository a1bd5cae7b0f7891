/* SPDX-License-Identifier: Apache-2.0 */
/* load MODE --port P --key KEY [--connections N] [--seconds S] [--nodes N] [--batch N] [--ids FILE]
 * [--interval S] [--seed N] [--path P] [--body FILE].
 * Modes: submit, check, register, fill, renew, agents, call (load.h). */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void load_samples_add(struct load_samples *s, uint64_t us)
{
    ARRAY_RESERVE(s->us, s->count, s->capacity);
    s->us[s->count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

double load_samples_at(struct load_samples *s, unsigned permille)
{
    if (s->count == 0)
        return 0;
    qsort(s->us, s->count, sizeof *s->us, compare_u32);
    size_t at = s->count * permille / 1000;
    return s->us[at < s->count ? at : s->count - 1] / 1000.0;
}

struct str load_member(struct str body, const char *name)
{
    char quoted[64];
    int size = snprintf(quoted, sizeof quoted, "\"%s\":\"", name);
    const char *at = memmem(body.data, body.size, quoted, (size_t)size);
    if (!at)
        return (struct str){0};
    at += size;
    const char *end = memchr(at, '"', (size_t)(body.data + body.size - at));
    return end ? (struct str){at, (size_t)(end - at)} : (struct str){0};
}

char **load_lines(const char *path, char **ret_text, size_t *ret_count)
{
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &info) < 0) {
        fprintf(stderr, "load: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    char *text = xmalloc((size_t)info.st_size + 1);
    size_t size = 0;
    for (ssize_t n; size < (size_t)info.st_size; size += (size_t)n)
        if ((n = read(file, text + size, (size_t)info.st_size - size)) <= 0)
            break;
    close(file);
    text[size] = 0;
    char **lines = NULL;
    size_t count = 0, capacity = 0;
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        *end = 0;
        ARRAY_RESERVE(lines, count, capacity);
        lines[count++] = at;
    }
    *ret_text = text;
    *ret_count = count;
    return lines;
}

bool load_accepted(struct load_refusals *r, int status, struct str body)
{
    if (status >= 200 && status < 300)
        return true;
    if (r->count++ == 0)
        fprintf(stderr, "load: %d %.*s\n", status, (int)(body.size < 400 ? body.size : 400),
                body.data ? body.data : "");
    return false;
}

static struct load_client *ending;
static void on_end(int number)
{
    (void)number;
    ending->stop = true;
}

void load_on_end(struct load_client *client)
{
    ending = client;
    struct sigaction action = {.sa_handler = on_end};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

static const struct mode {
    const char *name;
    int (*run)(const struct load_arguments *a);
} modes[] = {
    {"submit", load_submit}, {"check", load_check}, {"register", load_register},
    {"fill", load_fill},     {"renew", load_renew}, {"agents", load_agents},
    {"call", load_call},
};

static bool take_option(struct load_arguments *a, const char *name, const char *value)
{
    if (strcmp(name, "--port") == 0)
        a->port = (int)strtol(value, NULL, 10);
    else if (strcmp(name, "--key") == 0)
        a->key = value;
    else if (strcmp(name, "--connections") == 0)
        a->connections = (unsigned)strtoul(value, NULL, 10);
    else if (strcmp(name, "--seconds") == 0)
        a->seconds = strtod(value, NULL);
    else if (strcmp(name, "--nodes") == 0)
        a->nodes = (unsigned)strtoul(value, NULL, 10);
    else if (strcmp(name, "--batch") == 0)
        a->batch = (unsigned)strtoul(value, NULL, 10);
    else if (strcmp(name, "--path") == 0)
        a->path = value;
    else if (strcmp(name, "--body") == 0)
        a->body = value;
    else if (strcmp(name, "--ids") == 0)
        a->ids = value;
    else if (strcmp(name, "--interval") == 0)
        a->interval_s = (int)strtol(value, NULL, 10);
    else if (strcmp(name, "--seed") == 0)
        a->seed = strtoull(value, NULL, 10);
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct load_arguments a = {.interval_s = 60,
                               .connections = 64,
                               .nodes = 1000,
                               .batch = 500,
                               .seconds = 5,
                               .seed = 1,
                               .key = ""};
    for (int i = 2; i < argc; i += 2)
        if (i + 1 == argc || !take_option(&a, argv[i], argv[i + 1])) {
            fprintf(stderr, "load: %s is no option or lacks its value\n", argv[i]);
            return 2;
        }
    for (size_t i = 0; argc > 1 && i < ARRAY_COUNT(modes); i++)
        if (strcmp(argv[1], modes[i].name) == 0)
            return modes[i].run(&a);
    fprintf(stderr, "usage: load submit|check|register|fill|renew|agents --port P --key KEY …\n");
    return 2;
}
