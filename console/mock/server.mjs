// SPDX-License-Identifier: Apache-2.0
// The routes that the console uses, pretended, and the built pages: node mock/server.mjs [FOLDER [PORT]].
// For work on the pages and their tests; the product's server is another one.
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { World } from './world.mjs';

const folder = process.argv[2] ?? fileURLToPath(new URL('../dist', import.meta.url));
const port = Number(process.argv[3] ?? 7071);
const world = new World();
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

function json(response, value, status = 200) {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(value));
}

function refuse(response, status, code, message, field = '') {
  json(response, { error: { code, field, message } }, status);
}

async function bodyOf(request) {
  let text = '';
  for await (const part of request) text += part;
  return text;
}

function file(response, path) {
  const full = join(folder, normalize(path === '/' ? '/index.html' : path));
  if (!existsSync(full)) { refuse(response, 404, 'not_found', 'no such page'); return; }
  response.writeHead(200, { 'Content-Type': TYPES[extname(full)] ?? 'application/octet-stream', 'Content-Security-Policy': POLICY });
  createReadStream(full).pipe(response);
}

function events(request, response) {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  const write = (e) => response.write(`id: ${e.id}\nevent: ${e.type}\ndata: ${JSON.stringify(e.data)}\n\n`);
  const last = request.headers['last-event-id'];
  const at = world.events.findIndex((e) => e.id === last);
  if (last && at < 0) response.write(`id: ${world.seq}-0\nevent: reset\ndata: {"type":"reset"}\n\n`);
  else if (last) world.events.slice(at + 1).forEach(write);
  else response.write(': hello\n\n');
  // Connections break: the pages must go on where this one ended.
  let left = 12;
  const live = (e) => {
    write(e);
    if (--left > 0) return;
    world.listeners.delete(live);
    response.end();
  };
  world.listeners.add(live);
  response.on('close', () => world.listeners.delete(live));
}

function log(work, url, response) {
  response.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8' });
  let offset = Number(url.searchParams.get('offset') ?? 0);
  const timer = setInterval(() => {
    const more = work.log.slice(offset);
    offset += more.length;
    if (more) response.write(more);
    if (work.ended_ms || more.startsWith('step 3')) { clearInterval(timer); response.end(); }
  }, 100);
  response.on('close', () => clearInterval(timer));
}

function seen(work, whole) {
  const { log: _log, gpus: _gpus, ...rest } = work;
  if (whole) return rest;
  const { steps: _steps, placements: _placements, ...line } = rest;
  return line;
}

function priceOf(pool) {
  const { points, price: _price, ask, ...rest } = pool;
  const { at_ms: _at, ...last } = points.at(-1);
  const works = [...world.workloads.values()].filter((w) => w.pool === pool.name);
  const used = works.filter((w) => w.state === 'running').reduce((sum, w) => sum + w.units_milli, 0);
  return {
    ...rest, ...last, lowest_ask_udollar_per_hour: ask, used_milli: used, free_milli: pool.units_milli - used, wanted_milli: used,
    running: works.filter((w) => w.state === 'running').length, waiting: works.filter((w) => w.state === 'waiting').length,
  };
}

function quote(yaml) {
  const pool = world.pools[0];
  const line = (freedom, share, text) => ({
    freedom, text, offered: true, fits: true, starts_now: true, pool: pool.name, units_milli: 250,
    rate_udollar_per_hour: Math.round(pool.price * 0.25 * share), unit_rate_udollar_per_hour: Math.round(pool.price * share),
    saves_udollar_per_hour: Math.round(pool.price * 0.25 * (1 - share)),
  });
  return {
    name: /^name:\s*(\S+)/m.exec(yaml)?.[1] ?? '', kind: 'preemptible', nodes: 1, limit_udollar_per_hour: pool.ask * 5,
    lines: [line('as_is', 1, 'It starts now.'), line('later', 0.8, 'The pool is quieter later.')],
  };
}

function bill(work) {
  return {
    id: work.id, sum_udollar: work.cost_udollar, open_udollar: 0,
    lines: work.cost_udollar ? [{
      attempt: 1, kind: 'menu', pool: work.pool, from_ms: work.started_ms, to_ms: work.ended_ms ?? Date.now(), units_milli: work.units_milli,
      rate_udollar_per_hour: work.rate_udollar_per_hour, amount_udollar: work.cost_udollar,
    }] : [],
  };
}

