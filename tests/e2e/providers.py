# SPDX-License-Identifier: Apache-2.0
"""Tessera buys from a server that speaks Mithril's API: when its fleet is full, never twice, and gives back."""
import json

import harness
from mithril_client import Client, Node
from providers_work import bought, task
from seller import KEY, Seller


def serve(settings=None):
    port = harness.free_port()
    cluster = harness.Cluster(agents=1, cpus="0.5", settings=settings, serve_options=["--listen", f"127.0.0.1:{port}"])
    return cluster


def add(cluster, seller, **more):
    body = {"name": "acme", "url": seller.url, "key": KEY, "project": "mine", "poll_ms": 100, "idle_ms": 1500} | more
    return cluster.request("POST", "/v1/providers", body)


def buys_when_full(folder_of):
    with serve() as cluster:
        seller = Seller(folder_of(cluster))
        try:
            try:
                with_wrong = {"name": "Bad Name"}
                add(cluster, seller, **with_wrong)
                raise AssertionError("taken")
            except harness.Refused as refused:
                assert refused.status == 400 and refused.error["field"] == "name", refused.body
            made = add(cluster, seller)
            assert KEY not in json.dumps(made) and made["state"] == "buying", made
            first = cluster.submit(task("sleep 600", 2_000_000))
            cluster.wait_state(first, "running")
            assert not seller.bids, "nothing is bought while there is room"
            low = cluster.submit(task("sleep 600", 100_000))
            second = cluster.submit(task("sleep 3", 1_000_000))
            cluster.wait_state(second, "running", seconds=90)
            [bid] = seller.bids.values()
            # half a core at $1 a core-hour is worth $0.50; the margin is a tenth
            assert bid["limit_price"] == "$0.45", bid
            node = next(n for n in cluster.request("GET", "/v1/nodes")["nodes"] if n["name"] == bid["name"])
            assert node["place"]["provider"] == "acme" and node["ask_udollar_per_hour"] == 100_000 and "labels" not in node, node
            assert cluster.status(low)["state"] in ("waiting", "running")
            cluster.request("POST", f"/v1/workloads/{low}/cancel", {})
            cluster.wait_state(second, "finished")
            harness.wait("it is given back", lambda: bid["status"] == "Terminated", 30)
            harness.wait("it is forgotten", lambda: not bought(cluster))
            keys = cluster.request("GET", "/v1/keys")["keys"]
            assert not [k for k in keys if k["role"] == "agent" and k.get("node") == node["id"] and not k.get("revoked")], keys
            assert len(seller.bids) == 1 and cluster.status(first)["state"] == "running"
            log = (cluster.folder / "server.log").read_text()
            assert KEY not in log and seller.token(bid["fid"]) not in log
            assert oct((cluster.data / "providers.json").stat().st_mode & 0o777) == "0o600"
            assert KEY not in json.dumps(cluster.request("GET", "/v1/providers"))
        finally:
            seller.close()


def killed_in_the_middle(folder_of):
    """Between the journal and the answer, before and after the seller took the order: one machine, and no other."""
    for arrives in (True, False):
        with serve() as cluster:
            seller = Seller(folder_of(cluster))
            try:
                seller.swallow, add_first = not arrives, cluster.submit(task("sleep 600", 2_000_000))
                seller.hold_answers.set()
                add(cluster, seller)
                cluster.wait_state(add_first, "running")
                second = cluster.submit(task("sleep 600", 1_000_000))
                harness.wait("the order is on its way", lambda: ("POST", "/v2/spot/bids") in seller.calls)
                name = json.loads((cluster.data / "providers.json").read_text())["providers"][0]["orders"][0]["name"]
                cluster.kill_server()
                assert len(seller.bids) == arrives, seller.bids
                seller.hold_answers.clear()
                seller.swallow = False
                cluster.start_server()
                cluster.wait_state(second, "running", seconds=90)
                assert [b["name"] for b in seller.bids.values()] == [name], seller.bids
                assert [(b["node"], b["bid"]) for b in bought(cluster)] == [(name, "bid_1")], bought(cluster)
                assert seller.calls.count(("POST", "/v2/spot/bids")) == 2 - arrives
                # and again, while it runs
                cluster.kill_server()
                cluster.start_server()
                harness.wait("it is known again", lambda: bought(cluster)[0]["status"] == "allocated")
                assert len(seller.bids) == 1 and cluster.status(second)["state"] == "running"
                # leaving gives it back although work runs there
                cluster.run("provider", "remove", "acme")
                harness.wait("it is forgotten", lambda: not cluster.request("GET", "/v1/providers").get("providers"), 60)
                assert [b["status"] for b in seller.bids.values()] == ["Terminated"]
                cluster.wait_state(second, "waiting")
                assert cluster.run("provider", "remove", "acme", check=False).returncode == 5
            finally:
                seller.close()


