"""A campaign made in code: real crystals from published cells, plausible numbers, every way to be lost.

The structures are what the page draws; the numbers are invented for the page and measured by nobody.
"""

import functools

import numpy as np
from pymatgen.core import Lattice, Structure

from screening.candidate import Candidate, Property, Row, Snapshot, content_id

WIDOM = "Widom insertion, raspalib, UFF + TraPPE, 12 Å cut-off shifted, Ewald 1e-6, 2000 cycles"
GCMC = "GCMC, raspalib, UFF + TraPPE, 12 Å cut-off shifted, Ewald 1e-6, 5000 + 5000 cycles"
CYCLE = "0.15 CO2 in N2 at 1 bar, 298 K, to 0.1 bar CO2, 363 K"
QUESTION = "Which porous framework takes up the most CO2 from dry flue gas at 298 K and lets it go again under vacuum?"


@functools.cache
def sodalite() -> Structure:
    """All-silica sodalite, Im-3m idealised (IZA atlas, SOD)."""
    return Structure.from_spacegroup(229, Lattice.cubic(8.8650), ["Si", "O"], [[0.25, 0.5, 0.0], [0.3536, 0.3536, 0.0]])


@functools.cache
def cha() -> Structure:
    """All-silica chabazite, R-3m: silicon as in the IZA atlas (CHA), an oxygen halfway along every Si-Si contact."""
    silicon = Structure.from_spacegroup(166, Lattice.hexagonal(13.675, 14.767), ["Si"], [[0.0, 0.2272, 0.1049]])
    framework = silicon.copy()
    for i, j, image, _ in zip(*silicon.get_neighbor_list(3.4), strict=True):
        if i < j:
            middle = (silicon[i].frac_coords + silicon[j].frac_coords + image) / 2
            framework.append("O", middle)
    return framework


def perovskite() -> Structure:
    """Strontium titanate, Pm-3m, a = 3.905 Å."""
    species, sites = ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    return Structure.from_spacegroup(221, Lattice.cubic(3.905), species, sites)


@functools.cache  # symmetry search takes seconds
def irmof_1() -> Structure:
    """MOF-5, Fm-3m, a = 25.832 Å (Eddaoudi et al., Science 295, 469, 2002), as its primitive cell of 106 atoms."""
    species = ["Zn", "O", "O", "C", "C", "C", "H"]
    sites = [
        [0.2936, 0.2064, 0.2064],
        [0.25, 0.25, 0.25],
        [0.2819, 0.2181, 0.1340],
        [0.25, 0.25, 0.1113],
        [0.25, 0.25, 0.0538],
        [0.2829, 0.2171, 0.0269],
        [0.3049, 0.1951, 0.0448],
    ]
    return Structure.from_spacegroup(225, Lattice.cubic(25.832), species, sites).get_primitive_structure()


@functools.cache
def cobalt_irmof_1() -> Structure:
    """MOF-5 with cobalt for zinc, the cell unchanged."""
    structure = irmof_1().copy()
    structure.replace_species({"Zn": "Co"})
    return structure


def _properties(rng: np.random.Generator, quality: float) -> dict[str, Property]:
    uptake, working = 0.4 + 2.6 * quality, 0.3 + 1.5 * quality * rng.uniform(0.6, 1.0)
    selectivity = 10 ** rng.uniform(0.8, 1.9)
    probe = "Zeo++ (pyzeo 0.2.0), hard spheres with Zeo++ radii, probe radius 1.86 Å"
    found = [
        Property("valid", 1.0, "bool", None, "distances, coordination, connectivity"),
        Property("relaxation_energy_change", -rng.uniform(0.01, 0.2), "eV/atom", None, "CHGNet 0.3.0, FIRE, 0.1 eV/Å"),
        Property("pld_angstrom", 3.4 + 4 * rng.random(), "Å", None, probe),
        Property("lcd_angstrom", 7.5 + 6 * rng.random(), "Å", None, probe),
        Property("accessible_surface_m2_g", rng.uniform(300, 3500), "m^2/g", None, probe),
        Property("density_g_cm3", rng.uniform(0.5, 1.9), "g/cm^3"),
        Property("co2_henry_298K", 2e-5 * uptake, "mol/(kg Pa)", 1e-6 * uptake, WIDOM),
        Property("co2_heat_298K", 18 + 20 * quality, "kJ/mol", 0.6, f"isosteric at zero loading; {WIDOM}"),
        Property("co2_uptake_0.15bar_298K", uptake, "mol/kg", uptake * rng.uniform(0.02, 0.12), GCMC),
        Property("vsa_working_capacity", working, "mol/kg", working * rng.uniform(0.03, 0.15), f"{CYCLE}; {GCMC}"),
        Property("co2_n2_selectivity", selectivity, "", selectivity * rng.uniform(0.05, 0.4), f"{CYCLE}; {GCMC}"),
    ]
    return {item.name: item for item in found}


