# SPDX-License-Identifier: Apache-2.0
"""The image that tests of machines boot from."""
import hashlib
import pathlib
import subprocess

import harness


def make_image():
    """The image, made once a machine and kept beside those of other versions of the script."""
    script = harness.SOURCE / "tools" / "image"
    folder = pathlib.Path("/var/tmp") / f"tessera-test-image-{hashlib.sha256(script.read_bytes()).hexdigest()[:12]}"
    done = subprocess.run([str(script), str(folder)], capture_output=True, text=True, check=False, timeout=400)
    if done.returncode:
        harness.skip(f"no image can be made here: {done.stderr.strip()[-300:]}")
    return folder
