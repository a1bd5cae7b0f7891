// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** µ$ as dollars: two decimals at least, and at least four significant digits where there are any. */
export function money(udollar = 0): string {
  const sign = udollar < 0 ? '−' : '';
  const size = Math.abs(udollar);
  const dollars = Math.floor(size / 1e6);
  const whole = dollars.toLocaleString('en-US');
  const digits = String(size % 1e6).padStart(6, '0');
  let keep = dollars > 0 ? Math.max(2, 4 - String(dollars).length) : 2;
  if (dollars === 0 && size > 0) keep = Math.min(6, 10 - String(size).length);
  const scaled = Math.round(Number(digits) / 10 ** (6 - keep));
  if (scaled >= 10 ** keep) return money(Math.sign(udollar) * (dollars + 1) * 1e6);
  return `${sign}$${whole}.${String(scaled).padStart(keep, '0')}`;
}

/** A rate in µ$ per hour; `unit` names of what ("gpu", "core"), if of one. */
export function rate(udollar: number | undefined, unit?: string): string {
  return `${money(udollar)}/${unit ? `${unit}-h` : 'h'}`;
}

/** Thousandths of a unit: 250 is "0.25", 8000 is "8". */
export function milli(amount = 0): string {
  return String(Number((amount / 1000).toFixed(3)));
}

export function memory(mib = 0): string {
  return mib >= 1024 ? `${Number((mib / 1024).toFixed(1))} GiB` : `${mib} MiB`;
}

/** The two largest parts of a span: "4 s", "2 m 5 s", "3 h 12 m", "2 d 1 h". */
export function duration(ms: number): string {
  const span = Math.max(0, ms);
  if (span < 1000) return `${Math.round(span)} ms`;
  const seconds = Math.floor(span / 1000) % 60;
  const minutes = Math.floor(span / MINUTE) % 60;
  const hours = Math.floor(span / HOUR) % 24;
  if (span < MINUTE) return `${seconds} s`;
  if (span < HOUR) return `${minutes} m ${seconds} s`;
  if (span < DAY) return `${hours} h ${minutes} m`;
  return `${Math.floor(span / DAY)} d ${hours} h`;
}

const two = (n: number): string => String(n).padStart(2, '0');

export function clock(ms?: number): string {
  if (!ms) return '–';
  const at = new Date(ms);
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':');
}

function dayOf(ms: number): string {
  const at = new Date(ms);
  return [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join('-');
}

/** The time of day; with the date where that is another day than `now`. */
export function moment(ms?: number, now = Date.now()): string {
  if (!ms) return '–';
  return dayOf(ms) === dayOf(now) ? clock(ms) : `${dayOf(ms)} ${clock(ms)}`;
}

/** "work_7h2k…" is enough of an id where the whole is one click away. */
export function shortId(id: string): string {
  return id.length > 12 ? `${id.slice(0, 10)}…` : id;
}

/** The angle of the colour that an id has on every page: FNV-1a, so that near ids differ. */
export function hue(id: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193) >>> 0;
  // Twenty-four steps can be told apart; more would only look like one another.
  return (((hash ^ (hash >>> 15)) >>> 0) % 24) * 15;
}
