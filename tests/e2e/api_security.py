# SPDX-License-Identifier: Apache-2.0
"""Who may do what: every route of /openapi.json with no key, a wrong one, a revoked one, one of another
project, one of too small a role, an agent's; foreign Host and Origin; the console's cookie."""
import http.client
import re

import harness

SMALL = {"nodes": 1, "run": "sleep 1000", "preemptible": True, "choices": [{"amounts": {"core_milli": 100}}]}
NOWHERE = "work_0000000000000000"


class Caller:
    """Sends anything, and takes any answer."""

    def __init__(self, cluster):
        self.cluster = cluster

    def __call__(self, method, path, key=None, headers=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.cluster.port, timeout=30)
        head = {"Authorization": f"Bearer {key}"} if key else {}
        head |= headers or {}
        connection.putrequest(method.upper(), path, skip_host="Host" in head)
        if body is None and method in ("post", "put", "patch"):
            body = b"{}"
        if body is not None:
            head.setdefault("Content-Length", str(len(body)))
        for name, value in head.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        streams = answer.status == 200 and "event-stream" in (answer.getheader("Content-Type") or "")
        data = b"" if streams else answer.read()
        connection.close()
        return answer.status, data, answer


def routes(cluster):
    document = cluster.request("GET", "/openapi.json", key=None)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def fill(path, **names):
    return re.sub(r"{(\w+)}", lambda m: names.get(m[1], "0" * 64), path)


def refuse_strangers(cluster, call, work):
    made = cluster.request("POST", "/v1/keys", {"role": "admin", "name": "short-lived"})
    assert call("get", "/v1/whoami", made["key"])[0] == 200
    cluster.request("DELETE", f"/v1/keys/{made['id']}")
    wrong = "fkey_" + "0" * 32
    for method, path, operation in routes(cluster):
        address = fill(path, id=work, node="node-1", project="default", key=made["id"])
        open_to_all = operation["security"] == []
        bodies = set()
        for key in (None, wrong, made["key"], "fkey_", "x" * 300):
            status, data, _ = call(method, address, key)
            if open_to_all:
                assert status != 403, (method, path, status)
                if path != "/v1/console/session":
                    assert status != 401, (method, path, status)
                continue
            assert status == 401, (method, path, key, status, data)
            bodies.add(data)
        assert open_to_all or len(bodies) == 1, (path, bodies)
    print("strangers: 401 everywhere")


def refuse_other_projects(cluster, call, work):
    """What another project has does not exist: the same answer, byte for byte, as for what never was."""
    cluster.request("POST", "/v1/projects", {"name": "other"})
    keys = {role: cluster.request("POST", "/v1/keys", {"role": role, "project": "other", "name": f"other-{role}"})["key"]
            for role in ("viewer", "member")}
    before = cluster.status(work)
    for method, path, operation in routes(cluster):
        if "{id}" not in path and "{project}" not in path:
            continue
        for role, key in keys.items():
            body = b'{"limit_udollar_per_hour":1}' if method == "patch" else None
            theirs = call(method, fill(path, id=work, project="default"), key, body=body)
            nobodys = call(method, fill(path, id=NOWHERE, project="nowhere"), key, body=body)
            assert theirs[:2] == nobodys[:2], (method, path, theirs[:2], nobodys[:2])
            allowed = operation["x-tessera-role"] == "viewer" or (role == "member" and operation["x-tessera-role"] == "member")
            assert theirs[0] == (404 if allowed else 403), (method, path, role, theirs[:2])
    key = keys["member"]
    assert cluster.request("GET", "/v1/workloads", key=key)["workloads"] == []
    assert cluster.request("GET", "/v1/ledger", key=key)["entries"] == []
    assert [p["name"] for p in cluster.request("GET", "/v1/projects", key=key)["projects"]] == ["other"]
    for path in ("/v1/workloads?project=default", "/v1/ledger?project=default", "/v1/events?project=default"):
        assert call("get", path, key)[0] == 404, path
    assert call("post", "/v1/workloads", key, body=b'{"project":"default","run":"x","choices":[{"amounts":{"core_milli":1}}]}')[0] == 404
    assert cluster.request("GET", "/v1/prices", key=key)["pools"], "prices are for all"
    assert cluster.status(work)["state"] == before["state"]
    print("other projects: 404, as for nothing")
    return keys


def refuse_small_roles(cluster, call, keys):
    order = ["viewer", "member", "operator", "admin"]
    keys = {"viewer": keys["viewer"], "member": keys["member"],
            "operator": cluster.request("POST", "/v1/keys", {"role": "operator", "name": "op"})["key"]}
    for method, path, operation in routes(cluster):
        role = operation["x-tessera-role"]
        if role == "none" or "{id}" in path or "{project}" in path:
            continue
        for mine, key in keys.items():
            status = call(method, fill(path, node="nothing", key="nothing"), key)[0]
            if role in order and order.index(mine) < order.index(role) or role in ("agent", "join"):
                assert status == 403, (method, path, mine, status)
            else:
                assert status not in (401, 403), (method, path, mine, status)
    print("roles: 403 below what a route asks for")


