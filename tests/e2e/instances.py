# SPDX-License-Identifier: Apache-2.0
"""Instances as a client of the Mithril API uses them, on a real agent: bid, wait, log in over SSH, sudo, rsync,
volumes, notice, pause and resume with the boot disk kept, and nothing of the host to be seen. Steps and polls
are those of the SkyPilot adapter."""
import os
import pathlib
import shutil
import subprocess

import harness
from instances_image import make_image
from mithril_client import Client


class Machine:
    """Its owner's shell."""

    def __init__(self, address, key):
        self.address, self.key = address, key
        self.options = ["-i", str(key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                        "-o", "ConnectTimeout=10", "-o", "BatchMode=yes"]

    def run(self, command, check=True):
        done = subprocess.run(["ssh", *self.options, f"ubuntu@{self.address}", command], capture_output=True, text=True, check=False, timeout=60)
        assert not check or done.returncode == 0, (command, done)
        return done.stdout.strip() if check else done.returncode

    def copy(self, source, target):
        subprocess.run(["rsync", "-a", "-e", " ".join(["ssh", *self.options]), str(source), f"ubuntu@{self.address}:{target}"], check=True, timeout=60)


def running(client, bid):
    """As SkyPilot waits: the bid by its name, then all instances, all pages."""
    harness.wait(f"{bid['name']} is allocated",
                 lambda: client.get(f"/spot/bids?project={bid['project']}&name={bid['name']}")["data"][0]["status"] == "Allocated", 60)

    def up():
        cursor, found = None, []
        while True:
            page = client.get("/instances" + (f"?next_cursor={cursor}" if cursor else ""))
            found += [i for i in page["data"] if i["bid"] == bid["fid"] and i["status"] == "STATUS_RUNNING" and i["ssh_destination"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return found if len(found) == bid["instance_quantity"] else None

    return harness.wait(f"{bid['name']} runs", up, 120)


def inside(cluster, machine):
    assert machine.run("id -un; hostname").split() == ["ubuntu", "dev-1"]
    assert machine.run("sudo -n true && sudo id -u") == "0"
    base = machine.run("cat /proc/self/uid_map").split()
    assert base[0] == "0" and int(base[1]) >= 65536 and base[2] == "65536", base
    assert machine.run("curl -sf http://169.254.169.254/latest/meta-data/instance-id").startswith("inst_")
    assert machine.run("curl -sf http://169.254.169.254/latest/meta-data/nothing", check=False) != 0
    assert harness.wait("the startup script ran", lambda: machine.run("sudo cat /var/lib/startups || true")) == "1"
    assert machine.run("cat /var/log/foundry/startup_script.log") == "said by the script"
    # what is the host's stays the host's
    assert machine.run(f"ls -d {cluster.folder}", check=False) != 0
    assert machine.run("sudo mount -t tmpfs none /mnt", check=False) != 0
    assert machine.run("sudo dd if=/dev/vda of=/dev/null count=1 2>/dev/null", check=False) != 0
    assert set(machine.run("ls /dev").split()) <= {"disk", "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"}
    assert int(machine.run("ls -d /proc/[0-9]* | wc -l")) < 40, "its own processes alone"
    # volumes
    machine.run("echo shared | sudo tee /mnt/share/file >/dev/null; echo block | sudo tee /mnt/disk/file >/dev/null")
    assert machine.run("stat -f -c %T /mnt/disk") == "ext2/ext3"
    assert machine.run("test -b /dev/disk/by-id/virtio-disk && echo there") == "there"
    # a file sent as SkyPilot sends its own
    here = cluster.folder / "workdir"
    here.mkdir()
    (here / "train.py").write_text("print(6 * 7)\n")
    machine.copy(str(here) + "/", "sky_workdir/")
    assert machine.run("python3 sky_workdir/train.py") == "42"
    machine.run("echo kept | sudo tee /etc/kept >/dev/null")
    machine.run("printf 'echo booted >>/var/lib/boots\\n' | sudo tee /etc/rc.local >/dev/null; sudo chmod 755 /etc/rc.local")


def pause(cluster, client, bid, key):
    """stop and start of SkyPilot: the disk is the same one, the startup script is not run again."""
    client.call("PATCH", f"/spot/bids/{bid['fid']}?project={bid['project']}", {"paused": True}, 200)
    fid = client.get(f"/spot/bids/{bid['fid']}")["instances"][0]
    harness.wait("it is paused", lambda: client.get(f"/instances/{fid}/status")["status"] == "STATUS_PAUSED", 60)
    assert client.get(f"/spot/bids/{bid['fid']}")["status"] == "Paused"
    client.call("PATCH", f"/spot/bids/{bid['fid']}?project={bid['project']}", {"paused": False}, 200)
    again = running(client, bid)[0]
    assert again["fid"] == fid, "the same instance"
    machine = Machine(again["ssh_destination"], key)
    assert machine.run("cat /etc/kept; sudo cat /var/lib/startups; cat /mnt/disk/file /mnt/share/file").split() == ["kept", "1", "block", "shared"]
    assert harness.wait("what runs at each boot", lambda: machine.run("sudo cat /var/lib/boots 2>/dev/null || true")) == "booted"
    return machine


def notice(cluster, client, bid, low, offer):
    """A better bid: the machine is told until when it may stay."""
    cluster.request("PATCH", "/v1/settings", {"minimum_run_ms": 0})
    high = client.call("POST", "/spot/bids", offer | {"name": "high", "limit_price": "$9.00"}, 201)
    text = harness.wait("the notice is there", lambda: low.run("cat /opt/mithril/MITHRIL_SIGNAL.yml 2>/dev/null || true"), 60)
    assert "instance_status: STATUS_PREEMPTING" in text and "bid_status: Preempting" in text and "end_time: 20" in text, text
    status = client.get(f"/instances/{bid['instances'][0]}/status")
    assert status["status"] == "STATUS_PREEMPTING" and status["end_time"], status
    assert low.run("echo works on") == "works on"
    for name in (high, bid):
        client.call("DELETE", f"/spot/bids/{name['fid']}?project={bid['project']}", expect=204)
    for name in (high, bid):
        harness.wait("it has ended", lambda name=name: client.get(f"/spot/bids/{name['fid']}")["status"] == "Terminated", 30)
    harness.wait("its machine is gone", lambda: low.run("true", check=False) != 0, 60)


def commands(cluster, key):
    """The same by hand."""
    public = str(key.with_suffix(".pub"))
    assert "cpu" in cluster.run("instance", "types").stdout
    refused = cluster.run("instance", "create", "mine", "--limit", "0.001", "-i", public, check=False)
    assert refused.returncode == 2 and "below minimum price" in refused.stderr, refused
    assert "public one" in cluster.run("instance", "create", "mine", "--limit", "1", "-i", str(key), check=False).stderr
    assert "seen as /mnt/more" in cluster.run("volume", "create", "more", "--size", "1", "--share").stdout
    assert "mine: bid bid_" in cluster.run("instance", "create", "mine", "--limit", "0.5", "-i", public, "--volume", "more").stdout
    harness.wait("it runs", lambda: "STATUS_RUNNING" in cluster.run("instance", "list").stdout, 60)
    assert cluster.run("ssh", "mine", "-i", str(key), "--", "hostname; ls /mnt").stdout.split() == ["mine-1", "local", "more"]
    assert cluster.run("volume", "delete", "more", check=False).returncode == 6
    for words, said in ((("instance", "pause", "mine"), "Paused"), (("instance", "resume", "mine"), "in local-a"), (("instance", "delete", "mine"), "terminated")):
        assert said in cluster.run(*words).stdout, words
    assert cluster.run("instance", "delete", "none", check=False).returncode == 5
    harness.wait("its volume is free", lambda: cluster.run("volume", "delete", "more", check=False).returncode == 0, 60)
    assert f"MITHRIL_API_URL={cluster.url}" in cluster.run("mithril-config").stdout
    assert "Active" in cluster.run("reserve", "create", "slot", "--to", "+2h", "-i", public).stdout
    assert "slot: res_" in cluster.run("reserve", "extend", "slot", "--to", "+3h").stdout
    assert "slot" in cluster.run("reserve", "list").stdout
    assert "Paused" in cluster.run("reserve", "pause", "slot").stdout
    assert "1 given back" in cluster.run("reserve", "return", "slot").stdout
    harness.wait("all machines are gone", lambda: not cluster.request("GET", "/v1/nodes")["nodes"][0].get("replicas"), 60)


def bridges():
    lines = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[0] for line in lines if line.startswith("tsr")}


def hold_networks(names):
    """Keeps the network namespaces of the machines on these bridges."""
    links = [link.name for name in names for link in pathlib.Path(f"/sys/class/net/{name}/brif").iterdir()]
    return [open(f"/proc/{link.removeprefix('tsv')}/ns/net", encoding="utf-8") for link in links]


def main():
    if os.geteuid() != 0:
        harness.skip("only root makes machines")
    for program in ("ssh", "rsync", "ip", "mkfs.ext4", "debootstrap"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            harness.skip(f"{program} is missing")
    image = make_image()
    with harness.Cluster(settings={"tick_ms": 500}, cpus="1", memory="1GiB") as cluster:
        key = cluster.folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        cluster.start_agent(1, "--image", str(image), "--storage", str(cluster.folder / "storage"))
        cluster.wait_nodes(1)
        facts = cluster.request("GET", "/v1/nodes")["nodes"][0]
        if "instance=sandbox" not in facts.get("labels", []):
            harness.skip(f"this machine makes no machines: {facts['missing']}")
        client = Client(cluster)
        project, kind, board = client.get("/projects")[0]["fid"], client.get("/instance-types")[0], client.get("/spot/availability")[0]
        mine = client.call("POST", "/ssh-keys", {"project": project, "name": "sky", "public_key": key.with_suffix(".pub").read_text().strip()}, 201)
        volumes = [client.call("POST", "/volumes", {"name": n, "project": project, "disk_interface": i, "region": board["region"], "size_gb": 1}, 201)["fid"]
                   for n, i in (("disk", "Block"), ("share", "File"))]
        offer = {"project": project, "region": board["region"], "instance_type": kind["fid"], "limit_price": "$1.00", "instance_quantity": 1,
                 "launch_specification": {"volumes": [], "ssh_keys": [mine["fid"]]}}
        others = bridges()
        script = "#!/bin/bash\necho said by the script\necho $(($(cat /var/lib/startups 2>/dev/null || echo 0) + 1)) > /var/lib/startups\n"
        bid = client.call("POST", "/spot/bids", offer | {"name": "dev", "launch_specification": {
            "volumes": volumes, "ssh_keys": [mine["fid"]], "startup_script": script}}, 201)
        machine = Machine(running(client, bid)[0]["ssh_destination"], key)
        bridge = bridges() - others
        assert bridge, "a bridge of its own"
        lasting = hold_networks(bridge)  # as a kernel that is slow to take them down does
        inside(cluster, machine)
        machine = pause(cluster, client, bid, key)
        notice(cluster, client, client.get(f"/spot/bids/{bid['fid']}"), machine, offer)
        commands(cluster, key)
        assert list((cluster.folder / "storage").glob("vol_*.disk")), "volumes outlive the machines that had them"
        harness.wait("its bridge is gone", lambda: not bridge & bridges(), 30)
        for file in lasting:
            file.close()


main()
