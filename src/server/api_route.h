/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The handlers behind the table of routes, file by file; each ends its call with one answer. */

#include "records/workload.h"
#include "server/api_internal.h"

api_handle route_workload_submit, route_workload_quote;
api_read route_workload_list, route_workload_get, route_workload_bid, route_workload_cancel;
api_read route_workload_pause, route_workload_resume;
api_read route_workload_why, route_workload_bill;
api_read route_price_list, route_price_history, route_ask_set;
api_handle route_node_add, route_node_renew;
api_read route_node_list, route_node_get, route_node_drain, route_node_undrain;
api_handle route_token_make;
api_read route_settings_get;
api_handle route_settings_set;
api_read route_project_list, route_project_get;
api_handle route_project_create, route_project_set, route_project_quotas;
api_read route_subscription_list;
api_handle route_subscription_set;
api_read route_key_list, route_whoami;
api_handle route_key_create, route_key_revoke;
api_read route_control_plane_list, route_control_plane_create, route_control_plane_delete;
api_read route_provider_list, route_provider_create, route_provider_delete;
api_read route_webhook_list, route_webhook_create, route_webhook_get, route_webhook_delete, route_webhook_test;
api_read route_ledger_list;
api_handle route_event_stream;
api_handle route_archive_put;
bool route_archive_admit(struct api_call *call);
api_read route_archive_get, route_binary_get;
api_handle route_console_code, route_console_sign_in, route_console_sign_out, route_console_page;
api_handle route_agent_join, route_agent_register, route_agent_poll, route_agent_report;
api_read route_agent_disks;
api_handle route_log_append;
api_read route_log_get;
api_handle route_openapi_get, route_health_get, route_ready_get;
api_read route_metrics_get;
