"""How often progress bars are drawn."""

import sys


def redraw_seconds() -> float:
    """Between two states of a bar on standard error: half a second on a terminal, thirty in a log, read afterwards."""
    return 0.5 if sys.stderr.isatty() else 30.0
