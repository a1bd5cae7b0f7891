// SPDX-License-Identifier: Apache-2.0
// The text of an event stream (text/event-stream) cut into events.

export interface RawEvent { type: string; id: string; data: string }

/** A line longer than this is no event of ours: the stream is given up. */
const LONGEST = 1 << 20;

export class EventParser {
  /** Of the last whole event; what to resume from. */
  lastId = '';
  private rest = '';
  private type = '';
  private id = '';
  private data: string[] = [];

  /** Events that `text` completed. Throws RangeError where a line has no end. */
  feed(text: string): RawEvent[] {
    const events: RawEvent[] = [];
    this.rest += text;
    let end: number;
    while ((end = this.rest.indexOf('\n')) >= 0) {
      const line = this.rest.slice(0, end).replace(/\r$/, '');
      this.rest = this.rest.slice(end + 1);
      const event = this.line(line);
      if (event) events.push(event);
    }
    if (this.rest.length > LONGEST) throw new RangeError('an event without end');
    return events;
  }

  /** Forget a half event: its connection is gone. */
  restart(): void {
    this.rest = '';
    this.type = '';
    this.id = this.lastId;
    this.data = [];
  }

  private line(line: string): RawEvent | null {
    if (line === '') return this.dispatch();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.type = value;
    else if (field === 'id') this.id = value;
    else if (field === 'data') this.data.push(value);
    return null;
  }

  private dispatch(): RawEvent | null {
    this.lastId = this.id;
    const event = { type: this.type || 'message', id: this.id, data: this.data.join('\n') };
    const empty = this.data.length === 0 && this.type === '';
    this.type = '';
    this.data = [];
    return empty ? null : event;
  }
}
