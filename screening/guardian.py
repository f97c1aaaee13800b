"""The last one out: a tiny process that ends all workers, and what they started, when the driver is gone.

A driver that is killed with SIGKILL can clean up nothing. The kernel tells its workers (`PR_SET_PDEATHSIG`), but
not what the workers started, and a worker stuck in compiled code cannot. So the driver holds the write end of a
pipe and tells the guardian the process groups on it (`+123`, `-123`); the end of the pipe is the driver's end.
Runs as a script with the standard library alone (`python -I -S`), a few MB and some 20 ms.
"""

import contextlib
import os
import select
import signal
import sys


def watch(pipe: int, driver: int) -> None:
    """Keep the list of process groups until the driver is gone, then kill them."""
    groups: set[int] = set()
    pending = b""
    while os.getppid() == driver:  # a forked copy of the driver might hold the pipe open
        if not select.select([pipe], [], [], 1.0)[0]:
            continue
        data = os.read(pipe, 4096)
        if not data:
            break
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it ends when the driver does, not before
        signal.signal(number, signal.SIG_IGN)
    watch(int(sys.argv[1]), int(sys.argv[2]))
