"""What several laboratories found for one material: the median over papers, and how far they lie apart.

Isotherms of one material differ between papers by tens of per cent, some by factors (J. Park, J. D. Howe, D. S. Sholl,
Chem. Mater. 29, 10487 (2017)): samples differ in activation and defects, tables are digitised from figures. A median
is not moved by the odd one out; a paper counts once however many isotherms it gives.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from screening.experiments.measured_isotherm import MeasuredIsotherm, loading_at


@dataclass(frozen=True)
class Consensus:
    """Measured uptake of a material at one pressure."""

    pressure: float  # Pa
    median: float  # mol/kg, over papers
    low: float  # mol/kg, lower quartile over papers
    high: float  # mol/kg, upper quartile
    papers: int
    isotherms: int

    @property
    def log_std(self) -> float:
        """Scatter of one paper's figure about the median, in ln: from the quartiles, as if normal; 0 for one paper."""
        return float(np.log(self.high / self.low) / 1.349) if self.low > 0 else float("inf")


def consensus(
    isotherms: Iterable[MeasuredIsotherm],
    pressure: float,
    *,
    temperature: float,
    tolerance: float = 5.0,
    min_papers: int = 1,
) -> Consensus | None:
    """The measured uptake at `pressure` (Pa) and `temperature` ± `tolerance` (K); None with too few papers.

    Simulated and modelled isotherms are left out; those of no category stay (most of the database's are measured).
    No correction is made for the few kelvin between measured and asked-for temperature.

    Args:
        isotherms: of one material and one gas.
        pressure: Pa; inside the measured range of an isotherm, or that one is not counted.
        temperature, tolerance: K.
        min_papers: fewest sources.
    """
    by_paper: dict[str, list[float]] = defaultdict(list)
    for isotherm in isotherms:
        if isotherm.category in ("simulation", "model") or abs(isotherm.temperature - temperature) > tolerance:
            continue
        loading = loading_at(isotherm, pressure)
        if loading is not None and loading > 0:
            by_paper[isotherm.source].append(loading)
    if len(by_paper) < max(min_papers, 1):
        return None
    figures = np.array([np.median(values) for values in by_paper.values()])
    low, middle, high = np.quantile(figures, [0.25, 0.5, 0.75])
    return Consensus(
        pressure=pressure,
        median=float(middle),
        low=float(low),
        high=float(high),
        papers=len(figures),
        isotherms=sum(len(values) for values in by_paper.values()),
    )
