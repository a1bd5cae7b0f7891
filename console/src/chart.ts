// SPDX-License-Identifier: Apache-2.0
// Prices over time, as steps: a posted price holds until the next one.

import { fill, h, s } from './dom.js';
import { clock, money } from './format.js';
import { lastBefore, linear, ticks } from './scale.js';
import type { PricePoint } from './types.js';

const HEIGHT = 220;
const LEFT = 64;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 24;

type Value = (point: PricePoint) => number;
const price: Value = (p) => p.price_udollar_per_hour ?? 0;
const marginal: Value = (p) => p.marginal_udollar_per_hour ?? 0;

export class PriceChart {
  readonly element = h('figure', { class: 'chart' });
  private points: PricePoint[] = [];
  private limit = 0;
  private from = 0;
  private hover: number | null = null;
  private readonly readout = h('figcaption', {});
  private readonly canvas = h('div', { class: 'chart-canvas' });
  private readonly observer = new ResizeObserver(() => this.draw());

  constructor() {
    this.element.append(this.canvas, this.readout);
    this.observer.observe(this.canvas);
    this.canvas.addEventListener('pointermove', (event) => this.point(event.offsetX));
    this.canvas.addEventListener('pointerleave', () => this.point(null));
  }

  /** `limit` > 0 draws a bid's limit; `from` is the left edge. */
  show(points: PricePoint[], from: number, limit = 0): void {
    this.points = points;
    this.limit = limit;
    this.from = from;
    this.draw();
  }

  end(): void { this.observer.disconnect(); }

  private scales(): { x: (v: number) => number; y: (v: number) => number; grid: number[]; to: number; width: number } {
    const width = Math.max(this.canvas.clientWidth, 240);
    const to = Math.max(Date.now(), this.points.at(-1)?.at_ms ?? 0);
    const most = Math.max(this.limit, ...this.points.map((p) => Math.max(price(p), marginal(p))), 1);
    const grid = ticks(0, most * 1.05, 4);
    return {
      width, to, grid,
      x: linear(this.left(), to, LEFT, width - RIGHT),
      y: linear(0, grid.at(-1)!, HEIGHT - BOTTOM, TOP),
    };
  }

  /** The window shrinks to what there is: a young pool fills the chart. */
  private left(): number {
    return Math.max(this.from, this.points[0]?.at_ms ?? this.from);
  }

  private draw(): void {
    const { x, y, grid, to, width } = this.scales();
    if (this.points.length === 0) {
      fill(this.canvas, h('p', { class: 'empty' }, 'No price was posted in this time.'));
      return;
    }
    const path = this.steps(price, x, y, to);
    const floor = HEIGHT - BOTTOM;
    const times = [0, 0.25, 0.5, 0.75, 1].filter((_, i) => width > 520 || i % 2 === 0);
    fill(this.canvas, s('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: 'img', 'aria-label': 'price over time' },
      ...grid.map((v) => s('g', { class: 'grid' },
        s('line', { x1: LEFT, x2: width - RIGHT, y1: y(v), y2: y(v) }),
        s('text', { x: LEFT - 8, y: y(v) + 4, 'text-anchor': 'end' }, money(v)))),
      ...times.map((part) => {
        const at = this.left() + (to - this.left()) * part;
        const anchor = part === 0 ? 'start' : part === 1 ? 'end' : 'middle';
        return s('g', { class: 'grid' }, s('text', { x: x(at), y: HEIGHT - 6, 'text-anchor': anchor }, clock(at)));
      }),
      s('path', { class: 'area', d: `${path} V${floor} H${x(Math.max(this.points[0]!.at_ms, this.left()))} Z` }),
      s('path', { class: 'line marginal', d: this.steps(marginal, x, y, to) }),
      s('path', { class: 'line price', d: path }),
      this.limit > 0 && s('line', { class: 'limit', x1: LEFT, x2: width - RIGHT, y1: y(this.limit), y2: y(this.limit) }),
      s('line', { class: 'cursor', x1: 0, x2: 0, y1: TOP, y2: floor, visibility: 'hidden' })));
    this.point(this.hover);
  }

  private steps(value: Value, x: (v: number) => number, y: (v: number) => number, to: number): string {
    const left = this.left();
    return this.points.map((p, i) => {
      const at = x(Math.max(p.at_ms, left)).toFixed(1);
      const level = y(value(p)).toFixed(1);
      return i === 0 ? `M${at} ${level}` : `H${at} V${level}`;
    }).join(' ') + ` H${x(to).toFixed(1)}`;
  }

  private point(offset: number | null): void {
    this.hover = offset;
    const cursor = this.canvas.querySelector('.cursor');
    const { to, width } = this.scales();
    const at = offset === null ? to : linear(LEFT, width - RIGHT, this.left(), to)(offset);
    const found = this.points[lastBefore(this.points, at)];
    cursor?.setAttribute('visibility', offset === null ? 'hidden' : 'visible');
    if (offset !== null) {
      cursor?.setAttribute('x1', String(offset));
      cursor?.setAttribute('x2', String(offset));
    }
    if (!found) { fill(this.readout); return; }
    fill(this.readout, h('span', {}, offset === null ? 'now' : clock(at)),
      h('span', { class: 'key price' }, `price ${money(price(found))}`),
      h('span', { class: 'key marginal' }, `marginal ${money(marginal(found))}`),
      this.limit > 0 && h('span', { class: 'key limit' }, `limit ${money(this.limit)}`));
  }
}
