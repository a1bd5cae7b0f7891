// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventParser } from '../node_modules/.tessera-test/event_parser.js';
import { racks, slices } from '../node_modules/.tessera-test/fleet_model.js';
import { lastBefore, linear, ticks } from '../node_modules/.tessera-test/scale.js';

test('events are found wherever the stream is cut', () => {
  const text = ': hello\n\nid: 7-0\nevent: price_posted\ndata: {"a":1}\n\nid: 7-1\r\nevent: x\r\ndata: p\r\ndata: q\r\n\r\n';
  for (let cut = 0; cut <= text.length; cut++) {
    const parser = new EventParser();
    const events = [...parser.feed(text.slice(0, cut)), ...parser.feed(text.slice(cut))];
    assert.deepEqual(events, [
      { type: 'price_posted', id: '7-0', data: '{"a":1}' }, { type: 'x', id: '7-1', data: 'p\nq' }]);
    assert.equal(parser.lastId, '7-1');
  }
});

test('a half event is not resumed from', () => {
  const parser = new EventParser();
  parser.feed('id: 1-0\ndata: a\n\nid: 2-0\ndata: lost');
  parser.restart();
  assert.equal(parser.lastId, '1-0');
  assert.deepEqual(parser.feed('data: b\n\n'), [{ type: 'message', id: '1-0', data: 'b' }]);
});

test('a line without end is given up', () => {
  assert.throws(() => new EventParser().feed('x'.repeat((1 << 20) + 1)), RangeError);
});

test('axes', () => {
  assert.deepEqual(ticks(0, 100, 4), [0, 25, 50, 75, 100]);
  assert.ok(ticks(0, 40_123, 4).at(-1) >= 40_123);
  assert.equal(linear(0, 10, 100, 200)(5), 150);
  const points = [{ at_ms: 10 }, { at_ms: 20 }];
  assert.deepEqual([5, 10, 19, 20, 99].map((at) => lastBefore(points, at)), [-1, 0, 0, 1, 1]);
});

test('slices of nodes', () => {
  const gpu = { amounts: { gpu_milli: 4000 }, replicas: [{ workload: 'w', gpus: [1, 2] }] };
  assert.deepEqual(slices(gpu).map((s) => s.replica?.workload ?? ''), ['', 'w', 'w', '']);
  const cpu = { amounts: { core_milli: 1000 }, replicas: [{ workload: 'w', amounts: { core_milli: 250 } }] };
  assert.deepEqual(slices(cpu).map((s) => s.width), [250, 750]);
  assert.equal(slices({}).length, 1);
});

test('racks go by the names of places, numbers in order', () => {
  const node = (name, rack) => ({ name, place: { provider: 'p', rack } });
  const found = racks([node('n10', 'r10'), node('n2', 'r2'), node('n1', 'r2')]);
  assert.deepEqual(found.map((r) => [r.name, r.nodes.map((n) => n.name)]), [['p / r2', ['n1', 'n2']], ['p / r10', ['n10']]]);
});
