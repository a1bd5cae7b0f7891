// SPDX-License-Identifier: Apache-2.0
// Nodes as the fleet page draws them.

import type { FleetNode, NodeReplica } from './types.js';

/** One part of a node: a GPU, or a share of its cores. Width in thousandths of a unit. */
export interface Slice { width: number; replica: NodeReplica | null; label: string }

export interface Rack { name: string; nodes: FleetNode[] }

/** GPUs one by one; without GPUs each replica's share of the cores and then what is free. */
export function slices(node: FleetNode): Slice[] {
  const gpus = Math.floor((node.amounts?.gpu_milli ?? 0) / 1000);
  return gpus > 0 ? gpuSlices(node, gpus) : coreSlices(node);
}

function gpuSlices(node: FleetNode, gpus: number): Slice[] {
  const owner = new Map<number, NodeReplica>();
  for (const replica of node.replicas ?? []) for (const gpu of replica.gpus ?? []) owner.set(gpu, replica);
  return Array.from({ length: gpus }, (_, gpu) => ({
    width: 1000, replica: owner.get(gpu) ?? null, label: `GPU ${gpu}`,
  }));
}

function coreSlices(node: FleetNode): Slice[] {
  const total = node.amounts?.core_milli ?? 0;
  const parts: Slice[] = [];
  let used = 0;
  for (const replica of node.replicas ?? []) {
    const width = replica.amounts?.core_milli ?? 0;
    used += width;
    parts.push({ width: Math.max(width, 1), replica, label: `${width / 1000} cores` });
  }
  if (total > used || parts.length === 0)
    parts.push({ width: Math.max(total - used, 1), replica: null, label: `${(total - used) / 1000} cores free` });
  return parts;
}

/** Nodes by rack, both in the order of their names. */
export function racks(nodes: readonly FleetNode[]): Rack[] {
  const byName = new Map<string, FleetNode[]>();
  for (const node of nodes) {
    const place = node.place ?? {};
    const parts = [place.provider, place.region, place.zone, place.rack].filter(Boolean);
    const name = parts.join(' / ') || 'nowhere named';
    const rack = byName.get(name);
    if (rack) rack.push(node);
    else byName.set(name, [node]);
  }
  const order = new Intl.Collator('en', { numeric: true }).compare;
  return [...byName]
    .map(([name, list]) => ({ name, nodes: list.sort((a, b) => order(a.name, b.name)) }))
    .sort((a, b) => order(a.name, b.name));
}
