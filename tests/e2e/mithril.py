# SPDX-License-Identifier: Apache-2.0
"""The whole Mithril API: the lives of bids and reservations, the accounts and things around them, and for each
operation of tests/mithril/operations.txt a success, a 422 where it takes anything that can be wrong, a call without
a key and one with the key of another project. MITHRIL_SPEC=FILE also holds every answer to the description."""
import harness
import mithril_bids
import mithril_clusters
import mithril_reservations
from mithril_client import KEY, OPERATIONS, SPEC, Client, Node


def accounts(client):
    me = client.get("/me")
    assert me["organization_role"] == "admin" and me["fid"].startswith("user_"), me
    before = client.get("/api-keys")
    made = client.call("POST", "/api-keys", {"name": "ci", "expires_at": "2099-01-01T00:00:00.123456+00:00"}, 201)
    assert made["secret"].startswith("fkey_") and len(made["secret"]) >= 25 and made["secret"].startswith(made["snippet"].rstrip(".")), made
    assert made["expires_at"] == "2099-01-01T00:00:00.123Z", made
    assert client.call("POST", "/api-keys", {"name": "ci", "expires_at": "2001-01-01T00:00:00Z"}, 400)["detail"]
    assert client.call("POST", "/api-keys", {"name": "ci", "expires_at": "soon"}, 422)["detail"][0]["loc"] == ["body", "expires_at"]
    other = Client(client.cluster, made["secret"])
    assert other.get("/me")["fid"] == me["fid"], "the same person"
    assert len(client.get("/api-keys")) == len(before) + 1
    client.call("DELETE", f"/api-keys/{made['fid']}", expect=204)
    client.call("DELETE", f"/api-keys/{made['fid']}", expect=400)
    client.call("DELETE", "/api-keys/apikey_nothing", expect=404)
    assert next(k for k in client.get("/api-keys") if k["fid"] == made["fid"])["deactivated_at"]
    other.call("GET", "/me", expect=401)
    return me


def scripts(client, project):
    body = {"project": project, "name": "setup", "content": "echo hi\n", "description": "says hi"}
    made = client.call("POST", "/lifecycle-scripts", body, 201)
    assert made["scope"] == "PROJECT" and made["content_url"].endswith(f"/v2/lifecycle-scripts/{made['fid']}/content"), made
    assert client.get(f"/lifecycle-scripts/{made['fid']}/content") == "echo hi\n"
    changed = client.call("PATCH", f"/lifecycle-scripts/{made['fid']}", {"name": "set-up", "description": "", "scope": "ORGANIZATION"}, 200)
    assert changed["name"] == "set-up" and changed["description"] == "" and changed["scope"] == "ORGANIZATION", changed
    assert [s["fid"] for s in client.get(f"/lifecycle-scripts?project={project}&sort_by=last_modified_at")["data"]] == [made["fid"]]
    client.call("POST", "/lifecycle-scripts", body | {"content": ""}, 422)
    client.call("PATCH", f"/lifecycle-scripts/{made['fid']}", {"scope": "PLATFORM"}, 422)
    client.call("DELETE", f"/lifecycle-scripts/{made['fid']}", expect=204)
    client.call("DELETE", f"/lifecycle-scripts/{made['fid']}", expect=404)


def volumes(client, project):
    body = {"name": "shared", "project": project, "disk_interface": "File", "region": "us-central1-a", "size_gb": 100}
    made = client.call("POST", "/volumes", body, 201)
    client.call("POST", "/volumes", body, 409)
    assert client.call("POST", "/volumes", body | {"name": "-x"}, 422)["detail"][0]["loc"] == ["body", "name"]
    client.call("POST", "/volumes", body | {"disk_interface": "Tape"}, 422)
    client.call("POST", "/volumes", body | {"name": "far", "region": "nowhere"}, 404)
    assert client.call("PATCH", f"/volumes/{made['fid']}", {"name": "renamed"}, 200)["name"] == "renamed"
    client.call("PATCH", f"/volumes/{made['fid']}", {}, 422)
    assert next(q for q in client.get(f"/quotas?project={project}") if q["product_type"] == "Storage")["used_quantity"] >= 100
    client.call("DELETE", f"/volumes/{made['fid']}", expect=204)
    assert made["fid"] not in [v["fid"] for v in client.get(f"/volumes?project={project}")]
    gone = next(v for v in client.get(f"/volumes?project={project}&include_deleted=true") if v["fid"] == made["fid"])
    assert gone["deleted_at"], gone


