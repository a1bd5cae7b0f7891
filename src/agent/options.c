/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/options.h"

#include "base/memory.h"
#include "wire/unit.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help_text[] =
    "usage: tessera agent --data FOLDER --server URL [options]\n"
    "\n"
    "Makes this machine, or a slice of it, a node of a Tessera server: tells what it has, and runs "
    "what\n"
    "the server places here. Work outlives the agent: stop it, kill it, start it again, and it "
    "finds\n"
    "what runs. Best started as root; without, work runs as your own user (docs/agent.md).\n"
    "\n"
    "The server\n"
    "  --data FOLDER         where the agent keeps keys, work and logs; one agent a folder\n"
    "  --server URL          http://127.0.0.1:7070 or https://HOST:PORT\n"
    "  --pin sha256//…       the server's public key, instead of asking a certificate authority\n"
    "  --insecure            allow http:// beyond loopback: key and secrets travel readable\n"
    "  --key-file FILE       the agent's key (FOLDER/key)\n"
    "  --join                get a key first, where there is none, with a token from `tessera node "
    "add`;\n"
    "                        it is read from TESSERA_TOKEN or from --token-file, never from here\n"
    "  --token-file FILE     holds that token\n"
    "\n"
    "The node\n"
    "  --name NAME           unique in the fleet (the host's name)\n"
    "  --address ADDRESS     where the replicas of a gang reach one another (the one that leads to "
    "the\n"
    "                        server)\n"
    "  --place PROVIDER/REGION/ZONE/FABRIC/RACK\n"
    "                        where it stands (home/local/a/fabric-1/rack-1)\n"
    "  --sku NAME            its make; nodes of one SKU are alike (by its GPUs, or \"cpu\")\n"
    "  --label LABEL         may be given up to 16 times\n"
    "  --ask PRICE           dollars per unit-hour under which it does not run, 0.04\n"
    "\n"
    "What it gives, each at most what there is\n"
    "  --cpus CORES          0.5, 4 (all)\n"
    "  --memory SIZE         256MiB, 16GiB (all but a sixteenth)\n"
    "  --disk SIZE           (the file system of FOLDER, by share of the cores)\n"
    "\n"
    "Instances: machines handed to their owners\n"
    "  --image FOLDER        what they boot from, made by tools/image; without it none are handed out\n"
    "  --storage FOLDER      their boot disks and volumes; the same one for all nodes of a zone\n"
    "                        (DATA/storage: they stay on this node)\n"
    "\n"
    "Other machines\n"
    "  --topology FILE       hwloc's XML of a machine instead of this one\n"
    "  --facts FILE          what a node tells, as --record wrote it, instead of looking\n"
    "  --record FILE         write what this machine tells, and end\n"
    "\n"
    "  --verbose             say more\n"
    "  --help                this text\n"
    "\n"
    "Example\n"
    "  tessera agent --data /var/lib/tessera-agent --server https://tessera.example:7070 \\\n"
    "      --pin sha256//… --join --place own/eu/a/fabric-1/rack-7 --ask 0.90\n";

void agent_options_help(void)
{
    fputs(help_text, stdout);
}

static int take_cores(struct agent_options *o, const char *value)
{
    return decimal_parse(str_from(value), 1000, &o->core_milli) && o->core_milli > 0 ? 0 : -EINVAL;
}

/* "1.5" of a GiB is 1536 MiB; what is no whole MiB is refused. */
static int whole_mib(struct str number, int64_t unit_mib, int64_t *ret)
{
    int64_t thousandths;
    if (!decimal_parse(number, 1000, &thousandths) || thousandths <= 0 ||
        __builtin_mul_overflow(thousandths, unit_mib, &thousandths) || thousandths % 1000)
        return -EINVAL;
    *ret = thousandths / 1000;
    return 0;
}

/* "256MiB", "16GiB", a bare number is MiB. */
static int read_size(const char *value, int64_t *ret)
{
    static const struct {
        const char *suffix;
        int64_t mib;
    } units[] = {{"MiB", 1},       {"M", 1},       {"GiB", 1024}, {"G", 1024},
                 {"TiB", 1 << 20}, {"T", 1 << 20}, {"", 1}};
    struct str text = str_from(value);
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        struct str suffix = str_from(units[i].suffix);
        if (text.size < suffix.size ||
            !str_equal((struct str){text.data + text.size - suffix.size, suffix.size}, suffix))
            continue;
        text.size -= suffix.size;
        return whole_mib(text, units[i].mib, ret);
    }
    return -EINVAL;
}

static int take_memory(struct agent_options *o, const char *value)
{
    return read_size(value, &o->memory_mib);
}

static int take_disk(struct agent_options *o, const char *value)
{
    return read_size(value, &o->disk_mib);
}