def seller_preempts(folder_of):
    with serve({"contact_timeout_ms": 3000}) as cluster:
        seller = Seller(folder_of(cluster))
        try:
            (cluster.folder / "acme.key").write_text(KEY + "\n")
            said = cluster.run("provider", "add", "acme", seller.url, "--key-file", str(cluster.folder / "acme.key"), "--project", "mine",
                               "--poll", "100ms", "--idle", "20s", "--margin", "2.5", "--nodes", "2").stdout
            assert "at most 2 nodes" in said and "2.5 %" in said, said
            assert cluster.run("provider", "add", "acme", seller.url, "--key-file", str(cluster.folder / "acme.key"), check=False).returncode == 6
            cluster.wait_state(cluster.submit(task("sleep 600", 2_000_000)), "running")
            second = cluster.submit(task("sleep 600", 1_000_000))
            cluster.wait_state(second, "running", seconds=90)
            [bid] = seller.bids.values()
            assert bid["limit_price"] == "$0.48", bid
            listed = cluster.run("provider", "list").stdout
            assert "allocated" in listed and bid["name"] in listed and KEY not in listed, listed
            node = next(n for n in cluster.request("GET", "/v1/nodes")["nodes"] if n["name"] == bid["name"])
            seller.preempt(bid["fid"])
            cluster.wait_state(second, "waiting")
            steps = [s.get("reason") for s in cluster.status(second)["steps"]]
            assert "drained" in steps, steps
            seller.off(bid["fid"])

            def state():
                return next(n for n in cluster.request("GET", "/v1/nodes")["nodes"] if n["name"] == bid["name"])["state"]

            harness.wait("its node is gone", lambda: state() == "lost")
            harness.wait("its bid waits", lambda: bought(cluster)[0]["status"] == "open")
            seller.on(bid["fid"])
            cluster.wait_state(second, "running", seconds=90)
            again = next(n for n in cluster.request("GET", "/v1/nodes")["nodes"] if n["name"] == bid["name"])
            assert again["id"] == node["id"] and again["state"] == "up", again
            assert len(seller.bids) == 1, seller.bids
            # what is posted there is what the node asks here
            seller.cents = 20
            harness.wait("its ask follows", lambda: next(
                n for n in cluster.request("GET", "/v1/nodes")["nodes"] if n["name"] == bid["name"])["ask_udollar_per_hour"] == 200_000)
            # ended by its seller for good: nothing is left of it here
            with seller.lock:
                seller.capacity = 0
                seller.stop(bid["fid"])
                bid["status"] = "Terminated"
            harness.wait("it is forgotten", lambda: not bought(cluster))
            cluster.wait_state(second, "waiting")
        finally:
            seller.close()