def example_snapshot(question: str = QUESTION, name: str = "co2_flue_gas") -> Snapshot:
    """36 proposals, of which some are unbuilt, invalid, doubled, broken, closed, failed; 13 go through."""
    rng = np.random.default_rng(7)
    makers = [irmof_1, cha, sodalite, cobalt_irmof_1, perovskite]
    rows = []
    for index in range(36):
        provenance = {
            "proposer": "template" if index % 5 else "crystals",
            "seed": 1,
            "index": index,
            "topology": ("pcu", "dia", "sod", "nbo", "fcu")[index % 5],
            "building_blocks": [f"N{index % 7 + 100}", f"E{index % 11 + 1}"],
        }
        if index % 9 == 4:
            reason = f"node N{index} does not fit the vertex: RMSD 0.{index:02d} Å is above 0.3 Å"
            rows.append(Row(index, "unbuilt", None, "proposed", reason, provenance))
            continue
        structure = makers[index % len(makers)]().copy()
        structure.scale_lattice(structure.volume * (1 + 0.002 * index))
        properties = _properties(rng, rng.random())
        state, stage, reason = "active", None, None
        if index % 5 == 4 or index % 12 == 2:
            state, stage, reason = "rejected", "pores", f"pld_angstrom {2.0 + index / 40:.6g} is below 3.3"
        elif index % 10 == 5:
            state, stage, reason = "rejected", "uniqueness", f"same structure as {index - 5}"
        elif index % 13 == 7:
            state, stage, reason = (
                "rejected",
                "validity",
                f"atoms 3 and 17 are {0.3 + index / 100:.2f} Å apart: below 0.5 Å",
            )
        elif index == 18:
            state, stage, reason = "failed", "relaxation", "the worker died on it 3 times: no result within 300 s"
        elif index in (1, 27):
            state, stage, reason = "rejected", "relaxation", "2 of 106 bonds broke"
        elif index in (30, 33):
            state, stage, reason = (
                "not selected",
                "adsorption",
                f"place {index - 15} by co2_henry_298K: the best 14 go on",
            )
        if index == 10:
            note = "no N2 adsorbed"
            properties["co2_n2_selectivity"] = Property("co2_n2_selectivity", None, "", None, GCMC, note)
        if state != "active":
            known = ("valid", "pld_angstrom", "lcd_angstrom") if stage in ("pores", "adsorption") else ("valid",)
            properties = {name: item for name, item in properties.items() if name in known and stage != "validity"}
        candidate = Candidate(content_id(structure), index, structure, provenance, properties)
        rows.append(Row(index, state, candidate, stage, reason, provenance))
    config = {
        "name": name,
        "question": question,
        "seed": 1,
        "proposer": {"name": "template", "count": 36, "settings": {"topologies": ["pcu", "dia", "sod", "nbo"]}},
        "stages": [
            {"evaluator": "validity", "name": "validity", "settings": {}, "require": {}},
            {"evaluator": "uniqueness", "name": "uniqueness", "settings": {}, "require": {}},
            {"evaluator": "relaxation", "name": "relaxation", "settings": {"potential": "chgnet", "fmax": 0.1}},
            {"evaluator": "pores", "name": "pores", "settings": {}, "require": {"pld_angstrom": ">= 3.3"}},
            {
                "evaluator": "uptake",
                "name": "adsorption",
                "settings": {"production_cycles": 5000},
                "keep": {"n": 14, "by": "co2_uptake_0.15bar_298K", "order": "max"},
            },
        ],
        "ranking": {
            "top": 8,
            "objectives": [
                {"property": "co2_uptake_0.15bar_298K", "direction": "max", "weight": 1.0},
                {"property": "vsa_working_capacity", "direction": "max", "weight": 2.0},
                {"property": "co2_n2_selectivity", "direction": "max", "weight": 1.0},
            ],
        },
    }
    versions = {"sorbus": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "chgnet": "0.4.2", "raspalib": "3.1.0"}
    seconds = {
        "proposed": 14.2,
        "validity": 1.1,
        "uniqueness": 0.8,
        "relaxation": 212.0,
        "pores": 9.4,
        "adsorption": 301.7,
    }
    stages = ("proposed", "validity", "uniqueness", "relaxation", "pores", "adsorption")
    return Snapshot(name, question, config, "5f1c0a9be2d34477", versions, stages, tuple(rows), seconds)
