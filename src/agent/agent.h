/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `tessera agent`: registers this machine, or a slice of it, as a node, and brings what runs here
 * in line with what the server says should. docs/agent.md tells how. Ends with 0 on SIGTERM or
 * SIGINT, within a second; what it started goes on. 2: wrong command line, 1: anything else. */

int agent_main(int argc, char **argv);
