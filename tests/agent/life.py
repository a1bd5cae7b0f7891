#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A replica's life: told, started, seen, ended, forgotten."""
from fake import World, replica, wait

with World() as w:
    w.start_agent()
    wait("the agent registers", lambda: w.server.facts)
    w.server.want(replica("work_a", run='echo "hello from $TESSERA_WORKLOAD"; exit 3'))
    w.server.wait_report("started", "work_a")
    end = w.server.wait_report("ended", "work_a")
    assert (end["exit_code"], end.get("signal", 0)) == (3, 0), end
    assert end["last_lines"] == "hello from work_a\n", end
    assert w.server.log("work_a") == "hello from work_a\n", w.server.logs
    assert 0 <= end["ago_ms"] < 5000, end
    print("ran, told its code and its words")
    w.server.want()
    wait("its folder is removed", lambda: not w.replicas())
    print("forgotten")
