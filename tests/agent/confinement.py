#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What holds work in: a user of its own, no new rights, memory, cores, processes; and what an agent does without root."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

from fake import KEY, PROGRAM, World, replica, wait


def status(w, work):
    end = w.server.wait_report("ended", work)
    return dict(line.split(":\t", 1) for line in w.server.log(work).splitlines() if ":\t" in line), end


def users(w):
    see = "cat /proc/self/status; echo mine >~/file; chmod 600 ~/file; pwd; touch ready; sleep 30"
    w.server.want(replica("work_a", run=see), replica("work_b", run=see))
    for name in ("work_a", "work_b"):
        wait("it is ready", lambda name=name: "/workdir" in w.server.log(name))
    found = [dict(line.split(":\t", 1) for line in w.server.log(n).splitlines() if ":\t" in line) for n in ("work_a", "work_b")]
    users = [f["Uid"].split() for f in found]
    for f, user in zip(found, users):
        assert len(set(user)) == 1 and int(user[0]) >= 1900000000, user
        assert f["Gid"].split() == user and f["Groups"].strip() == "", f
        assert f["NoNewPrivs"].strip() == "1", f
        assert int(f["CapEff"], 16) == int(f["CapPrm"], 16) == int(f["CapInh"], 16) == 0, f
    assert users[0] != users[1], users
    # neither reads the other's files, nor the agent's, nor signals it, whichever way
    home = w.data() / "replicas" / "work_a.1.0.0"
    pid = next(int(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit() and owner(p) == int(users[0][0]))
    spy = f"""for f in {home}/home/file {home}/log /proc/{pid}/root/run/tessera/replica/file {w.data()}/key; do cat $f && echo "READ $f"; done
kill -9 {pid} && echo KILLED; ls {home} && echo LISTED; cat /proc/{pid}/environ && echo ENVIRON
su -c id && echo ROOT; ls -la ~; exit 0"""
    w.server.want(replica("work_a", run=see), replica("work_b", run=see), replica("work_spy", run=spy))
    w.server.wait_report("ended", "work_spy")
    log = w.server.log("work_spy")
    for word in ("READ", "KILLED", "LISTED", "ROOT", "ENVIRON"):
        assert word not in log, log
    w.server.want()
    wait("all gone", lambda: not w.replicas())
    print("users")


def owner(path):
    try:
        return path.stat().st_uid
    except OSError:
        return -1


def memory(w):
    eat = "python3 -c 'x = bytearray(200 << 20); print(len(x))'"
    w.server.want(replica("work_eat", run=f"exec {eat}", memory_mib=64), replica("work_child", run=f"{eat}; echo survived; exit 4", memory_mib=64),
                  replica("work_fits", run=eat, memory_mib=512))
    end = w.server.wait_report("ended", "work_eat")
    assert end["oom"] and (end["exit_code"], end["signal"]) == (137, 9), end
    end = w.server.wait_report("ended", "work_child")
    assert end["oom"] and end["exit_code"] != 0, end
    end = w.server.wait_report("ended", "work_fits")
    assert not end.get("oom") and end["exit_code"] == 0, end
    print("memory")


def cores(w):
    spin = "python3 -c 'import time\nt = time.monotonic()\nwhile time.monotonic() - t < 2: pass\nprint(time.process_time())'"
    w.server.want(replica("work_spin", run=spin, core_milli=250))
    w.server.wait_report("ended", "work_spin")
    used = float(w.server.log("work_spin"))
    assert used < 0.8, used
    print("cores:", used, "s of 2 at a quarter")


def devices(w):
    """The GPUs of others cannot be opened, its own can, whatever the order in which a driver numbers them."""
    files = [w.folder / f"device-{i}" for i in range(3)]
    for i, file in enumerate(files):
        file.write_text(f"gpu {i}\n")
        file.chmod(0o666)
    w.folder.chmod(0o755)
    facts = {"name": "node-1", "address": "127.0.9.1", "version": "0", "boot": "b", "place": {"provider": "home", "region": "local", "zone": "a", "fabric": "f", "rack": "r"}, "sku": "h100-3x",
             "amounts": {"gpu_milli": 3000, "core_milli": 4000, "memory_mib": 4096},
             "gpus": [{"index": i, "uuid": f"GPU-{i}", "model": "H100", "memory_mib": 81559, "device": str(files[2 - i])} for i in range(3)]}
    (w.folder / "facts.json").write_text(json.dumps(facts))
    w.start_agent(1, "--facts", str(w.folder / "facts.json"))
    look = "; ".join(f"cat {file}" for file in files)
    w.server.want(replica("work_one", run=look, gpus=[0]), replica("work_two", run=look, gpus=[0, 1]), replica("work_none", run=look))
    for work, seen in (("work_one", [2]), ("work_two", [1, 2]), ("work_none", [])):
        w.server.wait_report("ended", work)
        log = w.server.log(work)
        assert [i for i in range(3) if f"gpu {i}\n" in log] == seen and log.count("denied") == 3 - len(seen), (work, log)
    assert files[0].read_text() == "gpu 0\n"
    w.server.want()
    wait("all gone", lambda: not w.replicas())
    print("devices")


def leftovers(w):
    """What is left in the background ends with the work; the cgroups are removed."""
    w.server.want(replica("work_left", run="(trap '' TERM HUP; setsid sleep 300 & setsid sh -c 'sleep 301 & sleep 302') & sleep 0.3; exit 6"))
    end = w.server.wait_report("ended", "work_left")
    assert end["exit_code"] == 6, end
    assert subprocess.run(["pgrep", "-f", "^sleep 30[0-2]$"], check=False, capture_output=True).returncode == 1
    w.server.want()
    wait("all gone", lambda: not w.replicas())
    number = (w.data() / "installation").read_text().strip()
    wait("no cgroup is left but those of the holders that wait", lambda: all(
        len(list(p.glob("hold-*"))) <= 2 for p in pathlib.Path("/sys/fs/cgroup").rglob(f"tessera-{number}")))
    print("leftovers")


def without_root():
    """As nobody: work runs as the agent itself, and the node says so."""
    with World() as w:
        program = w.folder / "program"
        shutil.copy(PROGRAM, program)
        program.chmod(0o755)
        w.data().mkdir()
        (w.data() / "key").write_text(KEY)
        (w.data() / "key").chmod(0o600)
        for path in (w.data(), w.data() / "key"):
            shutil.chown(path, "nobody")
        os.chmod(w.folder, 0o777)
        runner = w.folder / "as_nobody"
        runner.write_text(f"#!/bin/sh\nexec setpriv --reuid=nobody --regid=nogroup --clear-groups {program} \"$@\"\n")
        runner.chmod(0o755)
        w.start_agent(program=runner)
        facts = wait("it registers", lambda: w.server.facts)[0]
        assert facts["unconfined"] is True, facts
        assert any("users" in m for m in facts["missing"]), facts
        w.server.want(replica("work_n", run="id -un; (setsid sleep 3000 &); exit 2"), replica("work_stop", run="echo ready; sleep 3001"))
        end = w.server.wait_report("ended", "work_n")
        assert (end["exit_code"], end["last_lines"]) == (2, "nobody\n"), end
        wait("its child has ended", lambda: subprocess.run(["pgrep", "-f", "^sleep 3000$"], check=False, capture_output=True).returncode == 1)
        wait("ready", lambda: w.server.log("work_stop") == "ready\n")
        w.server.want()
        wait("all gone", lambda: not w.replicas())
        assert subprocess.run(["pgrep", "-f", "^sleep 3001$"], check=False, capture_output=True).returncode == 1
    print("without root")


if os.geteuid() != 0:
    print("skipped: takes root")
    sys.exit(77)
with World() as world:
    world.start_agent()
    facts = wait("the agent registers", lambda: world.server.facts)[0]
    print("goes without:", facts["missing"])
    users(world)
    if not any("memory" in m for m in facts["missing"]):
        memory(world)
    if not any("cores" in m for m in facts["missing"]):
        cores(world)
    leftovers(world)
if not any("mounts" in m for m in facts["missing"]):
    with World() as world:
        devices(world)
without_root()
