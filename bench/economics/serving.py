# SPDX-License-Identifier: Apache-2.0
"""Day and night on the same nodes: a service whose demand swings four to one, and batch work in what it leaves."""
import bisect
import math
import random
import statistics
import time

from experiments import ASKS, DAY, GPUS, HOUR, ON_DEMAND, gang, philly, value, write
import plots
from tables import Part, interval, rows, shown, table

MINUTE = 60
CONTEXT, GENERATED = 4000, 400  # tokens that a GPU takes in a second; assumed, as docs/sim.md says
LAG, LOAD = 10, 20  # seconds: until the autoscaler asks; until a started replica has its weights
HOLD = 10  # minutes for which a replica is kept after it was needed last
TIERS = {"30 s": 30, "5 min": 300}
# Bursts (0.5: half as much again), the market's minimum run (seconds), a replica's bid (times on-demand); the last is one that nobody
# had forecast.
CASES = ((0.5, 600, 4), (0.5, 600, 40), (0.5, 60, 40), (1.0, 600, 40))
# What a replica asks the market for. A headroom tier, where the market has one, is one more column and its value.
REPLICA = {"preemptible": "false"}


def azure_minutes(traces):
    """GPU-seconds of work by minute of the request hour, as multiples of their mean."""
    sums = {}
    for r in rows(traces / "azure-llm-2023/AzureLLMInferenceTrace_conv.csv.gz"):
        at = time.mktime(time.strptime(r["TIMESTAMP"][:19], "%Y-%m-%d %H:%M:%S")) // MINUTE
        sums[at] = sums.get(at, 0) + int(r["ContextTokens"]) / CONTEXT + int(r["GeneratedTokens"]) / GENERATED
    whole = [sums[at] for at in sorted(sums)][1:-1]  # the first and the last minute are cut
    return [s / statistics.fmean(whole) for s in whole]


def demand(hour, days, peak, rng, burst):
    """Replicas needed, by minute: a sine of one day from 1 to 4, one step to double for three hours, two bursts a day of ten minutes.
    `burst` 0.5: half as much again. Scaled so that the most without bursts is `peak`."""
    bursts = [(day * 1440 + rng.randrange(1440), burst) for day in range(days) for _ in range(2)]
    step = days // 2 * 1440 + 60  # at night
    base = [(2.5 - 1.5 * math.cos(2 * math.pi * m / 1440)) * (2 if step <= m < step + 180 else 1) * hour[m % len(hour)] for m in range(days * 1440)]
    top = max(base)
    factor = [1 + sum(b for at, b in bursts if at <= m < at + 10) for m in range(len(base))]
    return [math.ceil(peak * b / top * f) for b, f in zip(base, factor)]


def held(need):
    return [max(need[max(0, m - HOLD + 1):m + 1]) for m in range(len(need))]


def replicas(target):
    """(up, down) in seconds of each replica: the newest goes first."""
    stack, spans = [], []
    for m, count in enumerate(target):
        while len(stack) < count:
            stack.append(m * MINUTE + LAG)
        while len(stack) > count:
            spans.append((stack.pop(), m * MINUTE + LAG))
    end = len(target) * MINUTE
    return spans + [(up, end) for up in stack]


