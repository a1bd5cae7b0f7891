# SPDX-License-Identifier: Apache-2.0
"""Quotas hold on both APIs, whoever asks and however many at once; a lowered one ends nothing; and names that burn."""
import concurrent.futures
import datetime

import harness
from mithril_bids import bid
from mithril_client import KEY, Client, Node

TASK = {"name": "task", "choices": [{"amounts": {"core_milli": 1000}}], "run": "true"}


def at(hours):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)).isoformat()


def refused(call, *words, status):
    try:
        call()
    except harness.Refused as error:
        assert error.status == status, (error.status, error.body)
        text = str(error.body)
        assert all(word in text for word in words), text
        return
    raise AssertionError("it was not refused")


def quotas(cluster, *items, key="own"):
    return cluster.request("POST", "/v1/projects/default/quotas", {"quotas": list(items)}, key=key)


def shown(client, project, product):
    return next((q["used_quantity"], q["total_quantity"]) for q in client.get(f"/quotas?project={project}") if q["product_type"] == product)


def bids(cluster, client, project, key):
    quotas(cluster, {"kind": "instances", "type": "h100-2x", "total": 1})
    assert shown(client, project, "Spot") == (0, 1)

    def create(n):
        return Client(cluster).call("POST", "/spot/bids", bid(client, project, [key["fid"]], f"racer-{n}"))

    # many at once: each would have seen room
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(create, range(8)))
    won = [a for a in answers if "fid" in a]
    assert len(won) == 1, answers
    assert {a["detail"] for a in answers if "fid" not in a} == {"quota: 2 instances of h100-2x would be in use, allowed is 1"}, answers
    assert shown(client, project, "Spot") == (1, 1)
    # lowered: what is there stays; raised: more may come
    quotas(cluster, {"kind": "instances", "type": "h100-2x", "total": 0})
    assert client.get(f"/spot/bids/{won[0]['fid']}")["status"] in ("Open", "Allocated")
    assert shown(client, project, "Spot") == (1, 0)
    assert "quota" in client.call("POST", "/spot/bids", bid(client, project, [key["fid"]], "more"), 400)["detail"]
    quotas(cluster, {"kind": "instances", "type": "h100-2x", "total": 2})
    second = client.call("POST", "/spot/bids", bid(client, project, [key["fid"]], "more"), 201)
    for fid in (won[0]["fid"], second["fid"]):
        client.call("DELETE", f"/spot/bids/{fid}", expect=204)
    return won[0]["name"]


def storage(cluster, client, project):
    quotas(cluster, {"kind": "storage", "total": 100}, {"kind": "volumes", "total": 2})
    disk = {"name": "one", "project": project, "disk_interface": "Block", "region": "us-central1-a", "size_gb": 60}
    made = client.call("POST", "/volumes", disk, 201)
    assert client.call("POST", "/volumes", disk | {"name": "two"}, 400)["detail"] == "quota: 120 GB of storage would be in use, allowed is 100"
    assert shown(client, project, "Storage") == (60, 100)
    client.call("POST", "/volumes", disk | {"name": "two", "size_gb": 10}, 201)
    assert "quota: 3 volumes" in client.call("POST", "/volumes", disk | {"name": "three", "size_gb": 1}, 400)["detail"]
    client.call("DELETE", f"/volumes/{made['fid']}", expect=204)
    client.call("POST", "/volumes", disk | {"name": "three", "size_gb": 60}, 201)


def reservations(cluster, client, project, key):
    quotas(cluster, {"kind": "reserved", "type": "h100-2x", "total": 0})
    order = {"project": project, "region": "us-central1-a", "instance_type": "h100-2x", "start_time": at(1), "end_time": at(4),
             "instance_quantity": 1, "name": "slot", "launch_specification": {"volumes": [], "ssh_keys": [key["fid"]]}}
    answer = client.call("POST", "/reservation", order, 400)
    assert answer["detail"] == "quota: 1 reserved machines of h100-2x would be in use, allowed is 0", answer
    assert client.get(f"/instances?project={project}&order_type_in=Reservation")["data"] == [], "nor its machines"
    quotas(cluster, {"kind": "reserved", "type": "h100-2x", "total": 1})
    client.call("POST", "/reservation", order, 201)
    assert shown(client, project, "Reservations") == (1, 1)


