"""Progress bars that suit a terminal and a log."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(items: Iterable[Any] | None = None, *, progress: bool, **options: Any) -> Any:
    """The bar of tqdm on standard error: redrawn twice a second on a terminal, each half minute in a log, read later.

    Args:
        items: what to go through; None where the caller updates the bar.
        progress: whether it shows at all.
        options: of `tqdm.tqdm`.
    """
    return tqdm(items, mininterval=0.5 if sys.stderr.isatty() else 30.0, disable=not progress, **options)