def batch(jobs, free_hours, days, gpus, rng):
    """Sizes and lengths of Philly; two fleet-days are there at the start and then a little more comes than there is room for."""
    lines, work = [], 0.0
    backlog = 2 * 24 * gpus
    while work < backlog + 1.02 * free_hours:
        _, run, size, _ = rng.choice(jobs)
        run, size = min(run, 2 * DAY), min(size, gpus // 4)
        at = 0 if work < backlog else (work - backlog) / (1.02 * free_hours) * days * DAY
        nodes, each = gang(size)
        lines.append([f"{at:.3f}", f"{max(run, 60):.3f}", f"team{rng.randrange(8)}", nodes, each, "true", f"{value(rng):.6f}", "batch"])
        work += max(run, 60) * nodes * each / HOUR
    return lines


def delays(need, ready):
    """Seconds from each rise of what is needed to the moment when so many replicas are ready; None: never. `ready`: (time, ±1)."""
    times, counts, now = [], [], 0
    for at, change in sorted(ready):
        now += change
        times.append(at)
        counts.append(now)
    found = []
    for m in range(1440, len(need)):  # the first day warms up
        for level in range(need[m - 1] + 1, need[m] + 1):
            i = bisect.bisect_right(times, m * MINUTE) - 1
            if i >= 0 and counts[i] >= level:
                found.append(0.0)
                continue
            until = m + 1
            while until < len(need) and need[until] >= level:
                until += 1
            i += 1
            while i < len(times) and times[i] < until * MINUTE and counts[i] < level:
                i += 1
            found.append(times[i] - m * MINUTE if i < len(times) and times[i] < until * MINUTE else None)
    return found


def upper_bound(misses, starts):
    """Of the miss rate, 95 %, one-sided: Poisson (Garwood 1936)."""
    low, high = 0.0, misses + 10 * math.sqrt(misses + 1) + 10
    for _ in range(60):
        mean = (low + high) / 2
        total = sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(misses + 1))
        low, high = (mean, high) if total > .05 else (low, mean)
    return min(high / max(starts, 1), 1.0)


