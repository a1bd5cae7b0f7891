/* SPDX-License-Identifier: Apache-2.0 */
#include "records/mithril.h"

#include "records/object.h"
#include "records/table.h"

#define NEED FIELD_REQUIRED
#define RAW(type, member, text) {#member, FIELD_JSON, AT(type, member), .most = 64 * 1024, .doc = (text)}

static const struct field mithril_launch_fields[] = {
    TEXTS(mithril_launch, volumes, NEED, 20, "Volumes."),
    TEXTS(mithril_launch, ssh_keys, NEED, 64, "Public keys that may log in."),
    SHORT(mithril_launch, startup_script, OMIT, 10000, "Run once, on the first boot."),
    SHORT(mithril_launch, kubernetes_cluster, OMIT, NAME_MOST, "Cluster to join."),
    SHORT(mithril_launch, image_version, OMIT, NAME_MOST, "Image of the boot disk."),
    PRESENT(mithril_launch, memory_gb, memory_present, 1, 1 << 20, "GB", "Memory, less than the type has."),
};
static const struct record mithril_launch_record = {.name = "mithril_launch", .size = sizeof(struct mithril_launch),
    .fields = mithril_launch_fields, .count = ARRAY_COUNT(mithril_launch_fields), .doc = "What instances are started with."};

#define B mithril_bid_create
static const struct field mithril_bid_create_fields[] = {
    SHORT(B, project, NEED, NAME_MOST, "Project."),
    SHORT(B, region, NEED, NAME_MOST, "Region."),
    SHORT(B, instance_type, NEED, NAME_MOST, "Instance type."),
    SHORT(B, limit_price, NEED, 32, "Dollars per instance-hour."),
    RANGE(B, instance_quantity, NEED, 1, 256, "instances", "How many, all or nothing."),
    SHORT(B, name, NEED, 100, "Unique among the live bids of the project."),
    {"launch_specification", FIELD_RECORD, AT(B, launch_specification), .flags = NEED, .record = &mithril_launch_record, .doc = "What is started."},
    SHORT(B, notification_email, OMIT, 254, "Who is told."),
};
RECORD(mithril_bid_create, "A standing bid for instances.");

static const struct field mithril_bid_change_fields[] = {
    SHORT(mithril_bid_change, limit_price, OMIT, 32, "Dollars per instance-hour."),
    RAW(mithril_bid_change, paused, "Whether it is paused."),
    RAW(mithril_bid_change, volumes, "Its volumes, while it is paused."),
    PRESENT(mithril_bid_change, memory_gb, memory_present, 1, 1 << 20, "GB", "Memory."),
};
RECORD(mithril_bid_change, "What of a bid changes.");

static const struct field mithril_price_fields[] = {
    SHORT(mithril_price, offer_key, OMIT, 64, "Which offer of the quote; empty: standard."),
    PRESENT(mithril_price, max_unit_price, max_present, 0, MONEY_MOST, "cents", "Refused where the price is above."),
};
static const struct record mithril_price_record = {.name = "mithril_price", .size = sizeof(struct mithril_price),
    .fields = mithril_price_fields, .count = ARRAY_COUNT(mithril_price_fields), .doc = "Which price is taken."};

#define V mithril_reservation_create
static const struct field mithril_reservation_create_fields[] = {
    SHORT(V, project, NEED, NAME_MOST, "Project."),
    SHORT(V, instance_type, NEED, NAME_MOST, "Instance type."),
    SHORT(V, region, NEED, NAME_MOST, "Region."),
    SHORT(V, start_time, NEED, 64, "From."),
    SHORT(V, end_time, NEED, 64, "To."),
    RANGE(V, instance_quantity, NEED, 1, 256, "instances", "How many."),
    SHORT(V, name, NEED, 100, "Name."),
    {"launch_specification", FIELD_RECORD, AT(V, launch_specification), .flags = NEED, .record = &mithril_launch_record, .doc = "What is started."},
    INLINE(V, price_specification, mithril_price, "Which price is taken."),
    SHORT(V, notification_email, OMIT, 254, "Who is told."),
};
RECORD(mithril_reservation_create, "Instances for a window of time.");

static const struct field mithril_reservation_extend_fields[] = {
    SHORT(mithril_reservation_extend, end_time, NEED, 64, "New end."),
    INLINE(mithril_reservation_extend, price_specification, mithril_price, "Which price is taken."),
};
RECORD(mithril_reservation_extend, "A later end.");

static const struct field mithril_reservation_change_fields[] = {
    RAW(mithril_reservation_change, paused, "Whether it is paused."),
    RAW(mithril_reservation_change, volumes, "Its volumes."),
};
RECORD(mithril_reservation_change, "What of a reservation changes.");

