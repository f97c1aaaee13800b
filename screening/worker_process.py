"""The far end of a supervised worker: reads tasks from a socket, answers them, dies with its driver.

Started by `screening.workers` in its own session, with stdout and stderr going to the run's log (compiled codes
print). Messages are JSON, never pickles.
"""

import contextlib
import ctypes
import faulthandler
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(socket: int, driver: int) -> None:
    """Serve tasks until the driver closes the socket.

    Args:
        socket: file descriptor of our end.
        driver: process id of the driver; when it is no longer our parent, we end.
    """
    _die_with(driver)
    from screening.stage_report import listen
    from screening.tasks import prepare_task, run_task

    os.set_inheritable(socket, False)  # or what we start would hold it open after our death
    connection = Connection(socket)
    connection.send_bytes(b'{"ready": true}')
    listen(_teller(connection))
    while True:
        try:
            task = json.loads(connection.recv_bytes())
        except (EOFError, ConnectionError):
            return
        prepare_task(task)
        connection.send_bytes(b'{"started": true}')
        answer = run_task(task)
        sys.stdout.flush()
        try:
            connection.send_bytes(json.dumps(answer).encode())
        except ConnectionError:
            return


def _teller(connection: Connection) -> Callable[[str], None]:
    """Hands to the driver what a task says it is about to do."""
    lock = threading.Lock()

    def tell(stage: str) -> None:
        with lock, contextlib.suppress(ConnectionError):
            connection.send_bytes(json.dumps({"stage": stage}).encode())

    return tell


def _die_with(driver: int) -> None:
    # A signal to the whole job is the driver's to answer. A handler, since what we start would inherit SIG_IGN
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: None)
    faulthandler.enable()  # where a compiled code crashes goes to the log
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch_parent, args=(driver,), daemon=True).start()
    if os.getppid() != driver:  # it died before the kernel was told
        os.killpg(0, signal.SIGKILL)


def _watch_parent(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(1.0)
    os.killpg(0, signal.SIGKILL)  # our own group: what we started goes too
