// SPDX-License-Identifier: Apache-2.0
// What every page has: a place to draw, the live feed, and an end.

import { ApiError } from './api.js';
import { fill, h, type Child } from './dom.js';
import type { EventFeed } from './events.js';
import { hue } from './format.js';
import type { LiveEvent } from './types.js';

export class Page {
  private readonly stopper = new AbortController();
  private readonly endings: (() => void)[] = [];

  constructor(readonly root: HTMLElement, readonly feed: EventFeed) {}

  get signal(): AbortSignal { return this.stopper.signal; }

  atEnd(ending: () => void): void { this.endings.push(ending); }

  every(ms: number, work: () => void): void {
    const timer = setInterval(() => { if (!document.hidden) work(); }, ms);
    this.atEnd(() => clearInterval(timer));
  }

  /** Loads now, at each event that `wants` it (`rest` ms apart at least), and after a reset. */
  live(load: () => Promise<void>, wants: (event: LiveEvent) => boolean, rest = 250): () => void {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let busy = false;
    let again = false;
    const run = async (): Promise<void> => {
      if (busy) { again = true; return; }
      busy = true;
      try { await load(); } catch (error) { this.failed(error); }
      busy = false;
      if (again) { again = false; soon(); }
    };
    const soon = (): void => {
      if (this.signal.aborted) return;
      timer ??= setTimeout(() => { timer = undefined; void run(); }, rest);
    };
    this.atEnd(this.feed.listen((event) => { if (event.type === 'reset' || wants(event)) soon(); }));
    this.atEnd(() => clearTimeout(timer));
    void run();
    return soon;
  }

  failed(error: unknown): void {
    if (this.signal.aborted) return;
    if (error instanceof ApiError && error.status === 401) return; // the sign-in page comes
    notice(sentence(error));
  }

  end(): void {
    this.stopper.abort();
    for (const ending of this.endings) ending();
  }
}

export function sentence(error: unknown): string {
  return error instanceof ApiError ? error.sentence : String(error);
}

let noticeTimer: ReturnType<typeof setTimeout> | undefined;

/** A line at the foot of the page, for some seconds. */
export function notice(text: string): void {
  let box = document.getElementById('notice');
  if (!box) {
    box = h('div', { id: 'notice', role: 'status' });
    document.body.append(box);
  }
  fill(box, text);
  box.hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => { box.hidden = true; }, 6000);
}

export function badge(state: string): HTMLElement {
  return h('span', { class: `badge state-${state}`, 'data-state': state }, state);
}

/** The colour of a workload, the same on every page. */
export function paint<T extends HTMLElement>(element: T, workload: string): T {
  element.style.setProperty('--hue', String(hue(workload)));
  return element;
}

export function dot(workload: string): HTMLElement {
  return paint(h('i', { class: 'dot', 'aria-hidden': 'true' }), workload);
}

export function table(heads: string[], rows: Child[][], empty: string): HTMLElement {
  if (rows.length === 0) return h('p', { class: 'empty' }, empty);
  const numeric = (head: string): string | undefined => (head.startsWith('#') ? 'number' : undefined);
  const names = heads.map((head) => head.replace(/^#/, ''));
  return h('div', { class: 'scroll' }, h('table', {},
    h('thead', {}, h('tr', {}, ...heads.map((head, i) => h('th', { class: numeric(head) }, names[i])))),
    h('tbody', {}, ...rows.map((row) => h('tr', {}, ...row.map((cell, i) =>
      h('td', { class: numeric(heads[i] ?? ''), 'data-head': names[i] }, cell)))))));
}

export function fact(name: string, value: Child, note?: Child): HTMLElement {
  return h('div', { class: 'fact' }, h('span', { class: 'fact-name' }, name),
    h('span', { class: 'fact-value' }, value), note ? h('span', { class: 'fact-note' }, note) : null);
}
