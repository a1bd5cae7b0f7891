# SPDX-License-Identifier: Apache-2.0
"""Work that ticks: each attempt writes a line every 20 ms into one file, so that a test sees who ran when."""
import time

from harness import wait


class Ticks:
    def __init__(self, cluster, name):
        cluster.folder.chmod(0o755)
        self.path = cluster.folder / name
        self.path.touch()
        self.path.chmod(0o666)

    def run(self):
        return f"""exec python3 -c 'import os, time
f = os.open("{self.path}", os.O_WRONLY | os.O_APPEND)
while True:
    os.write(f, b"%s %d\\n" % (os.environb[b"TESSERA_ATTEMPT"], time.clock_gettime_ns(time.CLOCK_BOOTTIME)))
    time.sleep(0.02)'"""

    def all(self):
        lines = self.path.read_text().splitlines(True)
        return [(int(a), int(t) / 1e9) for a, t in (line.split() for line in lines if line.endswith("\n"))]

    def last(self, attempt=1):
        return max((t for a, t in self.all() if a == attempt), default=0)

    def goes_on(self, attempt=1, seconds=30):
        seen = self.last(attempt)
        wait(f"{self.path.name}: attempt {attempt} ticks", lambda: self.last(attempt) > seen, seconds)

    def stands(self, attempt=1, seconds=30):
        """Half a second without a tick."""
        wait(f"{self.path.name}: attempt {attempt} stands still",
             lambda: time.clock_gettime(time.CLOCK_BOOTTIME) - self.last(attempt) > 0.5, seconds)

    def check_never_two(self):
        ticks = self.all()
        for attempt in sorted({a for a, _ in ticks})[1:]:
            first = min(t for a, t in ticks if a == attempt)
            before = max(t for a, t in ticks if a < attempt)
            assert before < first, f"{self.path.name}: attempt {attempt} ticked {before - first:.3f} s before an older one stood still"
