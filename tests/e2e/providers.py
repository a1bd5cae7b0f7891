# SPDX-License-Identifier: Apache-2.0
"""Tessera buys from a server that speaks Mithril's API: when its fleet is full, never twice, and gives back."""
import json

import harness
from seller import KEY, Seller


def serve(settings=None):
    port = harness.free_port()
    cluster = harness.Cluster(agents=1, cpus="0.5", settings=settings, serve_options=["--listen", f"127.0.0.1:{port}"])
    return cluster


def add(cluster, seller, **more):
    body = {"name": "acme", "url": seller.url, "key": KEY, "project": "mine", "poll_ms": 100, "idle_ms": 1500} | more
    return cluster.request("POST", "/v1/providers", body)


def bought(cluster):
    return cluster.request("GET", "/v1/providers")["providers"][0].get("bought", [])


def task(run, limit, cores=500, **more):
    return {"run": run, "preemptible": True, "limit_udollar_per_hour": limit, "notice_ms": 1000,
            "choices": [{"amounts": {"core_milli": cores, "memory_mib": 64}}]} | more


def node_of(cluster, work):
    return cluster.status(work)["placements"][0]["node_name"]


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


def main():
    def folder_of(cluster):
        folder = cluster.folder / "seller"
        folder.mkdir()
        return folder

    buys_when_full(folder_of)
    print("providers")


main()
