# SPDX-License-Identifier: Apache-2.0
"""Two servers of Tessera: one buys a machine of the other by Mithril's API, runs work in it, and gives it back."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

import harness
from instances_image import make_image
from mithril_client import Client
from providers_work import bought, task


def own_address():
    """The one that this machine's sandboxes reach it by; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            harness.skip("this machine has no address beyond loopback")


def with_libraries(image):
    """The image and what the tested binary is linked with beyond a usual one (sanitizers), at no cost of disk."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tessera-test-", dir="/var/tmp"))
    subprocess.run(["cp", "-al", f"{image}/.", str(folder)], check=True)
    users = int((image / "users").read_text())
    for line in subprocess.run(["ldd", harness.TESSERA], capture_output=True, text=True, check=True).stdout.splitlines():
        path = next((w for w in line.split() if w.startswith("/")), None)
        if path and not os.path.exists(f"{folder}/root/usr{path}") and not os.path.exists(f"{folder}/root{path}"):
            target = f"{folder}/root/usr/lib/x86_64-linux-gnu/{os.path.basename(path)}"
            shutil.copy(os.path.realpath(path), target)
            os.chown(target, users, users)
    return folder


def bridges():
    lines = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[0] for line in lines if line.startswith("tsr")}


def links():
    return subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout


def play(seller, buyer, log):
    others = bridges()
    own = buyer.submit(task("sleep 600", 2_000_000))
    buyer.wait_state(own, "running")
    key = seller.request("POST", "/v1/keys", {"role": "member", "project": "default", "name": "the buyer"})["key"]
    (buyer.folder / "seller.key").write_text(key)
    buyer.run("provider", "add", "friends", seller.url, "--key-file", str(buyer.folder / "seller.key"), "--poll", "500ms", "--idle", "3s")
    work = buyer.submit(task("hostname; id -u; echo from inside; sleep 5", 1_000_000))
    try:
        buyer.wait_state(work, "running", "finished", seconds=120)
    except AssertionError:
        for path in log():
            print(f"---- {path}\n{path.read_text(errors='replace')[-3000:]}")
        raise
    [order] = bought(buyer)
    bridge = bridges() - others
    assert bridge, "a bridge of the seller's"
    node = next(n for n in buyer.request("GET", "/v1/nodes")["nodes"] if n["name"] == order["node"])
    assert node["place"]["provider"] == "friends" and node["place"]["region"] == "local-a", node
    assert not any(l.startswith("instance=") for l in node.get("labels", [])), node
    print("what it goes without:", *node.get("missing", []), sep="\n  ")
    client = Client(seller)
    [bid] = client.get("/spot/bids")["data"]
    assert bid["name"] == order["node"] and bid["status"] == "Allocated", bid
    buyer.wait_state(work, "finished")
    said = buyer.log(work)
    assert order["node"] in said and "from inside" in said, said
    # the seller keeps a ledger of it, and has its machine back once it has been idle
    harness.wait("it is given back", lambda: not bought(buyer), 60)
    assert client.get(f"/spot/bids/{bid['fid']}")["status"] == "Terminated"
    harness.wait("its machine is gone", lambda: not seller.request("GET", "/v1/nodes")["nodes"][0].get("replicas"), 60)
    assert buyer.status(own)["state"] == "running"
    # connections that the machine died with hold its links for a while, and the agent tries for two seconds alone
    harness.wait("its links are gone", lambda: not any(f"master {b} " in links() for b in bridge), 120)
    for name in bridge & bridges():
        subprocess.run(["ip", "link", "delete", name], check=False)
    assert key not in (buyer.folder / "server.log").read_text()


def main():
    if os.geteuid() != 0:
        harness.skip("only root makes machines")
    for program in ("ip", "debootstrap", "nsenter"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            harness.skip(f"{program} is missing")
    address, port = own_address(), harness.free_port()
    image = with_libraries(make_image())
    try:
        with harness.Cluster(cpus="1", memory="1GiB", settings={"tick_ms": 500}) as seller, harness.Cluster(
                agents=1, cpus="0.5", settings={"tick_ms": 500}, serve_options=["--listen", f"{address}:{port}"]) as buyer:
            storage = seller.folder / "storage"
            seller.start_agent(1, "--image", str(image), "--storage", str(storage))
            seller.wait_nodes(1)
            facts = seller.request("GET", "/v1/nodes")["nodes"][0]
            if "instance=sandbox" not in facts.get("labels", []):
                harness.skip(f"this machine makes no machines: {facts['missing']}")
            play(seller, buyer, lambda: [*storage.glob("**/startup_script.log"), *storage.glob("**/tessera-agent/log")])
    finally:
        shutil.rmtree(image, ignore_errors=True)
    print("one bought of the other")


main()
