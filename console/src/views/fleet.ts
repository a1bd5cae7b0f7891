// SPDX-License-Identifier: Apache-2.0
import { ApiError, get } from '../api.js';
import { fill, h } from '../dom.js';
import { slices, racks, type Slice } from '../fleet_model.js';
import { duration, memory, milli, rate } from '../format.js';
import type { FleetNode, Nodes } from '../types.js';
import { dot, paint, type Page } from '../view.js';

const MOST_NODES = 2000;

async function allNodes(page: Page): Promise<{ nodes: FleetNode[]; more: boolean }> {
  const nodes: FleetNode[] = [];
  let cursor = '';
  do {
    const path = `/v1/nodes?limit=500${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`;
    const part = await get<Nodes>(path, page.signal);
    nodes.push(...(part.nodes ?? []));
    cursor = part.cursor ?? '';
  } while (cursor && nodes.length < MOST_NODES);
  return { nodes, more: cursor !== '' };
}

function sliceTile(slice: Slice): HTMLElement {
  const replica = slice.replica;
  if (!replica) {
    const free = h('i', { class: 'slice free', title: slice.label });
    free.style.flexGrow = String(slice.width);
    return free;
  }
  const name = replica.name || replica.workload;
  const tile = h('a', {
    class: `slice ${replica.state ?? ''}`, href: `#/workload/${replica.workload}`,
    title: `${slice.label}: ${name}, rank ${replica.rank ?? 0}`, 'aria-label': `${name}, rank ${replica.rank ?? 0}`,
  });
  tile.style.flexGrow = String(slice.width);
  return paint(tile, replica.workload);
}

function nodeTile(node: FleetNode): HTMLElement {
  const amounts = node.amounts ?? {};
  const state = node.state ?? 'up';
  const size = amounts.gpu_milli
    ? `${milli(amounts.gpu_milli)} × ${node.sku ?? 'GPU'}`
    : `${milli(amounts.core_milli)} cores · ${memory(amounts.memory_mib)}`;
  const late = (node.contact_age_ms ?? 0) > 30_000 ? `last heard ${duration(node.contact_age_ms!)} ago` : '';
  return h('div', { class: `node ${state}`, 'data-node': node.name },
    h('div', { class: 'node-head' }, h('b', {}, node.name), state !== 'up' && h('span', { class: 'badge' }, state)),
    h('div', { class: 'slices' }, ...slices(node).map(sliceTile)),
    h('div', { class: 'node-note' }, h('span', {}, size), h('span', {}, late || `ask ${rate(node.ask_udollar_per_hour)}`)));
}

function legend(nodes: FleetNode[]): HTMLElement {
  const names = new Map<string, string>();
  for (const node of nodes) for (const r of node.replicas ?? []) names.set(r.workload, r.name || r.workload);
  const shown = [...names].slice(0, 24);
  return h('div', { class: 'legend' },
    ...shown.map(([id, name]) => h('a', { href: `#/workload/${id}` }, dot(id), name)),
    names.size > shown.length && h('span', {}, `and ${names.size - shown.length} more`),
    h('span', {}, h('i', { class: 'dot free' }), 'free'));
}

export function fleetPage(page: Page): void {
  const body = h('div', {}, h('p', { class: 'empty' }, 'Loading…'));
  fill(page.root, h('h1', {}, 'Fleet'), body);
  const load = async (): Promise<void> => {
    try {
      const { nodes, more } = await allNodes(page);
      if (nodes.length === 0) { fill(body, h('p', { class: 'empty' }, 'No nodes yet: type ', h('code', {}, 'tessera node add'), '.')); return; }
      fill(body, legend(nodes),
        h('div', { class: 'racks' }, ...racks(nodes).map((rack) => h('section', { class: 'rack' },
          h('h2', {}, rack.name), h('div', { class: 'nodes' }, ...rack.nodes.map(nodeTile))))),
        more && h('p', { class: 'empty' }, `The first ${nodes.length} nodes are shown.`));
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 403)) throw error;
      fill(body, h('p', { class: 'empty' }, 'The fleet is shown to operators; your session has another role.'));
    }
  };
  const soon = page.live(load, (event) => /^(workload|replica|node|ask)_/.test(event.type), 1000);
  page.every(15_000, soon);
}