def outcome(folder, need):
    ready, useful, lost, cost, hours, waits = [], 0.0, 0.0, 0.0, 0.0, 0
    for r in rows(folder / "workloads.csv"):
        gpu_hours = float(r["units"]) / HOUR
        if r["name"] == "batch":
            useful += gpu_hours * float(r["kept"] or 0)
            lost += gpu_hours * float(r["lost"] or 0)
            waits += r["state"] == "waiting"
            continue
        cost += float(r["cost_usd"])
        hours += gpu_hours * float(r["kept"] or 0)
        if r["first_start"]:
            ready.append((float(r["first_start"]) + LOAD, 1))
            ready.append((float(r["end"]) if r["end"] else math.inf, -1))
    found = delays(need, ready)
    done = sorted(d for d in found if d is not None)
    return {"starts": len(found), "useful": useful, "lost": lost, "batch_waiting": waits, "replica_hour_usd": cost / max(hours, 1),
            "miss": {name: sum(d is None or d > limit for d in found) for name, limit in TIERS.items()},
            "p99": done[len(done) * 99 // 100] if done else None, "worst": done[-1] if done else None}


class Serving(Part):
    title = "3. Day and night on the same nodes"
    about = f"""A language-model service and batch work on one fleet. The Azure request hour, repeated, at {CONTEXT:,} tokens of context and {GENERATED} generated
a second and GPU (assumed), times a sine of one day from 1 to 4, one step to double for three hours, two bursts a day of ten minutes (half as
much again); its most without bursts is 60 % of the fleet. Replicas of one GPU, kept {HOLD} minutes after they were needed last; the autoscaler asks {LAG} s
late and weights load in {LOAD} s. A start is a rise of the replicas that are needed; it is met when so many are ready. Batch: Philly's sizes
and lengths, values of `values.json`, preemptible, 30 s notice, 20 s to save, never less than a fleet-day of it in all. Replicas are firm bids at 4 or
40 times on-demand (at 4 times one GPU is worth less than a wide gang that stands on it, and does not displace it): **the market's headroom tiers are not in use here**. `headroom` is what the service itself keeps above its need, in
percent; it counts as not filled. Fill is useful batch GPU-hours in percent of capacity less the replicas that are needed; lost work, saving and starting count as
not filled. Miss rates: the upper bound of the 95 % interval (one-sided), starts of all seeds together, in percent. Targets: both at most 0.1, fill at least 95.
The minimum run is the market's setting (default 10 min): for so long nobody who has started is displaced.

`tessera sim --trace csv:JOBS --fleet FLEET --until 14d --set ask=0.20 --json`
"""
    needs = ("azure-llm-2023/AzureLLMInferenceTrace_conv.csv.gz", "philly/philly_jobs_dev.csv.gz")

    def sizes(self):
        """Days, nodes, seeds, headroom in percent."""
        return (3, 24, (1,), (0, 15)) if self.small else (14, 32, (1, 2, 3), (0, 5, 10, 20, 40))

    def want(self, cells):
        days, nodes, seeds, headrooms = self.sizes()
        hour, jobs = azure_minutes(self.traces), philly(self.traces)
        fleet = write(self.folder / "fleet-serving.csv", ["count", "name", "gpus", "cpus", "memory_gb", "per_rack"], [[nodes, "n", GPUS, 64, 512, 16]])
        self.free = {}
        for seed in seeds:
            for burst in (0.5, 1.0):
                need = held(demand(hour, days, 0.6 * nodes * GPUS, random.Random(f"demand {seed}"), burst))
                self.free[burst, seed] = nodes * GPUS * days * 24 - sum(need) / 60
                work = batch(jobs, self.free[burst, seed], days, nodes * GPUS, random.Random(f"batch {seed}"))
                for headroom in headrooms:
                    target = [math.ceil(n * (1 + headroom / 100)) for n in need]
                    spans = replicas(target)
                    for _, minimum, bid in (c for c in CASES if c[0] == burst):
                        lines = [[up, max(down - up - 5, 1), "service", 1, 1, REPLICA["preemptible"], bid * ON_DEMAND, "replica"] for up, down in spans]
                        path = write(self.folder / f"jobs-serving-{burst}-{bid}-{headroom}-{seed}.csv",
                                     ["submit", "run", "tenant", "replicas", "gpus", "preemptible", "limit", "name"], work + lines)
                        cells.want(f"3/{burst}/{minimum}/{bid}/{headroom}/{seed}",
                                   ["--trace", f"csv:{path}", "--fleet", fleet, "--until", f"{days}d", "--seed", seed, "--set", f"ask={ASKS['marginal cost']}",
                                    "--set", f"minimum_run_ms={minimum * 1000}"], lambda folder, need=need: outcome(folder, need))

    def line(self, results, case, headroom):
        """A row of the table, and whether it meets the targets."""
        _, _, seeds, _ = self.sizes()
        burst, minimum, bid = case
        of = [results[f"3/{burst}/{minimum}/{bid}/{headroom}/{s}"] for s in seeds]
        fill = [100 * r["useful"] / self.free[burst, s] for r, s in zip(of, seeds)]
        starts = sum(r["starts"] for r in of)
        bounds = [100 * upper_bound(sum(r["miss"][t] for r in of), starts) for t in TIERS]
        row = ["as forecast" if burst == 0.5 else "twice as large", f"{minimum // 60} min", f"{bid} x", f"{headroom} %", starts, *(f"{b:.2f}" for b in bounds),
               f"{max(r['p99'] for r in of):.0f}", shown(fill, 1), f"{sum(r['lost'] for r in of):.0f}", f"{statistics.fmean(r['replica_hour_usd'] for r in of):.2f}"]
        return row, max(bounds) <= .1 and statistics.fmean(fill) >= 95

    def page(self, results):
        lines, reached = [], []
        for case in CASES:
            for headroom in self.sizes()[3]:
                row, met = self.line(results, case, headroom)
                lines.append(row)
                if met and case[0] == 0.5:
                    reached.append(f"{headroom} % headroom, a minimum run of {row[1]}, a bid of {row[2]}")
        verdict = f"All three targets are reached with {', '.join(reached)}." if reached else "Not reached: no setting here meets all three targets."
        return table(["bursts", "minimum run", "bid", "headroom", "starts", *(f"miss, {t}" for t in TIERS), "p99 start, s", "fill", "lost GPU-hours", "$ a replica-hour"],
                     lines) + f"\n{verdict}\n"

    def plot(self, results):
        _, _, seeds, headrooms = self.sizes()
        series = [(f"{minimum // 60} min, {bid} x{'' if burst == 0.5 else ', bursts x 2'}",
                   [interval([100 * results[f"3/{burst}/{minimum}/{bid}/{h}/{s}"]["useful"] / self.free[burst, s] for s in seeds]) for h in headrooms])
                  for burst, minimum, bid in CASES]
        return plots.lines("Fill by the headroom that the service keeps", "%", [f"{h} %" for h in headrooms], series)


PARTS = [Serving]
