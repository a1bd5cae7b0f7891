# SPDX-License-Identifier: Apache-2.0
"""Archives by the hash of their content, each project's its own; the binary; tokens to join with."""
import hashlib
import io
import os
import pathlib
import socket
import subprocess
import tarfile

import harness

SMALL = {"nodes": 1, "run": "sleep 1000", "preemptible": True, "choices": [{"amounts": {"core_milli": 50}}]}


def status(cluster, method, path, body=None, key="own", headers=None):
    """The status alone, 2xx or not."""
    try:
        cluster.request(method, path, body, key=key, headers=headers, raw=True)
        return 200
    except harness.Refused as refused:
        return refused.status


def put(cluster, body, key="own"):
    name = hashlib.sha256(body).hexdigest()
    return name, status(cluster, "PUT", f"/v1/archives/{name}", body, key)


def files(cluster):
    return sorted(p.name for p in (cluster.data / "archives").rglob("*") if p.is_file())


def packed(size):
    """An archive that an agent can unpack."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("workdir/data")
        info.size = size
        tar.addfile(info, io.BytesIO(os.urandom(size)))
    return out.getvalue()


def archives(cluster):
    body = packed(3 << 20)
    name, answer = put(cluster, body)
    assert answer == 200 and files(cluster) == [name], files(cluster)
    assert put(cluster, body) == (name, 200)
    assert cluster.request("GET", f"/v1/archives/{name}", raw=True) == body
    assert cluster.request("HEAD", f"/v1/archives/{name}", raw=True) == b""
    wrong = "0" * 64
    assert status(cluster, "PUT", f"/v1/archives/{wrong}", body) == 400
    assert status(cluster, "GET", f"/v1/archives/{wrong}") == 404
    assert status(cluster, "HEAD", f"/v1/archives/{wrong}") == 404
    for path in ("..%2F..%2Fclient.yaml", "A" * 64, name[:-1], name + "0"):
        assert status(cluster, "GET", f"/v1/archives/{path}") == 404, path
        assert status(cluster, "PUT", f"/v1/archives/{path}", b"x") == 400, path
    assert files(cluster) == [name], "nothing of a refused upload stays"
    return name, body


def too_large(cluster):
    """Refused by its length, before it is sent; one that breaks off leaves nothing."""
    before = files(cluster)
    for length, sent, expected in (((256 << 20) + 1, 0, b" 413 "), (1 << 20, 1000, b"")):
        with socket.create_connection(("127.0.0.1", cluster.port)) as s:
            s.sendall(f"PUT /v1/archives/{'1' * 64} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {cluster.key}\r\n"
                      f"Content-Length: {length}\r\n\r\n".encode() + b"x" * sent)
            s.settimeout(10)
            if expected:
                assert expected in s.recv(1000)
    harness.wait("the broken upload is gone", lambda: files(cluster) == before, 10)


def other_project(cluster, name, body):
    cluster.request("POST", "/v1/projects", {"name": "other"})
    key = cluster.request("POST", "/v1/keys", {"role": "member", "project": "other"})["key"]
    mine, answer = put(cluster, b"of the other project", key)
    assert answer == 200
    assert cluster.request("GET", f"/v1/archives/{mine}", key=key, raw=True) == b"of the other project"
    assert status(cluster, "GET", f"/v1/archives/{mine}") == 404, "of one project, not of all"
    default = cluster.request("POST", "/v1/keys", {"role": "member", "project": "default"})["key"]
    assert status(cluster, "GET", f"/v1/archives/{mine}", key=default) == 404
    theirs = SMALL | {"archive": mine}
    assert status(cluster, "POST", "/v1/workloads", theirs, key=default) == 400
    assert status(cluster, "POST", "/v1/workloads", theirs, key=key) == 200
    assert put(cluster, body, default) == (name, 200)


def agents(cluster, name, body):
    """An agent fetches what runs on its node, and that alone."""
    agent = (cluster.folder / "agent-1/key").read_text().strip()
    assert status(cluster, "GET", f"/v1/archives/{name}", key=agent) == 404
    work = cluster.submit(SMALL | {"archive": name})
    cluster.wait_state(work, "running")
    assert cluster.request("GET", f"/v1/archives/{name}", key=agent, raw=True) == body
    assert status(cluster, "PUT", f"/v1/archives/{name}", body, key=agent) == 403


def binary(cluster):
    made = cluster.request("POST", "/v1/node-tokens", {"valid_ms": 60000})
    assert made.get("command", "") == "" and "--listen" in made["text"], made
    sent = cluster.request("GET", "/v1/binary", key=made["token"], raw=True)
    own = pathlib.Path(harness.TESSERA).read_bytes()
    assert hashlib.sha256(sent).digest() == hashlib.sha256(own).digest()
    assert status(cluster, "GET", "/v1/binary") == 403, "for machines that join"


def command():
    """What is to be typed elsewhere: pinned, checked, and without the token in an argument or a URL."""
    port = harness.free_port()
    with harness.Cluster(serve_options=["--listen", f"127.0.0.1:{port}", "--advertise", f"https://localhost:{port}"]) as cluster:
        made = cluster.request("POST", "/v1/node-tokens", {})
        line = made["command"]
        assert line.startswith(f"TESSERA_TOKEN={made['token']} ") and line.count(made["token"]) == 1, line
        assert "--pinnedpubkey" in line and "sha256//" in line and f"https://localhost:{port}/v1/binary" in line, line
        folder = cluster.folder / "elsewhere"
        folder.mkdir()
        fetch = line.replace("exec ./tessera agent", "exec ./tessera version; : ")
        done = subprocess.run(["sh", "-c", fetch], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and done.stdout.startswith("tessera "), (done, line)
        assert made["token"] not in subprocess.run(["sh", "-c", fetch.replace("curl ", "echo curl ")], cwd=folder, capture_output=True, text=True, timeout=60, check=False).stdout
        forged = fetch.replace("sha256//", "sha256//A")
        assert subprocess.run(["sh", "-c", forged], cwd=folder, capture_output=True, timeout=60, check=False).returncode != 0


def main():
    with harness.Cluster(agents=1) as cluster:
        name, body = archives(cluster)
        too_large(cluster)
        other_project(cluster, name, body)
        agents(cluster, name, body)
        binary(cluster)
        cluster.kill_server()
        cluster.start_server()
        assert cluster.request("GET", f"/v1/archives/{name}", raw=True) == body, "a restart keeps archives"
    command()


if __name__ == "__main__":
    main()
