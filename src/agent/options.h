/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The command line of `tessera agent`. */

#include "base/error.h"
#include "base/number.h"
#include "records/agent.h"

#include <stdbool.h>

struct agent_options {
    const char *data, *server, *pin;
    const char *key_file;   /* NULL: DATA/key */
    const char *token_file; /* of --join; NULL: TESSERA_TOKEN of the environment */
    const char *name, *address, *sku;
    const char *topology; /* hwloc's XML instead of this machine */
    const char *facts, *record;
    const char *image;   /* of instances; NULL: none are handed out */
    const char *storage; /* boot disks and volumes; NULL: DATA/storage */
    int64_t core_milli, memory_mib, disk_mib; /* 0 = all there is */
    struct agent_place place;
    struct str labels[16];
    size_t label_count;
    int64_t ask_udollar;
    bool ask_present, insecure, join, help, verbose;
};

/* Borrows from argv. */
int agent_options_parse(struct agent_options *ret, int argc, char **argv, struct error *err);
void agent_options_help(void);
