// SPDX-License-Identifier: Apache-2.0
// The live stream of events, held open and resumed where it broke. (EventSource would forget the
// last id whenever an answer is not 200, and hides a 401.)

import { ApiError, request } from './api.js';
import { EventParser } from './event_parser.js';
import type { LiveEvent } from './types.js';

export type Listener = (event: LiveEvent) => void;
export type Status = 'connecting' | 'live' | 'broken';

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

export class EventFeed {
  private readonly listeners = new Set<Listener>();
  private readonly parser = new EventParser();
  private stopper: AbortController | null = null;

  constructor(private readonly onStatus: (status: Status) => void) {}

  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  start(): void {
    if (this.stopper) return;
    this.stopper = new AbortController();
    void this.run(this.stopper.signal);
  }

  stop(): void {
    this.stopper?.abort();
    this.stopper = null;
  }

  private async run(signal: AbortSignal): Promise<void> {
    let wait = FIRST_WAIT_MS;
    while (!signal.aborted) {
      this.onStatus('connecting');
      try {
        await this.connection(signal, () => { wait = FIRST_WAIT_MS; });
      } catch (error) {
        if (signal.aborted || (error instanceof ApiError && error.status === 401)) return;
      }
      if (signal.aborted) return;
      this.onStatus('broken');
      await new Promise((resolve) => setTimeout(resolve, wait));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  }

  private async connection(signal: AbortSignal, onOpen: () => void): Promise<void> {
    const headers: Record<string, string> = { Accept: 'text/event-stream' };
    if (this.parser.lastId) headers['Last-Event-ID'] = this.parser.lastId;
    this.parser.restart();
    const answer = await request('/v1/events', { headers, signal });
    this.onStatus('live');
    onOpen();
    // What happened before the first answer, after a page loaded, is learnt by loading again.
    if (!headers['Last-Event-ID']) this.deliver('reset', '');
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      for (const raw of this.parser.feed(value)) this.deliver(raw.type, raw.data);
    }
  }

  /** `reset` (too old an id) reaches the listeners like any other: each loads anew. */
  private deliver(type: string, data: string): void {
    let event: LiveEvent = { type };
    try {
      if (data) event = { ...(JSON.parse(data) as LiveEvent), type };
    } catch {
      event = { type: 'reset' }; // unreadable: what it said is learnt by loading
    }
    for (const listener of this.listeners) listener(event);
  }
}
