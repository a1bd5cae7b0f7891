# SPDX-License-Identifier: Apache-2.0
"""Task files in SkyPilot's form that can run on nodes without GPUs (tests/data/skypilot)."""
from harness import SOURCE, Cluster

FILES = SOURCE / "tests" / "data" / "skypilot"
# What the log of rank 0 says at the end, or how it fails.
RUNS = {
    "hello.yaml": "hello from rank 0",
    "ranks.yaml": "rank 0 of 2, head is 127.0.",
    "variables.yaml": "all set",
    "workdir.yaml": "found both",
    "lower_bounds.yaml": "enough",
}
REFUSED = {
    "image.yaml": "resources.image_id: is not supported",
    "bucket.yaml": "file_mounts./data: buckets are not supported",
}


def submit(c, name, check=True):
    return c.run("submit", str(FILES / name), cwd=FILES, check=check)


with Cluster(agents=2, cpus="1", memory="256MiB") as cluster:
    for name, expected in RUNS.items():
        work = submit(cluster, name).stdout.split()[0]
        cluster.wait_state(work, "finished")
        log = cluster.log(work)
        assert expected in log, f"{name}: no {expected!r} in\n{log}"
        print(name, "finished")
    failing = submit(cluster, "rank_fails.yaml").stdout.split()[0]
    end = cluster.wait_state(failing, "failed")
    assert (end["exit_code"], end["exit_rank"]) == (3, 1), end
    assert "giving up" in end["last_lines"], end
    print("rank_fails.yaml failed as it should")
    for name, expected in REFUSED.items():
        refused = submit(cluster, name, check=False)
        assert refused.returncode != 0 and expected in refused.stderr, f"{name}: {refused.stderr}"
        print(name, "refused")