static int take_place(struct agent_options *o, const char *value)
{
    struct str *parts[] = {&o->place.provider, &o->place.region, &o->place.zone, &o->place.fabric,
                           &o->place.rack};
    struct str rest = str_from(value);
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        *parts[i] = str_cut(&rest, '/');
        if (parts[i]->size == 0)
            return -EINVAL;
    }
    return rest.size ? -EINVAL : 0;
}

static int take_label(struct agent_options *o, const char *value)
{
    if (o->label_count == ARRAY_COUNT(o->labels) || value[0] == '\0')
        return -EINVAL;
    o->labels[o->label_count++] = str_from(value);
    return 0;
}

static int take_ask(struct agent_options *o, const char *value)
{
    o->ask_present = true;
    return money_parse(str_from(value), &o->ask_udollar) && o->ask_udollar >= 0 ? 0 : -EINVAL;
}

#define TEXT_AT(member) offsetof(struct agent_options, member)
/* What each option fills: a text, a flag, or what its function makes of it. */
static const struct choice {
    const char *name;
    size_t text, flag;
    int (*take)(struct agent_options *o, const char *value);
    const char *allowed;
} choices[] = {
    {"data", .text = TEXT_AT(data)},
    {"server", .text = TEXT_AT(server)},
    {"pin", .text = TEXT_AT(pin)},
    {"insecure", .flag = TEXT_AT(insecure)},
    {"key-file", .text = TEXT_AT(key_file)},
    {"join", .flag = TEXT_AT(join)},
    {"token-file", .text = TEXT_AT(token_file)},
    {"name", .text = TEXT_AT(name)},
    {"address", .text = TEXT_AT(address)},
    {"place", .take = take_place, .allowed = "PROVIDER/REGION/ZONE/FABRIC/RACK"},
    {"sku", .text = TEXT_AT(sku)},
    {"label", .take = take_label, .allowed = "a word, at most 16 of them"},
    {"ask", .take = take_ask, .allowed = "dollars per unit-hour such as 0.04, to the millionth"},
    {"cpus", .take = take_cores, .allowed = "cores such as 4 or 0.5, to the thousandth"},
    {"memory", .take = take_memory, .allowed = "a size such as 256MiB or 16GiB"},
    {"disk", .take = take_disk, .allowed = "a size such as 100GiB"},
    {"topology", .text = TEXT_AT(topology)},
    {"facts", .text = TEXT_AT(facts)},
    {"record", .text = TEXT_AT(record)},
    {"image", .text = TEXT_AT(image)},
    {"storage", .text = TEXT_AT(storage)},
    {"verbose", .flag = TEXT_AT(verbose)},
    {"help", .flag = TEXT_AT(help)},
};

static int take(struct agent_options *o, const struct choice *choice, char *value,
                struct error *err)
{
    if (choice->flag)
        *(bool *)((char *)o + choice->flag) = true;
    else if (choice->take == NULL)
        *(char **)((char *)o + choice->text) = value;
    else if (choice->take(o, value))
        return error_set(err, -EINVAL, "--%s: \"%s\" is not allowed, allowed is %s", choice->name,
                         value, choice->allowed);
    return 0;
}

static int check(const struct agent_options *o, struct error *err)
{
    if (o->help)
        return 0;
    if (o->data == NULL && o->record == NULL)
        return error_set(err, -EINVAL, "--data FOLDER is missing");
    if (o->server == NULL && o->record == NULL)
        return error_set(err, -EINVAL, "--server URL is missing");
    if (o->topology && o->facts)
        return error_set(err, -EINVAL, "--facts and --topology exclude one another");
    return 0;
}

int agent_options_parse(struct agent_options *ret, int argc, char **argv, struct error *err)
{
    struct option table[ARRAY_COUNT(choices) + 1] = {0};
    for (size_t i = 0; i < ARRAY_COUNT(choices); i++)
        table[i] = (struct option){choices[i].name,
                                   choices[i].flag ? no_argument : required_argument, NULL, 0};
    *ret = (struct agent_options){
        .place = {STR("home"), STR("local"), STR("a"), STR("fabric-1"), STR("rack-1")}};
    opterr = 0;
    optind = 1;
    int index = -1, got;
    while ((got = getopt_long(argc, argv, ":h", table, &index)) != -1) {
        if (got == 'h')
            ret->help = true;
        else if (got == ':')
            return error_set(err, -EINVAL, "%s needs a value", argv[optind - 1]);
        else if (got == '?')
            return error_set(err, -EINVAL, "%s: no such option; tessera agent --help lists them",
                             argv[optind - 1]);
        else if (take(ret, &choices[index], optarg, err))
            return err->code;
    }
    if (optind < argc)
        return error_set(err, -EINVAL, "\"%s\": nothing but options is understood", argv[optind]);
    return check(ret, err);
}
