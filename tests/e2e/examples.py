# SPDX-License-Identifier: Apache-2.0
"""The examples that ship, as a newcomer runs them. Those that need GPUs are read by test_task."""
from harness import SOURCE, Cluster, wait

EXAMPLES = SOURCE / "examples"


def submit(c, name, *options):
    return c.run("submit", str(EXAMPLES / name), *options).stdout.split()[0]


def has(text, *parts):
    for part in parts:
        assert part in text, f"no {part!r} in\n{text}"


def attempt_log(c, work, attempt, rank=0):
    return c.request("GET", f"/v1/workloads/{work}/logs?rank={rank}&attempt={attempt}", raw=True).decode()


def gang(c):
    work = submit(c, "hello-gang.yaml")
    c.wait_state(work, "finished")
    has(c.log(work, 0), "hello from rank 0 of 2, attempt 1", "rank 0 heard: this is rank 1", "step 5 of 5")
    has(c.log(work, 1), "hello from rank 1 of 2", "rank 0 answered: welcome", "step 5 of 5")


def preemption(c):
    low = submit(c, "preempt-low.yaml")
    c.wait_state(low, "running")
    wait("a few steps", lambda: "step 3 of 30" in attempt_log(c, low, 1))
    high = submit(c, "preempt-high.yaml")
    c.wait_state(high, "finished")
    c.wait_state(low, "finished", seconds=120)
    has(attempt_log(c, low, 1), "told to go: saving step")
    has(attempt_log(c, low, 2), "going on after step", "step 30 of 30")


def sweep(c):
    missing = c.run("submit", str(EXAMPLES / "sweep.yaml"), check=False)
    assert missing.returncode != 0
    has(missing.stderr, "envs.RATE: has no value", "--env RATE=VALUE")
    points = {rate: submit(c, "sweep.yaml", "--env", f"RATE={rate}") for rate in ("0.1", "0.01", "0.001")}
    for rate, work in points.items():
        c.wait_state(work, "finished")
        has(c.log(work), f"training at rate {rate}", "epoch 3")


def freeze(c):
    work = submit(c, "freeze.yaml")
    c.wait_state(work, "finished")
    has(c.log(work), "attempt 1, tick 5")


with Cluster(agents=4, cpus="0.5", memory="256MiB") as cluster:
    for part in (gang, preemption, sweep, freeze):
        print(part.__name__)
        part(cluster)
