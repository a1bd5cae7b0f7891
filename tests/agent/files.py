#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Archives: fetched by hash, checked, unpacked and laid out; and what a hostile one does not get."""
import hashlib
import io
import os
import pathlib
import sys
import tarfile

from fake import World, replica, wait


def tar(*entries):
    """Of (name, text) files, (name, None) folders and (name, ("link", target))."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, what in entries:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if what is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(what, tuple):
                info.type, info.linkname = tarfile.SYMTYPE, what[1]
            else:
                info.size = len(what)
            archive.addfile(info, io.BytesIO(what.encode()) if isinstance(what, str) else None)
    return out.getvalue()


def runs(w, name, **spec):
    w.server.want(replica(name, **spec))
    end = w.server.wait_report("ended", name)
    return end


def laid_out(w):
    place = pathlib.Path("/var/tmp") / f"tessera-test-{os.getpid()}"
    place.mkdir()
    try:
        archive = w.server.add_archive(tar(
            ("mounts", None), ("mounts/0", "settings\n"), ("mounts/1", None), ("mounts/1/deep", "deep\n"), ("mounts/2", None), ("mounts/2/here", "absolute\n"),
            ("mounts/3", "beside\n"), ("workdir", None), ("workdir/run.sh", "#!/bin/sh\necho from run.sh\n"), ("workdir/link", ("link", "run.sh"))))
        end = runs(w, "work_files", archive=archive, workdir="workdir",
                   mounts={"~/settings/readme.md": "mounts/0", "~/tree": "mounts/1", str(place): "mounts/2", "./beside": "mounts/3"},
                   run=f"set -e; ./run.sh; ./link; cat ~/settings/readme.md ~/tree/deep {place}/here beside; pwd; echo x >new; stat -c %u . run.sh ~/tree/deep {place}/here | sort -u | wc -l")
        assert end["exit_code"] == 0, (end, w.server.log("work_files"))
        assert w.server.log("work_files") == "from run.sh\nfrom run.sh\nsettings\ndeep\nabsolute\nbeside\n/run/tessera/replica/workdir\n1\n", w.server.log("work_files")
        assert list(place.iterdir()) == [], "the mount is seen outside"
        # it is there already for the next one
        w.server.archives.clear()
        end = runs(w, "work_again", archive=archive, workdir="workdir", run="cat run.sh")
        assert end["exit_code"] == 0, end
    finally:
        place.rmdir()
    print("laid out")


def made_places(w):
    """Targets that the machine does not have: seen by the workload alone, and everything else as it was."""
    archive = w.server.add_archive(tar(("mounts", None), ("mounts/0", "file\n"), ("mounts/1", None), ("mounts/1/deep", "folder\n"), ("mounts/2", "below\n")))
    name = f"tessera-test-{os.getpid()}"
    places = [f"/{name}/deep/file", f"/var/{name}", f"/tmp/{name}/x"]
    run = f"""set -e; cat {places[0]} {places[1]}/deep {places[2]}
stat -c '%a' /tmp / | tr '\\n' ' '; ls /etc/passwd; echo x >/tmp/{name}-own; ls -d {w.folder}; test -r /proc/self/status; id -u >/dev/null
mkdir /{name}/mine 2>/dev/null || echo may not"""
    end = runs(w, "work_places", archive=archive, mounts=dict(zip(places, ("mounts/0", "mounts/1", "mounts/2"))), run=run)
    assert end["exit_code"] == 0, (end, w.server.log("work_places"))
    assert w.server.log("work_places") == f"file\nfolder\nbelow\n1777 755 /etc/passwd\n{w.folder}\nmay not\n", w.server.log("work_places")
    for place in (f"/{name}", f"/var/{name}", f"/tmp/{name}", f"/tmp/{name}-own"):
        assert not os.path.lexists(place), place
    print("made places")


def refused(w):
    good = tar(("workdir", None), ("workdir/a", "a"), ("mounts", None), ("mounts/0", "zero\n"))
    archive = w.server.add_archive(good)
    end = runs(w, "work_lost", archive="0" * 64, workdir="workdir")
    assert "404" in end["text"], end
    end = runs(w, "work_where", archive=archive, workdir="elsewhere")
    assert "workdir" in end["text"], end
    end = runs(w, "work_proc", archive=archive, mounts={"/proc/x": "mounts/0"})
    assert "/proc/x" in end["text"], end
    end = runs(w, "work_up", archive=archive, mounts={"~/../../x": "mounts/0"})
    assert "file_mounts" in end["text"], end
    end = runs(w, "work_scripts", archive=archive, mounts={"~/.tessera/run": "mounts/0"}, run="echo mine")
    assert end["last_lines"] == "mine\n", end
    assert not w.server.found("started", "work_lost")
    # bytes that are not what the name says: asked for again, and never unpacked
    name = hashlib.sha256(b"other").hexdigest()
    w.server.archives[name] = good
    w.server.want(replica("work_wrong", archive=name, workdir="workdir"))
    wait("it says so", lambda: "another hash" in (w.folder / "agent-1.log").read_text())
    assert not w.server.found("started", "work_wrong")
    w.server.archives[name] = b"other"  # and an archive that is none
    assert w.server.wait_report("ended", "work_wrong")["text"]
    print("refused")


def hostile(w):
    """Ways out of the replica's folder, by names and by links."""
    data = w.data()
    before = sorted(p.name for p in data.iterdir())
    attacks = {
        "dots": (tar(("../../escaped", "x")), {}),
        "absolute": (tar((f"{data}/escaped", "x")), {}),
        "link": (tar(("workdir", None), ("workdir/out", ("link", "../../..")), ("workdir/out/escaped", "x")), {"workdir": "workdir"}),
        # a link that stays inside the archive, and points out once its folder is moved
        "moved": (tar(("a", None), ("a/b", None), ("a/b/up", ("link", "../..")), ("x", "escaped\n")), {"workdir": "a/b", "mounts": {"./up/../../escaped": "x"}}),
        "through": (tar(("a", None), ("a/b", None), ("a/b/up", ("link", "../..")), ("x", "escaped\n")), {"workdir": "a/b", "mounts": {"./up/escaped": "x"}}),
        "source": (tar(("a", ("link", "workdir")), ("workdir", None)), {"mounts": {"~/m": "a/../../lock"}}),
    }
    for name, (data_bytes, spec) in attacks.items():
        end = runs(w, f"work_{name}", archive=w.server.add_archive(data_bytes), run="true", **spec)
        assert end["text"] and not w.server.found("started", f"work_{name}"), (name, end)
        assert not list(data.glob("**/escaped")), name
    w.server.want()
    wait("all gone", lambda: not w.replicas())
    after = sorted(p.name for p in data.iterdir())
    assert set(after) - set(before) <= {"archives", "holder.log"}, after
    print("hostile")


def server_away(w):
    """The archive comes late: it is asked for again."""
    data = tar(("workdir", None), ("workdir/a", "late\n"))
    name = hashlib.sha256(data).hexdigest()
    w.server.failing = {name}
    w.server.want(replica("work_late", archive=name, workdir="workdir", run="cat a"))
    wait("asked for", lambda: "the server answers 503" in (w.folder / "agent-1.log").read_text())
    w.server.failing = set()
    w.server.archives[name] = data
    assert w.server.wait_report("ended", "work_late")["last_lines"] == "late\n"
    print("server away")


if os.geteuid() != 0:
    print("skipped: takes root")
    sys.exit(77)
with World() as world:
    world.start_agent()
    wait("the agent registers", lambda: world.server.facts)
    laid_out(world)
    made_places(world)
    refused(world)
    hostile(world)
    server_away(world)
