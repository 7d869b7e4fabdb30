"""How figures are taken and shown."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One line. `limit` is what the figure may be at most (or at least), in words; `floor` what bare parts take."""

    name: str
    ours: str
    floor: str
    limit: str


def machine() -> str:
    """What the figures were taken on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}, Linux {platform.release()}"


def median_p99(values: Sequence[float], unit: str = "ms") -> str:
    """`2.4 / 4.1 ms (n=300)`"""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"{statistics.median(ordered):.2f} / {p99:.2f} {unit} (n={len(ordered)})"


def median_worst(values: Sequence[float], unit: str = "s") -> str:
    """`1.5 s, worst 1.8 s (n=5)`"""
    return f"{statistics.median(values):.2f} {unit}, worst {max(values):.2f} {unit} (n={len(values)})"


def table(figures: Sequence[Figure]) -> str:
    """Columns as wide as they need to be."""
    rows = [("figure", "ours", "floor", "ours at most"), *((f.name, f.ours, f.floor, f.limit) for f in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
