"""The chart of a fan-out, drawn without a library: figures against the number of clients."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from statistics import median

Series = dict[str, dict[int, dict[str, list[float]]]]

_PANELS = (
    ("one by one", "Deliveries a second of server time"),
    ("latency, median", "ms to the last client, median"),
    ("latency, 99th", "ms to the last client, 99th percentile"),
    ("memory", "KiB an idle client"),
)
_COLOURS = ("#206bc4", "#2f9e44", "#e8590c", "#868e96")
_WIDTH, _HEIGHT, _GAP, _TOP = 300, 190, 90, 60


def draw(path: Path, series: Series) -> None:
    """Two rows of two panels, both axes logarithmic."""
    parts = []
    for number, (key, title) in enumerate(_PANELS):
        x = _GAP + number % 2 * (_WIDTH + _GAP)
        y = _TOP + number // 2 * (_HEIGHT + _GAP)
        parts.append(f'<g transform="translate({x} {y})">{_panel(key, title, series)}</g>')
    for number, name in enumerate(series):
        x = _GAP + number * 175
        parts.append(
            f'<rect x="{x}" y="14" width="12" height="12" fill="{_COLOURS[number]}"/>'
            f'<text x="{x + 18}" y="25">{name}</text>'
        )
    width, height = 2 * (_WIDTH + _GAP) + 40, _TOP + 2 * (_HEIGHT + _GAP)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#495057">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _panel(key: str, title: str, series: Series) -> str:
    points = {
        name: [(size, median(found[key])) for size, found in sorted(sizes.items()) if found[key]]
        for name, sizes in series.items()
    }
    values = [value for line in points.values() for _, value in line if value > 0]
    sizes = sorted({size for line in points.values() for size, _ in line})
    if not values:
        return ""
    low, high = _decade(min(values), math.floor), _decade(max(values), math.ceil)
    if low == high:
        high *= 10

    def across(size: float) -> float:
        return _share(size, sizes[0], sizes[-1]) * _WIDTH

    def up(value: float) -> float:
        return _HEIGHT - _share(value, low, high) * _HEIGHT

    parts = [f'<text y="-12" font-weight="600">{title}</text>']
    mark = low
    while mark <= high * 1.01:
        y = up(mark)
        parts.append(
            f'<path d="M0 {y:.1f}H{_WIDTH}" stroke="#dee2e6"/>'
            f'<text x="-8" y="{y + 4:.1f}" text-anchor="end">{_number(mark)}</text>'
        )
        mark *= 10
    parts += [
        f'<text x="{across(size):.1f}" y="{_HEIGHT + 18}" text-anchor="middle">{size:,}</text>'
        for size in sizes
    ]
    for number, line in enumerate(points.values()):
        places = [(across(size), up(max(value, low))) for size, value in line]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        colour = _COLOURS[number]
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    return "".join(parts)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _share(value: float, low: float, high: float) -> float:
    return math.log(value / low) / math.log(high / low) if high > low else 0.5


def _decade(value: float, towards: Callable[[float], int]) -> float:
    return float(10 ** towards(math.log10(value)))
