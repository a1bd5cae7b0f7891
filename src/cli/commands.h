/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The functions behind the table in command.c. Each returns an exit code and has printed what it has
 * to say: answers on standard output, complaints on standard error. */

struct cli;

int command_run(struct cli *cli);
int command_submit(struct cli *cli);
int command_quote(struct cli *cli);
int command_why(struct cli *cli);
int command_queue(struct cli *cli);
int command_status(struct cli *cli);
int command_logs(struct cli *cli);
int command_cancel(struct cli *cli);
int command_bid(struct cli *cli);
int command_prices(struct cli *cli);
int command_nodes(struct cli *cli);
int command_node_add(struct cli *cli);
int command_drain(struct cli *cli);
int command_undrain(struct cli *cli);
int command_ask_set(struct cli *cli);
int command_settings(struct cli *cli);
int command_events(struct cli *cli);
int command_project_create(struct cli *cli);
int command_project_list(struct cli *cli);
int command_project_set(struct cli *cli);
int command_tier_set(struct cli *cli);
int command_tier_list(struct cli *cli);
int command_key_create(struct cli *cli);
int command_key_list(struct cli *cli);
int command_key_revoke(struct cli *cli);
int command_control_plane_add(struct cli *cli);
int command_control_plane_list(struct cli *cli);
int command_control_plane_remove(struct cli *cli);
int command_provider_add(struct cli *cli);
int command_provider_list(struct cli *cli);
int command_provider_remove(struct cli *cli);
int command_webhook_add(struct cli *cli);
int command_webhook_list(struct cli *cli);
int command_webhook_remove(struct cli *cli);
int command_webhook_test(struct cli *cli);
int command_ledger(struct cli *cli);
int command_console(struct cli *cli);
int command_version(struct cli *cli);
int command_instance_create(struct cli *cli);
int command_instance_list(struct cli *cli);
int command_instance_types(struct cli *cli);
int command_instance_pause(struct cli *cli);
int command_instance_resume(struct cli *cli);
int command_instance_delete(struct cli *cli);
int command_ssh(struct cli *cli);
int command_mithril_config(struct cli *cli);
int command_volume_create(struct cli *cli);
int command_volume_list(struct cli *cli);
int command_volume_delete(struct cli *cli);
int command_reserve_create(struct cli *cli);
int command_reserve_list(struct cli *cli);
int command_reserve_pause(struct cli *cli);
int command_reserve_resume(struct cli *cli);
int command_reserve_extend(struct cli *cli);
int command_reserve_return(struct cli *cli);
