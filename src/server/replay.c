/* SPDX-License-Identifier: Apache-2.0 */
#include "server/replay.h"

#include "base/memory.h"
#include "server/recover.h"
#include "wire/json.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "usage: tessera replay --data DIR [--verify] [--json]\n"
    "\n"
    "Decides again everything that the journal in DIR still holds, from the oldest kept snapshot on, and\n"
    "prints where that leads: the number of the last command and the running digest of all decisions.\n"
    "A running server is not disturbed.\n"
    "\n"
    "  --data DIR    the data folder of tessera serve (default: var)\n"
    "  --verify      compare with what the live server wrote, group by group and snapshot by snapshot;\n"
    "                the first that differs is named, and the exit code is 1\n"
    "  --json        one JSON object\n"
    "\n"
    "Exit code: 0, 1 where something differs, is damaged or lost, 2 for a wrong command line.\n";

struct replay_options {
    const char *data;
    bool verify, json, help;
};

static int options_parse(struct replay_options *o, int argc, char **argv)
{
    static const struct option table[] = {{"data", required_argument, NULL, 'd'}, {"verify", no_argument, NULL, 'v'},
                                          {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
    optind = 1;
    opterr = 0;
    int option;
    while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1)
        switch (option) {
        case 'd':
            o->data = optarg;
            break;
        case 'v':
            o->verify = true;
            break;
        case 'j':
            o->json = true;
            break;
        case 'h':
            o->help = true;
            break;
        default:
            return -EINVAL;
        }
    return optind < argc ? -EINVAL : 0;
}

static void print_json(const struct recovered *at, const struct replay_options *o, const struct error *err)
{
    char digest[20];
    struct buf out = BUF_INIT(65536);
    snprintf(digest, sizeof digest, "%016llx", (unsigned long long)at->digest);
    json_open(&out, '{');
    json_key(&out, "ok");
    json_bool(&out, err->code == 0);
    if (err->code == 0) {
        json_key(&out, "seq");
        json_integer(&out, (int64_t)at->seq);
        json_key(&out, "digest");
        json_text(&out, digest);
        json_key(&out, "groups");
        json_integer(&out, (int64_t)at->groups);
        json_key(&out, "snapshot_seq");
        json_integer(&out, (int64_t)at->snapshot_seq);
        json_key(&out, "verified");
        json_bool(&out, o->verify);
        json_key(&out, "engine_version");
        json_integer(&out, ENGINE_VERSION);
    } else {
        json_key(&out, "message");
        json_text(&out, err->text);
    }
    json_close(&out, '}');
    puts(buf_text(&out));
    buf_fini(&out);
}

static void print_text(const struct recovered *at, const struct replay_options *o)
{
    printf("seq      %llu\ndigest   %016llx\nfrom     snapshot %llu, %llu groups decided again\nverified %s\n", (unsigned long long)at->seq,
           (unsigned long long)at->digest, (unsigned long long)at->snapshot_seq, (unsigned long long)at->groups,
           o->verify ? "yes: every group and every kept snapshot agrees" : "no (--verify compares)");
}

int replay_main(int argc, char **argv)
{
    struct replay_options o = {.data = "var"};
    struct recovered at = {0};
    struct error err = {};
    if (options_parse(&o, argc, argv) < 0) {
        fputs("tessera replay: wrong command line; see tessera replay --help\n", stderr);
        return 2;
    }
    if (o.help) {
        fputs(help, stdout);
        return 0;
    }
    int r = recover(&at, &(struct recover_options){.data = o.data, .oldest = true, .lenient = !o.verify}, &err);
    if (o.json)
        print_json(&at, &o, &err);
    else if (r < 0)
        fprintf(stderr, "tessera replay: %s\n", err.text);
    else
        print_text(&at, &o);
    engine_free(at.engine);
    return r < 0 ? 1 : 0;
}
