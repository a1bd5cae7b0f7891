// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as f from '../node_modules/.tessera-test/format.js';

test('money keeps four significant digits and two decimals', () => {
  const cases = [[0, '$0.00'], [1, '$0.000001'], [40, '$0.000040'], [1234, '$0.001234'], [40_000, '$0.04000'], [200_000, '$0.2000'],
    [1_000_000, '$1.000'], [1_999_999, '$2.000'], [12_345_678, '$12.35'], [999_999_999, '$1,000.00'],
    [123_456_789_012, '$123,456.79'], [-2_500_000, '−$2.500'], [999_999, '$1.000']];
  for (const [udollar, text] of cases) assert.equal(f.money(udollar), text, String(udollar));
  assert.equal(f.money(), '$0.00');
});

test('rates, amounts, memory', () => {
  assert.equal(f.rate(40_000, 'core'), '$0.04000/core-h');
  assert.equal(f.rate(1_900_000), '$1.900/h');
  assert.deepEqual([f.milli(250), f.milli(8000), f.milli(), f.milli(1)], ['0.25', '8', '0', '0.001']);
  assert.deepEqual([f.memory(512), f.memory(1024), f.memory(1536)], ['512 MiB', '1 GiB', '1.5 GiB']);
});

test('durations show their two largest parts', () => {
  const cases = [[-5, '0 ms'], [999, '999 ms'], [4000, '4 s'], [125_000, '2 m 5 s'], [11_520_000, '3 h 12 m'], [176_400_000, '2 d 1 h']];
  for (const [ms, text] of cases) assert.equal(f.duration(ms), text);
});

test('moments name another day', () => {
  const noon = new Date(2030, 0, 2, 12, 0, 0).getTime();
  assert.equal(f.moment(noon, noon + 1000), '12:00:00');
  assert.equal(f.moment(noon, noon + 86_400_000), '2030-01-02 12:00:00');
  assert.equal(f.moment(0), '–');
});

test('a workload has one hue everywhere', () => {
  assert.equal(f.hue('work_abc'), f.hue('work_abc'));
  const hues = new Set(Array.from({ length: 400 }, (_, i) => f.hue(`work_${i}`)));
  assert.equal(hues.size, 24);
});
