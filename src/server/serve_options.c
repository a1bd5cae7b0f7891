/* SPDX-License-Identifier: Apache-2.0 */
#include "server/serve_options.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/str.h"
#include "server/file.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: tessera serve [options]\n"
    "\n"
    "Runs the control plane: the market, the API, the web console. It listens on 127.0.0.1 and keeps all\n"
    "it knows in one folder. A kill, a crash or a power cut loses nothing that was acknowledged; nodes keep\n"
    "what they run while no server is there. Stop it with SIGTERM or SIGINT.\n"
    "\n"
    "  --data DIR          the folder; made where it is missing (default: var)\n"
    "  --port PORT         on 127.0.0.1, plain HTTP (default: 7070; 0 = one that is free)\n"
    "  --listen ADDRESS[:PORT]\n"
    "                      also listen there for other machines, with TLS. The port is that of --port, or the\n"
    "                      next one where the address is 0.0.0.0 or [::]\n"
    "  --advertise URL     how other machines reach it (default: https:// and what --listen says)\n"
    "  --tls-cert FILE, --tls-key FILE\n"
    "                      PEM files of your own; else the first start makes a self-signed certificate under\n"
    "                      the data folder, and agents and clients pin its public key\n"
    "  --insecure          listen there without TLS: keys and secrets then cross the network in the clear\n"
    "  --console DIR       the built web console (default: found beside the binary)\n"
    "  --snapshot-every N  write a snapshot after so many commands (default: 400000); fewer make starts quicker\n"
    "  --rebuild-tables    go on although tables.db is lost, with the history that the journal still holds\n"
    "  --store disk|memory where the journal stands (default: disk). In memory nothing outlives the server: for trials\n"
    "                      and measurements, with a folder of its own\n"
    "  --smtp URL          the mail server through which people are told: smtp://USER@HOST:587 (STARTTLS; plain on loopback\n"
    "                      alone) or smtps://USER@HOST (default: no mail goes out)\n"
    "  --smtp-password-file FILE\n"
    "                      its password; a file that nobody but you can read. A password in the URL is shown by ps\n"
    "  --smtp-from ADDRESS who writes (default: tessera@ and this machine's name)\n"
    "  --webhook-allow-private\n"
    "                      let webhooks lead to private addresses too: of this machine, of your own networks\n"
    "  --webhook-ca FILE   PEM file with who vouches for those that webhooks lead to, in place of the system's\n"
    "  --region-names ZONE=NAME,…\n"
    "                      how clients of the Mithril API see the zone REGION-ZONE, as local-a=us-central1-a; the\n"
    "                      others are seen as REGION-ZONE\n"
    "  --log-level LEVEL   debug, info, warning or error (default: info)\n"
    "\n"
    "The first start makes an admin key and writes it to DIR/client.yaml, which only its owner can read:\n"
    "    export TESSERA_SERVER=http://127.0.0.1:7070 TESSERA_KEY=$(sed -n 's/^key: //p' var/client.yaml)\n"
    "\n"
    "Exit code: 0 after a clean stop, 1 when it cannot start or go on (it says why), 2 for a wrong command line.\n";

enum serve_option { OPTION_DATA, OPTION_PORT, OPTION_LISTEN, OPTION_ADVERTISE, OPTION_CERT, OPTION_KEY, OPTION_INSECURE, OPTION_CONSOLE,
              OPTION_REBUILD, OPTION_SNAPSHOT, OPTION_REGIONS, OPTION_STORE, OPTION_WEBHOOK_PRIVATE, OPTION_WEBHOOK_CA, OPTION_SMTP,
              OPTION_SMTP_PASSWORD, OPTION_SMTP_FROM, OPTION_LEVEL, OPTION_HELP };

static int number_parse(const char *text, int *ret)
{
    int64_t value;
    if (!str_to_i64(str_from(text), &value) || value < 0 || value > 65535)
        return -EINVAL;
    *ret = (int)value;
    return 0;
}

static int commands_parse(const char *text, long *ret, struct error *err)
{
    int64_t value;
    if (!str_to_i64(str_from(text), &value) || value < 1 || value > 1000000000)
        return error_set(err, -EINVAL, "--snapshot-every: %s is not a number of commands (1 to 1000000000)", text);
    *ret = (long)value;
    return 0;
}

static int level_parse(const char *text, struct error *err)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(text, names[i]) == 0) {
            log_set_level((enum log_level)i);
            return 0;
        }
    return error_set(err, -EINVAL, "--log-level: %s is not debug, info, warning or error", text);
}

static int store_parse(const char *text, bool *ret_memory, struct error *err)
{
    *ret_memory = strcmp(text, "memory") == 0;
    return *ret_memory || strcmp(text, "disk") == 0 ? 0 : error_set(err, -EINVAL, "--store: %s is not disk or memory", text);
}

static bool region_valid(struct str name)
{
    bool valid = name.size > 0 && name.size <= 127;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        valid &= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    }
    return valid;
}