def refuse_agents(cluster, call, work):
    """An agent's key reads and reports its own node's work, a token joins once, and that is all."""
    agent = (cluster.folder / "agent-1/key").read_text().strip()
    token = cluster.request("POST", "/v1/node-tokens", {})["token"]
    for method, path, operation in routes(cluster):
        role = operation["x-tessera-role"]
        address = fill(path, id=work, node="node-1", project="default", key="x")
        if role == "none":
            continue
        if role not in ("agent", "join") and path != "/v1/archives/{sha256}":
            assert call(method, address, agent)[0] == 403, (method, path)
            assert call(method, address, token)[0] == 403, (method, path)
    assert call("post", "/v1/agent/poll", token)[0] == 403
    assert call("post", "/v1/agent/join", agent)[0] == 403
    other = cluster.request("POST", "/v1/agent/join", {"name": "stranger"}, key=token)["key"]
    assert call("post", "/v1/agent/join", token)[0] == 401, "a token works once"
    assert call("post", "/v1/agent/poll", other)[0] == 409, "no node yet"
    facts = {"name": "node-1", "address": "127.0.0.1", "sku": "cpu", "place": {}, "amounts": {"core_milli": 250, "memory_mib": 256}}
    try:
        cluster.request("POST", "/v1/agent/register", facts, key=other)
        raise AssertionError("another agent took node-1")
    except harness.Refused as refused:
        assert refused.status in (403, 409), refused
    append = f"/v1/agent/logs?workload={work}&attempt=1&role=0&rank=0&offset=0"
    assert call("post", append, other, body=b"forged")[0] == 404
    assert "forged" not in cluster.log(work)
    print("agents: their own node's work alone")


def refuse_foreign_pages(cluster, call, work):
    for method, path, operation in routes(cluster):
        address = fill(path, id=work, node="node-1", project="default", key="x")
        status, data, _ = call(method, address, cluster.key, {"Host": "evil.example"})
        assert status == 421, (method, path, status, data)
        if method == "get":
            continue
        for origin in ("http://evil.example", "null", f"https://127.0.0.1:{cluster.port}", f"http://127.0.0.1:{cluster.port}.evil.example"):
            status, data, _ = call(method, address, cluster.key, {"Origin": origin})
            expected = 403 if operation["x-tessera-role"] in ("none", "viewer", "member", "operator", "admin") else 401
            assert status in (403, expected), (method, path, origin, status, data)
    assert call("get", "/healthz", None, {"Host": f"localhost:{cluster.port}"})[0] == 200
    assert call("get", "/healthz", None, {"Host": ""})[0] in (400, 421)
    assert cluster.status(work)["state"] in ("assigned", "running")
    print("foreign pages: 421 and 403")


def cookie_of(answer):
    text = answer.getheader("Set-Cookie")
    assert "HttpOnly" in text and "SameSite=Strict" in text and "Path=/" in text, text
    return text.split(";", 1)[0]


def sign_in(cluster, call):
    made = cluster.request("POST", "/v1/console/codes")
    assert made["url"].endswith("#code=" + made["code"]), made
    own = {"Origin": cluster.url}
    body = f'{{"code":"{made["code"]}"}}'.encode()
    assert call("post", "/v1/console/session", None, own, b'{"code":"wrong"}')[0] == 401
    status, _, answer = call("post", "/v1/console/session", None, own, body)
    assert status == 200
    assert call("post", "/v1/console/session", None, own, body)[0] == 401, "a code works once"
    cookie = {"Cookie": cookie_of(answer)}
    assert call("get", "/v1/workloads", None, cookie)[0] == 200
    name, secret = cookie["Cookie"].split("=", 1)
    assert re.fullmatch("tessera_session_[0-9a-z]{16}", name), f"{name}: servers of one machine share a browser's cookies"
    assert call("get", "/v1/workloads", None, {"Cookie": f"tessera_session={secret}"})[0] == 401
    assert call("post", "/v1/console/codes", secret)[0] == 403, "a session makes no codes"
    assert call("get", "/v1/workloads", None, {"Cookie": f"{name}={cluster.key}"})[0] == 401, "a key is no session"
    small = b'{"name":"from-a-page","run":"true","preemptible":true,"choices":[{"amounts":{"core_milli":10}}]}'
    assert call("post", "/v1/workloads", None, cookie, small)[0] == 403, "a change by cookie says where it comes from"
    assert call("post", "/v1/workloads", None, cookie | {"Origin": "http://evil.example"}, small)[0] == 403
    assert call("post", "/v1/workloads", None, cookie | own, small)[0] == 201
    assert call("delete", "/v1/console/session", None, cookie | own)[0] == 200
    assert call("get", "/v1/workloads", None, cookie)[0] == 401, "signed out"
    answers = [call("post", "/v1/console/session", None, own, b'{"code":"guess"}')[0] for _ in range(30)]
    assert answers[-1] == 429, answers
    print("console: one code, one session, one's own pages")


def main():
    with harness.Cluster(agents=1) as cluster:
        call = Caller(cluster)
        work = cluster.submit(SMALL)
        cluster.wait_state(work, "running")
        refuse_strangers(cluster, call, work)
        keys = refuse_other_projects(cluster, call, work)
        refuse_small_roles(cluster, call, keys)
        refuse_agents(cluster, call, work)
        refuse_foreign_pages(cluster, call, work)
        sign_in(cluster, call)
        cluster.request("POST", f"/v1/workloads/{work}/cancel")


if __name__ == "__main__":
    main()
