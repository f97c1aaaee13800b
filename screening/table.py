"""A results table over many input structures: one row each, failures kept on their row."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potentials.files import write_atomic


@dataclass(frozen=True)
class Table:
    """Rows share their columns; a failed row has its reason under `error`."""

    rows: tuple[Mapping[str, Any], ...]
    path: Path  # the CSV on disk

    @property
    def succeeded(self) -> int:
        """Number of rows without an error."""
        return sum(not row.get("error") for row in self.rows)

    @property
    def text(self) -> str:
        """The table aligned for a terminal."""
        return aligned(self.rows)


def write_table(rows: Sequence[Mapping[str, Any]], path: str | Path) -> Table:
    """Write the rows as CSV, atomically; the columns are the union of their keys in order of appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns)
    writer.writeheader()
    writer.writerows(rows)
    return Table(tuple(rows), write_atomic(path, buffer.getvalue()))


def aligned(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as text with aligned columns; numbers to four significant figures."""
    if not rows:
        return "(no rows)"
    columns = list(dict.fromkeys(key for row in rows for key in row if any(r.get(key) not in (None, "") for r in rows)))
    cells = [columns] + [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
