/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Bodies of requests under /v2, the Mithril API. Answers are written member by member, since that API
 * sends null where these tables leave out (server/mithril.h). */

#include "wire/record.h"

struct mithril_launch {
    struct record_list volumes, ssh_keys; /* of struct str */
    struct str startup_script, kubernetes_cluster, image_version;
    int64_t memory_gb;
    bool memory_present;
};
struct mithril_bid_create {
    struct str project, region, instance_type, limit_price, name, notification_email;
    int64_t instance_quantity;
    struct mithril_launch launch_specification;
};
struct mithril_bid_change {
    struct str limit_price;
    struct str paused;  /* JSON: true, false, or nothing */
    struct str volumes; /* JSON: a list, or nothing */
    int64_t memory_gb;
    bool memory_present;
};
struct mithril_price {
    struct str offer_key;
    int64_t max_unit_price;
    bool max_present;
};
struct mithril_reservation_create {
    struct str project, instance_type, region, start_time, end_time, name, notification_email;
    int64_t instance_quantity;
    struct mithril_launch launch_specification;
    struct mithril_price price_specification;
};
struct mithril_reservation_extend {
    struct str end_time;
    struct mithril_price price_specification;
};
struct mithril_reservation_change {
    struct str paused, volumes; /* JSON */
};
struct mithril_instances_end {
    struct record_list instances; /* of struct str */
    bool reduce_capacity;
};
struct mithril_instances_change {
    struct record_list instances; /* of struct str */
    int32_t status;               /* enum mithril_instances_status */
};
enum mithril_instances_status { MITHRIL_RUN, MITHRIL_PAUSE };
struct mithril_boot_disk {
    struct str image_version;
};
struct mithril_ssh_key_create {
    struct str project, name, public_key;
    bool required;
};
struct mithril_ssh_key_change {
    bool required;
};
struct mithril_script_create {
    struct str project, name, content, description;
    int32_t scope; /* enum of object_script_scope_names, the first two */
};
struct mithril_script_change {
    struct str name;
    struct str description; /* JSON: a text, null, or nothing */
    struct str scope;
};
struct mithril_volume_create {
    struct str name, project, region;
    int32_t disk_interface; /* enum object_volume_interface */
    int64_t size_gb;
};
struct mithril_volume_change {
    struct str name;
};
struct mithril_api_key_create {
    struct str name, expires_at;
};
struct mithril_cluster_create {
    struct str name, project, region, instance_type, k8s_version, image_version;
    struct record_list ssh_keys; /* of struct str */
};

extern const struct record mithril_bid_create_record, mithril_bid_change_record;
extern const struct record mithril_reservation_create_record, mithril_reservation_extend_record, mithril_reservation_change_record;
extern const struct record mithril_instances_end_record, mithril_instances_change_record, mithril_boot_disk_record;
extern const struct record mithril_ssh_key_create_record, mithril_ssh_key_change_record;
extern const struct record mithril_script_create_record, mithril_script_change_record;
extern const struct record mithril_volume_create_record, mithril_volume_change_record;
extern const struct record mithril_api_key_create_record, mithril_cluster_create_record;
