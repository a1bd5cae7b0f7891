// SPDX-License-Identifier: Apache-2.0
import { get } from '../api.js';
import { fill, h, type Child } from '../dom.js';
import { duration, milli, moment, money, rate } from '../format.js';
import type { Workload, Workloads } from '../types.js';
import { badge, dot, table, type Page } from '../view.js';

const ACTIVE = 'waiting,assigned,running,preempting';
const ENDED = 'finished,failed,cancelled,rejected';

async function workloads(states: string, limit: number, page: Page): Promise<{ list: Workload[]; more: boolean }> {
  const path = `/v1/workloads?state=${states}&limit=${limit}`;
  const part = await get<Workloads>(path, page.signal);
  return { list: part.workloads ?? [], more: Boolean(part.cursor) };
}

export function link(work: Workload): HTMLElement {
  return h('a', { class: 'work', href: `#/workload/${work.id}`, 'data-workload': work.id }, dot(work.id), work.name || work.id);
}

function row(work: Workload): Child[] {
  const end = work.ended_ms || Date.now();
  const since = work.started_ms || work.submitted_ms;
  return [
    link(work), badge(work.state), work.project ?? '', work.kind ?? '',
    `${work.nodes ?? 1} × ${milli((work.units_milli ?? 0) / (work.nodes || 1))}`,
    money(work.limit_udollar_per_hour), rate(work.rate_udollar_per_hour), money(work.cost_udollar),
    work.ended_ms ? moment(work.ended_ms) : since ? duration(end - since) : '–',
  ];
}

const HEADS = ['Workload', 'State', 'Project', 'Kind', '#Nodes × units', '#Limit/unit', '#Rate', '#Cost'];

export function queuePage(page: Page): void {
  const active = h('section', { class: 'card' });
  const ended = h('section', { class: 'card' });
  fill(page.root, h('h1', {}, 'Queue'), active, ended);
  const soon = page.live(async () => {
    const [now, before] = await Promise.all([workloads(ACTIVE, 200, page), workloads(ENDED, 25, page)]);
    fill(active, h('h2', {}, `Waiting and running (${now.list.length}${now.more ? '+' : ''})`),
      table([...HEADS, '#For'], now.list.map(row), 'Nothing waits and nothing runs.'));
    fill(ended, h('h2', {}, 'Ended'), table([...HEADS, '#Ended'], before.list.map(row), 'Nothing has ended yet.'));
  }, (event) => /^(workload|charged)/.test(event.type));
  page.every(5000, soon);
}
