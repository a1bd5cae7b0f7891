#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""smoke.py LOAD FLOOR: the load program against the floor server, for a moment: answers come back, are
counted and leave their ids behind."""
import json
import os
import subprocess
import sys
import tempfile


def main():
    load, floor = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen([floor], stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip()
            ids = os.path.join(folder, "ids")
            done = subprocess.run([load, "submit", "--port", port, "--seconds", "0.3", "--connections", "8", "--ids", ids],
                                  capture_output=True, text=True, check=True, timeout=50)
            result = json.loads(done.stdout)
            with open(ids, encoding="utf-8") as lines:
                kept = lines.read().split()
            assert result["answered"] > 0 and result["refused"] == 0 and result["missing"] == 0, result
            assert 0 < result["p50_ms"] <= result["p99_ms"] <= result["max_ms"], result
            assert len(kept) >= result["answered"] and kept[0].startswith("work_"), (len(kept), result)
        finally:
            server.kill()
    print("ok:", result)


main()
