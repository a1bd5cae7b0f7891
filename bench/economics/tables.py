# SPDX-License-Identifier: Apache-2.0
"""The published tables: what is run, and how the page shows it beside the paper's figure."""
import csv
import gzip
import math
import statistics

HEAD = """# Evidence

Made by `make evidence` ({size} size); every number here is what that printed; `ONLY='6 B'` runs the
sections it names and leaves the others. A miss is shown as a miss. Published
figures are the papers'; ours and our baselines' come from one program, in the same run, on the same traces and
seeds. What each policy may know is said with each table; [sim.md](sim.md) has the rest.
"""


def rows(path):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table(head, lines):
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(out + ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]) + "\n"


STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def interval(values):
    """Mean and half of the 95 % interval, Student's t."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, 0.0
    return mean, STUDENT.get(len(values), 1.96) * statistics.stdev(values) / math.sqrt(len(values))


def shown(values, digits=2):
    mean, half = interval(values)
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


class Part:
    needs = ()

    def __init__(self, traces, small, folder):
        self.traces, self.small, self.folder = traces, small, folder

    def missing(self):
        return ", ".join(need for need in self.needs if not list(self.traces.glob(need)))

    def plot(self, _results):
        """An SVG for the page; none where a table says it all."""
        return None


class Fragmentation(Part):
    title = "A. Fragmentation: how much of a fleet can be given away"
    about = """FGD (Weng et al., USENIX ATC 2023), openb: 6,212 GPUs, pods that only arrive, one at a time; a pod that fits
anywhere is placed at once. Percent of the GPU capacity allocated when 100 % has been asked for, mean over the seeds;
the last column is the market's rule less our `fgd`, paired by seed, with its 95 % interval.

`tessera sim --trace openb:PODS --fleet openb:NODES --saturate 1.3 --seed N --policy market|fgd|bestfit|random --json`
"""
    needs = ("fgd-openb/openb_node_list_gpu_node.csv", "fgd-openb/fgd_published_points.csv")
    policies = ("random", "bestfit", "fgd", "market")

    def lists(self):
        found = sorted(self.traces.glob("fgd-openb/openb_pod_list_*"))
        found = [f for f in found if not self.small or "default" in f.name or "gpushare40" in f.name]
        return {f.name.removeprefix("openb_pod_list_").split(".")[0]: f for f in found}

    def seeds(self):
        return range(42, 44 if self.small else 52)

    def want(self, cells):
        for name, path in self.lists().items():
            for policy in self.policies:
                for seed in self.seeds():
                    cells.want(f"A/{name}/{policy}/{seed}", ["--trace", f"openb:{path}", "--fleet", f"openb:{self.traces}/fgd-openb/openb_node_list_gpu_node.csv",
                                                             "--saturate", "1.3", "--seed", seed, "--policy", policy])

    def page(self, results):
        published = {(r["workload"], r["policy"]): float(r["alloc_pct_mean"]) for r in rows(self.traces / "fgd-openb/fgd_published_points.csv")
                     if r["arrived_pct"] == "100"}
        lines = []
        for name in self.lists():
            of = {p: [results[f"A/{name}/{p}/{s}"]["allocated_at_100"] for s in self.seeds()] for p in self.policies}
            mean = {p: statistics.fmean(v) for p, v in of.items()}
            pub = {p: published.get((name, q)) for p, q in (("random", "Random"), ("bestfit", "BestFit"), ("fgd", "FGD"))}
            cell = {p: f"{mean[p]:.2f} ({pub[p]:.2f})" if pub.get(p) else f"{mean[p]:.2f}" for p in self.policies}
            lines.append([name, *(cell[p] for p in self.policies), shown([a - b for a, b in zip(of["market"], of["fgd"])])])
        refused = sum(results[f"A/{n}/{p}/{s}"][k] for n in self.lists() for p in self.policies for s in self.seeds() for k in ("refused_that_fit", "moved"))
        head = ["list", "random (published)", "bestfit (published)", "fgd (published)", "market", "market − fgd"]
        return table(head, lines) + f"\nPods refused that fitted somewhere, and pods moved, over all runs: {refused}.\n"


class Deadline(Part):
    title = "B. A deadline on spot capacity"
    about = """Can't Be Late (Wu et al., NSDI 2024): one job of 48 h, a deadline of 52 or 70 h, spot that comes and goes;
1,080 simulations. Mean cost in dollars; published: greedy 119.03, Uniform Progress about 101.7, the best published
policy 95.35, the offline optimum 92.19. The last row leaves out every window that begins before tick 890: our
rule's constants were chosen on ticks 0 to 889.

