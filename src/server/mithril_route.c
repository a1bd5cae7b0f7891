/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what may be asked under /v2. */
#include "server/mithril.h"

#define MAY(role) (1u << ROLE_##role)
#define ADMIN MAY(ADMIN)
#define OPERATOR (ADMIN | MAY(OPERATOR))
#define MEMBER (OPERATOR | MAY(MEMBER))
#define VIEWER (MEMBER | MAY(VIEWER))
#define GET(path, handler) {HTTP_GET, path, VIEWER, .read = handler}
/* Answered again from memory while the state stands still. */
#define KEPT(path, handler) {HTTP_GET, path, VIEWER, .read = handler, .kept = true}
#define HISTORY(path, handler) {HTTP_GET, path, VIEWER, .read = handler, .tables = true}
#define POST(path, body, handler) {HTTP_POST, path, MEMBER, &body##_record, .read = handler, .status = 201}
#define PATCH(path, body, handler) {HTTP_PATCH, path, MEMBER, &body##_record, .read = handler}
#define DELETE(path, handler) {HTTP_DELETE, path, MEMBER, .read = handler}

/* clang-format off */
const struct api_route mithril_routes[] = {
    GET("/v2/api-keys", mithril_key_list),
    POST("/v2/api-keys", mithril_api_key_create, mithril_key_create),
    DELETE("/v2/api-keys/{fid}", mithril_key_delete),
    GET("/v2/me", mithril_me),
    GET("/v2/me/teammates", mithril_teammates),
    KEPT("/v2/ssh-keys", mithril_ssh_key_list),
    POST("/v2/ssh-keys", mithril_ssh_key_create, mithril_ssh_key_create),
    PATCH("/v2/ssh-keys/{fid}", mithril_ssh_key_change, mithril_ssh_key_change),
    DELETE("/v2/ssh-keys/{fid}", mithril_ssh_key_delete),
    KEPT("/v2/spot/bids", mithril_bid_list),
    POST("/v2/spot/bids", mithril_bid_create, mithril_bid_create),
    GET("/v2/spot/bids/{fid}", mithril_bid_get),
    PATCH("/v2/spot/bids/{fid}", mithril_bid_change, mithril_bid_change),
    DELETE("/v2/spot/bids/{fid}", mithril_bid_delete),
    GET("/v2/spot/bids/{fid}/status", mithril_bid_status),
    HISTORY("/v2/spot/bids/{fid}/history", mithril_bid_history),
    KEPT("/v2/spot/availability", mithril_availability),
    KEPT("/v2/lifecycle-scripts", mithril_script_list),
    POST("/v2/lifecycle-scripts", mithril_script_create, mithril_script_create),
    GET("/v2/lifecycle-scripts/{fid}/content", mithril_script_content),
    PATCH("/v2/lifecycle-scripts/{fid}", mithril_script_change, mithril_script_change),
    DELETE("/v2/lifecycle-scripts/{fid}", mithril_script_delete),
    KEPT("/v2/volumes", mithril_volume_list),
    POST("/v2/volumes", mithril_volume_create, mithril_volume_create),
    PATCH("/v2/volumes/{fid}", mithril_volume_change, mithril_volume_change),
    DELETE("/v2/volumes/{fid}", mithril_volume_delete),
    KEPT("/v2/pricing/current", mithril_price_now),
    HISTORY("/v2/pricing/history", mithril_price_history),
    KEPT("/v2/instances", mithril_instance_list),
    PATCH("/v2/instances", mithril_instances_change, mithril_instance_change),
    GET("/v2/instances/{fid}/status", mithril_instance_status),
    POST("/v2/instances/{fid}/refresh-boot-disk", mithril_boot_disk, mithril_boot_disk),
    HISTORY("/v2/instances/status/history", mithril_status_history),
    HISTORY("/v2/instances/pricing/history", mithril_charge_history),
    KEPT("/v2/reservation/instance-types", mithril_reservable),
    GET("/v2/reservation/quote", mithril_reservation_quote),
    GET("/v2/reservation/availability", mithril_reservation_availability),
    POST("/v2/reservation", mithril_reservation_create, mithril_reservation_create),
    KEPT("/v2/reservation", mithril_reservation_list),
    GET("/v2/reservation/{fid}", mithril_reservation_get),
    GET("/v2/reservation/{fid}/extension-availability", mithril_extension),
    POST("/v2/reservation/{fid}/extend", mithril_reservation_extend, mithril_reservation_extend),
    PATCH("/v2/reservation/{fid}", mithril_reservation_change, mithril_reservation_change),
    POST("/v2/reservation/{fid}/terminate-instances", mithril_instances_end, mithril_reservation_end),
    HISTORY("/v2/reservation/{fid}/history", mithril_reservation_history),
    HISTORY("/v2/reservation/{fid}/usage", mithril_reservation_usage),
    GET("/v2/kubernetes/clusters", mithril_cluster_list),
    POST("/v2/kubernetes/clusters", mithril_cluster_create, mithril_cluster_create),
    GET("/v2/kubernetes/clusters/{fid}", mithril_cluster_get),
    DELETE("/v2/kubernetes/clusters/{fid}", mithril_cluster_delete),
    GET("/v2/mcc-image-versions", mithril_cluster_images),
    KEPT("/v2/instance-types", mithril_type_list),
    KEPT("/v2/projects", mithril_project_list),
    KEPT("/v2/image-versions", mithril_image_list),
    KEPT("/v2/quotas", mithril_quota_list),
    KEPT("/v2/catalog.csv", mithril_catalogue),
};
/* clang-format on */
const size_t mithril_route_count = ARRAY_COUNT(mithril_routes);
