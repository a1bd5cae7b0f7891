// SPDX-License-Identifier: Apache-2.0
// One workload: what it is, what it costs, where it stands, what it says.

import { get, send } from '../api.js';
import { PriceChart } from '../chart.js';
import { fill, h } from '../dom.js';
import { duration, milli, moment, money, rate } from '../format.js';
import type { Bill, BillLine, Placement, PricePoint, Why, Workload } from '../types.js';
import { badge, dot, fact, notice, sentence, table, type Page } from '../view.js';
import { LogView } from './log.js';
import { history, pointOf } from './prices.js';

const ENDED = new Set(['finished', 'failed', 'cancelled', 'rejected']);
const BEFORE_MS = 60_000;

export const isEnded = (work: Workload): boolean => ENDED.has(work.state);

function outcome(work: Workload): string {
  if (!work.exited) return work.reason ?? '';
  const where = work.exit_rank !== undefined && work.exit_code ? ` of rank ${work.exit_rank}` : '';
  if (work.oom) return `out of memory${where}`;
  if (work.signal) return `signal ${work.signal}${where}`;
  return `exit code ${work.exit_code ?? 0}${where}`;
}

function facts(work: Workload, bill: Bill): HTMLElement {
  const span = work.started_ms ? duration((work.ended_ms || Date.now()) - work.started_ms) : '–';
  const billed = (bill.sum_udollar ?? 0) + (bill.open_udollar ?? 0);
  return h('div', { class: 'facts' },
    fact('Cost so far', money(work.cost_udollar ?? billed)),
    fact('Rate now', rate(work.rate_udollar_per_hour)),
    fact('Limit per unit', rate(work.limit_udollar_per_hour)),
    work.tier ? fact('Tier', work.tier, work.tight ? 'from headroom' : '') : null,
    fact('Size', `${work.nodes ?? 1} node${work.nodes === 1 ? '' : 's'}`, `${milli(work.units_milli)} units`),
    fact('Ran', span, `attempt ${work.attempt ?? 1}`),
    fact('Kind', work.kind || 'preemptible', work.project));
}

function whyBox(why: Why): HTMLElement {
  return h('section', { class: 'card why' }, h('h2', {}, 'Why it waits'),
    h('p', {}, why.text || why.obstacle || 'Its turn has not come yet.'),
    h('div', { class: 'facts' },
      fact('Needed', milli(why.needed_milli)), fact('Free', milli(why.free_milli), `largest ${milli(why.largest_free_milli)}`),
      fact('Ahead of it', why.ahead ?? 0),
      fact('Soonest start', why.soonest_ms ? moment(why.soonest_ms) : 'not known'),
      why.has_limit ? fact('Starts now at a limit of', rate(why.start_limit_udollar_per_hour)) : null));
}

function timeline(work: Workload): HTMLElement {
  const steps = work.steps ?? [];
  return h('ol', { class: 'timeline' }, ...steps.map((step, i) => {
    const next = steps[i + 1]?.at_ms;
    return h('li', { 'data-step': step.type }, h('time', {}, moment(step.at_ms)), h('b', {}, step.type.replaceAll('_', ' ')),
      h('span', {}, step.text || step.reason || ''), next ? h('span', { class: 'gap' }, duration(next - step.at_ms)) : null);
  }));
}

function exitOf(p: Placement): string {
  if (!p.ended) return '';
  return p.oom ? 'out of memory' : p.signal ? `signal ${p.signal}` : String(p.exit_code ?? 0);
}

function placement(work: Workload): HTMLElement {
  return table(['Rank', 'Node', 'Address', 'GPUs', 'State', 'Exit'], (work.placements ?? []).map((p) => [
    p.rank ?? 0, p.node_name || p.node || '', p.address ?? '', (p.gpus ?? []).join(', ') || '–',
    p.state ? badge(p.state) : '', exitOf(p),
  ]), 'Not placed now.');
}

/** Lines that follow one another and differ in their rate alone, as one: a price moves at every tick. */
function billSums(lines: BillLine[]): BillLine[] {
  const sums: BillLine[] = [];
  for (const line of lines) {
    const last = sums.at(-1);
    if (last && last.attempt === line.attempt && last.kind === line.kind && last.pool === line.pool) {
      last.to_ms = line.to_ms ?? last.to_ms ?? 0;
      last.amount_udollar = (last.amount_udollar ?? 0) + (line.amount_udollar ?? 0);
    } else sums.push({ ...line });
  }
  return sums;
}

/** What the amount comes to by the hour. */
function hourly(line: BillLine): string {
  const span = (line.to_ms ?? 0) - (line.from_ms ?? 0);
  return span > 0 ? rate(Math.round((line.amount_udollar ?? 0) * 3_600_000 / span)) : '–';
}

function billTable(bill: Bill): HTMLElement {
  const rows = billSums(bill.lines ?? []).map((l) => [
    l.attempt ?? 1, l.kind, l.pool ?? '', moment(l.from_ms), l.to_ms && l.from_ms ? duration(l.to_ms - l.from_ms) : '–',
    hourly(l), money(l.amount_udollar),
  ]);
  if (bill.open_udollar) rows.push(['', 'open', '', '', '', '', money(bill.open_udollar)]);
  return h('div', {}, table(['Attempt', 'Kind', 'Pool', 'From', 'For', '#An hour, all', '#Amount'], rows, 'Nothing was charged yet.'),
    rows.length > 0 && h('p', { class: 'sum' }, 'Sum ', h('b', {}, money((bill.sum_udollar ?? 0) + (bill.open_udollar ?? 0)))));
}

