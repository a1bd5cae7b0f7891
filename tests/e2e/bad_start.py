#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a server cannot start or go on with: each ends with one clear line, exit code 1, and without a
trace of a stack; and what was there before is there afterwards."""
import contextlib
import http.client
import os
import resource
import shutil
import sqlite3
import subprocess
import sys

from harness import TESSERA, Cluster, Refused, free_port, wait

def refused(cluster, *words, data=None, more=(), **options):
    """Starts a server that must end by itself with code 1 and say all the words."""
    done = subprocess.run([TESSERA, "serve", "--data", str(data or cluster.data), "--port", str(free_port()), *more], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False, **options)
    said = done.stderr.strip()
    assert done.returncode == 1, f"{done.returncode}: {said}"
    last = said.splitlines()[-1]
    assert last.startswith("tessera serve: "), said
    for word in words:
        assert word in last, f"{word!r} is not in: {said}"
    for trace in ("Sanitizer", "SUMMARY", "core dumped", "Assertion"):
        assert trace not in said, said
    assert not done.stdout, f"it said that it serves: {done.stdout}"


@contextlib.contextmanager
def stopped(cluster):
    assert cluster.stop_server() == 0
    yield
    cluster.start_server()
    assert any(p["name"] == "kept" for p in cluster.request("GET", "/v1/projects")["projects"])


def second_server(cluster):
    refused(cluster, "another server has this data", str(cluster.server.pid))
    cluster.request("GET", "/v1/whoami")


def port_taken(cluster):
    with stopped(cluster):
        with subprocess.Popen([sys.executable, "-c", f"import socket,time; s=socket.socket(); s.bind(('127.0.0.1', {cluster.port})); s.listen(); print(1, flush=True); time.sleep(60)"],
                              stdout=subprocess.PIPE) as other:
            other.stdout.readline()
            done = subprocess.run([TESSERA, "serve", "--data", str(cluster.data), "--port", str(cluster.port)], capture_output=True, text=True, timeout=60, check=False)
            other.kill()
        assert done.returncode == 1 and str(cluster.port) in done.stderr, done


def lost_file(cluster):
    for name in ("tessera.db", "installation", "snapshots"):
        with stopped(cluster):
            away = cluster.folder / "away"
            (cluster.data / name).rename(away)
            refused(cluster, name, "lost")
            refused(cluster, name, "lost")
            away.rename(cluster.data / name)


def newer_version(cluster):
    with stopped(cluster):
        with contextlib.closing(sqlite3.connect(cluster.data / "tessera.db")) as db:
            old = db.execute("PRAGMA user_version").fetchone()[0]
            db.execute(f"PRAGMA user_version = {old + 8}")
            db.commit()
        refused(cluster, "tessera.db", str(old + 8))
        with contextlib.closing(sqlite3.connect(cluster.data / "tessera.db")) as db:
            db.execute(f"PRAGMA user_version = {old}")
            db.commit()


def newer_engine(cluster):
    """Commands after the last snapshot that another version decided: refused by the version's number."""
    cluster.request("POST", "/v1/projects", {"name": "later"})
    cluster.kill_server()
    with contextlib.closing(sqlite3.connect(cluster.data / "tessera.db")) as db:
        old = db.execute("SELECT max(engine_version) FROM command_group").fetchone()[0]
        db.execute("UPDATE command_group SET engine_version = 99")
        db.commit()
    refused(cluster, "version 99")
    with contextlib.closing(sqlite3.connect(cluster.data / "tessera.db")) as db:
        db.execute("UPDATE command_group SET engine_version = ?", (old,))
        db.commit()
    cluster.start_server()


def not_ours(cluster):
    folder = cluster.folder / "other"
    folder.mkdir()
    (folder / "tessera.db").write_text("hello " * 1000)
    refused(cluster, "tessera.db", data=folder)
    assert (folder / "tessera.db").read_text() == "hello " * 1000


def unwritable(cluster):
    (cluster.folder / "file").write_text("")
    refused(cluster, "file", data=cluster.folder / "file")
    refused(cluster, "file", data=cluster.folder / "file" / "data")
    if os.geteuid() == 0:  # root writes everywhere but where nothing can be written
        refused(cluster, "/proc", data="/proc/tessera")
    else:
        folder = cluster.folder / "locked"
        folder.mkdir(mode=0o500)
        refused(cluster, "locked", data=folder)


