# SPDX-License-Identifier: Apache-2.0
"""The life of a reservation as clients of the Mithril API see it: quote, availability, order, instances,
pause and resume one by one, a fresh boot disk, extension, return, history and usage."""
import datetime

import harness
from mithril_client import KEY


def at(hours):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)).isoformat()


def order(project, key, name, start, end, quantity=2, **more):
    return {"project": project, "region": "us-central1-a", "instance_type": "h100-2x", "start_time": at(start), "end_time": at(end),
            "instance_quantity": quantity, "name": name, "launch_specification": {"volumes": [], "ssh_keys": [key["fid"]]}} | more


def query(project, **more):
    from urllib.parse import urlencode

    return urlencode({"project": project, "instance_type": "h100-2x", "region": "us-central1-a"} | more)


def quotes(client, project):
    offers = client.get("/reservation/quote?" + query(project, start_time=at(0), end_time=at(3), quantity=2))["offers"]
    assert [o["key"] for o in offers] == ["standard", "flexible"], offers
    assert all(o["unit_price"].startswith("$") and o["option_premium"] == "$0.00" for o in offers), offers
    assert float(offers[0]["unit_price"][1:]) >= 2.0, offers
    assert client.get("/reservation/quote?" + query(project, start_time=at(0), end_time=at(3), quantity=3))["offers"] == []
    assert client.call("GET", "/reservation/quote?" + query(project), expect=422)["detail"][0]["loc"] == ["query", "start_time"]
    latest = client.get("/reservation/availability?" + query(project, start_time=at(0), quantity=2))
    assert latest["available"] is True and latest["latest_end_time"] > at(24), latest
    assert client.get("/reservation/availability?" + query(project, mode="check", start_time=at(0), end_time=at(5), quantity=2)) == {"available": True}
    slots = client.get("/reservation/availability?" + query(project, mode="slots", earliest_start_time=at(0), latest_end_time=at(30), quantity=1))
    assert len(slots) == 1 and slots[0]["quantity"] == 1, slots
    assert [t["name"] for t in client.get("/reservation/instance-types")] == ["h100-2x"]


def boot(nodes, count):
    replicas = []
    for node in nodes:
        replicas += [(node, r) for r in node.replicas() if r["action"] == "run"]
    if len(replicas) < count:
        return None
    for node, replica in replicas:
        node.boot(replica)
    return replicas


def life(client, nodes, project, key):
    guarded = order(project, key, "guarded", 0, 3, price_specification={"max_unit_price": 100})
    assert "max_unit_price" in client.call("POST", "/reservation", guarded, 409)["detail"]
    made = client.call("POST", "/reservation", order(project, key, "batch", 0, 3), 201)
    fid = made["fid"]
    assert made["instance_quantity"] == 2 and len(made["instances"]) == 2 and made["name"] == "batch", made
    assert client.call("POST", "/reservation", order(project, key, "batch", 5, 8), 400)["detail"] == "name already used"
    assert client.call("POST", "/reservation", order(project, key, "more", 0, 3, quantity=1), 409)["detail"]
    harness.wait("it is active", lambda: client.get(f"/reservation/{fid}")["status"] == "Active")
    assert [r["fid"] for r in client.get(f"/reservation?project={project}&status=Active")["data"]] == [fid]
    replicas = harness.wait("both machines are told", lambda: boot(nodes, 2))
    assert sorted(r["instance"]["name"] for _, r in replicas) == ["batch-1", "batch-2"], replicas
    assert all(r["instance"]["order"] == fid for _, r in replicas)
    shown = client.get(f"/instances?project={project}&order_type_in=Reservation&reservation_fid_in={fid}")["data"]
    assert [i["status"] for i in shown] == ["STATUS_RUNNING"] * 2 and all(i["reservation"] == fid and i["bid"] is None for i in shown), shown
    assert client.get(f"/spot/bids?project={project}")["data"] == [], "instances of reservations are no bids"
    assert [q["used_quantity"] for q in client.get(f"/quotas?project={project}") if q["product_type"] == "Spot"] == [0]
    return made, replicas


