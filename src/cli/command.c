/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include "base/memory.h"
#include "cli/commands.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

const struct cli_option cli_common_options[] = {
    {"server", 0, "URL", "the server to talk to"},
    {"key", 0, "KEY", "the key to use; better in TESSERA_KEY or client.yaml, where ps does not show it"},
    {"pin", 0, "PIN", "the server's public key, sha256//…, where no authority vouches for it"},
    {"insecure", 0, NULL, "allow plain http beyond this machine: the key is shown to the network"},
    {"json", 0, NULL, "print JSON for programs: money in µ$, time in ms, nothing rounded"},
    {"help", 'h', NULL, "print this help"},
};
const size_t cli_common_option_count = ARRAY_COUNT(cli_common_options);

#define SUBMIT_OPTIONS                                                                             \
    {"name", 'n', "NAME", "name of the workload"},                                                 \
    {"project", 'p', "NAME", "project that pays (default: the key's own, else `default`)"},       \
    {"limit", 'l', "PRICE", "most to pay per unit-hour, in dollars: 2.50"},                        \
    {"priority", 0, "NAME", "low, normal, high or critical, instead of a limit"},                  \
    {"tier", 0, "NAME", "tight start: instant, seconds, minute or minutes"},                       \
    {"preemptible", 0, NULL, "may be interrupted, with notice"},                                   \
    {"gpus", 'g', "NAME:N", "GPUs per node: H100:8"},                                              \
    {"cpus", 'c', "N", "CPU cores per node"},                                                      \
    {"memory", 'm', "GB", "memory per node"},                                                      \
    {"nodes", 'N', "N", "nodes of the gang"},                                                      \
    {"env", 'e', "NAME=VALUE", "environment; may be repeated"},                                    \
    {"secret", 0, "NAME=VALUE", "environment that nobody is shown; may be repeated"},              \
    {"idempotency-key", 0, "TEXT", "submitting twice with one key submits once (24 h)"}

#define MACHINE_OPTIONS                                                                            \
    {"type", 't', "NAME", "instance type (default: the first that is offered)"},                  \
    {"region", 0, "NAME", "region (default: the first that offers the type)"},                     \
    {"count", 'N', "N", "how many, all or nothing (default 1)"},                                   \
    {"ssh-key", 'i', "FILE", "public key that may log in; may be repeated"},                       \
    {"startup", 0, "FILE", "script that runs once, on the first boot"},                            \
    {"volume", 0, "NAME", "volume to attach; may be repeated"},                                    \
    {"project", 'p', "NAME", "project that pays"}
#define PROJECT_OPTION {"project", 'p', "NAME", "of this project"}

