# SPDX-License-Identifier: Apache-2.0
"""The market and its tests, compiled apart from the build folders: with a bug in one file, or by another
compiler."""
import concurrent.futures
import os
import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-g", '-DTESSERA_VERSION="test"', "-I", str(HERE)]
CAREFUL = ["-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all"]
PROGRAMS = {"test_scenarios": ["test_scenarios.c"], "test_properties": ["test_properties.c", "sequence.c"], "test_optimum": ["test_optimum.c"]}


class Build:
    """Objects of everything as it stands; a changed file costs one compilation and the links."""

    def __init__(self, folder, compiler="gcc", flags=CAREFUL):
        self.folder, self.compiler, self.flags = folder, compiler, flags
        sources = [*(ROOT / "src/base").glob("*.c"), *(ROOT / "src/market").glob("*.c"), *HERE.glob("*.c")]
        with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            objects = pool.map(lambda s: (s, self.compile(s, folder / (s.parent.name + "_" + s.stem + ".o"))), sources)
        self.objects = dict(objects)

    def compile(self, source, target):
        cache = ["ccache"] if shutil.which("ccache") else []
        command = [*cache, self.compiler, *FLAGS, *self.flags, "-I", str(ROOT / "src"), "-c", str(source), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{source} does not compile:\n{done.stderr}")
        return target

    def link(self, replaced, into, programs=tuple(PROGRAMS)):
        into.mkdir(exist_ok=True)
        mains = {HERE / file for files in PROGRAMS.values() for file in files}
        common = [replaced.get(s, o) for s, o in self.objects.items() if s not in mains]
        for program in programs:
            own = [self.objects[HERE / file] for file in PROGRAMS[program]]
            subprocess.run([self.compiler, *self.flags, *map(str, own + common), "-o", str(into / program)], check=True)
        return into
