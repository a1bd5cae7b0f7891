// SPDX-License-Identifier: Apache-2.0
// What the API answers (src/records/api.h). A field that an answer leaves out is zero, empty or
// does not apply, so nearly all are optional. Money is µ$, times ms since 1970, amounts thousandths.

export interface Placement {
  role?: number; rank?: number; node?: string; node_name?: string; address?: string;
  gpus?: number[]; state?: string; exit_code?: number; signal?: number; ended?: boolean; oom?: boolean;
}

export interface Step { at_ms: number; type: string; attempt?: number; reason?: string; text?: string }

export interface Workload {
  id: string; name?: string; project?: string; state: string; kind?: string;
  attempt?: number; nodes?: number; units_milli?: number; pool?: string;
  limit_udollar_per_hour?: number; rate_udollar_per_hour?: number; cost_udollar?: number; tier?: string; tight?: boolean;
  submitted_ms?: number; started_ms?: number; ended_ms?: number; deadline_ms?: number;
  reason?: string; exited?: boolean; exit_code?: number; signal?: number; exit_rank?: number;
  oom?: boolean; last_lines?: string; placements?: Placement[]; steps?: Step[]; request?: string;
}

export interface Workloads { workloads?: Workload[]; cursor?: string }
export interface Created { id: string; seq: number; state: string; repeated?: boolean }

export interface Why {
  state: string; obstacle?: string; text?: string; pool?: string;
  needed_milli?: number; free_milli?: number; largest_free_milli?: number; ahead?: number;
  soonest_ms?: number; has_limit?: boolean; start_limit_udollar_per_hour?: number;
}

export interface BillLine {
  attempt?: number; kind: string; pool?: string; from_ms?: number; to_ms?: number;
  units_milli?: number; rate_udollar_per_hour?: number; amount_udollar?: number;
}
export interface Bill { lines?: BillLine[]; sum_udollar?: number; open_udollar?: number }

export interface QuoteLine {
  freedom: string; text?: string; offered?: boolean; fits?: boolean; starts_now?: boolean; above_limit?: boolean;
  pool?: string; units_milli?: number; rate_udollar_per_hour?: number;
  unit_rate_udollar_per_hour?: number; saves_udollar_per_hour?: number;
}
export interface Quote {
  name?: string; kind?: string; nodes?: number; limit_udollar_per_hour?: number; lines?: QuoteLine[];
}

export interface Pool {
  id: string; name: string; sku?: string; unit?: string;
  price_udollar_per_hour?: number; marginal_udollar_per_hour?: number;
  scarcity_udollar_per_hour?: number; guide_udollar_per_hour?: number;
  lowest_ask_udollar_per_hour?: number;
  units_milli?: number; used_milli?: number; free_milli?: number; wanted_milli?: number;
  nodes?: number; running?: number; waiting?: number; headroom?: Headroom[];
}
/** What of a tier of tight starts is held in a pool. */
export interface Headroom {
  tier: string; held_milli?: number; free_milli?: number; eligible_milli?: number;
  price_udollar_per_hour?: number; credit_udollar_per_hour?: number;
}
export interface Subscription {
  project: string; tier: string; start_ms?: number; units_milli?: number; held_milli?: number; used_milli?: number;
  rate_udollar_per_hour?: number; charged_udollar?: number; unpaid?: boolean;
  sku?: string; accelerator?: string; provider?: string; region?: string; zone?: string; labels?: string[];
}
export interface Subscriptions { subscriptions?: Subscription[] }
export interface Gap { surplus_udollar_per_hour?: number; bound_udollar_per_hour?: number; at_ms?: number }
export interface Prices { at_ms?: number; tick_ms?: number; pools?: Pool[]; gap?: Gap }
export interface PricePoint {
  at_ms: number; price_udollar_per_hour?: number; marginal_udollar_per_hour?: number;
  scarcity_udollar_per_hour?: number; guide_udollar_per_hour?: number;
}
export interface PriceHistory { pool: string; points?: PricePoint[] }

export interface Amounts { gpu_milli?: number; core_milli?: number; memory_mib?: number; disk_mib?: number }
export interface Place { provider?: string; region?: string; zone?: string; fabric?: string; rack?: string }
export interface NodeReplica {
  workload: string; name?: string; project?: string; attempt?: number; rank?: number;
  state?: string; gpus?: number[]; amounts?: Amounts;
}
export interface FleetNode {
  id: string; name: string; state?: string; sku?: string; address?: string; pool?: string;
  place?: Place; amounts?: Amounts; free?: Amounts; ask_udollar_per_hour?: number;
  contact_age_ms?: number; replicas?: NodeReplica[]; missing?: string[]; unconfined?: boolean;
}
export interface Nodes { nodes?: FleetNode[]; cursor?: string }

export interface Project { id: string; name: string; limited?: boolean; budget_udollar?: number; spent_udollar?: number }
export interface Projects { projects?: Project[] }
export interface Entry {
  id: string; at_ms?: number; debit?: string; credit?: string; amount_udollar?: number;
  workload?: string; pool?: string;
}
export interface Ledger { entries?: Entry[]; cursor?: string }

export interface LiveEvent {
  type: string; at_ms?: number; workload?: string; pool?: string; project?: string;
  price_udollar_per_hour?: number; marginal_udollar_per_hour?: number;
  scarcity_udollar_per_hour?: number; guide_udollar_per_hour?: number;
}
