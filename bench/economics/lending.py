# SPDX-License-Identifier: Apache-2.0
"""Reserved capacity, used by its holders or lent to others."""
import random
import statistics

from experiments import ASKS, DAY, GPUS, HOUR, gang, philly, value, write
import plots
from tables import Part, interval, rows, shown, table

MINUTE = 60
STEP = 10  # minutes of a sample
PROMISE = 30 + 5  # seconds: the notice of those who borrow, and the start of who comes


def quotas(traces, days):
    """By virtual cluster: nodes that are its own, and how many of them it needs at each sample; what it needs beyond is left out."""
    found = {}
    for r in rows(traces / "helios-demand/earth_may2020_10min_dev.csv.gz"):
        if int(r["minute"]) < days * 1440:
            nodes, need = found.setdefault(r["vc"], (int(r["capacity_gpus"]) // GPUS, []))
            need.append(min(-(-(int(r["running_gpus"]) + int(r["pending_gpus"])) // GPUS), nodes))
    return found


def spans(need, level):
    """When at least `level` nodes are needed: (from, to) in seconds."""
    found, since = [], None
    for i, count in enumerate([*need, 0]):
        if count >= level and since is None:
            since = i
        elif count < level and since is not None:
            found.append((since * STEP * MINUTE, i * STEP * MINUTE))
            since = None
    return found


def batch(jobs, hours, days, gpus, rng):
    lines, work = [], 0.0
    while work < hours:
        _, run, size, _ = rng.choice(jobs)
        run, size = max(min(run, 2 * DAY), 60), min(size, gpus // 4)
        nodes, each = gang(size)
        work += run * nodes * each / HOUR
        lines.append([f"{rng.uniform(0, days * DAY):.3f}", f"{run:.3f}", f"team{rng.randrange(8)}", nodes, each, f"{value(rng):.6f}", "", "batch"])
    return lines


def outcome(folder):
    own, lent, waits, late = 0.0, 0.0, [], 0
    for r in rows(folder / "workloads.csv"):
        hours = float(r["units"]) * float(r["kept"] or 0) / HOUR
        if r["name"] == "batch":
            lent += hours
            continue
        own += hours
        if r["first_start"] and float(r["submit"]) >= HOUR:
            waits.append(float(r["first_start"]) - float(r["submit"]))
        late += not r["first_start"]
    waits.sort()
    recalls = [w for w in waits if w > 5]
    return {"own": own, "lent": lent, "starts": len(waits), "never": late, "recalls": len(recalls), "late": sum(w > PROMISE for w in waits),
            "worst": waits[-1] if waits else None, "p999": waits[len(waits) * 999 // 1000] if waits else None}


class Lending(Part):
    title = "6. Reserved capacity"
    about = f"""The Earth cluster of Helios: each virtual cluster has reserved its quota, node by node, and uses as many of them as its running and waiting
GPUs need (rounded up to whole nodes; what goes beyond the quota is left out). The whole fleet is reserved. Philly is the batch, offered in proportion to
the hours that stand idle, values of `values.json`, preemptible, 30 s notice, 20 s to save. Useful GPU-hours in percent of the reserved
ones, own and lent apart, with lending and without. A recall is a start of the holder's that had to wait for who borrowed; promised are {PROMISE} s: the
notice and 5 s to start. `failures`: each node fails once in 20 days and is away for two hours. Not measured: recalls of 200 nodes at once
(the quotas come to fewer), and 5 % of the nodes failing together.

`tessera sim --trace csv:JOBS --fleet FLEET --reservations FILE --until 14d --json`
"""
    needs = ("helios-demand/earth_may2020_10min_dev.csv.gz", "philly/philly_jobs_dev.csv.gz")
    arms = ("lent", "kept idle", "lent, failures")

    def sizes(self):
        """Days, seeds."""
        return (2, (1,)) if self.small else (14, (1, 2, 3))

    def want(self, cells):
        days, seeds = self.sizes()
        found, jobs = quotas(self.traces, days), philly(self.traces)
        nodes = sum(n for n, _ in found.values())
        self.reserved = nodes * GPUS * days * 24
        idle = self.reserved - sum(sum(need) for _, need in found.values()) * GPUS * STEP / 60
        fleet = write(self.folder / "fleet-lending.csv", ["count", "name", "gpus", "cpus", "memory_gb", "per_rack"], [[nodes, "n", GPUS, 64, 512, 16]])
        own = [[at, to - at - 5, vc, 1, GPUS, "10", f"slot{level}", "own"] for vc, (n, need) in found.items() for level in range(1, n + 1) for at, to in spans(need, level)]
        for keep in (0, 1):
            write(self.folder / f"reserved-{keep}.csv", ["tenant", "name", "nodes", "gpus", "to", "keep_idle"],
                  [[vc, f"slot{level}", 1, GPUS, days * DAY + DAY, keep] for vc, (n, _) in found.items() for level in range(1, n + 1)])
        for load in (0.5, 1.5):
            for seed in seeds:
                work = batch(jobs, load * idle, days, nodes * GPUS, random.Random(f"lending {seed}"))
                path = write(self.folder / f"jobs-lending-{load}-{seed}.csv", ["submit", "run", "tenant", "replicas", "gpus", "limit", "reservation", "name"], own + work)
                for arm in self.arms:
                    cells.want(f"6/{load}/{arm}/{seed}", ["--trace", f"csv:{path}", "--fleet", fleet, "--until", f"{days}d", "--seed", seed, "--set", f"ask={ASKS['marginal cost']}",
                                                          "--reservations", self.folder / f"reserved-{int(arm == 'kept idle')}.csv",
                                                          *(["--failures", "mtbf=20d,repair=2h"] if "failures" in arm else [])], outcome)

    def page(self, results):
        _, seeds = self.sizes()
        lines, kept = [], True
        for load in (0.5, 1.5):
            for arm in self.arms:
                of = [results[f"6/{load}/{arm}/{s}"] for s in seeds]
                kept = kept and all(r["late"] == r["never"] == 0 for r in of)
                paid = statistics.fmean(r["reserved_usd"] for r in of)
                lines.append([load, arm, *(shown([100 * r[k] / self.reserved for r in of], 1) for k in ("own", "lent")), sum(r["recalls"] for r in of),
                              f"{max(r['p999'] for r in of):.0f}", f"{max(r['worst'] for r in of):.0f}", sum(r["late"] + r["never"] for r in of),
                              f"{paid:.0f}", f"{statistics.fmean(r['resold_usd'] for r in of):.0f}"])
        most = sum(results[f"6/{load}/lent/{s}"]["recalls"] for load in (0.5, 1.5) for s in seeds)
        verdict = ("Every start was within the promise" if kept else "Not every start was within the promise") + f"; {most} recalls without failures (10,000 were to be seen)."
        bought = min(results[f"6/{load}/{arm}/{s}"]["reservations_bought"] for load in (0.5, 1.5) for arm in self.arms for s in seeds)
        asked = self.reserved // (GPUS * 24 * self.sizes()[0])
        verdict += f" All {asked} nodes were bought at the start." if bought == asked else \
            f" Of {asked} nodes asked for, {bought} were bought at the start; the others are not lent from a holder."
        return table(["load", "reserved nodes are", "own, %", "lent, %", "recalls", "p99.9 wait, s", "worst, s", "later than promised", "holders paid, $", "holders got, $"],
                     lines) + f"\n{verdict}\n"

    def plot(self, results):
        cases = [(load, arm) for load in (0.5, 1.5) for arm in self.arms]
        series = [(name, [interval([100 * results[f"6/{load}/{arm}/{s}"][key] / self.reserved for s in self.sizes()[1]]) for load, arm in cases])
                  for name, key in (("used by holders", "own"), ("by who borrows", "lent"))]
        return plots.bars("Useful GPU-hours of reserved ones, by the load offered to idle hours", "%", [f"{arm}\nload {load}" for load, arm in cases], series)


PARTS = [Lending]
