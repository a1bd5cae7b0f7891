/* SPDX-License-Identifier: Apache-2.0 */
#include "records/agent.h"

#define NAME_MAX_BYTES 128
#define SCRIPT_MAX_BYTES (256 << 10)
#define AMOUNT_MAX ((int64_t)1 << 40)
#define RECORD(type, text)                                                                         \
    const struct record type##_record = {.name = #type,                                            \
                                         .size = sizeof(struct type),                              \
                                         .fields = type##_fields,                                  \
                                         .count = ARRAY_COUNT(type##_fields),                      \
                                         .doc = (text)}
#define AT(type, member) .offset = offsetof(struct type, member)

static const struct field agent_join_fields[] = {
    {"name", FIELD_STR, AT(agent_join, name), .most = NAME_MAX_BYTES,
     .doc = "Wished name of the node."},
    {"machine", FIELD_STR, AT(agent_join, machine), .most = NAME_MAX_BYTES,
     .doc = "What tells this machine from others."},
};
RECORD(agent_join, "A machine that asks to join with a single-use token.");

static const struct field agent_joined_fields[] = {
    {"key", FIELD_STR, AT(agent_joined, key),
     .doc = "The key of this agent, shown once; bound to the node that first registers with it."},
};
RECORD(agent_joined, "The answer to a join.");

static const struct field agent_place_fields[] = {
    {"provider", FIELD_STR, AT(agent_place, provider), .most = NAME_MAX_BYTES,
     .doc = "Who supplies the node."},
    {"region", FIELD_STR, AT(agent_place, region), .most = NAME_MAX_BYTES, .doc = "Region."},
    {"zone", FIELD_STR, AT(agent_place, zone), .most = NAME_MAX_BYTES,
     .doc = "Zone of the region."},
    {"fabric", FIELD_STR, AT(agent_place, fabric), .most = NAME_MAX_BYTES,
     .doc = "Network fabric of the zone."},
    {"rack", FIELD_STR, AT(agent_place, rack), .most = NAME_MAX_BYTES,
     .doc = "Rack of the fabric."},
};
RECORD(agent_place, "Where a node stands.");

static const struct field agent_amounts_fields[] = {
    {"gpu_milli", FIELD_I64, AT(agent_amounts, gpu_milli), .least = 0, .most = 64000,
     .unit = "GPU/1000", .doc = "Thousandths of a GPU."},
    {"core_milli", FIELD_I64, AT(agent_amounts, core_milli), .least = 0, .most = AMOUNT_MAX,
     .unit = "core/1000", .doc = "Thousandths of a core."},
    {"memory_mib", FIELD_I64, AT(agent_amounts, memory_mib), .least = 0, .most = AMOUNT_MAX,
     .unit = "MiB", .doc = "Memory."},
    {"disk_mib", FIELD_I64, AT(agent_amounts, disk_mib), .least = 0, .most = AMOUNT_MAX,
     .unit = "MiB", .doc = "Local disk."},
};
RECORD(agent_amounts, "Amounts of what a node offers or a replica takes.");

static const struct field agent_gpu_fields[] = {
    {"index", FIELD_I64, AT(agent_gpu, index), .least = 0, .most = 63, .doc = "Index on the node."},
    {"uuid", FIELD_STR, AT(agent_gpu, uuid), .most = NAME_MAX_BYTES,
     .doc = "The device's own name."},
    {"model", FIELD_STR, AT(agent_gpu, model), .most = NAME_MAX_BYTES, .doc = "Model."},
    {"memory_mib", FIELD_I64, AT(agent_gpu, memory_mib), .least = 0, .most = AMOUNT_MAX,
     .unit = "MiB", .doc = "Memory of the device."},
    {"device", FIELD_STR, AT(agent_gpu, device), .most = NAME_MAX_BYTES,
     .doc = "The file that opens it, closed to work that has another."},
};
RECORD(agent_gpu, "One GPU of a node.");

