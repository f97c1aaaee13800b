"""Shared by all tests: quiet third-party warnings, one thread a process, and where the public data sets are."""

import os

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import pytest

from potentials.files import data_root


@pytest.fixture(scope="session")
def data():
    """Folder of the public data sets; the test skips, and says so, where it is absent."""
    root = data_root()
    if not root.is_dir():
        pytest.skip(f"public data sets not found at {root}: set SORBUS_DATA to run this test")
    return root