function actions(id: string, soon: () => void): HTMLElement {
  const limit = h('input', { id: 'limit', inputmode: 'decimal', placeholder: 'e.g. 0.20', size: 8, 'aria-label': 'new limit in dollars per unit-hour' });
  const attempt = async (work: Promise<unknown>, said: string): Promise<void> => {
    try { await work; notice(said); soon(); } catch (error) { notice(sentence(error)); }
  };
  const change = (event: Event): void => {
    event.preventDefault();
    const dollars = Number(limit.value.trim().replace(/^\$/, ''));
    if (!limit.value.trim() || !(dollars >= 0)) { notice('A limit is a number of dollars per unit-hour.'); return; }
    void attempt(send('PATCH', `/v1/workloads/${id}`, { limit_udollar_per_hour: Math.round(dollars * 1e6) }), 'The bid was changed.');
  };
  const cancel = (): void => {
    if (confirm('Cancel this workload?')) void attempt(send('POST', `/v1/workloads/${id}/cancel`), 'Cancelled.');
  };
  return h('form', { class: 'actions', on: { submit: change } }, h('label', { for: 'limit' }, 'Limit $'), limit,
    h('button', { type: 'submit', class: 'quiet' }, 'Change bid'),
    h('button', { type: 'button', class: 'danger', on: { click: cancel } }, 'Cancel'));
}

/** Choice of replica above the log; kept while the ranks stay the same. */
function ranksOf(work: Workload): number {
  return Math.max(work.nodes ?? 1, ...(work.placements ?? []).map((p) => (p.rank ?? 0) + 1));
}

export function workloadPage(page: Page, id: string): void {
  let work: Workload | null = null;
  let points: PricePoint[] = [];
  let pool = '';
  const head = h('div', { class: 'work-head' });
  const acts = h('div', {});
  const figures = h('div', {});
  const why = h('div', {});
  const steps = h('section', { class: 'card' });
  const places = h('section', { class: 'card' });
  const bills = h('section', { class: 'card' });
  const chart = new PriceChart();
  const log = new LogView(page, id, () => work === null || !isEnded(work));
  const rank = h('select', { 'aria-label': 'rank' });
  const showLog = (): void => {
    const placed = work?.placements?.some((p) => p.state === 'running' || p.state === 'ended');
    if (work && (work.started_ms || placed)) log.show(work.attempt ?? 1, Number(rank.value || 0));
  };
  rank.addEventListener('change', showLog);
  fill(page.root, head, acts, h('section', { class: 'card' }, figures), why,
    h('div', { class: 'two' },
      h('div', {}, h('section', { class: 'card' }, h('div', { class: 'row' }, h('h2', {}, 'Log'), rank), log.element), bills),
      h('div', {}, steps, places, h('section', { class: 'card' }, h('h2', {}, 'Price of its pool'), chart.element))));

  const draw = (now: Workload, bill: Bill): void => {
    fill(head, h('h1', {}, dot(id), now.name || id, ' ', badge(now.state)),
      h('p', { class: 'id' }, id, outcome(now) && ` · ${outcome(now)}`));
    fill(figures, facts(now, bill));
    fill(steps, h('h2', {}, 'Timeline'), timeline(now));
    fill(places, h('h2', {}, 'Placement'), placement(now));
    fill(bills, h('h2', {}, 'Bill'), billTable(bill));
    if (isEnded(now)) fill(acts);
    else if (!acts.firstChild) fill(acts, actions(id, soon));
    const count = ranksOf(now);
    if (rank.options.length !== count)
      fill(rank, ...Array.from({ length: count }, (_, i) => h('option', { value: i }, `rank ${i}`)));
    showLog();
  };
  const drawChart = (): void => {
    if (!work) return;
    const until = isEnded(work) ? (work.ended_ms ?? Infinity) + BEFORE_MS : Infinity;
    chart.show(points.filter((p) => p.at_ms <= until), (work.submitted_ms ?? Date.now()) - BEFORE_MS, work.limit_udollar_per_hour);
  };
  const load = async (): Promise<void> => {
    const path = `/v1/workloads/${encodeURIComponent(id)}`;
    const [now, bill] = await Promise.all([get<Workload>(path, page.signal), get<Bill>(`${path}/bill`, page.signal)]);
    work = now;
    draw(now, bill);
    fill(why, now.state === 'waiting' ? whyBox(await get<Why>(`${path}/why`, page.signal)) : null);
    if (now.pool && now.pool !== pool) {
      pool = now.pool;
      points = await history(pool, (now.submitted_ms ?? Date.now()) - BEFORE_MS, page);
    }
    drawChart();
  };
  const soon = page.live(load, (event) => event.workload === id);
  page.every(2000, () => { if (work && !isEnded(work)) soon(); });
  page.atEnd(page.feed.listen((event) => {
    if (event.type !== 'price_posted' || event.pool !== pool || (work && isEnded(work))) return;
    points = [...points, pointOf(event)].slice(-5000);
    drawChart();
  }));
  page.atEnd(() => chart.end());
}