def pauses(client, nodes, project, made, replicas):
    first = made["instances"][0]
    assert client.call("POST", f"/instances/{first}/refresh-boot-disk", {}, 422)["reason"] == "INSTANCE_RUNNING"
    answer = client.call("PATCH", "/instances", {"instances": [first], "status": "STATUS_PAUSED"}, 200)
    assert answer["instances"] == {first: "STATUS_STOPPING"}, answer
    for node, replica in replicas:
        if replica["instance"]["id"] == first:
            node.told("stop")
            assert node.report(replica, "ended", exit_code=0) == "ok"
    harness.wait("it is paused", lambda: client.get(f"/instances/{first}/status")["status"] == "STATUS_PAUSED")
    assert client.get(f"/reservation/{made['fid']}")["status"] == "Active", "the other one runs"
    assert client.call("POST", f"/instances/{first}/refresh-boot-disk", {"image_version": "other"}, 422)["reason"] == "INVALID_IMAGE_VERSION"
    assert client.call("POST", f"/instances/{first}/refresh-boot-disk", {}, 200)["status"] == "REFRESHED"
    assert client.call("PATCH", "/instances", {"instances": [first], "status": "STATUS_RUNNING"}, 200)["instances"][first] == "STATUS_CONFIRMED"

    def back():
        for node in nodes:
            for replica in node.replicas():
                if replica["action"] == "run" and replica["instance"]["id"] == first and replica["attempt"] == 2:
                    assert replica["instance"]["boot"] == 2, replica
                    node.boot(replica)
                    return node, replica
        return None

    found = harness.wait("it is told again, with a fresh disk", back)
    assert client.get(f"/instances/{first}/status")["status"] == "STATUS_RUNNING"
    return found


def ends(cluster, client, nodes, project, key, made):
    fid = made["fid"]
    reach = client.get(f"/reservation/{fid}/extension-availability")
    assert reach["available"] and reach["latest_extension_time"] > made["end_time"], reach
    later = client.call("POST", f"/reservation/{fid}/extend", {"end_time": at(5)}, 200)
    assert later["end_time"] > made["end_time"], later
    assert client.call("POST", f"/reservation/{fid}/extend", {"end_time": at(4)}, 409)["detail"]
    assert client.call("POST", f"/reservation/{fid}/terminate-instances", {"instances": made["instances"], "reduce_capacity": True}, 409)["detail"]
    client.call("PATCH", f"/reservation/{fid}", {"paused": True}, 200)
    for node in nodes:
        node.stop_all()
    harness.wait("all of it is paused", lambda: client.get(f"/reservation/{fid}")["status"] == "Paused")
    # what is paused is resold
    bid = {"project": project, "region": "us-central1-a", "instance_type": "h100-2x", "limit_price": "$90.00", "instance_quantity": 1,
           "name": "guest", "launch_specification": {"volumes": [], "ssh_keys": [key["fid"]]}}
    guest = client.call("POST", "/spot/bids", bid, 201)
    harness.wait("a spot bid runs on what is paused", lambda: client.get(f"/spot/bids/{guest['fid']}")["status"] == "Allocated")
    client.call("DELETE", f"/spot/bids/{guest['fid']}", expect=204)
    for node in nodes:
        node.stop_all()
    second = made["instances"][1]
    assert client.call("POST", f"/reservation/{fid}/terminate-instances", {"instances": [second], "reduce_capacity": True}, 200) == {
        "terminated_instances": [second]}
    assert client.get(f"/reservation/{fid}")["instance_quantity"] == 1
    assert client.call("PATCH", "/instances", {"instances": [second], "status": "STATUS_RUNNING"}, 409)["detail"]
    client.call("POST", f"/reservation/{fid}/terminate-instances", {"instances": [made["instances"][0]], "reduce_capacity": True}, 200)
    harness.wait("nothing of it is left", lambda: client.get(f"/reservation/{fid}")["status"] == "Canceled")
    kinds = [e["event_type"] for e in client.get(f"/reservation/{fid}/history")["events"]]
    for kind in ("Placed", "Terms Set", "Active", "Paused", "Terms Changed", "Canceled"):
        assert kind in kinds, (kind, kinds)
    usage = client.get(f"/reservation/{fid}/usage")
    assert usage["reservation"]["fid"] == fid and usage["reservation"]["status"] == "Terminated", usage
    assert usage["summary"]["committed_cost_cents"] > 0 and usage["summary"]["active_instance_hours"].startswith("PT"), usage
    assert {e["instance_status"] for e in usage["pricing_events"]} >= {"STATUS_RUNNING"}, usage
    assert "Extended" in [e["event_type"] for e in usage["reservation_events"]], usage
    assert client.get(f"/instances/status/history?project={project}&reservation_fid={fid}")["instances"], "histories by reservation"
    sums = cluster.request("GET", "/v1/ledger?sums=1")["entries"]
    assert sums, sums


def play(cluster, client, nodes):
    project = client.get("/projects")[0]["fid"]
    key = client.call("POST", "/ssh-keys", {"project": project, "name": "me", "public_key": KEY}, 201)
    quotes(client, project)
    made, replicas = life(client, nodes, project, key)
    pauses(client, nodes, project, made, replicas)
    ends(cluster, client, nodes, project, key, made)
    for path, body in ((f"/reservation/{made['fid']}", {"paused": 5}), (f"/reservation/{made['fid']}/extend", {}),
                       (f"/reservation/{made['fid']}/terminate-instances", {}), ("/reservation", {})):
        client.call("POST" if path != f"/reservation/{made['fid']}" else "PATCH", path, body)
