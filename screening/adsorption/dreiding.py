"""Lennard-Jones parameters of the DREIDING force field, for the elements it has and no others.

S. L. Mayo, B. D. Olafson, W. A. Goddard, J. Phys. Chem. 94, 8897 (1990), Table II: R0, the distance of the minimum
(Å), and D0, the well depth (kcal/mol). Its Lennard-Jones form, with arithmetic means of R0.
"""

from screening.adsorption.uff import KELVIN_PER_KCAL_PER_MOL, MINIMUM_TO_SIGMA

# symbol, R0 (Å), D0 (kcal/mol)
_TABLE = """
H 3.195 0.0152   B 4.02 0.095    C 3.8983 0.0951  N 3.6621 0.0774  O 3.4046 0.0957  F 3.472 0.0725
Na 3.144 0.5     Al 4.39 0.31    Si 4.27 0.31     P 4.15 0.32      S 4.03 0.344     Cl 3.9503 0.2833
Ca 3.472 0.05    Fe 4.54 0.055   Zn 4.54 0.055    Ga 4.39 0.4      Ge 4.27 0.4      As 4.15 0.41
Se 4.03 0.43     Br 3.95 0.37    In 4.59 0.55     Sn 4.47 0.55     Sb 4.35 0.55     Te 4.23 0.57
I 4.15 0.51
"""


def _parse() -> dict[str, tuple[float, float]]:
    words = _TABLE.split()
    return {
        symbol: (float(depth) * KELVIN_PER_KCAL_PER_MOL, float(minimum) * MINIMUM_TO_SIGMA)
        for symbol, minimum, depth in zip(words[::3], words[1::3], words[2::3], strict=True)
    }


DREIDING = _parse()  # element symbol -> (epsilon / k_B in K, sigma in Å)
