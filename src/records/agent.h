/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The messages between server and agents, and nothing else: an agent links this, base and wire.
 *
 *   POST /v1/agent/join      agent_join       -> agent_joined      (Bearer: join token)
 *   POST /v1/agent/register  agent_facts      -> agent_registered  (Bearer: agent key, from here
 * on) POST /v1/agent/poll      agent_poll       -> agent_desired POST /v1/agent/report
 * agent_reports    -> agent_outcomes POST /v1/agent/disks agent_disks -> agent_disks_gone POST /v1/agent/logs?workload=&attempt=&role=&rank=&offset= raw
 * bytes -> agent_log_size GET  /v1/archives/SHA256                                     -> raw bytes
 *
 * JSON goes over the wire, encoded with AUDIENCE_AGENT (secrets included). Desired state is told,
 * not ordered: what is absent from `agent_desired.replicas` must not run on the node. The binary
 * form of agent_spec stands in the journal: its fields are only ever appended. */

#include "wire/record.h"

/* ---- joining ------------------------------------------------------------------------------------
 */

struct agent_join {
    struct str name;    /* wished name of the node; made unique by the agent */
    struct str machine; /* /etc/machine-id or the like, for people */
};
struct agent_joined {
    struct str key; /* fkey_…, bound to the node that registers with it first */
};

/* ---- registration -------------------------------------------------------------------------------
 */

struct agent_place {
    struct str provider, region, zone, fabric, rack;
};
struct agent_amounts {
    int64_t gpu_milli, core_milli, memory_mib, disk_mib;
};
struct agent_gpu {
    int64_t index; /* bit of the mask, position in `gpus` of a replica */
    struct str uuid, model, device;
    int64_t memory_mib;
};

struct agent_facts {
    struct str name;        /* unique in the fleet; the same name again is the same node */
    struct str version;     /* of the agent */
    struct str boot;        /* /proc/sys/kernel/random/boot_id: another one = processes are gone */
    struct str address;     /* where the replicas of a gang reach one another */
    struct str sku;         /* make, "cpu" or "h100-8x"; pools are told apart by it */
    struct str accelerator; /* "H100"; empty where there is none */
    struct agent_place place;
    struct agent_amounts amounts; /* what it gives to workloads */
    struct record_list labels;    /* of struct str */
    struct record_list gpus;      /* of struct agent_gpu */
    struct record_list missing;   /* of struct str: capabilities that it goes without, for people */
    bool unconfined;              /* runs work as itself: takes only its owner's project's work */
    int64_t ask_udollar_per_hour; /* µ$ per unit-hour that the node asks; used where ask_present */
    bool ask_present;
};
struct agent_registered {
    struct str node;            /* node_…: ids are text to an agent, it lacks the key */
    int64_t contact_timeout_ms; /* out of contact for so long: given up, or frozen where asked */
    int64_t renew_ms;           /* a poll at least so often; waits are cut to it */
    int64_t now_ms;             /* the server's clock, to report a skew */
};

/* ---- desired state
 * -------------------------------------------------------------------------------- */

enum agent_lost_contact { AGENT_LOST_CONTINUE, AGENT_LOST_FREEZE };

/* What to run: the same for all replicas of a role, fixed at submit. */
struct agent_spec {
    struct str name;            /* of the workload, may be empty */
    struct str project;         /* name */
    struct str setup, run;      /* shell scripts; setup may be empty */
    struct record_list envs;    /* of struct record_pair */
    struct record_list secrets; /* of struct record_pair: environment too, never shown */
    struct str archive;         /* SHA-256 in hex, empty where nothing was uploaded */
    struct str workdir;         /* path inside the archive that becomes the working directory */
    struct record_list
        mounts;    /* of struct record_pair: target path on the node -> path inside the archive */
    int64_t nodes; /* replicas of the gang */
    int64_t gpus_per_node;   /* SKYPILOT_NUM_GPUS_PER_NODE: whole GPUs, 1 for a share */
    int64_t notice_ms;       /* between the signal and the kill */
    int64_t signal;          /* sent at preemption, 15 = SIGTERM */
    int32_t on_lost_contact; /* enum agent_lost_contact */
};

enum agent_volume_kind { AGENT_VOLUME_BLOCK, AGENT_VOLUME_FILE };
struct agent_volume {
    struct str id, name; /* vol_…; name: of its mount and of its device */
    int32_t kind;        /* enum agent_volume_kind */
    int64_t size_mib;
};

/* A machine handed to its owner, where `id` says something; the replica's amounts are its size. */
struct agent_instance {
    struct str id;   /* inst_…: the same over preemption, pause and move; names the boot disk */
    struct str name; /* "<order>-1": the host name */
    struct str order, project;  /* bid_… or res_…; proj_… */
    struct str region, type;    /* as clients name them */
    struct str image;           /* by name; empty = the node's own */
    struct record_list ssh_keys;/* of struct str: public keys of its owner */
    struct str startup_script;  /* run once, when the boot disk is new */
    int64_t boot;               /* of the boot disk, from 1: a higher one than it was made for = make it anew */
    struct record_list volumes; /* of struct agent_volume */
};

