"""Shared by all tests: quiet third-party warnings, one thread a process, and where the public data sets are."""

import os
import signal
import threading

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import pytest

from potentials.files import data_root

# A shell that starts the tests in the background makes them, and every process they start, deaf to Ctrl-C.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data():
    """Folder of the public data sets; the test skips, and says so, where it is absent."""
    root = data_root()
    if not root.is_dir():
        pytest.skip(f"public data sets not found at {root}: set SORBUS_DATA to run this test")
    return root
