# SPDX-License-Identifier: Apache-2.0
"""The life of a spot bid and its instances as clients of the Mithril API see it."""
import harness
from mithril_client import KEY, Client


def bid(client, project, keys, name, **more):
    body = {"project": project, "region": "us-central1-a", "instance_type": "h100-2x", "limit_price": "$32.00", "instance_quantity": 1,
            "name": name, "launch_specification": {"volumes": [], "ssh_keys": keys}}
    for field, value in more.items():
        body[field] = value
    return body


def life(cluster, client, nodes):
    project = client.get("/projects")[0]["fid"]
    kinds = client.get("/instance-types")
    assert [k["name"] for k in kinds] == ["h100-2x"] and kinds[0]["num_gpus"] == 2 and kinds[0]["gpu_type"] == "H100", kinds
    board = client.get("/spot/availability")
    assert len(board) == 1 and board[0]["region"] == "us-central1-a" and board[0]["capacity"] == 2, board
    assert board[0]["last_instance_price"] == "$2.00" and board[0]["lowest_allocated_price"] is None, board
    price = client.get(f"/pricing/current?instance_type={kinds[0]['fid']}&region=us-central1-a")
    assert price["spot_price_cents"] == 200 and price["minimum_price_cents"] == 200 and price["dynamic_win_price_cents"] == 200, price
    assert price["available_capacity"] == 2 and price["total_capacity"] == 2, price
    assert client.get(f"/pricing/current?instance_type={kinds[0]['fid']}")["minimum_price_cents"] == 200

    key = client.call("POST", "/ssh-keys", {"project": project, "name": "sky", "public_key": KEY}, 201)
    assert key["public_key"] == KEY and key["private_key"] is None and key["required"] is False, key
    made = client.call("POST", "/ssh-keys", {"project": project, "name": "made"}, 201)
    assert made["private_key"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----") and made["public_key"].startswith("ssh-ed25519 "), made
    assert "private_key" not in str(client.get(f"/ssh-keys?project={project}"))
    assert client.call("POST", "/ssh-keys", {"project": project, "name": "bad", "public_key": "nothing"}, 422)["detail"][0]["loc"] == ["body", "public_key"]

    body = bid(client, project, [key["fid"]], "train")
    order = client.call("POST", "/spot/bids", body, 201)
    assert order["status"] in ("Open", "Allocated") and order["limit_price"] == "$32.00" and order["project"] == project, order
    assert order["instance_type"] == kinds[0]["fid"] and order["region"] == "us-central1-a" and order["deactivated_at"] is None, order
    assert "already used" in client.call("POST", "/spot/bids", body, 400)["detail"]
    found = harness.wait("it is allocated", lambda: next(
        (b for b in client.get(f"/spot/bids?project={project}&name=train")["data"][:1] if b["status"] == "Allocated"), None))
    instance = found["instances"][0]
    node = next(n for n in nodes if n.replicas())
    replica = node.told("run")[0]
    told = replica["instance"]
    assert told["id"] == instance and told["name"] == "train-1" and told["order"] == order["fid"] and told["ssh_keys"] == [KEY], told
    assert told["region"] == "a" and told["type"] == "h100-2x" and told["boot"] == 1, told

    shown = client.get(f"/instances?project={project}&order_type_in=Bid&bid_fid_in={order['fid']}")["data"]
    assert [i["fid"] for i in shown] == [instance] and shown[0]["status"] == "STATUS_CONFIRMED" and shown[0]["ssh_destination"] is None, shown
    node.boot(replica)
    shown = client.get(f"/instances?bid_fid_in={order['fid']}")["data"][0]
    assert shown["status"] == "STATUS_RUNNING" and shown["ssh_destination"] == f"10.9.0.{node.n}" and shown["name"] == "train-1", shown
    assert shown["bid"] == order["fid"] and shown["reservation"] is None, shown
    assert client.get(f"/instances?status_in=STATUS_PAUSED,STATUS_RUNNING&bid_fid_in={order['fid']}")["data"], "filters"
    assert client.get(f"/instances?bid_fid_in={order['fid']}&status_in=STATUS_PAUSED&status_in=STATUS_ERROR")["data"] == []
    assert client.call("DELETE", f"/ssh-keys/{key['fid']}", expect=409)["detail"]

    # a change of the limit is given back as it was sent
    assert client.call("PATCH", f"/spot/bids/{order['fid']}?project={project}", {"limit_price": "$30"}, 200)["limit_price"] == "$30"
    assert "below minimum" in client.call("PATCH", f"/spot/bids/{order['fid']}", {"limit_price": "$0.01"}, 400)["detail"]
    return project, key, order, node, replica


def pause(client, project, order, node, replica):
    fid = order["fid"]
    assert client.call("PATCH", f"/spot/bids/{fid}?project={project}", {"paused": True}, 200)["status"] == "Paused"
    stopped = node.told("stop")[0]
    assert stopped["stop"] == "end", stopped
    assert client.get(f"/instances?bid_fid_in={fid}")["data"][0]["status"] == "STATUS_STOPPING"
    assert node.report(replica, "ended", exit_code=0) == "ok"
    shown = client.get(f"/instances?bid_fid_in={fid}")["data"][0]
    assert shown["status"] == "STATUS_PAUSED" and shown["ssh_destination"] is None, shown
    volume = client.call("POST", "/volumes", {"name": "data", "project": project, "disk_interface": "Block", "region": "us-central1-a", "size_gb": 10}, 201)
    assert volume["interface"] == "Block" and volume["bids"] == [] and volume["reservations"] == [] and volume["deleted_at"] is None, volume
    changed = client.call("PATCH", f"/spot/bids/{fid}", {"volumes": [volume["fid"]]}, 200)
    assert changed["launch_specification"]["volumes"] == [volume["fid"]], changed
    assert client.call("DELETE", f"/volumes/{volume['fid']}", expect=409)["detail"]
    assert client.call("PATCH", f"/spot/bids/{fid}", {"paused": False}, 200)["status"] in ("Open", "Allocated")
    harness.wait("it is allocated again", lambda: client.get(f"/spot/bids/{fid}")["status"] == "Allocated")
    return volume


def again(client, nodes, order):
    node = next(n for n in nodes if n.replicas())
    replica = node.told("run")[0]
    assert replica["attempt"] == 2 and replica["instance"]["id"] == order["instances"][0], replica
    assert [v["name"] for v in replica["instance"]["volumes"]] == ["data"], replica["instance"]
    node.boot(replica)
    return node, replica


def preempted(cluster, client, project, key, order, nodes, node, replica):
    """A better bid for both machines: notice, Open, and back when it is gone."""
    cluster.request("PATCH", "/v1/settings", {"minimum_run_ms": 0})
    high = client.call("POST", "/spot/bids", bid(client, project, [key["name"]], "high", limit_price="$64.00", instance_quantity=2), 201)
    harness.wait("its notice", lambda: client.get(f"/spot/bids/{order['fid']}/status")["status"] == "Preempting")
    status = client.get(f"/instances/{order['instances'][0]}/status")
    assert status["status"] == "STATUS_PREEMPTING" and status["end_time"], status
    stopped = [r for r in node.replicas() if r["action"] == "stop"][0]
    assert stopped.get("stop", "preempt") == "preempt" and 250_000 < stopped["stop_in_ms"] <= 300_000, stopped
    assert node.report(replica, "ended", exit_code=0) == "ok"
    assert client.get(f"/spot/bids/{order['fid']}")["status"] == "Open"
    assert client.get(f"/instances/{order['instances'][0]}/status")["status"] == "STATUS_PREEMPTED"
    assert client.call("DELETE", f"/spot/bids/{high['fid']}?project={project}", expect=204) in ({}, b"")
    for n in nodes:
        n.stop_all()
    harness.wait("it is back", lambda: client.get(f"/spot/bids/{order['fid']}")["status"] == "Allocated")


def end(client, project, order):
    fid = order["fid"]
    client.call("DELETE", f"/spot/bids/{fid}?project={project}", expect=204)
    assert client.get(f"/spot/bids/{fid}")["status"] == "Terminated"
    kinds = [e["event_type"] for e in client.get(f"/spot/bids/{fid}/history")["events"]]
    for kind in ("Placed", "Allocated", "Limit Price Changed", "Paused", "Resumed", "Preempted"):
        assert kind in kinds, (kind, kinds)
    history = client.get(f"/instances/status/history?project={project}&bid_fid={fid}")["instances"]
    statuses = [e["status"] for e in history[0]["events"]]
    for status in ("STATUS_CONFIRMED", "STATUS_INITIALIZING", "STATUS_RUNNING", "STATUS_PAUSED", "STATUS_PREEMPTING", "STATUS_PREEMPTED"):
        assert status in statuses, (status, statuses)
    assert "instances" in client.get(f"/instances/pricing/history?project={project}&instance_fid={history[0]['instance_fid']}")


def foreign(cluster, client, project, order, key, volume):
    """Another project's key sees nothing of it."""
    cluster.request("POST", "/v1/projects", {"name": "other"})
    secret = cluster.request("POST", "/v1/keys", {"role": "member", "project": "other", "name": "eve"})["key"]
    other = Client(cluster, secret)
    assert other.get("/spot/bids")["data"] == [] and other.get("/instances")["data"] == []
    for path in (f"/spot/bids/{order['fid']}", f"/instances/{order['instances'][0]}/status", f"/ssh-keys?project={project}"):
        assert other.call("GET", path, expect=404)["detail"], path
    for path in (f"/spot/bids/{order['fid']}", f"/ssh-keys/{key['fid']}", f"/volumes/{volume['fid']}"):
        assert other.call("DELETE", path, expect=404)["detail"], path
    mine = other.get("/projects")[0]["fid"]
    assert other.call("POST", "/spot/bids", bid(other, mine, [key["fid"]], "x"), 400)["detail"]
    nobody = Client(cluster, "fkey_" + "x" * 32)
    assert nobody.call("GET", "/me", expect=401)["detail"]
    assert other.get("/me")["email"] and [m["user_name"] for m in other.get("/me/teammates")].count("eve") == 1


def refusals(client, project, key):
    missing = client.call("POST", "/spot/bids", {"project": project}, 422)["detail"][0]
    assert missing["loc"][0] == "body" and missing["type"] == "missing", missing
    assert client.call("POST", "/spot/bids", bid(client, project, [key["fid"]], "a", limit_price="much"), 422)["detail"][0]["loc"] == ["body", "limit_price"]
    assert "below minimum" in client.call("POST", "/spot/bids", bid(client, project, [key["fid"]], "a", limit_price="$1.99"), 400)["detail"]
    assert "ssh key required" in client.call("POST", "/spot/bids", bid(client, project, [], "a"), 400)["detail"]
    assert client.call("POST", "/spot/bids", bid(client, project, [key["fid"]], "a", instance_type="it_nothing"), 404)["detail"]
    assert client.call("GET", "/ssh-keys", expect=422)["detail"][0]["loc"] == ["query", "project"]
    assert client.call("GET", "/spot/bids?limit=1000", expect=422)["detail"][0]["loc"] == ["query", "limit"]
    assert client.get("/spot/bids?_cache_bust=1&duration_hours=3")["data"] is not None
    assert client.call("GET", "/nothing", expect=404)["detail"]
    live = client.get(f"/spot/bids?project={project}&name=train")["data"][0]
    client.call("PATCH", f"/spot/bids/{live['fid']}", {"limit_price": 5}, 422)
    client.call("PATCH", f"/spot/bids/{live['fid']}", {"memory_gb": 5}, 400)


def pages(client, project, key):
    for n in range(5):
        client.call("POST", "/spot/bids", bid(client, project, [key["fid"]], f"page-{n}", instance_quantity=2, limit_price="$2.00"), 201)
    seen, cursor = [], None
    while True:
        page = client.get(f"/spot/bids?project={project}&limit=2" + (f"&next_cursor={cursor}" if cursor else ""))
        seen += [b["name"] for b in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [n for n in seen if n.startswith("page-")] == [f"page-{n}" for n in (4, 3, 2, 1, 0)], seen
    assert len(seen) == len(set(seen)), seen
    # page by page is the same as at once, in either direction, of bids and of instances
    for path, step in ((f"/spot/bids?project={project}", 3), (f"/spot/bids?project={project}&sort_dir=asc", 3), ("/spot/bids?sort_by=status", 3),
                       (f"/instances?project={project}", 1), (f"/instances?project={project}&sort_dir=asc", 1), ("/instances?sort_by=instance_status", 1)):
        whole, parts, cursor = [b["fid"] for b in client.get(path)["data"]], [], ""
        while cursor is not None:
            page = client.get(path + f"&limit={step}" + (f"&next_cursor={cursor}" if cursor else ""))
            parts += [b["fid"] for b in page["data"]]
            cursor = page["next_cursor"]
        assert parts == whole and len(whole) >= 3, (path, parts, whole)
    upward = client.get(f"/spot/bids?project={project}&sort_dir=asc")["data"]
    assert [b["created_at"] for b in upward] == sorted(b["created_at"] for b in upward)


def play(cluster, client, nodes):
    project, key, order, node, replica = life(cluster, client, nodes)
    order = client.get(f"/spot/bids/{order['fid']}")
    volume = pause(client, project, order, node, replica)
    node, replica = again(client, nodes, order)
    preempted(cluster, client, project, key, order, nodes, node, replica)
    refusals(client, project, key)
    foreign(cluster, client, project, order, key, volume)
    end(client, project, order)
    pages(client, project, key)
