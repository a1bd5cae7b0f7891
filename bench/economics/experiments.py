# SPDX-License-Identifier: Apache-2.0
"""The economics: what the market is worth beside what people do. Values, asks and seeds are those of values.json,
fixed before any result was looked at."""
import csv
import json
import math
import pathlib
import random
import statistics
import time

import plots
from tables import Part, interval, rows, shown, table

HERE = pathlib.Path(__file__).resolve().parent
VALUES = json.loads((HERE / "values.json").read_text())
ON_DEMAND = VALUES["on_demand_usd"]["gpu_hour"]
ASKS = VALUES["asks_usd_per_gpu_hour"]
HOUR, DAY = 3600, 86400
GPUS = 8  # a node


def value(rng):
    return min(ON_DEMAND, ON_DEMAND * VALUES["m"]["median"] * math.exp(VALUES["m"]["sigma"] * rng.gauss(0, 1)))


def gang(gpus):
    nodes = -(-gpus // GPUS)
    return nodes, -(-gpus // nodes)


def write(path, head, lines):
    with open(path, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(head)
        out.writerows(lines)
    return path


# ---- jobs of real traces: (submit, run, gpus, team), seconds ----

def philly(traces):
    def at(text):
        return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))
    found = [(at(r["timestamp"]), float(r["duration"]), int(r["num_gpus"]), r["cluster"]) for r in rows(traces / "philly/philly_jobs_dev.csv.gz")]
    start = min(f[0] for f in found) + 30 * DAY
    return [(t - start, run, gpus, team) for t, run, gpus, team in found if start <= t < start + 10 * DAY]


def itp(traces):
    found = []
    for path in sorted(traces.glob("itp-elasticflow/cluster*.csv.gz")):
        for r in rows(path):
            t = float(r["submission_time"]) - 14 * DAY
            if 0 <= t < 10 * DAY:
                found.append((t, float(r["duration"]), max(int(r["num_gpu"]), 1), path.name[:9]))
    return found


def chronus(traces):
    found = [(float(r["submit_time"]) * 60, float(r["duration"]) * 60, int(r["num_gpu"]), r["user"]) for r in rows(traces / "chronus/trace_job_Philly_MIX2.csv.gz")
             if int(r["num_gpu"])]
    return [job for job in found if job[0] < 10 * DAY]


class Market(Part):
    title = "1. The market against what people do"
    about = """The same nodes, jobs, hidden values, overheads and horizon for each policy. `static-quota`: every team has nodes of its own,
split in proportion to its work in the trace (in hindsight, the best split); `backfill`: FIFO with EASY; `priority`: four
tiers of the true value, backfill, preemption; `market`. Philly's teams are its virtual clusters; ITP has none, so each cluster
file is one team of a joint fleet; Chronus is Philly as its authors prepared it. Ten days of each trace on a fleet sized for
the offered load. The three asks are shown at load 1.0. Surplus is the value of useful work done by the end less the marginal cost of the hours in use; money moved does not
count. The bound lets every job be divided, preempted for nothing and foreseen, and holds capacity only in sums over the
rest of the horizon: no policy can exceed it, and it may itself be out of reach. Percent of the bound, mean and 95 % interval over the
seeds; the last column is how much of the way from `priority` to the bound the market goes.

`tessera sim --trace csv:JOBS --fleet FLEET --until 10d --policy P --set ask=A --json`
"""
    needs = ("philly/philly_jobs_dev.csv.gz", "itp-elasticflow/cluster01.csv.gz", "chronus/trace_job_Philly_MIX2.csv.gz")
    policies = ("static-quota", "backfill", "priority", "market")
    horizon = 10 * DAY

    def seeds(self):
        return range(1, 3 if self.small else 11)

    def loads(self):
        return (1.0,) if self.small else (0.7, 1.0, 1.5)

    def sources(self):
        return {"philly": philly} if self.small else {"philly": philly, "itp": itp, "chronus": chronus}

    def asks(self, load):
        """All of them at load 1.0, the first elsewhere."""
        return ASKS if load == 1.0 and not self.small else dict(list(ASKS.items())[:1])

    def want(self, cells):
        self.bounds = {}
        for source, read in self.sources().items():
            jobs = read(self.traces)
            # what can be done of it within the horizon at all
            work = sum(min(run, self.horizon - t) * gpus for t, run, gpus, _ in jobs)
            for load in self.loads():
                nodes = max(round(work / (load * self.horizon * GPUS)), -(-max(j[2] for j in jobs) // GPUS))
                fleet = write(self.folder / f"fleet-{source}-{load}.csv", ["count", "name", "gpus", "cpus", "memory_gb", "per_rack"], [[nodes, "n", GPUS, 64, 512, 16]])
                for seed in self.seeds():
                    self.want_seed(cells, (source, load, seed), jobs, nodes, fleet)

    def want_seed(self, cells, key, jobs, nodes, fleet):
        rng = random.Random(f"{key[0]} {key[2]}")
        worth = [value(rng) for _ in jobs]
        path = self.folder / f"jobs-{key[0]}-{key[2]}.csv"
        write(path, ["submit", "run", "tenant", "replicas", "gpus", "limit"],
              [[f"{t:.3f}", f"{run:.3f}", team, *gang(gpus), f"{v:.6f}"] for (t, run, gpus, team), v in zip(jobs, worth)])
        for name, ask in self.asks(key[1]).items():
            self.bounds[*key, name] = bound(jobs, worth, nodes * GPUS, ask, self.horizon)
            for policy in self.policies:
                cells.want(f"1/{key[0]}/{key[1]}/{name}/{policy}/{key[2]}", ["--trace", f"csv:{path}", "--fleet", fleet, "--until", "10d", "--seed", key[2],
                                                                             "--policy", policy, "--set", f"ask={ask}"])

    def page(self, results):
        lines, hours = [], []
        for source in self.sources():
            for load in self.loads():
                for name in self.asks(load):
                    of = {p: [results[f"1/{source}/{load}/{name}/{p}/{s}"] for s in self.seeds()] for p in self.policies}
                    most = [self.bounds[source, load, s, name] for s in self.seeds()]
                    share = {p: [100 * r["surplus_usd"] / b for r, b in zip(of[p], most)] for p in self.policies}
                    closed = [100 * (m - c) / (100 - c) for m, c in zip(share["market"], share["priority"])]
                    lines.append([source, load, name, *(shown(share[p], 1) for p in self.policies), shown(closed, 0) + " %"])
                    if name == next(iter(ASKS)):
                        hours.append([source, load, *(f"{statistics.fmean(r['useful_unit_hours'] for r in of[p]):.0f}" for p in self.policies),
                                      *(f"{statistics.fmean(r['median_wait_s'] for r in of[p]):.0f}" for p in ("priority", "market"))])
        return (table(["trace", "load", "ask", *self.policies, "way to the bound"], lines) +
                "\nUseful GPU-hours, and the median wait in seconds (ask: marginal cost):\n\n" +
                table(["trace", "load", *self.policies, "wait, priority", "wait, market"], hours))

    def plot(self, results):
        name = next(iter(ASKS))
        cases = [(source, load) for source in self.sources() for load in self.loads()]
        series = [(p, [interval([100 * results[f"1/{source}/{load}/{name}/{p}/{s}"]["surplus_usd"] / self.bounds[source, load, s, name] for s in self.seeds()])
                       for source, load in cases]) for p in self.policies]
        return plots.bars("Surplus by trace and offered load (ask: marginal cost)", "% of the bound", [f"{source}\n{load}" for source, load in cases], series)


def bound(jobs, worth, gpus, ask, horizon):
    """Greedy by value over nested capacities (what arrives after t fits into what is left after t): a laminar family, where greedy is
    exact (Edmonds 1971), so this is the optimum of the relaxation."""
    slots = 240
    left = [gpus * (horizon - horizon * s / slots) / HOUR for s in range(slots)]  # unit-hours after each slot's begin
    sum_usd = 0.0
    for i in sorted(range(len(jobs)), key=lambda i: -worth[i]):
        t, run, size, _ = jobs[i]
        if worth[i] <= ask:
            break
        last = min(int(t / horizon * slots), slots - 1)
        amount = min(min(run, horizon - t) * size / HOUR, min(left[: last + 1]))
        if amount <= 0:
            continue
        for s in range(last + 1):
            left[s] -= amount
        sum_usd += amount * (worth[i] - ask)
    return sum_usd


class Elasticity(Part):
    title = "4. Elasticity: a thousand node-hours on 1 to 1,000 nodes"
    about = """Perfectly parallel work of 1,000 node-hours on a pool of 1,200 nodes of eight GPUs, of which a background of preemptible single-node
jobs with values as in experiment 1 fills 0 to 90 %. The bill in dollars and the hours from submit to end; starting takes 5 s.
The ideal is the bill of one node on an empty pool. Ask: marginal cost; limit: on-demand.
"""
    sizes = (1, 10, 100, 1000)
    fills = (0, 15, 50, 90)

    def want(self, cells):
        fleet = write(self.folder / "fleet-elastic.csv", ["count", "name", "gpus", "cpus", "memory_gb", "per_rack"], [[1200, "n", GPUS, 64, 512, 16]])
        for fill in self.fills:
            for size in self.sizes[1:] if self.small else self.sizes:
                rng = random.Random(fill)
                jobs = [["0", str(4000 * HOUR), f"b{i % 40}", 1, GPUS, f"{value(rng):.6f}", f"b{i}"] for i in range(1200 * fill // 100)]
                jobs.append(["7200", f"{1000 * HOUR / size:.3f}", "own", size, GPUS, f"{ON_DEMAND:.6f}", "ideal"])
                path = write(self.folder / f"jobs-elastic-{fill}-{size}.csv", ["submit", "run", "tenant", "replicas", "gpus", "limit", "name"], jobs)
                cells.want(f"4/{fill}/{size}", ["--trace", f"csv:{path}", "--fleet", fleet, "--until", f"{1000 // size + 12}h", "--set", "tick_ms=60000",
                                                "--set", f"ask={ASKS['marginal cost']}"], ideal)

    def page(self, results):
        sizes = self.sizes[1:] if self.small else self.sizes
        best = results[f"4/0/{sizes[0]}"]["bill"]
        lines = [[f"{fill} %", *(f"{results[f'4/{fill}/{n}']['bill']:.1f} ({100 * results[f'4/{fill}/{n}']['bill'] / best - 100:+.1f} %), {results[f'4/{fill}/{n}']['hours']:.2f} h"
                                 for n in sizes)] for fill in self.fills]
        return table(["background", *(f"{n} nodes" for n in sizes)], lines)

    def plot(self, results):
        sizes = self.sizes[1:] if self.small else self.sizes
        series = [(f"{fill} % background", [(results[f"4/{fill}/{n}"]["bill"], 0) for n in sizes]) for fill in self.fills]
        return plots.lines("The bill of 1,000 node-hours", "$", [f"{n} nodes" for n in sizes], series)


def ideal(folder):
    own = next(r for r in rows(folder / "workloads.csv") if r["name"] == "ideal")
    return {"bill": float(own["cost_usd"]), "hours": (float(own["end"] or "nan") - float(own["submit"])) / HOUR}


class Liar(Part):
    title = "5. What a liar gains"
    about = """Philly at load 1.0, as in experiment 1: one team bids its true values times a factor, everybody else bids the truth. Utility is the
true value of its useful work less what it paid. Gain over bidding the truth, in percent of the true value of the team's work, paired
by seed (mean and 95 % interval); for a team of about 5 % of the work and for the largest one. Other lies of the plan (splitting,
several names, late entry, overstated restart cost, iterated best responses) are not measured yet.
"""
    needs = ("philly/philly_jobs_dev.csv.gz",)
    factors = (0.5, 0.7, 0.9, 1.0, 1.1, 1.2)
    horizon = 10 * DAY

    def seeds(self):
        return range(6, 8 if self.small else 16)

    def teams(self, jobs):
        work = {}
        for t, run, gpus, team in jobs:
            work[team] = work.get(team, 0) + min(run, self.horizon - t) * gpus
        everything = sum(work.values())
        return {"about 5 %": min(work, key=lambda k: abs(work[k] / everything - .05)), "largest": max(work, key=work.get)}, work, everything

    def want(self, cells):
        jobs = philly(self.traces)
        teams, work, everything = self.teams(jobs)
        self.shares = {label: work[team] / everything for label, team in teams.items()}
        nodes = round(everything / (self.horizon * GPUS))
        fleet = write(self.folder / "fleet-liar.csv", ["count", "name", "gpus", "cpus", "memory_gb", "per_rack"], [[nodes, "n", GPUS, 64, 512, 16]])
        for label, liar in teams.items():
            for seed in self.seeds():
                rng = random.Random(f"philly {seed}")
                worth = [value(rng) for _ in jobs]
                for factor in self.factors:
                    lines = [[f"{t:.3f}", f"{run:.3f}", team, *gang(gpus), f"{v * (factor if team == liar else 1):.6f}", f"{v:.6f}"]
                             for (t, run, gpus, team), v in zip(jobs, worth)]
                    path = write(self.folder / f"jobs-liar-{label.replace(' ', '-').replace('%', 'percent')}-{seed}-{factor}.csv",
                                 ["submit", "run", "tenant", "replicas", "gpus", "limit", "name"], lines)
                    cells.want(f"5/{label}/{seed}/{factor}", ["--trace", f"csv:{path}", "--fleet", fleet, "--until", "10d", "--seed", seed,
                                                              "--set", f"ask={ASKS['marginal cost']}"], lambda folder, liar=liar: utilities(folder, liar))

    def page(self, results):
        lines = []
        for label, part in self.shares.items():
            truth = [results[f"5/{label}/{s}/1.0"] for s in self.seeds()]
            for factor in self.factors:
                of = [results[f"5/{label}/{s}/{factor}"] for s in self.seeds()]
                gain = [100 * (a["utility"] - b["utility"]) / b["value"] for a, b in zip(of, truth)]
                harm = [100 * (b["others"] - a["others"]) / b["others"] for a, b in zip(of, truth)]
                lines.append([f"{label} ({100 * part:.1f} %)", factor, shown(gain), f"{max(gain):.2f}", shown(harm)])
        return table(["team (share of the work)", "bids truth times", "gain, % of value", "worst seed", "harm to others, % of their utility"], lines)

    def plot(self, results):
        def gain(label, factor, seed):
            lie, truth = (results[f"5/{label}/{seed}/{f}"] for f in (factor, 1.0))
            return 100 * (lie["utility"] - truth["utility"]) / truth["value"]
        series = [(label, [interval([gain(label, f, s) for s in self.seeds()]) for f in self.factors]) for label in self.shares]
        return plots.lines("What one team gains that bids its true values times a factor", "% of the true value of its work", self.factors, series)


def utilities(folder, liar):
    """`name` holds the true value."""
    sums = {"utility": 0.0, "value": 0.0, "others": 0.0}
    for r in rows(folder / "workloads.csv"):
        worth = float(r["name"]) * float(r["units"]) * float(r["kept"] or 0) / HOUR
        gain = worth - float(r["cost_usd"])
        if r["tenant"] == liar:
            sums["utility"] += gain
            sums["value"] += worth
        else:
            sums["others"] += gain
    return sums


PARTS = [Market, Elasticity, Liar]
