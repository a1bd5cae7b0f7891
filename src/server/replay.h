/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `tessera replay --data DIR [--verify] [--json]`: recomputes the state from the oldest kept snapshot. */

int replay_main(int argc, char **argv);