static const struct field agent_facts_fields[] = {
    {"name", FIELD_STR, AT(agent_facts, name), .flags = FIELD_REQUIRED, .most = NAME_MAX_BYTES,
     .doc = "Name of the node, unique in the fleet; the same name again is the same node."},
    {"version", FIELD_STR, AT(agent_facts, version), .most = NAME_MAX_BYTES,
     .doc = "Version of the agent."},
    {"boot", FIELD_STR, AT(agent_facts, boot), .most = NAME_MAX_BYTES,
     .doc = "Id of the machine's boot: under another one no process of before lives."},
    {"address", FIELD_STR, AT(agent_facts, address), .flags = FIELD_REQUIRED,
     .most = NAME_MAX_BYTES, .doc = "Address at which the replicas of a gang reach one another."},
    {"sku", FIELD_STR, AT(agent_facts, sku), .flags = FIELD_REQUIRED, .most = NAME_MAX_BYTES,
     .doc = "Make of the node; nodes of one SKU are alike."},
    {"accelerator", FIELD_STR, AT(agent_facts, accelerator), .most = NAME_MAX_BYTES,
     .doc = "Model of its GPUs, empty where it has none."},
    {"place", FIELD_RECORD, AT(agent_facts, place), .flags = FIELD_REQUIRED,
     .record = &agent_place_record, .doc = "Where it stands."},
    {"amounts", FIELD_RECORD, AT(agent_facts, amounts), .flags = FIELD_REQUIRED,
     .record = &agent_amounts_record, .doc = "What it gives to workloads."},
    {"labels", FIELD_LIST, .item = FIELD_STR, AT(agent_facts, labels), .most = 16,
     .doc = "Labels of the node."},
    {"gpus", FIELD_LIST, .item = FIELD_RECORD, AT(agent_facts, gpus), .most = 64,
     .record = &agent_gpu_record, .doc = "Its GPUs."},
    {"missing", FIELD_LIST, .item = FIELD_STR, AT(agent_facts, missing), .most = 64,
     .doc = "Capabilities that the agent goes without."},
    {"unconfined", FIELD_BOOL, AT(agent_facts, unconfined),
     .doc = "Work runs as the agent's own user: only the owner's project may use it."},
    {"ask_udollar_per_hour", FIELD_I64, AT(agent_facts, ask_udollar_per_hour),
     .flags = FIELD_PRESENT, .present_offset = offsetof(struct agent_facts, ask_present),
     .least = 0, .most = 2147483647, .unit = "µ$/unit-hour",
     .doc = "Rate under which the node does not run."},
};
RECORD(agent_facts, "What an agent found on its machine.");

static const struct field agent_registered_fields[] = {
    {"node", FIELD_STR, AT(agent_registered, node), .doc = "Id of the node."},
    {"contact_timeout_ms", FIELD_I64, AT(agent_registered, contact_timeout_ms), .unit = "ms",
     .doc = "Out of contact for so long, a node is given up."},
    {"renew_ms", FIELD_I64, AT(agent_registered, renew_ms), .unit = "ms",
     .doc = "The longest time from one poll to the next."},
    {"now_ms", FIELD_I64, AT(agent_registered, now_ms), .unit = "ms", .doc = "The server's clock."},
};
RECORD(agent_registered, "The answer to a registration.");

