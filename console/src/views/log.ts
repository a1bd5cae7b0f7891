// SPDX-License-Identifier: Apache-2.0
// The log of one replica, followed while it runs.

import { ApiError, request } from '../api.js';
import { h } from '../dom.js';
import type { Page } from '../view.js';

/** Older text is dropped from the page beyond this: the command line has all of it. */
const MOST_CHARACTERS = 400_000;
const AGAIN_MS = 1500;

export class LogView {
  readonly element = h('pre', { class: 'log', tabindex: '0', 'aria-label': 'log' });
  private stopper: AbortController | null = null;
  private shown = '';

  constructor(private readonly page: Page, private readonly id: string, private readonly alive: () => boolean) {
    page.atEnd(() => this.stopper?.abort());
  }

  /** Follows that replica from its first byte; the same one again changes nothing. */
  show(attempt: number, rank: number): void {
    const name = `${attempt}/${rank}`;
    if (name === this.shown) return;
    this.shown = name;
    this.stopper?.abort();
    this.stopper = new AbortController();
    this.element.textContent = '';
    void this.follow(attempt, rank, this.stopper.signal);
  }

  private async follow(attempt: number, rank: number, signal: AbortSignal): Promise<void> {
    let offset = 0;
    const decoder = new TextDecoder();
    while (!signal.aborted) {
      const last = !this.alive();
      const path = `/v1/workloads/${encodeURIComponent(this.id)}/logs?rank=${rank}&attempt=${attempt}&offset=${offset}&follow=1`;
      try {
        const reader = (await request(path, { signal })).body!.getReader();
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          offset += value.length;
          this.append(decoder.decode(value, { stream: true }));
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof ApiError && (error.status === 404 || error.status === 0 || error.status === 503))) {
          this.page.failed(error);
          if (error instanceof ApiError) return;
        }
      }
      if (last) return;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  private append(text: string): void {
    const box = this.element;
    const atFoot = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
    box.append(text);
    if (box.textContent!.length > MOST_CHARACTERS) box.textContent = box.textContent!.slice(-MOST_CHARACTERS / 2);
    if (atFoot) box.scrollTop = box.scrollHeight;
  }
}