async function workload(request, response, url, id, action) {
  const work = world.workloads.get(id);
  if (!work) { refuse(response, 404, 'not_found', 'no such workload'); return; }
  if (action === 'logs') log(work, url, response);
  else if (action === 'bill') json(response, bill(work));
  else if (action === 'why') json(response, {
    id, state: work.state, obstacle: 'price', text: 'All cores are taken by higher bids. A limit of $0.25 would start it now.', pool: work.pool,
    needed_milli: work.units_milli, free_milli: 100, largest_free_milli: 100, ahead: 1, has_limit: true, start_limit_udollar_per_hour: 250_000,
  });
  else if (action === 'cancel') { world.end(work, 'cancelled', 'cancelled'); json(response, { seq: world.seq, state: work.state }); }
  else if (request.method === 'PATCH') {
    Object.assign(work, JSON.parse(await bodyOf(request)));
    world.emit('workload_changed', { workload: id });
    json(response, { seq: world.seq, state: work.state });
  } else json(response, seen(work, true));
}

async function submit(request, response) {
  const yaml = await bodyOf(request);
  if (!/^run:/m.test(yaml)) { refuse(response, 400, 'invalid', 'what to run is missing', 'run'); return; }
  const work = world.add(/^name:\s*(\S+)/m.exec(yaml)?.[1] ?? 'unnamed', world.pools[0], Number(/^num_nodes:\s*(\d+)/m.exec(yaml)?.[1] ?? 1));
  if (!/stays waiting/.test(yaml)) world.run(work);
  json(response, { id: work.id, seq: world.seq, state: work.state }, 201);
}

async function api(request, response, url) {
  const states = url.searchParams.get('state')?.split(',');
  const [, , kind, id, action] = url.pathname.split('/');
  if (url.pathname === '/v1/workloads' && request.method === 'POST') return submit(request, response);
  if (url.pathname === '/v1/workloads') return json(response, {
    workloads: [...world.workloads.values()].filter((w) => !states || states.includes(w.state)).map((w) => seen(w, false)).reverse(),
  });
  if (kind === 'workloads') return workload(request, response, url, id, action);
  if (url.pathname === '/v1/quote') {
    const yaml = await bodyOf(request);
    const field = /^(unknown\w*):/m.exec(yaml)?.[1];
    return field ? refuse(response, 400, 'invalid', 'no such field', field) : json(response, quote(yaml));
  }
  if (url.pathname === '/v1/subscriptions') return json(response, { subscriptions: [{ project: 'default', tier: 'instant', start_ms: 2000, units_milli: 1000, held_milli: 1000, used_milli: 0, rate_udollar_per_hour: 100_000, zone: 'a' }] });
  if (url.pathname === '/v1/prices') return json(response, { at_ms: Date.now(), tick_ms: 1000, pools: world.pools.map(priceOf), gap: { surplus_udollar_per_hour: 81_000_000, bound_udollar_per_hour: 83_500_000 } });
  if (url.pathname === '/v1/prices/history') {
    const pool = world.pools.find((p) => p.name === url.searchParams.get('pool'));
    const from = Number(url.searchParams.get('from_ms') ?? 0);
    return pool ? json(response, { pool: pool.name, points: pool.points.filter((p) => p.at_ms >= from) }) : refuse(response, 404, 'not_found', 'no such pool');
  }
  if (url.pathname === '/v1/nodes') return json(response, { nodes: world.nodes, cursor: '' });
  if (url.pathname === '/v1/projects') return json(response, { projects: [{ id: 'proj_1', name: 'default', limited: false, spent_udollar: [...world.workloads.values()].reduce((sum, w) => sum + w.cost_udollar, 0) }] });
  if (url.pathname === '/v1/ledger') return json(response, { entries: world.entries.slice(-50), cursor: '' });
  if (url.pathname === '/v1/events') return events(request, response);
  return refuse(response, 404, 'not_found', 'no such route');
}

async function session(request, response) {
  if (request.method === 'DELETE') {
    response.setHeader('Set-Cookie', 'tessera_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0');
    return json(response, {});
  }
  if (JSON.parse(await bodyOf(request)).code !== 'mock-code') return refuse(response, 401, 'unauthorized', 'this code is not valid (any more)');
  response.setHeader('Set-Cookie', 'tessera_session=mock; HttpOnly; SameSite=Strict; Path=/');
  return json(response, {});
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://mock');
  if (!url.pathname.startsWith('/v1/')) return file(response, url.pathname);
  if (url.pathname === '/v1/console/session') return session(request, response);
  if (!/tessera_session=mock/.test(request.headers.cookie ?? '')) return refuse(response, 401, 'unauthorized', 'sign in first');
  return api(request, response, url);
});
server.listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/#code=mock-code`));