static const char *const lost_contact_names[] = {"continue", "freeze", NULL};
static const struct field agent_spec_fields[] = {
    {"name", FIELD_STR, AT(agent_spec, name), .doc = "Name of the workload."},
    {"project", FIELD_STR, AT(agent_spec, project), .doc = "Name of its project."},
    {"setup", FIELD_STR, AT(agent_spec, setup), .most = SCRIPT_MAX_BYTES,
     .doc = "Script that runs first."},
    {"run", FIELD_STR, AT(agent_spec, run), .most = SCRIPT_MAX_BYTES,
     .doc = "Script that is the work."},
    {"envs", FIELD_MAP, AT(agent_spec, envs), .doc = "Environment."},
    {"secrets", FIELD_MAP, AT(agent_spec, secrets), .flags = FIELD_SECRET,
     .doc = "Environment that nobody is shown."},
    {"archive", FIELD_STR, AT(agent_spec, archive), .most = 64,
     .doc = "SHA-256 of the uploaded files."},
    {"workdir", FIELD_STR, AT(agent_spec, workdir),
     .doc = "Path in the archive that becomes the working directory."},
    {"mounts", FIELD_MAP, AT(agent_spec, mounts), .doc = "Path on the node: path in the archive."},
    {"nodes", FIELD_I64, AT(agent_spec, nodes), .doc = "Replicas of the gang."},
    {"gpus_per_node", FIELD_I64, AT(agent_spec, gpus_per_node), .doc = "GPUs of each replica."},
    {"notice_ms", FIELD_I64, AT(agent_spec, notice_ms), .unit = "ms",
     .doc = "Between signal and kill."},
    {"signal", FIELD_I64, AT(agent_spec, signal), .least = 1, .most = 64, .fallback = 15,
     .doc = "Number of the signal that announces the end."},
    {"on_lost_contact", FIELD_ENUM, AT(agent_spec, on_lost_contact), .names = lost_contact_names,
     .doc = "What its holder does when the server is out of reach."},
};
RECORD(agent_spec, "What a replica runs.");

static const char *const volume_names[] = {"block", "file", NULL};
static const struct field agent_volume_fields[] = {
    {"id", FIELD_STR, AT(agent_volume, id), .doc = "Id of the volume."},
    {"name", FIELD_STR, AT(agent_volume, name), .doc = "Names its mount and its device."},
    {"kind", FIELD_ENUM, AT(agent_volume, kind), .names = volume_names, .doc = "What it is."},
    {"size_mib", FIELD_I64, AT(agent_volume, size_mib), .unit = "MiB", .doc = "Size."},
};
RECORD(agent_volume, "A volume in an instance.");

static const struct field agent_instance_fields[] = {
    {"id", FIELD_STR, AT(agent_instance, id), .doc = "Id of the instance; names its boot disk."},
    {"name", FIELD_STR, AT(agent_instance, name), .doc = "Host name."},
    {"order", FIELD_STR, AT(agent_instance, order), .doc = "Bid or reservation."},
    {"project", FIELD_STR, AT(agent_instance, project), .doc = "Id of the project."},
    {"region", FIELD_STR, AT(agent_instance, region), .doc = "Region, as clients name it."},
    {"type", FIELD_STR, AT(agent_instance, type), .doc = "Name of the instance type."},
    {"image", FIELD_STR, AT(agent_instance, image),
     .doc = "Name of the image; empty: the node's own."},
    {"ssh_keys", FIELD_LIST, .item = FIELD_STR, AT(agent_instance, ssh_keys), .most = 256,
     .doc = "Public keys that may log in."},
    {"startup_script", FIELD_STR, AT(agent_instance, startup_script), .most = SCRIPT_MAX_BYTES,
     .doc = "Runs once on a new boot disk."},
    {"boot", FIELD_I64, AT(agent_instance, boot), .least = 0, .most = INT64_MAX,
     .doc = "Number of the boot disk: one made for a lower number is made anew."},
    {"volumes", FIELD_LIST, .item = FIELD_RECORD, AT(agent_instance, volumes), .most = 256,
     .record = &agent_volume_record, .doc = "Volumes attached to it."},
};
RECORD(agent_instance, "A machine handed to its owner.");