def open_bids_follow(folder_of):
    """A bid that waits is worth what waits here: less with it, and nothing once that is gone."""
    with serve() as cluster:
        seller = Seller(folder_of(cluster))
        try:
            cluster.wait_state(cluster.submit(task("sleep 600", 2_000_000)), "running")
            with seller.lock:
                seller.allocate, boot = lambda fid: None, seller.allocate
            add(cluster, seller)
            high, low = cluster.submit(task("sleep 600", 1_000_000)), cluster.submit(task("sleep 600", 600_000))
            harness.wait("both are worth a bid", lambda: [b["limit_price"] for b in seller.live()] == ["$0.72"])
            cluster.request("POST", f"/v1/workloads/{high}/cancel", {})
            harness.wait("one is worth less", lambda: [b["limit_price"] for b in seller.live()] == ["$0.27"])
            cluster.request("POST", f"/v1/workloads/{low}/cancel", {})
            harness.wait("nothing is left to bid for", lambda: not seller.live() and not bought(cluster))
            seller.allocate = boot
        finally:
            seller.close()


def each_other():
    """Two servers that sell to each other: a bid here is no reason to bid there."""
    with serve() as one, serve() as two:
        nodes = [Node(one, 1), Node(two, 2)]
        gpus = {"choices": [{"amounts": {"gpu_milli": 2000, "core_milli": 1000, "memory_mib": 64}}]}
        for seller, buyer, node, limit in ((one, two, nodes[0], 20_000_000), (two, one, nodes[1], 4_000_000)):
            first = seller.submit(task("sleep 600", limit) | gpus)
            node.report(node.told("run")[0], "started")
            seller.wait_state(first, "running")
            seller.submit(task("sleep 600", 4_000_000) | gpus)
            body = {"name": "other", "url": seller.url, "key": seller.key, "poll_ms": 100, "idle_ms": 1500}
            buyer.request("POST", "/v1/providers", body)
        sells = Client(two)
        assert not bought(one) and not bought(two)
        # worth more than what runs over there: one bid, and nothing comes back of it
        raised = one.submit(task("sleep 600", 9_000_000) | gpus)
        harness.wait("it bids there", lambda: [b["status"] for b in bought(one) if b["status"] in ("open", "allocated")])
        harness.wait("it wins there", lambda: [nodes[1].stop_all(), sells.get("/spot/bids")["data"][0]["status"] == "Allocated"][1])
        bids = sells.get("/spot/bids")["data"]
        assert len(bids) == 1 and not bought(two), (bids, bought(two))
        one.request("POST", f"/v1/workloads/{raised}/cancel", {})


def nobody_could_join(folder_of):
    """Without an address that machines reach nothing is bought."""
    with harness.Cluster() as cluster:
        seller = Seller(folder_of(cluster))
        try:
            add(cluster, seller)
            raise AssertionError("taken")
        except harness.Refused as refused:
            assert refused.status == 409 and "--advertise" in refused.error["message"], refused.body
        finally:
            seller.close()
    with serve() as cluster:
        seller = Seller(folder_of(cluster))
        try:
            add(cluster, seller)
            assert cluster.stop_server() == 0
            cluster.serve_options = []
            cluster.start_server()
            cluster.wait_state(cluster.submit(task("sleep 600", 2_000_000)), "running")
            cluster.submit(task("sleep 600", 1_000_000))
            problem = harness.wait("it says so", lambda: cluster.request("GET", "/v1/providers")["providers"][0].get("problem"))
            assert "--listen" in problem and not seller.bids, problem
            assert "in trouble" in cluster.run("provider", "list").stdout
            assert cluster.stop_server() == 0
            (cluster.data / "providers.json").write_text('{"format":1,"providers":[{}]}')
            cluster.server = cluster.spawn("server", harness.TESSERA, "serve", "--data", str(cluster.data), "--port", str(cluster.port))
            assert cluster.server.wait(60) == 1
            assert "providers.json: orders: is missing" in (cluster.folder / "server.log").read_text()
        finally:
            seller.close()


def main():
    def folder_of(cluster):
        folder = cluster.folder / "seller"
        folder.mkdir()
        return folder

    for part in (nobody_could_join, buys_when_full, killed_in_the_middle, seller_preempts, open_bids_follow):
        part(folder_of)
        print(part.__name__, flush=True)
    each_other()
    print("providers")


main()
