/* SPDX-License-Identifier: Apache-2.0 */
#include "records/object.h"

#include "records/table.h"

const char *const object_volume_interface_names[] = {"Block", "File", NULL};
const char *const object_script_scope_names[] = {"PROJECT", "ORGANIZATION", "PLATFORM", NULL};

static const struct field object_ssh_key_fields[] = {
    SHORT(object_ssh_key, public_key, FIELD_REQUIRED, 16384, "Public key, one line."),
    FLAG(object_ssh_key, required, OMIT, "On every instance of its project."),
};
RECORD(object_ssh_key, "A public key that logs in to instances.");

static const struct field object_volume_fields[] = {
    {"interface", FIELD_ENUM, AT(object_volume, interface), .names = object_volume_interface_names,
     .doc = "A disk of one, or a folder of many."},
    RANGE(object_volume, size_gb, KEEP, 1, (int64_t)2 << 20, "GB", "Size."),
    SHORT(object_volume, region, KEEP, NAME_MOST, "Zone in which it can be attached."),
};
RECORD(object_volume, "Storage that outlives instances.");

static const struct field object_script_fields[] = {
    SHORT(object_script, content, FIELD_REQUIRED, 128 * 1024, "What is run."),
    SHORT(object_script, description, OMIT, 4096, "For people."),
    {"scope", FIELD_ENUM, AT(object_script, scope), .names = object_script_scope_names, .doc = "Who sees it."},
    COUNT(object_script, modified_by, OMIT, "principal", "Who changed it last."),
};
RECORD(object_script, "A script kept under a name.");

static const struct field object_control_plane_fields[] = {
    SHORT(object_control_plane, address, FIELD_REQUIRED, 1024, "Where it answers."),
    SHORT(object_control_plane, kubeconfig, FIELD_REQUIRED, OBJECT_KUBECONFIG_MOST, "How it is asked."),
    SHORT(object_control_plane, join_command, FIELD_REQUIRED, OBJECT_JOIN_MOST, "What a worker runs to join."),
    SHORT(object_control_plane, region, KEEP, NAME_MOST, "Where its workers may stand."),
    SHORT(object_control_plane, k8s_version, KEEP, 16, "Version of Kubernetes."),
    COUNT(object_control_plane, cluster, OMIT, "object", "Cluster that has or had it."),
    FLAG(object_control_plane, ready, OMIT, "It has answered since."),
};
RECORD(object_control_plane, "A control plane of Kubernetes.");

static const struct field object_cluster_fields[] = {
    SHORT(object_cluster, region, FIELD_REQUIRED, NAME_MOST, "Where its workers stand."),
    SHORT(object_cluster, k8s_version, KEEP, 16, "Version of Kubernetes."),
    SHORT(object_cluster, instance_type, KEEP, NAME_MOST, "As it was asked for."),
    TEXTS(object_cluster, ssh_keys, KEEP, 64, "Ids of public keys."),
};
RECORD(object_cluster, "A cluster of Kubernetes.");

static const struct field object_webhook_fields[] = {
    SHORT(object_webhook, url, FIELD_REQUIRED, 2048, "Where it is told."),
    TEXTS(object_webhook, types, KEEP, 64, "Types of events."),
    SHORT(object_webhook, secret, FIELD_SECRET | FIELD_REQUIRED, 128, "With which it is signed."),
};
RECORD(object_webhook, "What a project wants told to others.");

struct str object_pack(const struct record *record, const void *value, struct arena *arena)
{
    _cleanup_buf_ struct buf packed = BUF_INIT(BUF_LIMIT_DEFAULT);
    record_pack(record, value, &packed);
    return arena_str(arena, buf_str(&packed));
}

bool object_unpack(const struct record *record, struct str body, struct arena *arena, void *ret)
{
    struct unpack in = unpack_from(body);
    return record_unpack(record, &in, arena, ret, NULL) == 0 && in.at == in.size;
}
