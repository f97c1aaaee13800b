"""Pore geometry with Zeo++ (Willems et al., Microporous Mesoporous Mater. 2012, 149, 134), through `pyzeo`.

Atoms are hard spheres with Zeo++'s own radii (those of the CCDC, which follow Bondi: C 1.70, O 1.52, N 1.55,
H 1.09, Si 2.10 Å; 2.00 Å where Bondi gives none). Sampling inside Zeo++ has a fixed seed, so results repeat.
"""

import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pydantic
from pymatgen.core import Lattice, Structure

from potentials.config import Config
from potentials.gate import geometry_fault
from screening.candidate import Candidate, Evaluation, Property

JITTERS = (0.0, 1e-4, 1e-3)  # Å; a Voronoi network that does not close usually closes after a nudge


class PoreSettings(Config):
    """How pores are measured."""

    probe_radius: float = pydantic.Field(default=1.86, gt=0, le=5)  # Å; 1.86 is nitrogen
    surface_samples: int = pydantic.Field(default=500, ge=10)  # points on each atom's sphere
    volume_samples: int = pydantic.Field(default=20_000, ge=100)  # points in the cell
    timeout_s: float = pydantic.Field(default=120.0, gt=0)  # then Zeo++ is stopped and the pores are unknown


def evaluate_pores(candidate: Candidate, settings: PoreSettings, seed: int) -> Evaluation:
    """Pore diameters, accessible surface, void fraction, density and number of channels.

    Properties: `pld_angstrom` (largest sphere that passes through), `lcd_angstrom` (largest that fits in),
    `accessible_surface_m2_g`, `accessible_surface_m2_cm3`, `accessible_void_fraction` (of the cell, for the
    centre of the probe), `density_g_cm3`, `channels` and `pockets`. What Zeo++ cannot measure has the value
    None and a note. `seed` moves nothing but the nudge a second attempt needs.
    """
    structure = candidate.structure
    fault = geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True)
    measured, note = ({}, fault) if fault else measure_pores(structure, settings, seed)
    version = importlib.metadata.version("pyzeo")
    spheres = f"Zeo++ (pyzeo {version}), hard spheres with Zeo++ radii"
    probe = f"{spheres}, probe radius {settings.probe_radius} Å"
    rows = (
        ("pld_angstrom", "Å", spheres),
        ("lcd_angstrom", "Å", spheres),
        ("accessible_surface_m2_g", "m^2/g", f"{probe}, {settings.surface_samples} samples an atom"),
        ("accessible_surface_m2_cm3", "m^2/cm^3", f"{probe}, {settings.surface_samples} samples an atom"),
        ("accessible_void_fraction", "", f"{probe}, {settings.volume_samples} samples, probe centre"),
        ("density_g_cm3", "g/cm^3", ""),
        ("channels", "", probe),
        ("pockets", "", probe),
    )
    measured.setdefault("density_g_cm3", None if fault else float(structure.density))
    return Evaluation(
        tuple(Property(name, measured.get(name), unit, method=method, note=note or "") for name, unit, method in rows)
    )


def measure_pores(
    structure: Structure, settings: PoreSettings, seed: int
) -> tuple[dict[str, float | None], str | None]:
    """What Zeo++ measures, by property name, and a note where it took a nudge or failed.

    The structure must have passed the geometry gate.
    """
    reason = ""
    for jitter in JITTERS:
        result = _run_zeo(structure, settings, jitter, seed)
        if isinstance(result, dict):
            note = f"atoms nudged by {jitter} Å, without which Zeo++ fails" if jitter else None
            return _parse(result), note
        reason = result
    return {}, f"Zeo++ failed: {reason}"


def _run_zeo(structure: Structure, settings: PoreSettings, jitter: float, seed: int) -> dict | str:
    """The raw result of one Zeo++ process, or why there is none."""
    with tempfile.TemporaryDirectory(prefix="sorbus-zeo-") as name:
        folder = Path(name)
        (folder / "structure.v1").write_text(_to_v1(structure, jitter, seed))
        request = settings.model_dump(include={"probe_radius", "surface_samples", "volume_samples"})
        (folder / "request.json").write_text(json.dumps(request))
        script = Path(__file__).with_name("zeo_process.py")
        try:
            done = subprocess.run(
                [sys.executable, "-P", str(script), name], cwd=name, capture_output=True, timeout=settings.timeout_s
            )
        except subprocess.TimeoutExpired:
            return f"no result within {settings.timeout_s:g} s"
        if not (folder / "result.json").exists():
            words = " ".join((done.stderr or done.stdout).decode(errors="replace").split())
            return f"it ended with code {done.returncode} and the words {words[-160:]!r}"
        return json.loads((folder / "result.json").read_text())


def _to_v1(structure: Structure, jitter: float, seed: int) -> str:
    """Zeo++'s v1 format: cell vectors with a along x and b in the xy plane, then Cartesian atoms, Å."""
    lattice = Lattice.from_parameters(*structure.lattice.parameters, vesta=True)
    positions = lattice.get_cartesian_coords(structure.frac_coords)
    positions = positions + np.random.default_rng(seed).uniform(-jitter, jitter, positions.shape)
    names = ("va=", "vb=", "vc=")
    vectors = [" ".join([name, *(f"{x:.10f}" for x in row)]) for name, row in zip(names, lattice.matrix, strict=True)]
    atoms = [
        f"{site.specie.symbol} " + " ".join(f"{x:.10f}" for x in row)
        for site, row in zip(structure, positions, strict=True)
    ]
    return "\n".join(["Unit cell vectors:", *vectors, str(len(atoms)), *atoms, ""])


def _parse(result: dict) -> dict[str, float | None]:
    """Numbers out of Zeo++'s lines; diameters come as largest included, largest free, largest along the free path."""
    largest, free, _ = result["diameters"]
    area, volume = result["area"], result["volume"]
    return {
        "pld_angstrom": free,
        "lcd_angstrom": largest,
        "accessible_surface_m2_g": _number("ASA_m^2/g", area),
        "accessible_surface_m2_cm3": _number("ASA_m^2/cm^3", area),
        "accessible_void_fraction": _number("AV_Volume_fraction", volume),
        "density_g_cm3": _number("Density", area),
        "channels": _number("Number_of_channels", area),
        "pockets": _number("Number_of_pockets", area),
    }


def _number(label: str, line: str) -> float | None:
    # (?<!N): "NASA_m^2/g" is the inaccessible surface
    match = re.search(rf"(?<!N){re.escape(label)}:\s*([-+\d.eE]+)", line)
    return float(match.group(1)) if match else None
