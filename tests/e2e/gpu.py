# SPDX-License-Identifier: Apache-2.0
"""On a machine with an NVIDIA GPU: work sees the GPUs it was given and no others, two share one, a higher bid takes it."""
import os
import pathlib
import shutil
import sys
import tempfile

import harness

LIMIT = {"preemptible": True, "limit_udollar_per_hour": 2_000_000}
# Asks the driver itself, so that nothing but the driver has to be there.
COUNT = f"""exec {sys.executable} -c '
import ctypes
cuda, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
print("devices", 0 if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) else count.value)'
"""


def task(run, **amounts):
    envs = {"LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}
    return LIMIT | {"nodes": 1, "run": run, "envs": envs, "choices": [{"amounts": amounts}]}


def sees(cluster):
    """Its own, whatever it makes of the variable that says so."""
    for name, found, given in (("one", 1, {"gpu_milli": 1000}), ("none", 0, {"core_milli": 500, "memory_mib": 2048})):
        work = cluster.submit(task("unset CUDA_VISIBLE_DEVICES\n" + COUNT, **given))
        cluster.wait_state(work, "finished")
        assert cluster.log(work) == f"devices {found}\n", (name, cluster.log(work))
    print("work sees the GPUs that it was given")


def shares(cluster, folder):
    """Two halves of one GPU run at once."""
    meet = f"touch {folder}/$TESSERA_WORKLOAD; while [ $(ls {folder} | wc -l) -lt 2 ]; do sleep 0.05; done\n{COUNT}"
    half = {"gpu_milli": 500, "core_milli": 500, "memory_mib": 2048}
    for work in [cluster.submit(task(meet, **half)) for _ in range(2)]:
        cluster.wait_state(work, "finished")
        assert cluster.log(work) == "devices 1\n", cluster.log(work)
    print("two share a GPU")


def moves(cluster):
    """A higher bid takes the GPU; the lower one saves, waits and goes on."""
    low = cluster.submit(task("trap 'echo saved; exit 0' TERM; echo attempt $TESSERA_ATTEMPT; [ $TESSERA_ATTEMPT = 2 ] || while :; do sleep 0.1; done",
                              gpu_milli=1000))
    cluster.wait_state(low, "running")
    high = cluster.submit(task(COUNT, gpu_milli=1000) | {"limit_udollar_per_hour": 9_000_000})
    cluster.wait_state(high, "finished")
    assert cluster.log(high) == "devices 1\n", cluster.log(high)
    cluster.wait_state(low, "finished")
    status = cluster.status(low)
    assert status["attempt"] == 2 and cluster.log(low) == "attempt 2\n", (status, cluster.log(low))
    print("a higher bid takes the GPU")


def main():
    if os.geteuid() != 0 or not pathlib.Path("/dev/nvidia0").exists():
        harness.skip("takes root and an NVIDIA GPU")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tessera-test-"))
    folder.chmod(0o777)
    with harness.Cluster(agents=1, cpus="4", memory="16GiB") as cluster:
        sees(cluster)
        shares(cluster, folder)
        moves(cluster)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
