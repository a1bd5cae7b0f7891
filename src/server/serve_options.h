/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The command line of `tessera serve`, and what follows from it. */

#include "base/error.h"

#include <stdbool.h>

struct serve_options {
    const char *webhook_ca;
    const char *smtp, *smtp_password_file, *smtp_from;
    bool webhook_allow_private;
    const char *data, *listen, *tls_cert, *tls_key, *advertise, *console;
    int port;        /* on loopback */
    long snapshot_every; /* commands; 0 = the core's own */
    bool insecure, rebuild_tables;
    bool memory; /* --store memory */
    const char *region_names; /* "ZONE=NAME,…", each once; NULL = none */
    /* what follows from it */
    char address[256]; /* of --listen, without the port; empty where there is none */
    int listen_port;
    char url[64];        /* on loopback */
    char advertised[512]; /* URL for other machines, empty where there is none */
    char console_path[4096]; /* empty where no console is built */
};

/* 0: go on; 1: help was printed; -EINVAL: err says what is wrong. */
int serve_options_parse(struct serve_options *ret, int argc, char **argv, struct error *err);
/* The host part of a URL or of "host:port", without brackets; -EINVAL where there is none. */
int url_host(const char *url, char *ret, int size);
