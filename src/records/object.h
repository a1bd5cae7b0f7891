/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What objects of the engine say: packed in the binary form of these tables, whose fields are only
 * ever appended. */

#include "wire/record.h"

#define OBJECT_KUBECONFIG_MOST 65536
#define OBJECT_JOIN_MOST 4096

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

/* Of the operator's; once a cluster has had it, no other one gets it. */
struct object_control_plane {
    struct str address;      /* "https://host:port" */
    struct str kubeconfig;   /* how it is asked whether it is ready */
    struct str join_command; /* of a worker */
    struct str region, k8s_version;
    int64_t cluster; /* object that has or had it, 0 = free */
    bool ready;      /* it has answered since */
};

struct object_cluster {
    struct str region, k8s_version, instance_type;
    struct record_list ssh_keys; /* of struct str: their ids */
};

/* What a project wants told to others. */
struct object_webhook {
    struct str url;           /* "https://…" */
    struct record_list types; /* of struct str: of events */
    struct str secret;        /* "whsec_…", with which it is signed */
};

extern const struct record object_ssh_key_record, object_volume_record, object_script_record;
extern const struct record object_control_plane_record, object_cluster_record, object_webhook_record;

/* The bytes for the engine; in the arena. NULL data: it does not fit there. */
struct str object_pack(const struct record *record, const void *value, struct arena *arena);
/* False: they are of another table. */
bool object_unpack(const struct record *record, struct str body, struct arena *arena, void *ret);