/* Whether a pair has that zone or that name. */
static bool regions_have(struct str pairs, struct str zone, struct str name)
{
    while (pairs.size) {
        struct str other = str_cut(&pairs, ','), zone_there = str_cut(&other, '=');
        if (str_equal(zone_there, zone) || str_equal(other, name))
            return true;
    }
    return false;
}

static int regions_check(struct str pairs, struct error *err)
{
    struct str rest = pairs;
    do {
        struct str before = {pairs.data, (size_t)(rest.data - pairs.data)};
        struct str pair = str_cut(&rest, ','), name = pair, zone = str_cut(&name, '=');
        if (!region_valid(zone) || !region_valid(name))
            return error_set(err, -EINVAL, "--region-names: \"%.*s\" is not ZONE=NAME such as local-a=us-central1-a", STR_ARGS(pair));
        if (regions_have(before, zone, name))
            return error_set(err, -EINVAL, "--region-names: \"%.*s\" names a zone or a region again, allowed is each once", STR_ARGS(pair));
    } while (rest.size);
    return 0;
}

static int option_take(struct serve_options *o, int option, const char *argument, struct error *err)
{
    switch ((enum serve_option)option) {
    case OPTION_PORT:
        return number_parse(argument, &o->port) < 0 ? error_set(err, -EINVAL, "--port: %s is not a port (0 to 65535)", argument) : 0;
    case OPTION_SNAPSHOT:
        return commands_parse(argument, &o->snapshot_every, err);
    case OPTION_STORE:
        return store_parse(argument, &o->memory, err);
    case OPTION_REGIONS:
        o->region_names = argument;
        return regions_check(str_from(argument), err);
    case OPTION_LEVEL:
        return level_parse(argument, err);
    case OPTION_INSECURE:
        o->insecure = true;
        return 0;
    case OPTION_WEBHOOK_PRIVATE:
        o->webhook_allow_private = true;
        return 0;
    case OPTION_REBUILD:
        o->rebuild_tables = true;
        return 0;
    case OPTION_HELP:
        return 1;
    case OPTION_DATA:
    case OPTION_LISTEN:
    case OPTION_ADVERTISE:
    case OPTION_CERT:
    case OPTION_KEY:
    case OPTION_CONSOLE:
    case OPTION_WEBHOOK_CA:
    case OPTION_SMTP:
    case OPTION_SMTP_PASSWORD:
    case OPTION_SMTP_FROM:
        break;
    }
    const char **texts[] = {[OPTION_DATA] = &o->data, [OPTION_LISTEN] = &o->listen, [OPTION_ADVERTISE] = &o->advertise,
                            [OPTION_CERT] = &o->tls_cert, [OPTION_KEY] = &o->tls_key, [OPTION_CONSOLE] = &o->console,
                            [OPTION_WEBHOOK_CA] = &o->webhook_ca, [OPTION_SMTP] = &o->smtp,
                            [OPTION_SMTP_PASSWORD] = &o->smtp_password_file, [OPTION_SMTP_FROM] = &o->smtp_from};
    if (argument[0] == '\0')
        return error_set(err, -EINVAL, "an empty text is no value here; see tessera serve --help");
    *texts[option] = argument;
    return 0;
}

static int options_take(struct serve_options *o, int argc, char **argv, struct error *err)
{
    static const struct option_name {
        const char *name;
        int takes;
    } names[] = {
        [OPTION_DATA] = {"data", required_argument}, [OPTION_PORT] = {"port", required_argument},
        [OPTION_LISTEN] = {"listen", required_argument}, [OPTION_ADVERTISE] = {"advertise", required_argument},
        [OPTION_CERT] = {"tls-cert", required_argument}, [OPTION_KEY] = {"tls-key", required_argument},
        [OPTION_INSECURE] = {"insecure", no_argument}, [OPTION_CONSOLE] = {"console", required_argument},
        [OPTION_REBUILD] = {"rebuild-tables", no_argument}, [OPTION_SNAPSHOT] = {"snapshot-every", required_argument},
        [OPTION_STORE] = {"store", required_argument}, [OPTION_WEBHOOK_PRIVATE] = {"webhook-allow-private", no_argument},
        [OPTION_WEBHOOK_CA] = {"webhook-ca", required_argument}, [OPTION_SMTP] = {"smtp", required_argument},
        [OPTION_SMTP_PASSWORD] = {"smtp-password-file", required_argument}, [OPTION_SMTP_FROM] = {"smtp-from", required_argument},
        [OPTION_LEVEL] = {"log-level", required_argument},
        [OPTION_REGIONS] = {"region-names", required_argument}, [OPTION_HELP] = {"help", no_argument},
    };
    struct option table[ARRAY_COUNT(names) + 1] = {0};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        table[i] = (struct option){.name = names[i].name, .has_arg = names[i].takes, .val = (int)i};
    optind = 1;
    opterr = 0;
    int option, r = 0;
    while (r == 0 && (option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
        if (option == '?' || option == ':')
            return error_set(err, -EINVAL, "%s is not an option of tessera serve, or lacks its value; see tessera serve --help", argv[optind - 1]);
        r = option_take(o, option == 'h' ? OPTION_HELP : option, optarg, err);
    }
    if (r == 0 && optind < argc)
        return error_set(err, -EINVAL, "%s: tessera serve takes options alone; see tessera serve --help", argv[optind]);
    return r;
}

/* ---- what follows ---------------------------------------------------------------------------------------- */

/* "host", "host:port", "[v6]:port", a bare v6 address. Port 0 where none stands there. */
static int host_split(const char *text, char *ret_host, size_t size, int *ret_port)
{
    const char *colon = strrchr(text, ':'), *end = strchr(text, ']');
    size_t length = strlen(text);
    *ret_port = 0;
    if (text[0] == '[') {
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return -EINVAL;
        colon = end[1] == ':' ? end + 1 : NULL;
        text++;
        length = (size_t)(end - text);
    } else if (colon && strchr(text, ':') == colon) {
        length = (size_t)(colon - text);
    } else {
        colon = NULL;
    }
    if (length == 0 || length >= size || (colon && (number_parse(colon + 1, ret_port) < 0 || *ret_port == 0)))
        return -EINVAL;
    memcpy(ret_host, text, length);
    ret_host[length] = '\0';
    return 0;
}

int url_host(const char *url, char *ret, int size)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    char authority[256];
    int port, length = (int)strcspn(host, "/?#");
    if (length >= (int)sizeof authority)
        return -EINVAL;
    snprintf(authority, sizeof authority, "%.*s", length, host);
    return host_split(authority, ret, (size_t)size, &port);
}

