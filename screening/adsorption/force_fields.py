"""Host-guest force fields by name or file, and the model settings every adsorption number depends on.

Every built-in force field is a YAML file in `force_field_models/`; a file of the user's own is read the same way.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from potentials.config import Config, parse_config
from potentials.errors import InputError
from potentials.files import sha256_file
from screening.adsorption.dreiding import DREIDING
from screening.adsorption.gases import Gas, builtin_gas, load_gas, read_yaml
from screening.adsorption.uff import UFF

MODELS = Path(__file__).with_name("force_field_models")
TABLES: Mapping[str, Mapping[str, tuple[float, float]]] = {"uff": UFF, "dreiding": DREIDING}
Truncation = Literal["tail", "truncated", "shifted"]


@dataclass(frozen=True)
class ForceField:
    """Lennard-Jones parameters of framework atoms and gases; unlike pairs by Lorentz-Berthelot mixing.

    A framework type is an element, or a label such as `C2` that stands for atoms of one element in one environment.
    """

    name: str
    framework: Mapping[str, tuple[float, float]]  # type -> (epsilon / k_B in K, sigma in Å)
    framework_charges: Mapping[str, float] | None  # type -> e, where the force field fixes them
    gases: Mapping[str, Gas]
    source: str
    elements: Mapping[str, str] = field(default_factory=dict)  # type -> element, of types that are labels

    def parameters(self, types: set[str]) -> dict[str, tuple[float, float]]:
        """Parameters of the framework's types, sorted by name.

        Raises:
            InputError: a type has none.
        """
        missing = sorted(types - set(self.framework))
        if missing:
            others = [name for name, other in FORCE_FIELDS.items() if types <= set(other.framework)]
            raise InputError(
                f"force field {self.name} has no parameters for {', '.join(missing)}: choose another force field "
                f"({', '.join(others) or 'none that is built in has them all'}), or add them in a file of your own"
            )
        return {kind: self.framework[kind] for kind in sorted(types)}

    def assign(self, elements: Sequence[str], labels: Sequence[str | None]) -> tuple[str, ...]:
        """The type of every framework atom: its label where the force field knows that, else its element.

        Args:
            elements: [n_atoms] symbols.
            labels: [n_atoms] site labels, such as a CIF's `_atom_site_label`; None where there is none.

        Raises:
            InputError: an atom has neither, naming the labels the force field tells that element's atoms apart by.
        """
        types = []
        unknown: dict[str, str | None] = {}
        for element, label in zip(elements, labels, strict=True):
            if label is not None and self.elements.get(label) == element:
                types.append(label)
            elif element in self.framework and element not in self.elements:
                types.append(element)
            else:
                unknown.setdefault(element, label)
        for element, label in unknown.items():
            known = sorted(kind for kind, of in self.elements.items() if of == element)
            if known:
                raise InputError(
                    f"force field {self.name} tells {element} atoms apart by the labels {', '.join(known)}, "
                    f"and one is labelled {label!r}: label the sites so (_atom_site_label of the CIF)"
                )
        if unknown:
            self.parameters(set(elements))
        return tuple(types)


class TypeFile(Config):
    """Parameters of one framework type in a force-field file."""

    element: str | None = None  # of a type that is a label; None: the type is an element
    epsilon: float = Field(ge=0.0, le=5000.0, allow_inf_nan=False)  # K
    sigma: float = Field(gt=0.0, le=10.0, allow_inf_nan=False)  # Å
    charge: float | None = Field(default=None, ge=-8.0, le=8.0, allow_inf_nan=False)  # e


class ForceFieldFile(Config):
    """A force-field file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    source: str = Field(min_length=4)
    mixing: Literal["lorentz-berthelot"] = "lorentz-berthelot"
    table: Literal["uff", "dreiding"] | None = None  # framework elements to start from
    types: dict[str, TypeFile] = Field(default_factory=dict)  # added to the table, or in place of its entries
    gases: tuple[str, ...] = Field(min_length=1)  # built-in gas models, or gas files beside this one


