/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `tessera sim …`: the market in virtual time over a trace of workloads and a fleet. */

int sim_main(int argc, char **argv);
