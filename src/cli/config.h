/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which server and which key: --server, --key and --pin, else TESSERA_SERVER, TESSERA_KEY and
 * TESSERA_PIN, else ./var/client.yaml, else ~/.config/tessera/client.yaml (`server:`, `key:`,
 * `pin:`).
 *
 * Key and pin of a file belong to the server that the file names: they are used where the server
 * comes from that file or is the same one, and go to no other. */

#include "base/error.h"

struct client_config {
    char *server, *key, *pin;     /* heap, NULL where not known */
    char *server_from, *key_from; /* "--key", "TESSERA_KEY", "var/client.yaml", for messages */
};

/* What the command line says; each NULL where it does not. */
struct client_wish {
    const char *server, *key, *pin;
};

/* -EINVAL: a file that cannot be read as one; -ENOENT: no server is known. Warns on standard error
 * of a file that others may read, and of one that is not ours. */
int client_config_load(struct client_config *ret, const struct client_wish *wish,
                       struct error *err);
void client_config_fini(struct client_config *config);
