/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `tessera hold`: keeps replicas, one a process. An agent starts it once; it waits on descriptor 3
 * for sockets (hold_receive) and forks a holder for each, loaded and ready ahead of need. A holder
 * is given one replica over its socket and then outlives them both: it starts the replica's
 * processes, writes its log and its records (agent/hold_record.h), obeys the commands left for it
 * and freezes on its own when its lease runs out. It ends once the end is on disk. */

#include <stdbool.h>
#include <stddef.h>

int hold_main(int argc, char **argv);

/* One byte and so many descriptors, at most two, over a socket. */
bool hold_receive(int socket, int *ret, size_t count);
int hold_send(int socket, const int *descriptors, size_t count);

/* The descriptor on which holders are asked for. */
#define HOLD_SOCKET 3
