/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What objects of the engine say: packed in the binary form of these tables, whose fields are only
 * ever appended. */

#include "wire/record.h"

struct object_ssh_key {
    struct str public_key; /* one line, as given */
    bool required;         /* on every instance of its project */
};

enum object_volume_interface { VOLUME_BLOCK, VOLUME_FILE };
extern const char *const object_volume_interface_names[]; /* Block, File */
struct object_volume {
    int32_t interface; /* enum object_volume_interface */
    int64_t size_gb;
    struct str region; /* zone in which it can be attached */
};

extern const char *const object_script_scope_names[]; /* PROJECT, ORGANIZATION, PLATFORM */
struct object_script {
    struct str content, description;
    int32_t scope;
    int64_t modified_by; /* principal */
};

struct object_quota {
    struct str instance_type; /* empty: of storage */
    int32_t product;          /* enum object_quota_product */
    int64_t total;
};
enum object_quota_product { QUOTA_SPOT, QUOTA_RESERVATIONS, QUOTA_STORAGE };
extern const char *const object_quota_product_names[]; /* Spot, Reservations, Storage */

extern const struct record object_ssh_key_record, object_volume_record, object_script_record, object_quota_record;

/* The bytes for the engine; in the arena. NULL data: it does not fit there. */
struct str object_pack(const struct record *record, const void *value, struct arena *arena);
/* False: they are of another table. */
bool object_unpack(const struct record *record, struct str body, struct arena *arena, void *ret);
