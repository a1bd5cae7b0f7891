#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Another machine joins: in a network and a mount namespace of its own, with TLS and the server's pinned key, by
the one line that `tessera node add` prints. It sees nothing of the server's folders and loopback."""
import contextlib
import os
import shutil
import signal
import subprocess
import time

from harness import ENDED, SOURCE, TESSERA, Cluster, skip, wait

NUMBER = os.getpid() % 250 + 1
SPACE, NEAR, FAR = f"tessera-{NUMBER}", f"tsn{NUMBER}", f"tsf{NUMBER}"
HERE, THERE = f"10.231.{NUMBER}.1", f"10.231.{NUMBER}.2"
# Not `ip netns exec`, which sets what spreads from "/": below a changed root that is no mount point.
INSIDE = ["nsenter", f"--net=/run/netns/{SPACE}"]
ELSEWHERE = [*INSIDE, str(SOURCE.resolve() / "tests/own-mounts")]


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


def ip_there(*words):
    return subprocess.run([*INSIDE, "ip", *words], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def network():
    """Two machines and a cable."""
    ip("netns", "add", SPACE)
    try:
        ip("link", "add", NEAR, "type", "veth", "peer", "name", FAR, "netns", SPACE)
        ip("addr", "add", f"{HERE}/24", "dev", NEAR)
        ip("link", "set", NEAR, "up")
        ip_there("addr", "add", f"{THERE}/24", "dev", FAR)
        ip_there("link", "set", FAR, "up")
        ip_there("link", "set", "lo", "up")
        yield
    finally:
        ip("link", "del", NEAR, check=False)
        ip("netns", "del", SPACE, check=False)


def join(c, elsewhere, line):
    """Types the line on the other machine, where the server's folders and this tree are not."""
    script = c.folder / "other-machine"
    hidden = [c.data, SOURCE.resolve(), os.path.dirname(os.path.abspath(TESSERA))]
    script.write_text("set -e\n" + "".join(f"! [ -d {path} ] || mount -t tmpfs none {path}\n" for path in hidden) + f"cd {elsewhere}\n{line}\n")
    return c.spawn("agent-other", *ELSEWHERE, "bash", str(script))


def join_bare(c, line):
    """A machine without a library of ours hears which packages to ask for, and the line is still good."""
    library = next(w for w in subprocess.run(["ldd", TESSERA], check=True, capture_output=True, text=True).stdout.split() if w.startswith("/") and "libhwloc" in w)
    bare = c.folder / "bare"
    bare.mkdir()
    script = f"mount --bind /dev/null {os.path.realpath(library)}; cd {bare}; {line}"
    done = subprocess.run([*ELSEWHERE, "bash", "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "libhwloc15" in done.stderr.split("type this again")[0].split("apt-get")[-1], done


def line_of(c):
    printed = c.run("node", "add", "--place", "own/eu/a/fabric-1/rack-1").stdout
    return next(line for line in printed.splitlines() if line.startswith("TESSERA_TOKEN="))


def processes(word):
    return [p for p in subprocess.run(["pgrep", "-f", word], capture_output=True, text=True, check=False).stdout.split()]


def run_there(c):
    work = c.submit({"nodes": 1, "run": f"cat /proc/net/route; ls -A {c.data} | grep . && echo seen; id -u; exit 0",
                     "choices": [{"amounts": {"core_milli": 100, "memory_mib": 64}}]})
    c.wait_state(work, *ENDED)
    assert c.status(work)["state"] == "finished", c.status(work)
    log = c.log(work)
    assert FAR in log and "seen" not in log, log
    return c.status(work)["placements"][0]["address"]


def main():
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("curl"):
        skip("takes root, ip and curl")
    try:
        ip("netns", "list")
    except subprocess.CalledProcessError:
        skip("no network namespaces here")
    with network(), Cluster(serve_options=["--listen", HERE]) as c:
        c.folder.chmod(0o755)
        elsewhere = c.folder / "elsewhere"
        elsewhere.mkdir()
        line = line_of(c)
        join_bare(c, line)
        agent = join(c, elsewhere, line)
        try:
            node = wait("the machine joins", lambda: [n for n in c.request("GET", "/v1/nodes").get("nodes", []) if n["state"] == "up"], 60)[0]
            assert node["address"] == THERE, node
            token = line.split("=", 1)[1].split()[0]
            for pid in processes("tessera-agent"):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as words:
                    assert token.encode() not in words.read(), "a token stands in an argument list"
            key = elsewhere / "tessera-agent" / "key"
            assert key.stat().st_mode & 0o777 == 0o600
            assert run_there(c) == THERE
            print("joined from", THERE)
            # the line works once
            again = c.folder / "again"
            again.mkdir()
            second = join(c, again, line)
            assert second.wait(60) != 0 and not (again / "tessera-agent" / "key").exists()
            # the cable is cut and mended: contact returns by itself
            ip("link", "set", NEAR, "down")
            time.sleep(1)
            ip("link", "set", NEAR, "up")
            assert run_there(c) == THERE
        finally:
            os.killpg(agent.pid, signal.SIGTERM)
            agent.wait(20)
        # another server's certificate: refused, whatever stands in it
        other = line_of(c).replace("sha256//", "sha256//AAAA", 1)
        wrong = c.folder / "wrong"
        wrong.mkdir()
        refused = join(c, wrong, other)
        assert refused.wait(60) != 0
        assert not (wrong / "tessera").exists()
    print("the line works once, and a wrong pin is refused")


main()