`tessera sim --trace cant-be-late:WINDOWS --availability DIR --policy deadline|uniform-progress|greedy [--ticks 890-100000] --json`
"""
    needs = ("cant-be-late/windows.csv", "spot-availability/traces.csv")
    policies = ("greedy", "uniform-progress", "deadline")

    def want(self, cells):
        base = ["--trace", f"cant-be-late:{self.traces}/cant-be-late/windows.csv", "--availability", self.traces / "spot-availability"]
        for policy in self.policies:
            cells.want(f"B/{policy}/all", [*base, "--policy", policy])
            cells.want(f"B/{policy}/held", [*base, "--policy", policy, "--ticks", "890-100000"])

    def page(self, results):
        lines = []
        for label, key in (("all", "all"), ("ticks from 890 on", "held")):
            of = {p: results[f"B/{p}/{key}"] for p in self.policies}
            lines.append([label, of["greedy"]["simulations"], *(f"{of[p]['average_cost_usd']:.2f}" for p in self.policies), sum(of[p]["late"] for p in self.policies)])
        return table(["windows", "simulations", "greedy", "uniform-progress", "deadline (ours)", "late, all policies"], lines)


class Types(Part):
    title = "C. Deadlines on three GPU types"
    about = """Hydra, light case: 400 jobs at time 0 on 15 A100, 15 V100 and 15 2080Ti, run times known to all. Published:
Hydra with a 5 s search 31,213 s and 0 missed, its heuristic 31,523 s and 1, AlloX 29,028 s and 46.

`tessera sim --trace hydra:JOBS --limit 400 --fleet hydra:a100=15,v100=15,2080ti=15 --policy market|edf-sjf --json`
"""
    needs = ("hydra-deadline/20_ddl.csv",)

    def want(self, cells):
        for policy in ("edf-sjf", "market"):
            cells.want(f"C/{policy}", ["--trace", f"hydra:{self.traces}/hydra-deadline/20_ddl.csv", "--limit", 400,
                                       "--fleet", "hydra:a100=15,v100=15,2080ti=15", "--policy", policy])

    def page(self, results):
        return table(["policy", "mean completion, s", "missed", "finished"],
                     [[p, f"{results['C/' + p]['mean_jct_s']:.0f}", results["C/" + p]["missed"], results["C/" + p]["finished"]] for p in ("edf-sjf", "market")])


class Elastic(Part):
    title = "D. Admission and elasticity"
    about = """ElasticFlow (Gu et al., ASPLOS 2023), ITP clusters: jobs with deadlines whose speed by number of GPUs is known.
Share of all jobs that met their deadline. On the published fleets the clusters are nearly idle and a naive rule meets almost
all, so the published row proves nothing and is not comparable; what compares are a quarter, an eighth and a sixteenth of it.
`late` counts jobs that the market admitted and finished late.

`tessera sim --trace itp:CLUSTER --throughput TABLE --fleet itp:gpus=N,per_node=8 --policy market|elasticflow|naive|edf --json`
"""
    needs = ("itp-elasticflow/cluster01.csv.gz", "itp-elasticflow/throughput.csv")
    gpus = {"01": 512, "02": 512, "04": 1024, "05": 512, "06": 512, "08": 1024, "10": 256}
    published = {"01": .788, "02": .822, "04": .631, "05": .832, "06": .607, "08": .896, "10": .981}
    policies = ("edf", "naive", "elasticflow", "market")

    def clusters(self):
        return list(self.gpus)[: 2 if self.small else None]

    def want(self, cells):
        for cluster in self.clusters():
            for part in (1, 4, 8, 16):
                for policy in self.policies:
                    cells.want(f"D/{cluster}/{part}/{policy}", ["--trace", f"itp:{self.traces}/itp-elasticflow/cluster{cluster}.csv.gz",
                                                                "--throughput", self.traces / "itp-elasticflow/throughput.csv",
                                                                "--fleet", f"itp:gpus={self.gpus[cluster] // part},per_node=8", "--policy", policy])

    def page(self, results):
        lines, wins, ties, cells = [], 0, 0, 0
        for cluster in self.clusters():
            for part in (1, 4, 8, 16):
                of = {p: results[f"D/{cluster}/{part}/{p}"] for p in self.policies}
                ratio = {p: of[p]["deadline_ratio"] for p in self.policies}
                if part > 1:
                    cells += 1
                    wins += ratio["market"] > max(ratio["elasticflow"], ratio["naive"])
                    ties += ratio["market"] == max(ratio["elasticflow"], ratio["naive"])
                note = f"{self.published[cluster]:.3f}" + (" (not comparable)" if abs(ratio["elasticflow"] - self.published[cluster]) > .03 else "") if part == 1 else ""
                lines.append([cluster, f"{self.gpus[cluster] // part} (1/{part})", *(f"{ratio[p]:.3f}" for p in self.policies), note,
                              of["market"]["late_after_admission"], f"{of['market']['bound']:.3f}"])
        head = ["cluster", "GPUs", *self.policies, "ElasticFlow, published", "late", "bound"]
        return table(head, lines) + f"\nOf {cells} cells below the published size the market is above both `elasticflow` and `naive` in {wins}, level in {ties}.\n"


PARTS = [Fragmentation, Deadline, Types, Elastic]
