// SPDX-License-Identifier: Apache-2.0
import { get } from '../api.js';
import { fill, h } from '../dom.js';
import { duration, milli, moment, money, rate } from '../format.js';
import type { Ledger, Project, Projects, Subscription, Subscriptions } from '../types.js';
import { table, type Page } from '../view.js';

const DAY_MS = 86_400_000;
const sums = (page: Page): Promise<Ledger> =>
  get<Ledger>(`/v1/ledger?sums=1&from_ms=${Date.now() - DAY_MS}`, page.signal);

function budget(project: Project): string {
  return project.limited ? money(project.budget_udollar) : 'without limit';
}

/** Where its units may be. */
function pools(s: Subscription): string {
  const parts = [s.sku, s.accelerator, s.provider, s.region, s.zone, ...(s.labels ?? [])].filter(Boolean);
  return parts.join(', ') || 'any';
}

export function accountsPage(page: Page): void {
  const projects = h('section', { class: 'card' });
  const tiers = h('section', { class: 'card' });
  const ledger = h('section', { class: 'card ledger' });
  fill(page.root, h('h1', {}, 'Accounts'), projects, tiers, ledger);
  const soon = page.live(async () => {
    const [known, list, subscribed] = await Promise.all([get<Projects>('/v1/projects', page.signal), sums(page),
      get<Subscriptions>('/v1/subscriptions', page.signal)]);
    fill(projects, h('h2', {}, 'Projects'), table(['Project', '#Spent', '#Budget'],
      (known.projects ?? []).map((p) => [p.name, money(p.spent_udollar), budget(p)]), 'No projects.'));
    fill(tiers, h('h2', {}, 'Tight starts'), table(['Project', 'Tier', '#Starts within', '#Units', '#Held', '#In use', '#Rate', '#Paid', 'Pools'],
      (subscribed.subscriptions ?? []).map((s) => [s.project, s.unpaid ? `${s.tier} (not paid)` : s.tier, duration(s.start_ms ?? 0),
        milli(s.units_milli), milli(s.held_milli), milli(s.used_milli), rate(s.rate_udollar_per_hour), money(s.charged_udollar), pools(s)]),
      'No project is subscribed to a tier.'));
    fill(ledger, h('h2', {}, 'Ledger of the last day'), table(['Pays', 'Receives', 'Last', '#Amount'],
      (list.entries ?? []).map((e) => [e.debit ?? '', e.credit ?? '', moment(e.at_ms), money(e.amount_udollar)]), 'No entries.'));
  }, (event) => /^(entry|project|subscription|headroom)/.test(event.type));
  page.every(15_000, soon);
}
