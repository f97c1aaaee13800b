"""Small real crystals built from published facts: prototype, cubic lattice constant (Å), and their groups by size."""

import collections

import numpy as np
import torch
from pymatgen.core import Composition, Element, Lattice, Structure

from gen.crystals.dataset import CrystalDataset, CrystalGroup
from gen.crystals.lattice import decode

FCC = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))  # primitive vectors over a

# rock salt (225): a of LiF, LiCl, NaCl, KCl, KBr, MgO, CaO, SrO, BaO, PbS
ROCK_SALT = {
    ("Li", "F"): 4.027,
    ("Li", "Cl"): 5.140,
    ("Na", "Cl"): 5.640,
    ("K", "Cl"): 6.292,
    ("K", "Br"): 6.601,
    ("Mg", "O"): 4.212,
    ("Ca", "O"): 4.811,
    ("Sr", "O"): 5.160,
    ("Ba", "O"): 5.539,
    ("Pb", "S"): 5.936,
}
# perovskites (221)
PEROVSKITE = {("Sr", "Ti"): 3.905, ("Ba", "Zr"): 4.193, ("K", "Ta"): 3.989, ("Ba", "Ti"): 4.006}
# elements, face-centred cubic
FCC_ELEMENTS = {"Cu": 3.615, "Al": 4.050, "Pb": 4.951}


def rock_salt(cation: str, anion: str, a: float) -> Structure:
    """Primitive rock salt cell."""
    return Structure(Lattice(np.array(FCC) * a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def perovskite(a_site: str, b_site: str, a: float) -> Structure:
    """Cubic ABO3."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.cubic(a), [a_site, b_site, "O", "O", "O"], sites)


def fcc(symbol: str, a: float) -> Structure:
    """Primitive face-centred cubic element."""
    return Structure(Lattice(np.array(FCC) * a), [symbol], [[0, 0, 0]])


def structures() -> list[Structure]:
    """All of them, seventeen crystals of 1, 2 and 5 atoms."""
    return [
        *(rock_salt(*ions, a) for ions, a in ROCK_SALT.items()),
        *(perovskite(*ions, a) for ions, a in PEROVSKITE.items()),
        *(fcc(symbol, a) for symbol, a in FCC_ELEMENTS.items()),
    ]


def dataset(held_out: tuple[int, ...] = (2, 5, 10)) -> CrystalDataset:
    """A training set of `structures()`, with some of them (NaCl, MgO, SrTiO3) as validation too."""
    everything = structures()
    return CrystalDataset(
        train=_groups(everything),
        validation=_groups([everything[index] for index in held_out]),
        sha256="0" * 64,
        counts={"kept": len(everything)},
    )


def formula(numbers: list[int]) -> str:
    """Reduced formula of atomic numbers."""
    return Composition(collections.Counter(Element.from_Z(z).symbol for z in numbers)).reduced_formula


def _groups(crystals: list[Structure]) -> dict[int, CrystalGroup]:
    by_size = collections.defaultdict(list)
    for crystal in crystals:
        by_size[len(crystal)].append(crystal)
    return {
        n: CrystalGroup(
            numbers=torch.tensor([[site.specie.Z for site in s] for s in group]),
            frac=torch.tensor(np.array([s.frac_coords for s in group]), dtype=torch.float32),
            lattice=torch.tensor(np.array([s.lattice.matrix for s in group]), dtype=torch.float32),
            space_group=torch.full((len(group),), 225),
        )
        for n, group in by_size.items()
    }


def noisy_crystals(species: int) -> dict[str, torch.Tensor]:
    """Arguments of a score network: three crystals of six atoms of up to `species` elements, some hidden, float64."""
    generator = torch.Generator().manual_seed(1)
    components = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    shape = 0.15 * components
    shape[:, 0] += 2.8
    return {
        "tokens": torch.randint(0, species + 1, (3, 6), generator=generator),
        "frac": torch.rand(3, 6, 3, generator=generator, dtype=torch.float64),
        "components": components,
        "lattice": decode(shape),
        "t": torch.rand(3, generator=generator, dtype=torch.float64),
    }
