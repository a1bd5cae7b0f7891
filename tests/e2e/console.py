# SPDX-License-Identifier: Apache-2.0
"""The console as the server itself sends it: a browser submits, sees it run and reads its log."""
import os
import shutil
import subprocess
import sys

import harness


def main():
    node = shutil.which("node")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    packages = harness.SOURCE / "console/node_modules/playwright-core"
    if not node or not chromium or not packages.is_dir():
        harness.skip("node, chromium or the console's packages are missing")
    pages = harness.SOURCE / "build/console"
    if not (pages / "index.html").is_file():
        harness.skip("the console is not built (tools/build console)")
    with harness.Cluster(agents=2, serve_options=["--console", str(pages)]) as cluster:
        made = cluster.request("POST", "/v1/console/codes", {})
        link = f"{cluster.url}/#code={made['code']}"
        script = harness.SOURCE / "tests/e2e/console/console.mjs"
        done = subprocess.run([node, script, link, chromium], timeout=240, check=False)
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
