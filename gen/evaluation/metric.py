"""A figure of merit that cannot be read without knowing how it was taken."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One number of an evaluation."""

    name: str
    value: float
    unit: str  # "" for a pure number, "fraction" for a share of the evaluated structures
    protocol: str  # rule, tolerances, tables and sample size