def load_force_field(path: str | Path) -> ForceField:
    """A force field from its YAML file.

    Raises:
        InputError: the file does not exist or is no force-field file, an element or gas model does not exist, or
            some types have a charge and others none.
    """
    file = Path(path)
    raw = parse_config(ForceFieldFile, read_yaml(file, "force-field"), str(file))
    framework = dict(TABLES[raw.table]) if raw.table else {}
    elements: dict[str, str] = {}
    for kind, values in raw.types.items():
        framework[kind] = (values.epsilon, values.sigma)
        _check_element(values.element or kind, file)
        if values.element is not None:
            elements[kind] = values.element
    if not framework:
        raise InputError(f"force field {raw.name} has no framework parameters: give a table or types ({file})")
    charges = {kind: values.charge for kind, values in raw.types.items() if values.charge is not None}
    if charges and (raw.table or len(charges) < len(raw.types)):
        raise InputError(f"force field {raw.name} gives charges to some types only: give all or none one ({file})")
    gases = [load_gas(file.parent / g) if g.endswith((".yaml", ".yml")) else builtin_gas(g) for g in raw.gases]
    return ForceField(raw.name, framework, charges or None, {gas.name: gas for gas in gases}, raw.source, elements)


def _check_element(symbol: str, file: Path) -> None:
    from ase.data import atomic_numbers

    if symbol not in atomic_numbers or symbol == "X":
        raise InputError(f"{symbol!r} is no element: name the `element` of a type that is a label ({file})")


FORCE_FIELDS: Mapping[str, ForceField] = {
    loaded.name: loaded for loaded in map(load_force_field, sorted(MODELS.glob("*.yaml")))
}


def find_force_field(name: str) -> ForceField:
    """The force field of that name, or in that YAML file.

    Raises:
        InputError: there is none (the nearest name is given), or the file is no force field.
    """
    if name in FORCE_FIELDS:
        return FORCE_FIELDS[name]
    if name.lower().endswith((".yaml", ".yml")):
        return load_force_field(name)
    nearest = difflib.get_close_matches(name, FORCE_FIELDS, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(FORCE_FIELDS)}"
    raise InputError(f"no force field is called {name!r}: {hint} (a file of your own ends in .yaml)")


class HostGuestModel(Config):
    """How the framework and the gas interact; part of every result's method string."""

    force_field: str = "uff-trappe"  # a built-in name, or the path of a force-field file
    # Charges of a framework that brings none of its own; "none" switches electrostatics off altogether.
    charges: Literal["learned", "environment", "eqeq", "none"] = "learned"
    cutoff: float = Field(default=12.0, ge=8.0, le=20.0)  # Å, Lennard-Jones and real-space Ewald alike
    # Beyond the cut-off: analytic tail (TraPPE's own convention), nothing, or shifted to zero at the cut-off.
    truncation: Truncation = "tail"
    # Cages that no channel wide enough for the gas leads to: closed to it, or filled like any other.
    pockets: Literal["blocked", "open"] = "blocked"

    @field_validator("force_field")
    @classmethod
    def _force_field_exists(cls, name: str) -> str:
        try:
            find_force_field(name)
        except InputError as error:
            raise ValueError(str(error)) from None
        return name

    def describe(self, charge_method: str) -> str:
        """One line naming force field, mixing, charges, cut-off, truncation and what is done about pockets."""
        name = self.force_field
        if name not in FORCE_FIELDS:
            name = f"{Path(name).name} (sha256 {sha256_file(Path(name))[:12]})"
        electrostatics = "no electrostatics" if self.charges == "none" else f"{charge_method} charges, Ewald 1e-6"
        beyond = _TRUNCATION_WORDS[self.truncation]
        return (
            f"{name} (Lorentz-Berthelot), {electrostatics}, {self.cutoff:g} Å {beyond}, "
            f"rigid framework, inaccessible pockets {self.pockets}"
        )


_TRUNCATION_WORDS = {
    "tail": "cut-off with tail correction",
    "truncated": "cut-off, truncated",
    "shifted": "cut-off, shifted",
}
