// SPDX-License-Identifier: Apache-2.0
// Axes of a chart.

/** About `count` round values from 0 (or `low`) to at least `high`. */
export function ticks(low: number, high: number, count: number): number[] {
  const span = Math.max(high - low, 1);
  const rough = span / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? 10 * power;
  const values: number[] = [];
  for (let v = Math.floor(low / step) * step; v < high + step; v += step) values.push(v);
  return values;
}

/** Maps [from, to] to [start, end]. */
export function linear(from: number, to: number, start: number, end: number): (v: number) => number {
  const span = to - from || 1;
  return (value) => start + ((value - from) / span) * (end - start);
}

/** The index of the last point at or before `at`; points are in order of time. −1: none. */
export function lastBefore(points: readonly { at_ms: number }[], at: number): number {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle]!.at_ms <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