static const char *const action_names[] = {"prepare", "run", "stop", NULL};
static const char *const stop_names[] = {"preempt", "relocate", "end", NULL};
static const struct field agent_replica_fields[] = {
    {"workload", FIELD_STR, AT(agent_replica, workload), .doc = "Workload."},
    {"attempt", FIELD_I64, AT(agent_replica, attempt), .doc = "Attempt, from 1."},
    {"role", FIELD_I64, AT(agent_replica, role), .doc = "Role in the workload."},
    {"rank", FIELD_I64, AT(agent_replica, rank), .doc = "Rank in the gang."},
    {"action", FIELD_ENUM, AT(agent_replica, action), .names = action_names,
     .doc = "What should be."},
    {"deadline_ms", FIELD_I64, AT(agent_replica, deadline_ms), .flags = FIELD_OMIT_EMPTY,
     .unit = "ms", .doc = "Stop: time of the kill."},
    {"stop_in_ms", FIELD_I64, AT(agent_replica, stop_in_ms), .flags = FIELD_OMIT_EMPTY,
     .unit = "ms", .doc = "Stop: time until the kill."},
    {"amounts", FIELD_RECORD, AT(agent_replica, amounts), .record = &agent_amounts_record,
     .doc = "What it may use."},
    {"gpus", FIELD_LIST, .item = FIELD_I64, AT(agent_replica, gpus), .most = 64,
     .doc = "Indices of its GPUs."},
    {"ips", FIELD_LIST, .item = FIELD_STR, AT(agent_replica, ips), .most = 100000,
     .doc = "Addresses of all ranks."},
    {"master_address", FIELD_STR, AT(agent_replica, master_address), .doc = "Address of rank 0."},
    {"master_port", FIELD_I64, AT(agent_replica, master_port), .doc = "Port drawn for rank 0."},
    {"spec", FIELD_RECORD, AT(agent_replica, spec), .record = &agent_spec_record,
     .doc = "What to run."},
    {"instance", FIELD_RECORD, AT(agent_replica, instance), .flags = FIELD_OMIT_EMPTY,
     .record = &agent_instance_record, .doc = "The instance that it is, where it is one."},
    {"stop", FIELD_ENUM, AT(agent_replica, stop), .flags = FIELD_OMIT_EMPTY, .names = stop_names,
     .doc = "Why an instance stops."},
};
RECORD(agent_replica, "One replica that a node should have.");

static const struct field agent_poll_fields[] = {
    {"since", FIELD_I64, AT(agent_poll, since), .least = 0, .most = INT64_MAX,
     .doc = "Version that the agent has."},
    {"wait_ms", FIELD_I64, AT(agent_poll, wait_ms), .least = 0, .most = AGENT_WAIT_MAX_MS,
     .unit = "ms", .doc = "The longest wait for another version."},
};
RECORD(agent_poll, "An agent asks what its node should run, and renews its contact.");

static const struct field agent_desired_fields[] = {
    {"version", FIELD_I64, AT(agent_desired, version), .doc = "Version of the desired state."},
    {"contact_timeout_ms", FIELD_I64, AT(agent_desired, contact_timeout_ms), .unit = "ms",
     .doc = "Out of contact for so long, a node is given up."},
    {"changed", FIELD_BOOL, AT(agent_desired, changed), .doc = "Whether `replicas` says anything."},
    {"replicas", FIELD_LIST, .item = FIELD_RECORD, AT(agent_desired, replicas),
     .most = AGENT_REPLICAS_MAX, .record = &agent_replica_record,
     .doc = "All that should be on the node."},
};
RECORD(agent_desired, "The desired state of a node.");

