// SPDX-License-Identifier: Apache-2.0
import { get } from '../api.js';
import { PriceChart } from '../chart.js';
import { fill, h } from '../dom.js';
import { milli, rate } from '../format.js';
import type { LiveEvent, Pool, PriceHistory, PricePoint, Prices } from '../types.js';
import { fact, type Page } from '../view.js';

const WINDOW_MS = 15 * 60_000;
const MOST_POINTS = 5000;

export function pointOf(event: LiveEvent): PricePoint {
  return {
    at_ms: event.at_ms ?? Date.now(),
    price_udollar_per_hour: event.price_udollar_per_hour ?? 0,
    marginal_udollar_per_hour: event.marginal_udollar_per_hour ?? 0,
  };
}

export async function history(pool: string, from: number, page: Page): Promise<PricePoint[]> {
  const path = `/v1/prices/history?pool=${encodeURIComponent(pool)}&from_ms=${from}`;
  return (await get<PriceHistory>(path, page.signal)).points ?? [];
}

function share(pool: Pool): HTMLElement {
  const used = (pool.used_milli ?? 0) / Math.max(pool.units_milli ?? 0, 1);
  const bar = h('i');
  bar.style.width = `${Math.min(100, used * 100).toFixed(1)}%`;
  return h('span', { class: 'meter', title: `${Math.round(used * 100)} % in use` }, bar);
}

function poolCard(pool: Pool, chosen: boolean, choose: () => void): HTMLElement {
  const unit = pool.unit ?? 'unit';
  return h('button', { class: 'card pool', type: 'button', 'aria-pressed': String(chosen), 'data-pool': pool.name, on: { click: choose } },
    h('span', { class: 'pool-name' }, pool.name),
    h('span', { class: 'pool-price' }, rate(pool.price_udollar_per_hour, unit)),
    share(pool),
    h('span', { class: 'pool-note' },
      `${milli(pool.free_milli)} of ${milli(pool.units_milli)} ${unit === 'gpu' ? 'GPU' : unit}s free · ${pool.running ?? 0} running · ${pool.waiting ?? 0} waiting`));
}

function facts(pool: Pool, prices: Prices): HTMLElement {
  const gap = prices.gap ?? {};
  return h('div', { class: 'facts' },
    fact('Marginal', rate(pool.marginal_udollar_per_hour)),
    fact('Scarcity', rate(pool.scarcity_udollar_per_hour)),
    fact('Guide', rate(pool.guide_udollar_per_hour)),
    fact('Lowest ask', rate(pool.lowest_ask_udollar_per_hour)),
    fact('Wanted', `${milli(pool.wanted_milli)} ${pool.unit ?? 'unit'}s`),
    fact('Nodes', pool.nodes ?? 0),
    ...(pool.headroom ?? []).map((held) => fact(`Held, tier ${held.tier}`, `${milli(held.held_milli)} ${pool.unit ?? 'unit'}s`,
      `price ${rate(held.price_udollar_per_hour)}, credit ${rate(held.credit_udollar_per_hour)}`)),
    fact('Surplus', rate(gap.surplus_udollar_per_hour), `bound ${rate(gap.bound_udollar_per_hour)}`));
}

export function pricesPage(page: Page): void {
  const chart = new PriceChart();
  const pools = h('div', { class: 'pools' });
  const title = h('h2', {}, 'Price');
  const detail = h('div', {});
  fill(page.root, h('h1', {}, 'Prices'), pools, h('section', { class: 'card' }, title, chart.element, detail));
  let prices: Prices = {};
  let chosen = '';
  let points: PricePoint[] = [];

  const draw = (): void => {
    const list = prices.pools ?? [];
    const pool = list.find((p) => p.name === chosen);
    const focused = document.activeElement?.getAttribute('data-pool');
    fill(pools, ...list.map((p) => poolCard(p, p.name === chosen, () => void choose(p.name))));
    if (focused) pools.querySelector<HTMLElement>(`[data-pool="${CSS.escape(focused)}"]`)?.focus();
    if (list.length === 0) fill(pools, h('p', { class: 'empty' }, 'No pools yet: a node that joins makes one.'));
    fill(title, pool ? pool.name : 'Price');
    fill(detail, pool ? facts(pool, prices) : null);
    chart.show(points, Date.now() - WINDOW_MS);
  };
  const choose = async (name: string): Promise<void> => {
    chosen = name;
    try {
      const loaded = await history(name, Date.now() - WINDOW_MS, page);
      if (chosen !== name) return;
      points = loaded;
    } catch (error) { page.failed(error); }
    draw();
  };
  page.live(async () => {
    prices = await get<Prices>('/v1/prices', page.signal);
    const first = prices.pools?.[0]?.name;
    if (!chosen && first) await choose(first);
    else draw();
  }, (event) => event.type !== 'price_posted' && /^(workload|node|ask|headroom)_/.test(event.type));
  page.atEnd(page.feed.listen((event) => {
    if (event.type === 'reset' && chosen) void choose(chosen);
    if (event.type !== 'price_posted') return;
    const pool = prices.pools?.find((p) => p.name === event.pool);
    if (pool) Object.assign(pool, pickPrices(event));
    if (event.pool === chosen) points = [...points, pointOf(event)].slice(-MOST_POINTS);
  }));
  page.every(1000, draw);
  page.atEnd(() => chart.end());
}

function pickPrices(event: LiveEvent): Partial<Pool> {
  return {
    price_udollar_per_hour: event.price_udollar_per_hour ?? 0,
    marginal_udollar_per_hour: event.marginal_udollar_per_hour ?? 0,
    scarcity_udollar_per_hour: event.scarcity_udollar_per_hour ?? 0,
    guide_udollar_per_hour: event.guide_udollar_per_hour ?? 0,
  };
}