def native(cluster):
    quotas(cluster, {"kind": "cores", "total": 1})
    work = cluster.request("POST", "/v1/workloads", TASK)["id"]
    refused(lambda: cluster.request("POST", "/v1/workloads", TASK), "2 cores would be in use, allowed is 1", "'field': 'quota'", status=403)
    quotas(cluster, {"kind": "cores", "total": 0})
    assert cluster.status(work)["state"] in ("waiting", "assigned", "running")
    quotas(cluster, {"kind": "cores"}, {"kind": "gpus", "total": 500})
    cluster.request("POST", "/v1/workloads", TASK)
    project = cluster.request("GET", "/v1/projects/default")
    assert "cores" not in [q["kind"] for q in project["quotas"]], project
    assert "2" in cluster.run("project", "set", "default", "--quota", "bids=none,gpus:h100-2x=8").stdout
    listed = cluster.request("GET", "/v1/projects")["projects"][0]["quotas"]
    assert {"kind": "gpus", "type": "h100-2x", "total": 8} in [{k: q[k] for k in ("kind", "type", "total")} for q in listed if q.get("type")], listed
    assert "KIND" in cluster.run("project", "set", "default", "--quota", "cats=3", check=False).stderr


def permissions(cluster):
    made = cluster.request("POST", "/v1/keys", {"role": "member", "project": "default", "name": "somebody"})
    refused(lambda: quotas(cluster, {"kind": "bids", "total": 5}, key=made["key"]), status=403)
    refused(lambda: quotas(cluster, {"kind": "storage", "type": "h100-2x", "total": 5}), "storage has no types", status=400)
    refused(lambda: quotas(cluster, {"kind": "bids", "total": -1}), "total", status=400)


def names(cluster, client, nodes, project, key, old):
    again = client.call("POST", "/spot/bids", bid(client, project, [key["fid"]], old), 201)
    cluster.request("PATCH", "/v1/settings", {"names_burn": 1})
    client.call("DELETE", f"/spot/bids/{again['fid']}", expect=204)

    def ended(order):
        for node in nodes:
            node.stop_all()
        return client.get(f"/spot/bids/{order['fid']}")["deactivated_at"]

    harness.wait("it has ended", lambda: ended(again))
    assert client.call("POST", "/spot/bids", bid(client, project, [key["fid"]], old), 400)["detail"] == "name already used"
    cluster.stop_server()
    cluster.start_server()
    assert client.call("POST", "/spot/bids", bid(client, project, [key["fid"]], old), 400)["detail"] == "name already used"
    cluster.request("PATCH", "/v1/settings", {"names_burn": 0})
    last = client.call("POST", "/spot/bids", bid(client, project, [key["fid"]], old), 201)
    client.call("DELETE", f"/spot/bids/{last['fid']}", expect=204)
    harness.wait("that has ended too", lambda: ended(last))


def main():
    with harness.Cluster(settings={"tick_ms": 500}) as cluster:
        client = Client(cluster)
        nodes = [Node(cluster, 1), Node(cluster, 2)]
        project = client.get("/projects")[0]["fid"]
        key = client.call("POST", "/ssh-keys", {"name": "laptop", "project": project, "public_key": KEY}, 201)
        old = bids(cluster, client, project, key)
        for node in nodes:
            node.stop_all()
        storage(cluster, client, project)
        names(cluster, client, nodes, project, key, old)
        reservations(cluster, client, project, key)
        native(cluster)
        permissions(cluster)


main()
