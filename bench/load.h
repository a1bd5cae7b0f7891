/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The modes of the load program; each prints one JSON object and returns an exit code. */

#include "client.h"

#include <stdio.h>

struct load_arguments {
    int port, interval_s;
    const char *key;
    const char *path, *body; /* call */
    const char *ids; /* file of ids, one a line: written by register, submit and fill, else read */
    unsigned connections, nodes, batch;
    double seconds;
    uint64_t seed;
};

int load_submit(const struct load_arguments *a);   /* load_submit.c */
int load_check(const struct load_arguments *a);    /* every id of the file is known to the server */
int load_register(const struct load_arguments *a); /* load_fleet.c */
int load_fill(const struct load_arguments *a);
int load_renew(const struct load_arguments *a);  /* until SIGTERM */
int load_call(const struct load_arguments *a);   /* load_call.c */
int load_agents(const struct load_arguments *a); /* load_agents.c; until SIGTERM */

/* ---- shared */

struct load_samples {
    uint32_t *us;
    size_t count, capacity;
};
void load_samples_add(struct load_samples *s, uint64_t us);
/* Milliseconds below which `permille` of the samples lie; sorts them. */
double load_samples_at(struct load_samples *s, unsigned permille);

/* The text member `name` of a flat answer; empty where absent. */
struct str load_member(struct str body, const char *name);
/* The lines of a file, terminated in place; the caller frees both. */
char **load_lines(const char *path, char **ret_text, size_t *ret_count);

/* Counts what was not 2xx and tells the first on standard error. */
struct load_refusals {
    uint64_t count;
};
bool load_accepted(struct load_refusals *r, int status, struct str body);
/* Set by SIGTERM and SIGINT once load_on_end was called. */
void load_on_end(struct load_client *client);