def keys(client, project):
    made = client.call("POST", "/ssh-keys", {"project": project, "name": "always", "public_key": KEY, "required": True}, 201)
    assert client.call("PATCH", f"/ssh-keys/{made['fid']}", {"required": False}, 200)["required"] is False
    client.call("PATCH", f"/ssh-keys/{made['fid']}", {}, 422)
    client.call("DELETE", f"/ssh-keys/{made['fid']}", expect=204)


def catalogue(client, project):
    assert client.get("/image-versions")[0]["supported_regions"] == ["us-central1-a"]
    assert client.get("/mcc-image-versions?region=us-central1-a") == []
    client.call("GET", "/mcc-image-versions", expect=422)
    kind = client.get("/instance-types")[0]
    series = harness.wait("a price was posted", lambda: client.get(f"/pricing/history?instance_types={kind['fid']}&num_samples=10")["series"][0]["timestamps"])
    assert series
    client.call("GET", "/pricing/history?num_samples=9999", expect=422)
    client.call("GET", "/pricing/current", expect=422)
    client.call("GET", f"/quotas?project={project}", expect=200)
    for path in ("/quotas", "/volumes", "/lifecycle-scripts", "/reservation", "/reservation/availability", "/kubernetes/clusters", "/instances/status/history", "/instances/pricing/history"):
        client.call("GET", path, expect=422)
    client.call("GET", "/instances?limit=0", expect=422)
    client.call("PATCH", "/instances", {}, expect=422)
    text = client.cluster.request("GET", "/v2/catalog.csv", raw=True).decode().splitlines()
    assert text[0].startswith("InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region,GpuInfo"), text
    assert text[1].startswith("h100-2x,H100,2.0,8.0,64.0,2.00,2.00,us-central1-a,"), text
    for path in ("/quotas", "/wizard/ask", "/users/x"):
        client.call("GET", path)


def strangers(cluster):
    """No key: 401 everywhere. Another project's key: never a success on what is not its own."""
    nobody, eve = Client(cluster, "fkey_" + "y" * 32), Client(cluster, cluster.request("POST", "/v1/keys", {"role": "viewer", "project": "eve", "name": "eve"})["key"])
    for operation in OPERATIONS:
        method, path = operation.split()
        path = path.removeprefix("/v2").replace("{fid}", "bid_aaaaaaaaaaaaaaaa")
        nobody.call(method, path, {} if method in ("POST", "PATCH") else None, expect=401)
        if method != "GET":
            eve.call(method, path, {} if method in ("POST", "PATCH") else None, expect=403)
        elif "{fid}" in operation:
            eve.call(method, path, expect=404)


def echoes(client):
    """The id that a client gave its request, or a new one, stands in every answer."""
    import http.client

    for header, path, expected in (({"X-Client-Request-Id": "mine-1"}, "/v2/projects", "mine-1"), ({}, "/v2/me", None), ({"X-Request-Id": "z"}, "/v2/volumes", "z")):
        connection = http.client.HTTPConnection("127.0.0.1", client.cluster.port, timeout=30)
        connection.request("GET", path, headers={"Authorization": f"Bearer {client.key}"} | header)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.headers["X-Request-Id"] and expected in (None, answer.headers["X-Request-Id"]), (path, answer.headers)


def covered():
    for operation, (statuses, _) in OPERATIONS.items():
        seen = Client.seen.get(operation, set())
        assert seen & {200, 201, 204}, f"{operation}: no success among {sorted(seen)}"
        takes = operation.split()[0] in ("POST", "PATCH") or 422 in statuses and "{fid}" not in operation
        assert not takes or 422 in seen or 422 not in statuses, f"{operation}: no 422 among {sorted(seen)}"
        assert 401 in seen, operation


def main():
    with harness.Cluster(settings={"tick_ms": 500}) as cluster:
        nodes, client = [Node(cluster, 1), Node(cluster, 2)], Client(cluster)
        project = client.get("/projects")[0]["fid"]
        accounts(client)
        scripts(client, project)
        volumes(client, project)
        keys(client, project)
        catalogue(client, project)
        mithril_reservations.play(cluster, client, nodes)
        mithril_clusters.play(cluster, client, nodes)
        mithril_bids.play(cluster, client, nodes)
        cluster.request("POST", "/v1/projects", {"name": "eve"})
        strangers(cluster)
        echoes(client)
        covered()
    if SPEC:
        print("every answer holds to the description")


main()