static const char *const report_names[] = {"started", "ended", "port_busy", "phase", NULL};
static const char *const phase_names[] = {"initializing", "starting", NULL};
static const struct field agent_report_fields[] = {
    {"kind", FIELD_ENUM, AT(agent_report, kind), .flags = FIELD_REQUIRED, .names = report_names,
     .doc = "What happened."},
    {"workload", FIELD_STR, AT(agent_report, workload), .flags = FIELD_REQUIRED, .most = 32,
     .doc = "Workload."},
    {"attempt", FIELD_I64, AT(agent_report, attempt), .flags = FIELD_REQUIRED, .least = 1,
     .most = UINT32_MAX, .doc = "Attempt."},
    {"role", FIELD_I64, AT(agent_report, role), .least = 0, .most = 15, .doc = "Role."},
    {"rank", FIELD_I64, AT(agent_report, rank), .least = 0, .most = 2097151, .doc = "Rank."},
    {"exit_code", FIELD_I64, AT(agent_report, exit_code), .least = 0, .most = 255,
     .doc = "Exit code."},
    {"signal", FIELD_I64, AT(agent_report, signal), .least = 0, .most = 64,
     .doc = "Signal that killed it."},
    {"oom", FIELD_BOOL, AT(agent_report, oom), .doc = "Whether it was killed for memory."},
    {"text", FIELD_STR, AT(agent_report, text), .most = AGENT_LAST_LINES_MAX,
     .doc = "Why it could not start."},
    {"last_lines", FIELD_STR, AT(agent_report, last_lines), .most = AGENT_LAST_LINES_MAX,
     .doc = "The end of its log."},
    {"at_ms", FIELD_I64, AT(agent_report, at_ms), .least = 0, .most = INT64_MAX, .unit = "ms",
     .doc = "When it happened."},
    {"ago_ms", FIELD_I64, AT(agent_report, ago_ms), .least = -1, .most = INT64_MAX, .fallback = -1,
     .unit = "ms", .doc = "How long ago it happened, -1 where that is not known."},
    {"port", FIELD_I64, AT(agent_report, port), .least = 0, .most = 65535,
     .doc = "The port that was busy."},
    {"phase", FIELD_ENUM, AT(agent_report, phase), .flags = FIELD_OMIT_EMPTY, .names = phase_names,
     .doc = "How far an instance is on its way to its start."},
    {"ssh_destination", FIELD_STR, AT(agent_report, ssh_destination), .flags = FIELD_OMIT_EMPTY,
     .most = 64, .doc = "Address at which an instance answers on port 22."},
    {"private_ip", FIELD_STR, AT(agent_report, private_ip), .flags = FIELD_OMIT_EMPTY, .most = 64,
     .doc = "An instance's own address."},
};
RECORD(agent_report, "What happened to a replica.");

static const struct field agent_reports_fields[] = {
    {"reports", FIELD_LIST, .item = FIELD_RECORD, AT(agent_reports, reports),
     .flags = FIELD_REQUIRED, .most = AGENT_REPORTS_MAX, .record = &agent_report_record,
     .doc = "In order of time."},
};
RECORD(agent_reports, "What happened on a node.");

static const char *const verdict_names[] = {"ok", "stale", NULL};
static const struct field agent_outcome_fields[] = {
    {"verdict", FIELD_ENUM, AT(agent_outcome, verdict), .names = verdict_names,
     .doc = "Stale: the replica is not wanted any more."},
};
RECORD(agent_outcome, "What became of a report.");

static const struct field agent_outcomes_fields[] = {
    {"outcomes", FIELD_LIST, .item = FIELD_RECORD, AT(agent_outcomes, outcomes),
     .most = AGENT_REPORTS_MAX, .record = &agent_outcome_record,
     .doc = "One a report, same order."},
};
RECORD(agent_outcomes, "The answer to reports.");

static const struct field agent_disks_fields[] = {
    {"disks", FIELD_LIST, .item = FIELD_STR, AT(agent_disks, disks), .flags = FIELD_REQUIRED,
     .most = AGENT_DISKS_MAX, .doc = "Ids of instances and volumes that the node keeps disks of."},
};
RECORD(agent_disks, "Disks that a node keeps.");

static const struct field agent_disks_gone_fields[] = {
    {"gone", FIELD_LIST, .item = FIELD_STR, AT(agent_disks_gone, gone), .most = AGENT_DISKS_MAX,
     .doc = "Those of them that may be deleted."},
};
RECORD(agent_disks_gone, "Disks that nobody will want again.");

static const struct field agent_log_size_fields[] = {
    {"size", FIELD_I64, AT(agent_log_size, size), .unit = "bytes", .doc = "What the server has."},
    {"full", FIELD_BOOL, AT(agent_log_size, full),
     .doc = "Whether the cap of a replica is reached."},
};
RECORD(agent_log_size, "How much of a log the server has.");