enum agent_action {
    AGENT_PREPARE, /* placed, but others still leave: fetch what it needs, start nothing */
    AGENT_RUN,
    AGENT_STOP, /* signal now, kill at deadline_ms; already gone: report the end again */
};

/* Why an instance stops. In the first two it runs on until the deadline, with its notice; a RUN of the
 * same attempt withdraws that. */
enum agent_stop {
    AGENT_STOP_PREEMPT,
    AGENT_STOP_RELOCATE,
    AGENT_STOP_END, /* its owner ended or paused it: power off at once */
};

struct agent_replica {
    struct str workload;         /* work_… */
    int64_t attempt, role, rank; /* attempt counts from 1 */
    int32_t action;              /* enum agent_action */
    int64_t deadline_ms;         /* STOP: killed then, by the server's clock */
    int64_t stop_in_ms;          /* STOP: the same as a span from this answer on; what agents use */
    struct agent_amounts amounts;
    struct record_list gpus;   /* of int64_t: indices on this node */
    struct record_list ips;    /* of struct str: by rank */
    struct str master_address; /* of rank 0 */
    int64_t master_port;       /* probe it before the start on rank 0; busy: report port_busy */
    struct agent_spec spec;
    struct agent_instance instance; /* instead of the spec's scripts, where its id is not empty */
    int32_t stop;                   /* STOP: enum agent_stop */
};

struct agent_poll {
    int64_t since;   /* version that the agent has, 0 = none: answered at once */
    int64_t wait_ms; /* at most; 0 = at once */
};
struct agent_desired {
    int64_t version;            /* since for the next poll */
    int64_t contact_timeout_ms; /* as at registration, may change */
    bool changed; /* false: the wait was over, `replicas` is empty and means nothing */
    struct record_list replicas; /* of struct agent_replica: all of the node, in order of workload,
                                    attempt, rank */
};

/* ---- reports
 * ---------------------------------------------------------------------------------------- */

enum agent_report_kind { AGENT_STARTED, AGENT_ENDED, AGENT_PORT_BUSY, AGENT_PHASE };

/* Of an instance on its way to its start. */
enum agent_phase {
    AGENT_PHASE_INITIALIZING, /* image and disks are made ready */
    AGENT_PHASE_STARTING,     /* it boots; the login does not answer yet */
};

struct agent_report {
    int32_t kind;        /* enum agent_report_kind */
    struct str workload; /* work_… */
    int64_t attempt, role, rank;
    int64_t exit_code;     /* ENDED by itself; 128 + signal where a signal killed it */
    int64_t signal;        /* ENDED: the signal that killed it, 0 = none */
    bool oom;              /* ENDED: killed for memory */
    struct str text;       /* ENDED without a start: what could not be prepared */
    struct str last_lines; /* ENDED: the end of its log, at most 4 KiB of valid UTF-8 */
    int64_t
        at_ms; /* when it happened, by the server's clock as far as known; the server bounds it */
    int64_t ago_ms; /* how long ago by the monotonic clock, -1 = unknown; used before at_ms */
    int64_t port;   /* PORT_BUSY: the one that was busy */
    int32_t phase;  /* PHASE: enum agent_phase */
    struct str ssh_destination; /* PHASE, STARTED: address at which an instance answers on port 22 */
    struct str private_ip;      /* likewise: its own address */
};
struct agent_reports {
    struct record_list reports; /* of struct agent_report */
};

enum agent_verdict {
    AGENT_OK,
    AGENT_STALE, /* of another attempt, or already known: end the replica if it still runs, forget
                    it */
};
struct agent_outcomes {
    struct record_list outcomes; /* of struct agent_outcome, one a report, same order */
};
struct agent_outcome {
    int32_t verdict; /* enum agent_verdict */
};

struct agent_log_size {
    int64_t size; /* bytes that the server has: send from there */
    bool full;    /* the cap of a replica is reached: send no more */
};

/* Which of the boot disks and volumes that a node keeps will nobody want again? */
struct agent_disks {
    struct record_list disks; /* of struct str: inst_… and vol_… */
};
struct agent_disks_gone {
    struct record_list gone; /* of struct str: those may be deleted; what the server does not know is not among them */
};

#define AGENT_REPLICAS_MAX 4096
#define AGENT_DISKS_MAX 10000
#define AGENT_REPORTS_MAX 1000
#define AGENT_LAST_LINES_MAX 4096
#define AGENT_LOG_CHUNK_MAX ((int64_t)1 << 20) /* bytes in one POST of logs */
#define AGENT_WAIT_MAX_MS 60000

extern const struct record agent_join_record, agent_joined_record;
extern const struct record agent_facts_record, agent_registered_record;
extern const struct record agent_place_record, agent_amounts_record, agent_gpu_record;
extern const struct record agent_spec_record, agent_replica_record;
extern const struct record agent_volume_record, agent_instance_record;
extern const struct record agent_disks_record, agent_disks_gone_record;
extern const struct record agent_poll_record, agent_desired_record;
extern const struct record agent_report_record, agent_reports_record;
extern const struct record agent_outcome_record, agent_outcomes_record;
extern const struct record agent_log_size_record;
