# SPDX-License-Identifier: Apache-2.0
"""The name under which a client sees a zone is a setting: all that it reads and sends has that one and no other."""
import datetime
import subprocess

import harness
from mithril_bids import bid
from mithril_client import KEY, Client, Node

OWN, SHOWN = "us-central1-a", "eu-central9-z"


def at(hours):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)).isoformat()


def refused_at_start(words, said):
    done = subprocess.run([harness.TESSERA, "serve", "--region-names", words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and said in done.stderr, done


def reads(cluster, client):
    assert [a["region"] for a in client.get("/spot/availability")] == [SHOWN]
    assert client.get("/image-versions")[0]["supported_regions"] == [SHOWN]
    assert [s["region"] for s in client.get("/pricing/history")["series"]] == [SHOWN]
    assert client.get(f"/pricing/history?region={OWN}")["series"] == []
    assert client.call("GET", f"/pricing/current?instance_type=h100-2x&region={SHOWN}")["total_capacity"] == 2
    assert client.call("GET", f"/pricing/current?instance_type=h100-2x&region={OWN}", expect=404)["detail"]
    catalogue = cluster.request("GET", "/v2/catalog.csv").decode()
    assert f",{SHOWN}," in catalogue and OWN not in catalogue, catalogue


def orders(client, nodes, project, key):
    disk = {"name": "disk", "project": project, "disk_interface": "Block", "region": SHOWN, "size_gb": 10}
    assert client.call("POST", "/volumes", disk | {"region": OWN}, 404)["detail"] == "region not found"
    volume = client.call("POST", "/volumes", disk, 201)
    assert volume["region"] == SHOWN
    assert len(client.get(f"/volumes?project={project}&region={SHOWN}")) == 1
    assert client.get(f"/volumes?project={project}&region={OWN}") == []
    wish = bid(client, project, [key["fid"]], "dev", region=SHOWN)
    wish["launch_specification"]["volumes"] = [volume["fid"]]
    assert client.call("POST", "/spot/bids", wish | {"region": OWN}, 404)["detail"]
    order = client.call("POST", "/spot/bids", wish, 201)
    assert order["region"] == SHOWN
    assert len(client.get(f"/spot/bids?project={project}&region={SHOWN}")["data"]) == 1
    assert client.get(f"/spot/bids?project={project}&region={OWN}")["data"] == []
    harness.wait("it has won", lambda: client.get(f"/spot/bids/{order['fid']}")["status"] == "Allocated")
    assert [i["region"] for i in client.get(f"/instances?project={project}")["data"]] == [SHOWN]
    assert client.call("PATCH", f"/spot/bids/{order['fid']}", {"limit_price": "$33.00"}, 200)["region"] == SHOWN
    slot = {"project": project, "region": SHOWN, "instance_type": "h100-2x", "start_time": at(5), "end_time": at(8), "instance_quantity": 1,
            "name": "slot", "launch_specification": {"volumes": [], "ssh_keys": [key["fid"]]}}
    assert client.call("POST", "/reservation", slot | {"region": OWN}, 404)["detail"]
    assert client.call("POST", "/reservation", slot, 201)["region"] == SHOWN
    assert len(client.get(f"/reservation?project={project}&region={SHOWN}")["data"]) == 1
    return order, volume


def main():
    refused_at_start("local-a", "is not ZONE=NAME")
    refused_at_start("a-a=x-1,a-b=x-1", "allowed is each once")
    with harness.Cluster(settings={"tick_ms": 500}, serve_options=("--region-names", f"other-a=x,{OWN}={SHOWN}")) as cluster:
        client = Client(cluster)
        nodes = [Node(cluster, 1), Node(cluster, 2)]
        project = client.get("/projects")[0]["fid"]
        key = client.call("POST", "/ssh-keys", {"name": "laptop", "project": project, "public_key": KEY}, 201)
        reads(cluster, client)
        order, volume = orders(client, nodes, project, key)
        # another name at another start holds for what is there
        cluster.stop_server()
        cluster.serve_options = ()
        cluster.start_server()
        assert client.get(f"/spot/bids/{order['fid']}")["region"] == OWN
        assert [v["region"] for v in client.get(f"/volumes?project={project}") if v["fid"] == volume["fid"]] == [OWN]


main()
