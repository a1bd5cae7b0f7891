/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `tessera hold`: keeps one replica. Started by the agent ahead of need, it waits on descriptor 3
 * for a replica (hold_receive), and then outlives the agent: it starts the replica's processes,
 * writes its log and its records (agent/hold_record.h), obeys the commands left for it and freezes
 * on its own when its lease runs out. Ends with 0 once the end is on disk. */

#include <stdbool.h>
#include <stddef.h>

int hold_main(int argc, char **argv);

/* One byte and so many descriptors, at most two, over a socket. */
bool hold_receive(int socket, int *ret, size_t count);
int hold_send(int socket, const int *descriptors, size_t count);

/* The descriptor on which a holder waits for its replica. */
#define HOLD_SOCKET 3
