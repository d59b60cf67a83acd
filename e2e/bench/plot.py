"""Bars as SVG, without a library."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _ROW, _LEFT, _SCALE = 760, 58, 190, 480


@dataclass(frozen=True, slots=True)
class Bars:
    """Percentages of one scenario, None where not known."""

    name: str
    baseline: float | None
    policy: float | None
    bound: float | None


def svg(rows: Sequence[Bars], policy: str) -> str:
    """A row per scenario: baseline above, policy below, the bound as a line. The axis begins where it tells most."""
    values = [value for row in rows for value in (row.baseline, row.policy) if value is not None]
    start = 10 * int(max(0.0, min(values, default=0.0) - 5) // 10)

    def at(value: float) -> float:
        return _LEFT + _SCALE * max(0.0, value - start) / (100 - start)

    height = 50 + _ROW * len(rows)
    found = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif"',
        ' font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="18">grey: baseline, blue: {escape(policy)}, red: bound; percent from {start}</text>',
    ]
    for number, row in enumerate(rows):
        top = 32 + _ROW * number
        found.append(f'<text x="{_LEFT - 8}" y="{top + 24}" text-anchor="end">{escape(row.name)}</text>')
        for value, y, colour in ((row.baseline, top, "#9a9a9a"), (row.policy, top + 20, "#2b6cb0")):
            if value is not None:
                width = at(value) - _LEFT
                found.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="18" fill="{colour}"/>')
                found.append(f'<text x="{_LEFT + width + 4:.1f}" y="{y + 13}">{value:.2f}</text>')
        if row.bound is not None:
            x = at(row.bound)
            found.append(
                f'<line x1="{x:.1f}" y1="{top - 3}" x2="{x:.1f}" y2="{top + 41}" stroke="#c53030" stroke-width="2"/>'
            )
    return "\n".join([*found, "</svg>"]) + "\n"
