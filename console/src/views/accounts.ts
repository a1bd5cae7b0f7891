// SPDX-License-Identifier: Apache-2.0
import { get } from '../api.js';
import { fill, h } from '../dom.js';
import { moment, money, shortId } from '../format.js';
import type { Entry, Ledger, Project, Projects } from '../types.js';
import { table, type Page } from '../view.js';

const DAY_MS = 86_400_000;
const MOST_ENTRIES = 1000;

async function entries(page: Page): Promise<Entry[]> {
  const list: Entry[] = [];
  let cursor = '';
  do {
    const path = `/v1/ledger?from_ms=${Date.now() - DAY_MS}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`;
    const part = await get<Ledger>(path, page.signal);
    list.push(...(part.entries ?? []));
    cursor = part.cursor ?? '';
  } while (cursor && list.length < MOST_ENTRIES);
  return list.reverse();
}

function budget(project: Project): string {
  return project.limited ? money(project.budget_udollar) : 'without limit';
}

export function accountsPage(page: Page): void {
  const projects = h('section', { class: 'card' });
  const ledger = h('section', { class: 'card ledger' });
  fill(page.root, h('h1', {}, 'Accounts'), projects, ledger);
  const soon = page.live(async () => {
    const [known, list] = await Promise.all([get<Projects>('/v1/projects', page.signal), entries(page)]);
    fill(projects, h('h2', {}, 'Projects'), table(['Project', '#Spent', '#Budget'],
      (known.projects ?? []).map((p) => [p.name, money(p.spent_udollar), budget(p)]), 'No projects.'));
    fill(ledger, h('h2', {}, 'Ledger of the last day'), table(['Time', 'Debit', 'Credit', '#Amount', 'Workload'],
      list.map((e) => [moment(e.at_ms), e.debit ?? '', e.credit ?? '', money(e.amount_udollar),
        e.workload ? h('a', { href: `#/workload/${e.workload}` }, shortId(e.workload)) : '']), 'No entries.'));
  }, (event) => /^(entry|project)/.test(event.type));
  page.every(15_000, soon);
}
