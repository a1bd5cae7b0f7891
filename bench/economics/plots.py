# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG, the same bytes for the same figures."""
import math
from xml.sax.saxutils import escape

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart by the colour-blind too (Okabe and Ito)
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 760, 340, 62, 40, 56, 150


def ticks(low, high):
    """Round numbers that span the values."""
    high = high if high > low else low + 1
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= rough * .999)
    return [i * step for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


def text(x, y, words, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(str(words))}</text>'


class Frame:
    def __init__(self, groups, series):
        shown = [mean + sign * half for _, points in series for mean, half in points for sign in (-1, 1)]
        self.marks = ticks(min(0, *shown), max(0, *shown))
        self.slot = (WIDTH - LEFT - RIGHT) / len(groups)

    def y(self, value):
        low, high = self.marks[0], self.marks[-1]
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    def axis(self, title, unit, groups):
        out = [text(LEFT, 18, title, ' font-weight="bold"'), text(LEFT, 33, unit)]
        for mark in self.marks:
            out.append(f'<path d="M{LEFT} {self.y(mark):.1f}H{WIDTH - RIGHT}" stroke="{"#444" if mark == 0 else "#ddd"}"/>')
            out.append(text(LEFT - 6, self.y(mark) + 4, f"{mark:g}", ' text-anchor="end"'))
        for i, group in enumerate(groups):
            for row, words in enumerate(str(group).split("\n")):
                out.append(text(LEFT + (i + .5) * self.slot, HEIGHT - BOTTOM + 17 + 14 * row, words, ' text-anchor="middle"'))
        return out

    def whisker(self, x, mean, half):
        return f'<path d="M{x:.1f} {self.y(mean - half):.1f}V{self.y(mean + half):.1f}" stroke="#222"/>' if half else ""


def drawn(title, unit, groups, series, shape):
    """`series`: name and, by group, (mean, half of its interval)."""
    frame = Frame(groups, series)
    out = frame.axis(title, unit, groups)
    for i, (name, points) in enumerate(series):
        colour = COLOURS[i % len(COLOURS)]
        out += shape(frame, i, len(series), points, colour)
        out.append(f'<rect x="{WIDTH - RIGHT + 12}" y="{TOP + 18 * i}" width="10" height="10" fill="{colour}"/>')
        out.append(text(WIDTH - RIGHT + 27, TOP + 9 + 18 * i, name))
    body = "\n".join(line for line in out if line)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" fill="#222">\n'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n{body}\n</svg>\n')


def bar_shapes(frame, i, count, points, colour):
    wide = frame.slot * .8 / count
    for j, (mean, half) in enumerate(points):
        x = LEFT + j * frame.slot + frame.slot * .1 + i * wide
        top, bottom = sorted((frame.y(mean), frame.y(0)))
        yield f'<rect x="{x:.1f}" y="{top:.1f}" width="{wide * .92:.1f}" height="{bottom - top:.1f}" fill="{colour}"/>'
        yield frame.whisker(x + wide * .46, mean, half)


def line_shapes(frame, i, count, points, colour):
    at = [(LEFT + (j + .5) * frame.slot + (i - (count - 1) / 2) * 3, mean, half) for j, (mean, half) in enumerate(points)]
    yield f'<polyline points="{" ".join(f"{x:.1f},{frame.y(mean):.1f}" for x, mean, _ in at)}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, mean, half in at:
        yield frame.whisker(x, mean, half)
        yield f'<circle cx="{x:.1f}" cy="{frame.y(mean):.1f}" r="3" fill="{colour}"/>'


def bars(title, unit, groups, series):
    return drawn(title, unit, groups, series, bar_shapes)


def lines(title, unit, groups, series):
    return drawn(title, unit, groups, series, line_shapes)
