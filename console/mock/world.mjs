// SPDX-License-Identifier: Apache-2.0
// A small pretended fleet for work on the pages; nothing of it ships.

const POOLS = [
  { id: 'pool_cpu0000000000001', name: 'cpu@local/here/a', sku: 'cpu', unit: 'core', ask: 40_000, nodes: 4, units_milli: 16_000 },
  { id: 'pool_h100000000000001', name: 'H100-80GB-SXM@north/eu-1/b', sku: 'H100-80GB-SXM', unit: 'gpu', ask: 1_900_000, nodes: 4, units_milli: 32_000 },
];
const BUSY = [['train-llama', [0, 1, 2, 3]], ['eval-suite', [4, 5]], ['embeddings', [6]]];

export class World {
  constructor() {
    this.now = Date.now();
    this.seq = 1;
    this.events = [];
    this.listeners = new Set();
    this.workloads = new Map();
    this.entries = [];
    this.pools = POOLS.map((pool) => ({ ...pool, price: pool.ask, points: [] }));
    for (let i = 240; i > 0; i--) for (const pool of this.pools) this.step(pool, this.now - i * 3000);
    this.nodes = this.pools.flatMap((pool, kind) => [1, 2, 3, 4].map((n) => this.node(pool, kind, n)));
    for (const [name, gpus] of BUSY) this.place(this.add(name, this.pools[1], 4, gpus), 'running');
    this.timer = setInterval(() => this.tick(), 1000);
  }

  node(pool, kind, n) {
    const rack = n <= 2 ? 'r1' : 'r2';
    const [provider, region, zone] = pool.name.split('@')[1].split('/');
    return {
      id: `node_${kind}${n}`.padEnd(21, '0'), name: `${kind ? 'gpu' : 'agent'}-${n}`, state: n === 4 && kind ? 'draining' : 'up',
      sku: pool.sku, address: `127.0.0.1${n}`, pool: pool.name, place: { provider, region, zone, rack },
      amounts: kind ? { gpu_milli: 8000, core_milli: 96_000, memory_mib: 1 << 20 } : { core_milli: 4000, memory_mib: 8192 },
      ask_udollar_per_hour: pool.ask, contact_age_ms: 800, replicas: [],
    };
  }

  step(pool, at) {
    const swing = Math.round(pool.ask * 0.08 * (Math.random() - 0.48));
    pool.price = Math.max(pool.ask, Math.min(pool.ask * 3, pool.price + swing));
    const point = {
      at_ms: at, price_udollar_per_hour: pool.price, marginal_udollar_per_hour: Math.round(pool.price * 0.92),
      scarcity_udollar_per_hour: pool.price - Math.round(pool.price * 0.92), guide_udollar_per_hour: Math.round(pool.price * 1.1),
    };
    pool.points.push(point);
    return point;
  }

  emit(type, fields) {
    const event = { id: `${++this.seq}-0`, type, data: { type, at_ms: Date.now(), ...fields } };
    this.events.push(event);
    this.events.splice(0, this.events.length - 500);
    for (const listener of this.listeners) listener(event);
  }

  tick() {
    for (const pool of this.pools) this.emit('price_posted', { pool: pool.name, ...this.step(pool, Date.now()) });
    for (const work of this.workloads.values())
      if (work.state === 'running') {
        const amount = Math.round(work.rate_udollar_per_hour / 3600);
        work.cost_udollar += amount;
        this.entries.push({ id: `${this.seq}-1`, at_ms: Date.now(), debit: 'project:default', credit: `pool:${work.pool}`, amount_udollar: amount, workload: work.id });
      }
    if (this.entries.length > 200) this.entries.splice(0, 100);
  }

  add(name, pool, nodes, gpus) {
    const id = `work_${Math.random().toString(36).slice(2).padEnd(16, 'x').slice(0, 16)}`;
    const work = {
      id, name, project: 'default', state: 'waiting', kind: 'preemptible', attempt: 1, nodes, pool: pool.name,
      units_milli: gpus ? nodes * gpus.length * 1000 : nodes * 250, limit_udollar_per_hour: pool.ask * 5, rate_udollar_per_hour: 0,
      cost_udollar: 0, submitted_ms: Date.now(), steps: [{ at_ms: Date.now(), type: 'submitted', attempt: 1 }], placements: [], log: '', gpus: gpus ?? [],
    };
    this.workloads.set(id, work);
    this.emit('workload_submitted', { workload: id, name });
    return work;
  }

  to(work, state, type, text) {
    work.state = state;
    work.steps.push({ at_ms: Date.now(), type, attempt: work.attempt, ...(text ? { text } : {}) });
    this.emit(`workload_${type}`, { workload: work.id, state });
  }

  place(work, state) {
    const pool = this.pools.find((p) => p.name === work.pool);
    const homes = this.nodes.filter((node) => node.pool === work.pool).slice(0, work.nodes);
    work.placements = homes.map((node, rank) => ({ rank, node: node.id, node_name: node.name, address: node.address, gpus: work.gpus, state }));
    homes.forEach((node, rank) => node.replicas.push({
      workload: work.id, name: work.name, project: 'default', attempt: 1, rank, state: 'running', gpus: work.gpus,
      amounts: { core_milli: work.units_milli / work.nodes, gpu_milli: work.gpus.length * 1000 },
    }));
    work.started_ms = Date.now();
    work.rate_udollar_per_hour = Math.round(pool.price * work.units_milli / 1000);
    this.to(work, 'assigned', 'assigned', `on ${homes.map((n) => n.name).join(', ')}`);
    this.to(work, 'running', 'started');
  }

  /** What a submitted one goes through: waits, runs, writes five lines, ends. */
  run(work) {
    setTimeout(() => {
      if (work.state !== 'waiting') return;
      this.place(work, 'running');
      let line = 0;
      const timer = setInterval(() => {
        if (work.state !== 'running') { clearInterval(timer); return; }
        work.log += `step ${++line} of 5\n`;
        if (line === 5) { clearInterval(timer); this.end(work, 'finished', 'finished'); }
      }, 500);
    }, 1500);
  }

  end(work, state, type) {
    for (const node of this.nodes) node.replicas = node.replicas.filter((r) => r.workload !== work.id);
    for (const p of work.placements) Object.assign(p, { state: 'ended', ended: true, exit_code: 0 });
    Object.assign(work, { rate_udollar_per_hour: 0, ended_ms: Date.now(), exited: state === 'finished', exit_code: 0 });
    this.to(work, state, type);
  }
}
