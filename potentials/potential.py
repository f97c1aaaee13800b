"""The one thing every energy model is: a callable from a batch of atoms to energies, forces and stresses."""

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypedDict, runtime_checkable

from torch import Tensor
from torch_geometric.data import Batch

from potentials.errors import InputError

PotentialChoice = str | dict[str, Any]  # a name or checkpoint folder; or a mapping of name and options


class PotentialOutput(TypedDict, total=False):
    """What a potential returns for B systems with N atoms in all; every tensor is detached."""

    energy: Tensor  # [B] eV, total energy of each system
    forces: Tensor  # [N, 3] eV/Å
    stress: Tensor  # [B, 3, 3] eV/Å^3, (dE/dstrain)/V, positive under tension (ASE's sign); 0 for molecules
    energy_std: Tensor  # [B] eV, one standard deviation
    forces_std: Tensor  # [N, 3] eV/Å, one standard deviation
    charges: Tensor  # [N] e
    site_energies: Tensor  # [N] eV, of each atom, where the energy is their sum


@runtime_checkable
class Potential(Protocol):
    """Any model of the potential energy surface, ours or foreign.

    Attributes:
        name: short name for provenance, e.g. `chgnet-0.3.0`.
        elements: atomic numbers the model can be trusted to accept.
        cutoff: Å within which an atom feels another directly; `None` where unknown or infinite.
    """

    name: str
    elements: frozenset[int]
    cutoff: float | None

    def __call__(self, batch: Batch, *, stress: bool = True) -> PotentialOutput:
        """Energy and forces of a collated batch of `AtomGraph`s, and stress unless switched off."""


def _chgnet(**options: Any) -> Potential:
    from potentials.chgnet_package import CHGNetPackagePotential

    return CHGNetPackagePotential(**options)


def _chgnet_fast(**options: Any) -> Potential:
    from potentials.chgnet_potential import CHGNetPotential

    return CHGNetPotential(**options)


def _lennard_jones(**options: Any) -> Potential:
    from potentials.ase_potential import lennard_jones

    return lennard_jones(**options)


def _effective_medium(**options: Any) -> Potential:
    from potentials.ase_potential import effective_medium

    return effective_medium(**options)


def _external(**options: Any) -> Potential:
    from potentials.external_potential import ExternalPotential

    return ExternalPotential(**options)


def _sorbus_crystals(**options: Any) -> Potential:
    from potentials.checkpoint import load_checkpoint

    return load_checkpoint(Path(__file__).parent / "weights" / "crystals", **options)


def _exported(**options: Any) -> Potential:
    from potentials.exported_potential import load_exported

    return load_exported(**options)


def _ensemble(*, members: Sequence[PotentialChoice], **options: Any) -> Potential:
    from potentials.ensemble import EnsemblePotential

    return EnsemblePotential([load_potential(member) for member in members], **options)


# A new potential is one file and one line here.
POTENTIALS: dict[str, Callable[..., Potential]] = {
    "chgnet": _chgnet,  # universal, 89 elements, weights in its package; the package's arithmetic
    "chgnet-fast": _chgnet_fast,  # the same function 3-4 times faster: for relaxation and dynamics
    "emt": _effective_medium,  # fcc metals, for teaching and tests
    "ensemble": _ensemble,  # several trained alike, with their disagreement as uncertainty
    "exported": _exported,  # a folder of `sorbus export potential`: runs the code in it
    "external": _external,  # MACE, SevenNet, ... in an interpreter of their own
    "sorbus-crystals": _sorbus_crystals,  # distilled from chgnet-fast, several times faster: first stages, triage
    "lj": _lennard_jones,  # for teaching and tests
}


def load_potential(name_or_path: PotentialChoice | Path, **options: Any) -> Potential:
    """A potential by its short name (`chgnet`, `chgnet-fast`, `emt`, `lj`, `external`) or from a checkpoint folder.

    Options go to the potential, e.g. `load_potential("chgnet", version="r2scan")`,
    `load_potential("lj", epsilon=0.0103, sigma=3.4)`; `compile=True` runs a checkpoint through `torch.compile`, which
    takes minutes at the first call, and `kernels="cuequivariance"` through fused GPU kernels (`potentials.kernels`).
    A configuration may give name and options as one mapping:
    `{"name": "external", "python": "envs/mace/bin/python", "model": "mace", "weights": "mace.model"}`.

    Raises:
        InputError: unknown name (the nearest is given), missing or broken checkpoint, unknown option.
    """
    if isinstance(name_or_path, Mapping):
        given = {**name_or_path, **options}
        chosen = given.pop("name", None)
        if not isinstance(chosen, str):
            known = " | ".join(sorted(POTENTIALS))
            raise InputError(f"potential {dict(name_or_path)!r} has no name: add name: {known}")
        return load_potential(chosen, **given)
    name = str(name_or_path)
    path = Path(name_or_path)
    try:
        if isinstance(name_or_path, str) and name.lower() in POTENTIALS:
            return POTENTIALS[name.lower()](**options)
        if path.exists():
            from potentials.checkpoint import load_checkpoint

            if options.pop("compile", False):
                from potentials.export_potential import compiled_potential

                if options.get("kernels", "torch") != "torch":
                    raise InputError("compile=True and kernels exclude each other: choose one of the two")
                return compiled_potential(load_checkpoint(path, **options))
            return load_checkpoint(path, **options)
    except TypeError as error:
        if "required keyword-only argument" in str(error):
            raise InputError(f"potential {name!r} needs {str(error).rpartition(': ')[2]}: add it") from None
        if "unexpected keyword argument" not in str(error):
            raise
        unknown = str(error).rsplit(" ", 1)[-1]
        raise InputError(f"potential {name!r} has no option {unknown}: see its docstring for those it has") from None
    if path.suffix or os.sep in name:
        raise InputError(f"no potential checkpoint at {path}: give a folder with model.json and model.safetensors")
    nearest = difflib.get_close_matches(name.lower(), POTENTIALS, n=1)
    hint = (
        f"did you mean {nearest[0]!r}?" if nearest else f"choose {', '.join(sorted(POTENTIALS))} or a checkpoint folder"
    )
    raise InputError(f"unknown potential {name!r}: {hint}")
