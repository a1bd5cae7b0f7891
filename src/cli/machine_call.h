/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Calls of the API under /v2, whose answers are read as trees: commands for machines, volumes and
 * reservations. All return an exit code and have complained. */

#include "base/number.h"
#include "cli/session.h"
#include "wire/json.h"

int machine_get(struct cli *cli, const char *path, struct json_value *ret);
/* `ret` may be NULL. */
int machine_send(struct cli *cli, const char *method, const char *path, const struct buf *body, struct json_value *ret);

/* Id of the project of --project, else the only one or `default`. */
int machine_project(struct cli *cli, struct str *ret);
/* Type and region of --type and --region, by name; else the first that is offered. */
struct machine_place {
    struct str type, type_name, region;
};
int machine_place(struct cli *cli, struct machine_place *ret);
/* Ids of the keys of each --ssh-key FILE, made where the project lacks them; at least one. */
int machine_keys(struct cli *cli, struct str project, struct buf *ret_list);
/* Opens the body of an order: project, region, type, count, name, launch specification. The caller adds
 * the rest and closes it. */
int machine_order(struct cli *cli, const char *name, struct buf *body);
/* Finds one of a list by name or id: its object. */
int machine_find(struct cli *cli, const char *path, const char *what, const char *name, struct json_value *ret);
/* A table of a list's members: headings as of listing_begin, members by name. */
void machine_table(const struct json_value *list, const char *headings, const char *const *members);
