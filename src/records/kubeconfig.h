/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a kubeconfig says of how to reach a cluster: of its current context, else of its first
 * cluster and user. */

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

#define KUBECONFIG_MOST 65536

/* In the arena, each ended by a zero byte; NULL data where the file does not say. */
struct kubeconfig {
    struct str server;                       /* "https://host:port" */
    struct str authority;                    /* PEM */
    struct str token;                        /* bearer */
    struct str certificate, certificate_key; /* PEM, both or none */
};

/* Files and programs that it names are not read: a kubeconfig that names some is refused. -EINVAL. */
int kubeconfig_parse(struct str text, struct arena *arena, struct kubeconfig *ret, struct error *err);