static const struct field mithril_instances_end_fields[] = {
    TEXTS(mithril_instances_end, instances, NEED, 256, "Which."),
    FLAG(mithril_instances_end, reduce_capacity, NEED, "Whether the reservation shrinks by them."),
};
RECORD(mithril_instances_end, "Instances that are given back.");

static const char *const instances_status_names[] = {"STATUS_RUNNING", "STATUS_PAUSED", NULL};
static const struct field mithril_instances_change_fields[] = {
    TEXTS(mithril_instances_change, instances, NEED, 256, "Which."),
    {"status", FIELD_ENUM, AT(mithril_instances_change, status), .flags = NEED, .names = instances_status_names, .doc = "What they should be."},
};
RECORD(mithril_instances_change, "Instances that are paused or resumed.");

static const struct field mithril_boot_disk_fields[] = {
    SHORT(mithril_boot_disk, image_version, OMIT, NAME_MOST, "Image of the new disk."),
};
RECORD(mithril_boot_disk, "A fresh boot disk.");

static const struct field mithril_ssh_key_create_fields[] = {
    SHORT(mithril_ssh_key_create, project, NEED, NAME_MOST, "Project."),
    SHORT(mithril_ssh_key_create, name, NEED, NAME_MOST, "Name."),
    SHORT(mithril_ssh_key_create, public_key, OMIT, 16384, "Public key; empty: a pair is made."),
    FLAG(mithril_ssh_key_create, required, OMIT, "On every instance of the project."),
};
RECORD(mithril_ssh_key_create, "A public key that logs in to instances.");

static const struct field mithril_ssh_key_change_fields[] = {
    FLAG(mithril_ssh_key_change, required, NEED, "On every instance of the project."),
};
RECORD(mithril_ssh_key_change, "What of a key changes.");

static const char *const script_scope_names[] = {"PROJECT", "ORGANIZATION", NULL};
static const struct field mithril_script_create_fields[] = {
    SHORT(mithril_script_create, project, NEED, NAME_MOST, "Project."),
    SHORT(mithril_script_create, name, NEED, NAME_MOST, "Name."),
    SHORT(mithril_script_create, content, NEED, 128 * 1024, "What is run."),
    SHORT(mithril_script_create, description, OMIT, 4096, "For people."),
    {"scope", FIELD_ENUM, AT(mithril_script_create, scope), .names = script_scope_names, .doc = "Who sees it."},
};
RECORD(mithril_script_create, "A script kept under a name.");

static const struct field mithril_script_change_fields[] = {
    SHORT(mithril_script_change, name, OMIT, NAME_MOST, "Name."),
    RAW(mithril_script_change, description, "For people."),
    SHORT(mithril_script_change, scope, OMIT, 16, "Who sees it."),
};
RECORD(mithril_script_change, "What of a script changes.");

static const struct field mithril_volume_create_fields[] = {
    SHORT(mithril_volume_create, name, NEED, 64, "Name: a small letter, then letters, digits and -."),
    SHORT(mithril_volume_create, project, NEED, NAME_MOST, "Project."),
    {"disk_interface", FIELD_ENUM, AT(mithril_volume_create, disk_interface), .flags = NEED, .names = object_volume_interface_names,
     .doc = "A disk of one, or a folder of many."},
    SHORT(mithril_volume_create, region, NEED, NAME_MOST, "Region."),
    RANGE(mithril_volume_create, size_gb, NEED, 1, ((int64_t)2 << 20) - 1, "GB", "Size."),
};
RECORD(mithril_volume_create, "Storage that outlives instances.");

static const struct field mithril_volume_change_fields[] = {
    SHORT(mithril_volume_change, name, NEED, 64, "Name."),
};
RECORD(mithril_volume_change, "What of a volume changes.");

static const struct field mithril_api_key_create_fields[] = {
    SHORT(mithril_api_key_create, name, NEED, NAME_MOST, "Name."),
    SHORT(mithril_api_key_create, expires_at, NEED, 64, "When it ends."),
};
RECORD(mithril_api_key_create, "A key for the API.");

static const struct field mithril_cluster_create_fields[] = {
    SHORT(mithril_cluster_create, name, NEED, NAME_MOST, "Name."),
    SHORT(mithril_cluster_create, project, NEED, NAME_MOST, "Project."),
    SHORT(mithril_cluster_create, region, NEED, NAME_MOST, "Region."),
    TEXTS(mithril_cluster_create, ssh_keys, NEED, 64, "Public keys that may log in."),
    SHORT(mithril_cluster_create, instance_type, NEED, NAME_MOST, "Instance type of its control plane."),
    SHORT(mithril_cluster_create, k8s_version, OMIT, 16, "1.34 or 1.29."),
    SHORT(mithril_cluster_create, image_version, OMIT, NAME_MOST, "Image."),
};
RECORD(mithril_cluster_create, "A Kubernetes cluster.");
