/* SPDX-License-Identifier: Apache-2.0 */
/* The commands alone, against the pretended server of tests/cli. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
