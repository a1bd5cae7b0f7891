/* SPDX-License-Identifier: Apache-2.0 */
/* The agent and its holder without the rest of the product, for tests against a pretended server.
 */
#include "agent/agent.h"
#include "agent/hold.h"

#include <string.h>

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "hold") == 0)
        return hold_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "agent") == 0)
        return agent_main(argc - 1, argv + 1);
    return 2;
}