def submit(cluster, n):
    cluster.request("POST", "/v1/projects", {"name": f"p{n}-" + "x" * 40})


def acknowledged_until_refused(cluster, most):
    """Makes projects until the server gives up; how many it acknowledged."""
    for n in range(most):
        try:
            submit(cluster, n)
        except Refused as refused_now:
            assert refused_now.status == 503, refused_now
            return n
        except (OSError, http.client.HTTPException):
            return n
    raise AssertionError(f"the disk did not fill with {most} projects")


def ended_full(cluster):
    code = cluster.server.wait(60)
    said = (cluster.folder / "server.log").read_text().strip().splitlines()[-1]
    assert code == 1 and said.startswith("tessera serve: "), f"{code}: {said}"
    return said


def full_disk(cluster):
    """A small tmpfs where that is allowed, else a limit on the size of files, which a disk with a quota is like."""
    assert cluster.stop_server() == 0
    small = cluster.folder / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", small], capture_output=True, check=False).returncode == 0
    try:
        shutil.copytree(cluster.data, small, dirs_exist_ok=True)
        whole, cluster.data = cluster.data, small
        if mounted:
            full_tmpfs(cluster)
        else:
            full_limit(cluster)
        assert cluster.stop_server() == 0
        cluster.data = whole
    finally:
        if mounted:
            subprocess.run(["umount", "-l", small], check=False)
    cluster.start_server()


def check_kept(cluster, acknowledged):
    names = {p["name"] for p in cluster.request("GET", "/v1/projects")["projects"]}
    for n in range(acknowledged):
        assert f"p{n}-" + "x" * 40 in names, f"{n} of {acknowledged} is lost"
    told = subprocess.run([TESSERA, "replay", "--data", str(cluster.data), "--verify"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told


def full_tmpfs(cluster):
    cluster.start_server()
    ballast = cluster.data / "ballast"
    with open(ballast, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(b"\0" * 4096)
    with contextlib.suppress(OSError):
        os.truncate(ballast, max(0, ballast.stat().st_size - 65536))
    acknowledged = acknowledged_until_refused(cluster, 20000)
    said = ended_full(cluster)
    assert "full" in said and str(cluster.data) in said, said
    ballast.unlink()
    cluster.start_server()
    check_kept(cluster, acknowledged)


def full_limit(cluster):
    limit = max(p.stat().st_size for p in cluster.data.rglob("*") if p.is_file()) + 262144
    real = cluster.spawn
    cluster.spawn = lambda name, *command: subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=open(cluster.folder / f"{name}.log", "ab"), stderr=subprocess.STDOUT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    cluster.start_server()
    cluster.spawn = real
    acknowledged = acknowledged_until_refused(cluster, 20000)
    ended_full(cluster)
    cluster.start_server()
    check_kept(cluster, acknowledged)


def metric(cluster, name):
    lines = cluster.request("GET", "/metrics", raw=True).decode().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"tessera_{name} ")))


def in_memory(cluster):
    """A journal in memory takes no folder in which something is kept, forgets all at its end, and leaves none to a start on disk."""
    with stopped(cluster):
        refused(cluster, "kept on disk", more=("--store", "memory"))
    with Cluster(serve_options=["--store", "memory"]) as other:
        for end in (other.stop_server, other.kill_server):
            other.request("POST", "/v1/projects", {"name": "gone"})
            assert len(other.request("GET", "/v1/projects")["projects"]) == 2
            assert not (other.data / "tessera.db").exists()
            end()
            refused(other, "--store memory", "forgotten")
            other.start_server()
            assert len(other.request("GET", "/v1/projects")["projects"]) == 1
        other.request("POST", "/v1/projects", {"name": "seen"})
        wait("the tables follow a journal in memory", lambda: metric(other, "tables_seq") >= metric(other, "journal_seq") >= 2)


def main():
    with Cluster() as cluster:
        cluster.request("POST", "/v1/projects", {"name": "kept"})
        for test in (second_server, port_taken, lost_file, newer_version, newer_engine, not_ours, unwritable, in_memory, full_disk):
            print(test.__name__, flush=True)
            test(cluster)


main()
