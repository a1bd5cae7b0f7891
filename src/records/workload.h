/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What somebody wants run, as `POST /v1/workloads` and `POST /v1/quote` take it in JSON. A task file
 * becomes the same record (records/task.h). */

#include "records/agent.h"

#define WORKLOAD_NODES_MAX 100000
#define WORKLOAD_SCRIPT_MAX (256 * 1024)
#define WORKLOAD_CHOICES_MAX 16

enum workload_priority { PRIORITY_LOW, PRIORITY_NORMAL, PRIORITY_HIGH, PRIORITY_CRITICAL };
extern const char *const workload_priority_names[]; /* low, normal, high, critical */

/* As enum market_level, by name: any, zone, fabric, racks, rack, node. */
extern const char *const workload_level_names[];

/* Tight starts by the time that the operator's settings promise: in seconds, by default 2, 10, 60, 300. The number of
 * each is the market's. */
enum workload_tier { TIER_NONE, TIER_INSTANT, TIER_SECONDS, TIER_MINUTE, TIER_MINUTES };
extern const char *const workload_tier_names[]; /* none, instant, seconds, minute, minutes */

/* One hardware choice; the workload runs on one of them, all replicas on the same. Empty = any. */
struct workload_choice {
    struct str sku, accelerator, provider, region, zone;
    struct record_list labels; /* of struct str: all must stand on the node */
    struct agent_amounts amounts; /* what each replica takes; gpu_milli whole thousands, or one share below */
    int64_t speed_milli;          /* 1,000 = the speed that the limit is stated for */
};

enum workload_kind { WORKLOAD_TASK, WORKLOAD_INSTANCE };
extern const char *const workload_kind_names[]; /* task, instance */
/* Stands on nodes whose agent can hand out machines; goes with every choice of an instance. */
#define WORKLOAD_INSTANCE_LABEL "instance=sandbox"
#define WORKLOAD_KEYS_MAX 64
#define WORKLOAD_VOLUMES_MAX 20

/* What a machine is handed over with. */
struct workload_instance {
    struct record_list ssh_keys; /* of struct str: ids, or names in the project */
    struct record_list volumes;  /* of struct str: likewise */
    struct str startup_script;   /* once, when the boot disk is new */
    struct str image;            /* by name; empty = the node's own */
    struct str cluster;          /* clust_…, which it joins; may be empty */
    struct str email;            /* who is told of its changes */
    struct str limit;            /* dollars per instance-hour, as its owner wrote it */
    int64_t memory_gib;          /* less than the type has; 0 = all */
    int64_t boot_disks;          /* made anew so often */
};

struct workload_request {
    struct str name;    /* letters, digits, . _ -, at most 100; may be empty */
    struct str project; /* name or id; empty = the key's, else `default` */
    int64_t nodes;      /* replicas, default 1 */
    struct record_list choices; /* of struct workload_choice, at least one */
    /* the program */
    struct str setup, run;
    struct record_list envs, secrets, mounts; /* of struct record_pair, as agent_spec has them */
    struct str archive, workdir;
    /* the bid */
    bool preemptible;              /* false: firm */
    int64_t limit_udollar_per_hour; /* per unit; used where limit_present, else the priority's */
    bool limit_present;
    int32_t priority; /* enum workload_priority, default normal */
    int32_t level;    /* default any */
    int64_t racks;    /* with level racks */
    int64_t notice_ms; /* default 30 s */
    int64_t signal;    /* default 15 */
    int64_t restart_cost_udollar;
    int64_t minimum_run_ms; /* 0 = the operator's */
    int64_t term_ms;        /* firm: 0 = the operator's */
    bool renew;             /* firm: default true */
    bool urgent;
    int64_t max_run_ms; /* 0 = no end */
    int64_t retries;    /* after a failure, default 0 */
    int32_t on_lost_contact; /* enum agent_lost_contact */
    int64_t run_time_ms;     /* declared, 0 = not */
    int64_t deadline_ms;     /* finish by: time since 1970; 0 = none */
    int64_t earliest_ms;     /* start not before; 0 = at once */
    int64_t nodes_max;       /* elastic: 0 = nodes */
    int32_t kind;            /* enum workload_kind; an instance has no program */
    struct workload_instance instance;
    struct str reservation;     /* name of one of the project: it runs in its slot */
    int32_t tier;               /* enum workload_tier: tight start, with a subscription of the project */
    struct record_list objects; /* of int64_t: the engine's ids of keys and volumes; the server fills it in */
};

extern const struct record workload_choice_record, workload_instance_record, workload_request_record;

/* Empty, or one address that may stand in a header line of mail: printable ASCII, one `@`. `field` names it in err. */
int workload_email_check(struct str email, const char *field, struct error *err);

/* What no field says alone: names, the archive that paths need, racks, order of times, amounts.
 * Both a decoded request and a task file are put to it. err holds `field: what is allowed`. */
int workload_check(const struct workload_request *request, struct error *err);
