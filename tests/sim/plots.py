#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The plots of the evidence: well-formed whatever the figures, everything inside the frame, equal figures equal bytes."""
import pathlib
import sys
import xml.dom.minidom

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench" / "economics"))
import plots  # noqa: E402

FIGURES = {
    "all alike": [("a", [(0, 0), (0, 0)])],
    "below zero": [("a & b", [(-12.5, 0.5), (8.2, 1.9)]), ("<c>", [(3, 0), (-1, 0)])],
    "large": [("a", [(1600.0, 0), (4706.6, 0)]), ("b", [(1e7, 2e6), (5, 0)])],
    "tiny": [("a", [(0.0003, 0.0001), (0.0007, 0)])],
}


def main():
    for name, series in FIGURES.items():
        for draw in (plots.bars, plots.lines):
            plot = draw(name, "%", ["one\nline more", "two"], series)
            assert plot == draw(name, "%", ["one\nline more", "two"], series), name
            page = xml.dom.minidom.parseString(plot)
            words = [node.firstChild.data for node in page.getElementsByTagName("text")]
            assert {name, "line more", *(label for label, _ in series)} <= set(words), words
            for shape, x, y in (("circle", "cx", "cy"), ("rect", "x", "y")):
                for node in page.getElementsByTagName(shape):
                    at = float(node.getAttribute(x) or 0), float(node.getAttribute(y) or 0)
                    assert 0 <= at[0] <= plots.WIDTH and 0 <= at[1] <= plots.HEIGHT - (plots.BOTTOM if shape == "circle" else 0) + .1, (name, at)
    assert plots.ticks(0, 4706.6) == [0, 1000, 2000, 3000, 4000, 5000], plots.ticks(0, 4706.6)


if __name__ == "__main__":
    main()
