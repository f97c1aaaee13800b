"""What a long measurement is about to do, told to whoever waits for it.

Measurements call `tell`, wherever they run; nobody hears it unless the process has a listener. A supervised worker
hands it to its driver (`screening.workers`), which shows it.
"""

from collections.abc import Callable

_listeners: list[Callable[[str], None]] = []


def listen(listener: Callable[[str], None]) -> None:
    """Let a function hear everything this process tells from now on; it may be called from several threads."""
    _listeners.append(listener)


def tell(stage: str) -> None:
    """Say what comes next, in a few words such as `CO2 at 298 K: point 2 of 6`."""
    for listener in _listeners:
        listener(stage)