static bool is_wildcard(const char *address)
{
    return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

static int listen_resolve(struct serve_options *o, struct error *err)
{
    if (o->listen == NULL)
        return 0;
    if (host_split(o->listen, o->address, sizeof o->address, &o->listen_port) < 0)
        return error_set(err, -EINVAL, "--listen: %s is not ADDRESS or ADDRESS:PORT", o->listen);
    if (o->listen_port == 0)
        o->listen_port = is_wildcard(o->address) ? o->port + 1 : o->port;
    if (is_wildcard(o->address) && o->advertise == NULL)
        return error_set(err, -EINVAL, "--listen %s needs --advertise URL: other machines must be told a name or address", o->listen);
    return 0;
}

static int advertise_resolve(struct serve_options *o, struct error *err)
{
    char host[256];
    if (o->advertise) {
        bool scheme = strncmp(o->advertise, "https://", 8) == 0 || strncmp(o->advertise, "http://", 7) == 0;
        if (!scheme || url_host(o->advertise, host, sizeof host) < 0)
            return error_set(err, -EINVAL, "--advertise: %s is not a URL such as https://host:7070", o->advertise);
        snprintf(o->advertised, sizeof o->advertised, "%s", o->advertise);
    } else if (o->listen) {
        bool six = strchr(o->address, ':') != NULL;
        snprintf(o->advertised, sizeof o->advertised, "%s://%s%s%s:%d", o->insecure ? "http" : "https", six ? "[" : "", o->address,
                 six ? "]" : "", o->listen_port);
    }
    return 0;
}

static bool console_at(struct serve_options *o, const char *folder, const char *name)
{
    char index[4200];
    snprintf(o->console_path, sizeof o->console_path, "%s/%s", folder, name);
    snprintf(index, sizeof index, "%s/index.html", o->console_path);
    return data_exists(index);
}

static int console_resolve(struct serve_options *o, struct error *err)
{
    if (o->console) {
        if (!console_at(o, o->console, "."))
            return error_set(err, -EINVAL, "--console: %s holds no index.html; build it with make console", o->console);
        return 0;
    }
    char binary[3000];
    ssize_t size = readlink("/proc/self/exe", binary, sizeof binary - 1);
    binary[size > 0 ? size : 0] = '\0';
    char *slash = strrchr(binary, '/');
    if (slash)
        *slash = '\0';
    if (!console_at(o, binary, "console") && !console_at(o, binary, "../share/tessera/console"))
        o->console_path[0] = '\0';
    return 0;
}

int serve_options_parse(struct serve_options *ret, int argc, char **argv, struct error *err)
{
    struct serve_options o = {.data = "var", .port = 7070};
    int r = options_take(&o, argc, argv, err);
    if (r == 1)
        fputs(help, stdout);
    if (r == 0 && (o.tls_cert == NULL) != (o.tls_key == NULL))
        r = error_set(err, -EINVAL, "--tls-cert and --tls-key belong together");
    if (r == 0 && o.smtp == NULL && (o.smtp_password_file || o.smtp_from))
        r = error_set(err, -EINVAL, "--smtp-password-file and --smtp-from belong to --smtp");
    if (r == 0)
        r = listen_resolve(&o, err);
    if (r == 0)
        r = advertise_resolve(&o, err);
    if (r == 0)
        r = console_resolve(&o, err);
    if (r == 0)
        *ret = o;
    return r;
}