const struct cli_command cli_commands[] = {
    {"run", "FILE | -- COMMAND [ARG…]", "submit a workload and follow it to its end",
     "Submits, prints what happens to it and its log, and exits with the workload's own exit code.\n"
     "Interrupting leaves the workload running; `tessera cancel ID` ends it.\n",
     "  tessera run examples/hello-gang.yaml\n"
     "  tessera run -c 1 --limit 0.10 --preemptible -- python3 train.py\n",
     {SUBMIT_OPTIONS, {"detach", 'd', NULL, "submit and return at once"}},
     0, SIZE_MAX, command_run},
    {"submit", "FILE | -- COMMAND [ARG…]", "submit a workload and return its id",
     "The id is printed once the submit is durable.\n",
     "  id=$(tessera submit train.yaml)\n", {SUBMIT_OPTIONS}, 0, SIZE_MAX, command_submit},
    {"quote", "FILE | -- COMMAND [ARG…]", "what a workload would cost now, and what each freedom is worth",
     "Prints the price now of the workload as it stands and, line by line, what it would be with one\n"
     "more freedom: preemptible, any rack, other SKUs, a later finish. Changes nothing.\n",
     "  tessera quote examples/hello-gang.yaml\n", {SUBMIT_OPTIONS}, 0, SIZE_MAX, command_quote},
    {"why", "ID", "why a workload waits, and which limit would start it now",
     "Says what blocks it (as a class of bids, never a name), the soonest start known, and the go-live\n"
     "limit: the least price in whole cents at which this very clearing would start it.\n",
     "  tessera why work_4k2m8q0r7t1v9x3z\n", {{0}}, 1, 1, command_why},
    {"queue", "", "what waits and what runs",
     "Lists the live workloads: state, size, limit, price now, age.\n",
     "  tessera queue --watch\n",
     {{"project", 'p', "NAME", "of one project"},
      {"state", 0, "NAME", "waiting, assigned, running, preempting, finished, failed, cancelled, rejected, paused"},
      {"all", 'a', NULL, "ended ones too"},
      {"watch", 'w', NULL, "print again at every change"}},
     0, 0, command_queue},
    {"status", "ID", "everything about one workload",
     "State, place, price, cost so far, and the whole history. A name stands for its newest workload.\n", NULL, {{0}}, 1, 1, command_status},
    {"logs", "ID", "the output of a workload",
     "Prints the log of rank 0, or of another rank, of the newest attempt.\n",
     "  tessera logs -f work_4k2m8q0r7t1v9x3z --rank 1\n",
     {{"follow", 'f', NULL, "go on until the workload ends"},
      {"rank", 'r', "N", "replica (default 0)"},
      {"attempt", 0, "N", "an earlier attempt (default: the newest)"}},
     1, 1, command_logs},
    {"cancel", "ID…", "end workloads",
     "A running one gets its signal and its notice first; it is charged to the end of its lease.\n", NULL,
     {{0}}, 1, SIZE_MAX, command_cancel},
    {"bid", "ID", "change what a workload pays at most",
     "A raise acts at once. A cut reaches a running lease when its minimum run ends.\n",
     "  tessera bid work_4k2m8q0r7t1v9x3z --limit 3.25\n",
     {{"limit", 'l', "PRICE", "new limit per unit-hour, in dollars"}}, 1, 1, command_bid},
    {"prices", "", "the posted price of every pool",
     "Prices are per unit-hour: a GPU, or a core where the pool has no GPUs.\n",
     "  tessera prices --history cpu@home/local/a\n",
     {{"history", 0, "POOL", "how the price of one pool moved"},
      {"since", 0, "SPAN", "of the history: 30m, 4h, 7d (default: a day)"},
      {"settings", 0, NULL, "the market's settings"},
      {"watch", 'w', NULL, "print again at every tick"}},
     0, 0, command_prices},
    {"nodes", "", "the fleet: places, sizes, what runs where",
     "Needs an operator's key.\n", NULL, {{"watch", 'w', NULL, "print again at every change"}}, 0, 0,
     command_nodes},
    {"node add", "", "print the command that joins another machine",
     "Prints one command with a single-use token (10 minutes). Typed on the other machine it fetches\n"
     "this server's binary, checks its hash, and joins. The server must listen beyond loopback.\n",
     "  tessera node add --place own/eu/a/fabric-1/rack-7 --ask 0.04\n",
     {{"place", 0, "PATH", "provider/region/zone/fabric/rack of the new node"},
      {"ask", 0, "PRICE", "dollars per unit-hour under which it does not run: 0.04 (default: 0)"}},
     0, 0, command_node_add},
    {"drain", "NODE", "let a node run empty",
     "Takes nothing new; with --evict what runs there gets its notice and goes elsewhere.\n", NULL,
     {{"evict", 0, NULL, "do not wait for running work to end"}}, 1, 1, command_drain},
    {"undrain", "NODE", "let a drained node take work again", "", NULL, {{0}}, 1, 1, command_undrain},
    {"ask set", "POOL|NODE PRICE", "the price under which a node does not run",
     "PRICE is in dollars per unit-hour. A running lease sees it when its minimum run ends.\n",
     "  tessera ask set cpu@home/local/a 0.04\n", {{0}}, 2, 2, command_ask_set},
    {"settings", "[NAME=VALUE…]", "show or change settings", "Changes need an operator's key.\n",
     "  tessera settings tick_ms=1000\n", {{0}}, 0, SIZE_MAX, command_settings},
    {"events", "", "what happens, as it happens",
     "Prints the events that this key may see, the latest thousand or so, or with -f those from now on.\n"
     "Each has an id from which a reader can go on: --after 0-0 begins with the oldest that is kept.\n",
     "  tessera events -f --types workload_started,workload_preempting\n",
     {{"follow", 'f', NULL, "go on for ever"},
      {"after", 0, "ID", "start after this event"},
      {"types", 0, "LIST", "only these types, comma-joined"},
      {"workload", 0, "ID", "only of this workload"}},
     0, 0, command_events},
    {"project create", "NAME", "make a project", "", NULL,
     {{"budget", 'b', "DOLLARS", "what it may spend in all (default: no limit)"}}, 1, 1,
     command_project_create},
    {"project list", "", "the projects, what they may spend and have spent", "", NULL, {{0}}, 0, 0,
     command_project_list},
    {"project set", "NAME", "change a project", "", "  tessera project set vision --budget 500\n"
     "  tessera project set vision --quota instances:h100-8x=4,gpus=64,storage=2000\n"
     "  tessera project set vision --quota gpus=none\n",
     {{"budget", 'b', "DOLLARS", "what it may spend in all; `none` lifts the limit"},
      {"quota", 'q', "KIND=N", "what it may have at a time: instances, gpus, cores, bids, reserved, volumes or storage (GB); "
       "KIND:TYPE=N of one make of node alone; `none` lifts it"}}, 1, 1,
     command_project_set},
    {"tier list", "", "who is subscribed to tight starts, and what is held for them", "", NULL, {PROJECT_OPTION}, 0, 0, command_tier_list},
    {"tier set", "PROJECT TIER UNITS", "say how many units a project may start within a tier's time",
     "TIER is instant, seconds, minute or minutes: by default 2 s, 10 s, 60 s and 5 min. So much is held\n"
     "ready, free or with work that leaves in time, and the project pays for what it does not use of it.\n"
     "Its tasks say `market: {tier: NAME}`. UNITS are whole GPUs, or cores where there are none; 0 ends it.\n"
     "A second one of the same project, tier and pools changes the first.\n",
     "  tessera tier set chat instant 16 --rate 0.50 --accelerator H100\n",
     {{"rate", 0, "PRICE", "what it pays for a unit-hour that is held, in dollars (default: nothing)"},
      {"sku", 0, "NAME", "only on nodes of this make"},
      {"accelerator", 0, "NAME", "only on nodes with this GPU"},
      {"provider", 0, "NAME", "only of this provider"},
      {"region", 0, "NAME", "only in this region"},
      {"zone", 0, "NAME", "only in this zone"},
      {"label", 0, "LABEL", "only on nodes that carry it; may be repeated"}},
     3, 3, command_tier_set},
    {"key create", "[NAME]", "make a key; it is shown once", "",
     "  tessera key create ci --role member --project vision --expires 90d\n",
     {{"role", 0, "NAME", "admin, operator, member or viewer (default member)"},
      {"project", 'p', "NAME", "the one project it is good for (default: all)"},
      {"expires", 0, "TIME", "30d, 12h; default: never"}},
     0, 1, command_key_create},
    {"key list", "", "the keys, by their first letters", "", NULL,
     {{"all", 'a', NULL, "the tokens of machines that have joined, or did not in time, too"}}, 0, 0,
     command_key_list},
    {"key revoke", "ID", "end a key at once", "", NULL, {{0}}, 1, 1, command_key_revoke},
    {"webhook add", "NAME URL", "have a project's events told to a URL; its secret is shown once",
     "Each event is POSTed to it as JSON in the form of Standard Webhooks, signed with the secret, in order and at least\n"
     "once. The URL is https and on the public internet, unless the operator allows others.\n",
     "  secret=$(tessera webhook add chat https://hooks.example.org/t --types workload_failed,budget)\n",
     {{"types", 0, "LIST", "only these, comma-joined: workload_started, workload_preempting, workload_finished, workload_failed, workload_cancelled, budget"},
      {"project", 'p', "NAME", "whose events (default: the key's own, else `default`)"}}, 2, 2, command_webhook_add},
    {"webhook list", "", "webhooks and how they stand", "", NULL, {PROJECT_OPTION}, 0, 0, command_webhook_list},
    {"webhook remove", "NAME", "take a webhook away", "What still waits for it is not sent.\n", NULL, {PROJECT_OPTION}, 1, 1, command_webhook_remove},
    {"webhook test", "NAME", "send a webhook a test, and see whether it arrives", "It stands behind what waits there already.\n", NULL,
     {PROJECT_OPTION}, 1, 1, command_webhook_test},
    {"control-plane add", "NAME", "give Kubernetes clusters a control plane",
     "A cluster that somebody asks for gets a free one, and is available once that answers /readyz. Its workers run\n"
     "the join command when they boot. Once its cluster is deleted it goes to nobody else: remove it, and register it\n"
     "anew when it is clean. The files hold secrets and are not shown again.\n",
     "  tessera control-plane add k1 --kubeconfig admin.conf --join join.txt\n",
     {{"kubeconfig", 0, "FILE", "its kubeconfig, certificates and token in it"},
      {"join", 0, "FILE", "the command with which a worker joins, such as `kubeadm join …`"},
      {"address", 0, "URL", "https://HOST:PORT (default: as the kubeconfig says)"},
      {"region", 0, "NAME", "for clusters of this region alone (default: any)"},
      {"k8s-version", 0, "VERSION", "1.34 or 1.29 (default 1.34)"}}, 1, 1, command_control_plane_add},
    {"control-plane list", "", "control planes of Kubernetes and who has them", "", NULL, {{0}}, 0, 0, command_control_plane_list},
    {"control-plane remove", "NAME", "take a control plane away", "Refused while a cluster has it.\n", NULL, {{0}}, 1, 1, command_control_plane_remove},
    {"provider add", "NAME URL", "buy nodes from a server that speaks Mithril's API, such as another Tessera",
     "Where preemptible work waits for a node or a price and would pay what a machine costs there and the margin, a\n"
     "machine is bid for, joins as a node, and is given back once it has been idle. This server must be one that the\n"
     "machines reach: started with --listen and --advertise.\n",
     "  tessera provider add acme https://tessera.acme.example:7070 --key-file acme.key --nodes 8\n",
     {{"key-file", 0, "FILE", "holds an API key of the seller"},
      {"seller-pin", 0, "PIN", "the seller's public key, sha256//…, where no authority vouches for it"},
      {"seller-insecure", 0, NULL, "allow plain http to a seller beyond this machine"},
      {"project", 'p', "NAME", "project there that pays (default: the first that the key sees)"},
      {"nodes", 'N', "N", "the most at one time (default 4)"},
      {"margin", 0, "PERCENT", "by so much work must be worth more than it costs there (default 10)"},
      {"idle", 0, "SPAN", "a node without work is given back after it: 10m (default 5m)"},
      {"poll", 0, "SPAN", "how often the seller is asked (default 10s)"}}, 2, 2, command_provider_add},
    {"provider list", "", "the servers that nodes are bought from, and what was bought", "", NULL, {{0}}, 0, 0, command_provider_list},
    {"provider remove", "NAME", "buy nothing there any more", "What was bought gets its notice and is given back; then the provider is forgotten.\n", NULL,
     {{0}}, 1, 1, command_provider_remove},
    {"instance create", "NAME", "bid for machines of your own",
     "A standing bid for whole nodes: it waits until it wins, keeps its boot disk when it has to leave, and\n"
     "comes back when it wins again. The limit is in dollars per instance-hour.\n",
     "  tessera instance create dev --limit 2.50 --ssh-key ~/.ssh/id_ed25519.pub\n",
     {{"limit", 'l', "PRICE", "most to pay per instance-hour, in dollars: 2.50"}, MACHINE_OPTIONS}, 1, 1, command_instance_create},
    {"instance list", "", "machines, with their state and address", "", NULL, {{0}}, 0, 0, command_instance_list},
    {"instance types", "", "what machines are offered", "", NULL, {{0}}, 0, 0, command_instance_types},
    {"instance pause", "NAME", "stop a bid's machines and keep their disks", "They cost nothing then, and compete again once resumed.\n", NULL, {{0}}, 1, 1,
     command_instance_pause},
    {"instance resume", "NAME", "let a paused bid compete again", "", NULL, {{0}}, 1, 1, command_instance_resume},
    {"instance delete", "NAME", "end a bid, its machines and their boot disks", "Volumes stay.\n", NULL, {{0}}, 1, 1, command_instance_delete},
    {"ssh", "NAME [-- COMMAND]", "log in to a machine",
     "NAME is that of a bid or reservation (its first machine) or of an instance. Runs ssh as `ubuntu`.\n", "  tessera ssh dev -- nvidia-smi\n",
     {{"identity", 'i', "FILE", "private key, where it is not one that ssh tries by itself"}}, 1, 1, command_ssh},
    {"volume create", "NAME", "make storage that outlives machines",
     "A disk of one machine, or with --share a folder of many; both are seen as /mnt/NAME.\n", "  tessera volume create data --size 100 --share\n",
     {{"size", 0, "GB", "how large"}, {"share", 0, NULL, "a folder of many machines"}, {"region", 0, "NAME", "where (default: the first)"},
      {"type", 't', "NAME", "where this instance type is"}, PROJECT_OPTION}, 1, 1, command_volume_create},
    {"volume list", "", "the volumes", "", NULL, {PROJECT_OPTION}, 0, 0, command_volume_list},
    {"volume delete", "NAME", "delete a volume and what it holds", "Refused while something uses it.\n", NULL, {PROJECT_OPTION}, 1, 1, command_volume_delete},
    {"reserve create", "NAME", "buy machines for a time to come",
     "Bought at the forward price, owed for the whole time. They come by themselves when it begins and are\n"
     "taken back at its end.\n",
     "  tessera reserve create demo --from 2026-12-01T09:00Z --to 2026-12-01T17:00Z --count 2 --ssh-key ~/.ssh/id_ed25519.pub\n",
     {{"from", 0, "TIME", "start, or +2h from now (default: now)"}, {"to", 0, "TIME", "end"},
      {"limit", 'l', "PRICE", "refused where an instance-hour costs more"},
      {"flexible", 0, NULL, "lent to others while it stands idle, and credited"}, MACHINE_OPTIONS}, 1, 1, command_reserve_create},
    {"reserve list", "", "the reservations", "", NULL, {PROJECT_OPTION}, 0, 0, command_reserve_list},
    {"reserve pause", "NAME", "stop a reservation's machines and have them resold", "What that fetches is credited.\n", NULL, {PROJECT_OPTION}, 1, 1,
     command_reserve_pause},
    {"reserve resume", "NAME", "have them back", "", NULL, {PROJECT_OPTION}, 1, 1, command_reserve_resume},
    {"reserve extend", "NAME", "keep it longer, on the same machines", "", NULL, {{"to", 0, "TIME", "new end, or +2h from now"}, PROJECT_OPTION}, 1, 1,
     command_reserve_extend},
    {"reserve return", "NAME", "give back what of it is paused, for good", "", NULL, {PROJECT_OPTION}, 1, 1, command_reserve_return},
    {"mithril-config", "", "what clients of Mithril's API need to work with this server", "", NULL, {{0}}, 0, 0, command_mithril_config},
    {"ledger", "", "who owes whom",
     "Double entry: every amount has an account that pays and one that receives. Prints the sums by pair\n"
     "of accounts, or the bill of one workload, line by line.\n",
     "  tessera ledger --since 7d\n"
     "  tessera ledger --workload hello-gang\n",
     {{"project", 'p', "NAME", "of one project"},
      {"workload", 0, "ID", "the bill of one workload"},
      {"since", 0, "SPAN", "of the last 1h, 7d (default: a day)"},
      {"entries", 0, NULL, "each entry instead of the sums"}},
     0, 0, command_ledger},
    {"console", "", "print the console's address and a one-time code", "", NULL, {{0}}, 0, 0,
     command_console},
    {"version", "", "print the version", "", NULL, {{0}}, 0, 0, command_version},
};
const size_t cli_command_count = ARRAY_COUNT(cli_commands);

const struct cli_command *cli_command_find(int count, char **words, int *ret_used)
{
    const struct cli_command *found = NULL;
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name;
        const char *space = strchr(name, ' ');
        size_t head = space ? (size_t)(space - name) : strlen(name);
        if (count < 1 || strlen(words[0]) != head || strncmp(words[0], name, head) != 0)
            continue;
        if (space && (count < 2 || strcmp(words[1], space + 1) != 0))
            continue;
        found = &cli_commands[i];
        *ret_used = space ? 2 : 1;
        if (space)
            break;
    }
    return found;
}
