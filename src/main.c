/* SPDX-License-Identifier: Apache-2.0 */
/* Where the programs meet: everything else is reached through one of these. */

#include "agent/agent.h"
#include "agent/hold.h"
#include "cli/cli.h"
#include "server/replay.h"
#include "server/serve.h"
#include "sim/sim.h"

#include <string.h>

static const struct program {
    const char *name;
    int (*main)(int argc, char **argv);
} programs[] = {
    {"serve", serve_main}, {"agent", agent_main},   {"hold", hold_main},
    {"replay", replay_main}, {"sim", sim_main},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof programs / sizeof *programs; i++)
        if (strcmp(argv[1], programs[i].name) == 0)
            return programs[i].main(argc - 1, argv + 1);
    return cli_main(argc, argv);
}
