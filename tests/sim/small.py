#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The published tables in small, on traces made here with the columns of the real ones: what each policy must never do,
and which of two it must not fall behind. Where the real traces are found (TRACES), those of B and C too."""
import gzip
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

PROGRAM = sys.argv[1]


def sim(*words):
    done = subprocess.run([PROGRAM, "--json", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stderr)
    return json.loads(done.stdout)


def lines(path, head, rows):
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def fragmentation(folder, rng):
    nodes = lines(folder / "nodes.csv", "sn,cpu_milli,memory_mib,gpu,model",
                  [(f"n{i:03}", 96000, 393216, rng.choice((2, 4, 8)), rng.choice(("T4", "V100"))) for i in range(240)])
    shapes = [(4000, 1, 1000, ""), (8000, 1, 460, ""), (2000, 1, 220, "T4"), (16000, 2, 1000, ""), (32000, 8, 1000, "V100"), (9000, 0, 0, "")]
    pods = lines(folder / "pods.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec",
                 [(f"p{i:04}", s[0], 8192, s[1], s[2], s[3]) for i, s in enumerate(rng.choices(shapes, (30, 25, 20, 10, 5, 10), k=2000))])
    mean = {}
    for policy in ("random", "bestfit", "fgd", "market"):
        runs = [sim("--trace", f"openb:{pods}", "--fleet", f"openb:{nodes}", "--saturate", 1.3, "--seed", seed, "--policy", policy) for seed in range(2)]
        assert all(r["refused_that_fit"] == r["moved"] == 0 for r in runs), runs
        mean[policy] = sum(r["allocated_at_100"] for r in runs) / len(runs)
    assert min(mean["market"], mean["bestfit"]) > mean["random"] + 5 and mean["market"] > mean["bestfit"] - 0.5, mean
    print("A:", mean)


def spot(folder, rng):
    available = folder / "spot"
    available.mkdir()
    ticks, now, rows = 2000, 0, []
    while now < ticks:
        rows.append(("availability.1n.aws-10-26-2022.e.head", now, len(rows) % 2))
        now += rng.randrange(3, 60)
    lines(available / "traces.csv", "trace,tick_seconds,n_ticks", [("availability.1n.aws-10-26-2022.e.head", 600, ticks)])
    lines(available / "changes_a.csv", "trace,tick,available", rows)
    windows = lines(folder / "windows.csv", "env,restart_overhead_h,start_tick,end_tick",
                    [("e", h, start, start + 420) for h in (0.02, 0.10) for start in range(0, 1500, 300)])
    return windows, available


def deadline(windows, available):
    cost = {}
    for policy in ("greedy", "uniform-progress", "deadline"):
        found = sim("--trace", f"cant-be-late:{windows}", "--availability", available, "--policy", policy)
        assert found["late"] == 0 and found["simulations"] > 0, found
        cost[policy] = found["average_cost_usd"]
    assert cost["deadline"] < cost["greedy"], cost
    print("B:", cost)
    return cost


def types(path, limit):
    found = {p: sim("--trace", f"hydra:{path}", "--limit", limit, "--fleet", "hydra:a100=15,v100=15,2080ti=15", "--policy", p) for p in ("edf-sjf", "market")}
    assert all(f["finished"] == limit for f in found.values()), found
    assert found["market"]["missed"] == 0 and found["market"]["mean_jct_s"] < found["edf-sjf"]["mean_jct_s"], found
    print("C:", {p: f["mean_jct_s"] for p, f in found.items()})
    return found


def elastic(folder, rng):
    speeds = lines(folder / "speeds.csv", "gpu_type,model,global_batch_size,num_gpus,iterations_per_s",
                   [("A100", m, 64, n, f"{base * n ** scale:.4f}") for m, base, scale in (("a", 2.0, .9), ("b", 5.0, .7)) for n in (1, 2, 4, 8, 16)])
    jobs, now = [], 0
    for i in range(120):
        now += rng.randrange(20, 400)
        work = rng.randrange(500, 20000)
        jobs.append((i, now, work, rng.choice("ab"), now + int(work / 2 * rng.uniform(.3, 1.5)), 64, rng.choice((1, 2, 4, 8))))
    path = lines(folder / "itp.csv", "job_id,submission_time,num_iteration,model_name,deadline,batch_size,num_gpu", jobs)
    ratio = {}
    for policy in ("edf", "naive", "elasticflow", "market"):
        found = sim("--trace", f"itp:{path}", "--throughput", speeds, "--fleet", "itp:gpus=16,per_node=8", "--policy", policy)
        assert found["jobs"] == 120 and found["met"] <= found["admitted"] <= 120 and found["deadline_ratio"] <= found["bound"], found
        ratio[policy] = found["deadline_ratio"]
    assert ratio["market"] >= ratio["naive"], ratio
    print("D:", ratio)


def demands(folder, rng):
    """The traces that hold no jobs as they stand, gzipped, on a fleet of offers."""
    def zipped(name, head, rows):
        path = folder / name
        path.write_bytes(gzip.compress(("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n").encode()))
        return path
    helios = zipped("helios.csv.gz", "vc,minute,running_gpus,pending_gpus", [(v, m, rng.randrange(30), rng.randrange(4)) for v in "ab" for m in range(0, 1440, 10)])
    azure = zipped("azure.csv.gz", "TIMESTAMP,ContextTokens,GeneratedTokens",
                   [(f"2023-11-16 18:{m:02}:{s:02}.5", rng.randrange(4000), rng.randrange(600)) for m in range(60) for s in range(60)])
    pollux = zipped("pollux.csv.gz", "workload,name,submit_s,application,num_gpus_requested",
                    [(f"w-{i % 2}", f"j{i}", 60 * i, rng.choice(("bert", "ncf", "yolov3")), rng.randrange(1, 12)) for i in range(60)])
    offers = lines(folder / "offers.csv", "cloud,instance,gpu,gpu_count,ondemand_usd_h,spot_usd_h", [("c", "n", "H100", 8, 20, 4 + i / 10) for i in range(12)])
    for trace, count in ((f"helios:{helios}", 100), (f"azure-llm:{azure}#times=9", 9), (f"pollux:{pollux}#w-1", 30)):
        found = sim("--trace", trace, "--fleet", offers, "--set", "preemptible_percent=100", "--set", "on_demand=9")
        assert found["finished"] >= count and found["submitted"] == sum(found[k] for k in ("finished", "running", "waiting", "rejected", "cancelled")), found
        assert .5 * found["useful_unit_hours"] <= found["cost_usd"], found
        print(trace.split(":")[0], found["submitted"], found["finished"])
    data = pathlib.Path(__file__).resolve().parents[2] / "data"
    for trace, count in (("pollux:pollux-1.0-6.csv", 160), ("helios:helios-earth-2020-05-06.csv.gz", 107), ("azure-llm:azure-llm-2023-11-16-18h.csv.gz#times=9", 60)):
        kind, name = trace.split(":")
        found = sim("--trace", f"{kind}:{data / name}", "--fleet", offers, "--set", "add_nodes=70", "--set", "on_demand=9")
        assert found["submitted"] == count, (trace, found["submitted"])


def reserved(folder):
    """Holders that submit nothing are tenants of their own as well: equal names of theirs do not meet."""
    fleet = lines(folder / "reserved-fleet.csv", "count,name,gpus,cpus,memory_gb", [(3, "n", 8, 64, 512)])
    sold = lines(folder / "sold.csv", "tenant,name,nodes,gpus,to", [(t, "slot1", 1, 8, 86400) for t in "abc"])
    jobs = lines(folder / "own.csv", "submit,run,tenant,gpus,limit,reservation", [(60, 600, "a", 8, 1, "slot1")])
    found = sim("--trace", f"csv:{jobs}", "--fleet", fleet, "--until", "2h", "--reservations", sold)
    assert found["reservations_bought"] == 3 and found["finished"] == 1, found
    print("reserved:", found["reservations_bought"])


def main():
    rng = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="tessera-test-") as name:
        folder = pathlib.Path(name)
        fragmentation(folder, rng)
        deadline(*spot(folder, rng))
        runs = [sorted(rng.randrange(200, 9000) for _ in range(3)) for _ in range(120)]
        types(lines(folder / "hydra.csv", "job_name,norm_job_submit_time,ddl,A100,V100,GTX2080Ti",
                    [(i, 0, "inf" if i % 4 else sum(r) * 8 + 9000, *r) for i, r in enumerate(runs)]), 100)
        elastic(folder, rng)
        demands(folder, rng)
        reserved(folder)
    traces = pathlib.Path(os.environ.get("TRACES", "/nowhere"))
    if (traces / "cant-be-late/windows.csv").exists():
        cost = deadline(traces / "cant-be-late/windows.csv", traces / "spot-availability")
        assert abs(cost["greedy"] - 119.03) < .01 and cost["deadline"] < 95.35, cost
    if (traces / "hydra-deadline/20_ddl.csv").exists():
        found = types(traces / "hydra-deadline/20_ddl.csv", 400)
        assert found["market"]["mean_jct_s"] < 30800, found


if __name__ == "__main__":
    main()
