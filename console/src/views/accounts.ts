// SPDX-License-Identifier: Apache-2.0
import { get } from '../api.js';
import { fill, h } from '../dom.js';
import { moment, money } from '../format.js';
import type { Ledger, Project, Projects } from '../types.js';
import { table, type Page } from '../view.js';

const DAY_MS = 86_400_000;
const sums = (page: Page): Promise<Ledger> =>
  get<Ledger>(`/v1/ledger?sums=1&from_ms=${Date.now() - DAY_MS}`, page.signal);

function budget(project: Project): string {
  return project.limited ? money(project.budget_udollar) : 'without limit';
}

export function accountsPage(page: Page): void {
  const projects = h('section', { class: 'card' });
  const ledger = h('section', { class: 'card ledger' });
  fill(page.root, h('h1', {}, 'Accounts'), projects, ledger);
  const soon = page.live(async () => {
    const [known, list] = await Promise.all([get<Projects>('/v1/projects', page.signal), sums(page)]);
    fill(projects, h('h2', {}, 'Projects'), table(['Project', '#Spent', '#Budget'],
      (known.projects ?? []).map((p) => [p.name, money(p.spent_udollar), budget(p)]), 'No projects.'));
    fill(ledger, h('h2', {}, 'Ledger of the last day'), table(['Pays', 'Receives', 'Last', '#Amount'],
      (list.entries ?? []).map((e) => [e.debit ?? '', e.credit ?? '', moment(e.at_ms), money(e.amount_udollar)]), 'No entries.'));
  }, (event) => /^(entry|project)/.test(event.type));
  page.every(15_000, soon);
}
