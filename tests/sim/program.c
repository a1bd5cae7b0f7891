/* SPDX-License-Identifier: Apache-2.0 */
/* `tessera sim` alone, for the tests that run it. */
#include "sim/sim.h"

int main(int argc, char **argv)
{
    return sim_main(argc, argv);
}
