"""The registry of evaluators, and what crosses the pipe to them."""

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from gen.proposal import Proposal
from potentials.config import Config
from potentials.errors import GeometryError, InputError
from screening.candidate import Candidate, Evaluation, Property, content_id
from screening.evaluators import EVALUATORS, Evaluator, evaluator_settings, find_evaluator, registry, resolve
from screening.geometry_json import decode_structure, encode_structure, formula_columns, plain
from screening.tasks import encode_evaluation, run_task

NACL = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize("entry", EVALUATORS.values(), ids=list(EVALUATORS))
def test_every_registered_evaluator_is_there_and_has_the_agreed_form(entry: Evaluator) -> None:
    settings = resolve(entry.settings)
    assert issubclass(settings, Config)
    settings()  # usable without being told anything
    first, *rest = inspect.signature(resolve(entry.function)).parameters
    assert rest[:2] == ["settings", "seed"]
    assert first == ("candidates" if entry.batch else "candidate")
    assert entry.cost in ("cheap", "moderate", "dear")
    assert find_evaluator(entry.name) is entry


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(InputError, match="no evaluator is called 'pore': did you mean 'pores'"):
        find_evaluator("pore")
    with pytest.raises(InputError, match="there are diffusion, elasticity, ensemble, henry"):
        find_evaluator("xyzzy")


def test_a_missing_package_is_named() -> None:
    entry = Evaluator("odd", "a:b", "a:C", "cheap", needs=("no_such_package",))
    with pytest.raises(InputError, match=r"'odd' needs the package no_such_package: pip install no_such_package"):
        find_evaluator("odd", registry([entry]))


def test_settings_are_checked_with_their_place() -> None:
    with pytest.raises(InputError, match=r"stage x, settings: unknown key 'scal': did you mean 'scale'\?"):
        evaluator_settings("campaign_parts:ProbeSettings", {"scal": 1}, "stage x, settings")


# Structures as JSON


def through_json(structure: Structure) -> Structure:
    return decode_structure(json.loads(json.dumps(encode_structure(structure))))


@given(
    st.lists(st.floats(2.0, 40.0), min_size=3, max_size=3),
    st.lists(st.floats(50.0, 120.0), min_size=3, max_size=3).filter(lambda angles: 160 < sum(angles) < 340),
    st.lists(st.tuples(st.sampled_from(["H", "Zn", "O"]), st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=5),
)
def test_a_structure_survives_bit_for_bit(lengths: Any, angles: Any, sites: Any) -> None:
    lattice = Lattice.from_parameters(*lengths, *angles)
    if not np.isfinite(lattice.matrix).all() or lattice.volume < 1:
        return
    structure = Structure(lattice, [s for s, *_ in sites], [[x, y, x * y] for _, x, y in sites])
    copy = through_json(structure)
    assert np.array_equal(copy.lattice.matrix, lattice.matrix)
    assert np.array_equal(copy.frac_coords, structure.frac_coords)
    assert [str(site.specie) for site in copy] == [s for s, *_ in sites]
    assert content_id(copy) == content_id(structure)


def test_charges_labels_disorder_and_site_properties_survive() -> None:
    structure = Structure(
        Lattice.orthorhombic(4, 5, 6, pbc=(True, True, False)),
        [{"Na+": 0.5, "K+": 0.25}, "Fe2+,spin=5", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3]],
        charge=1,
        site_properties={"charge_e": np.array([1.0, 2.0, -2.0]), "block": ["N1", None, "E2"]},
        labels=["A", "B", "C"],
        properties={"net": "pcu"},
    )
    copy = through_json(structure)
    assert copy == structure
    assert copy.lattice.pbc == (True, True, False)
    assert copy.charge == 1
    assert copy.site_properties["block"] == ["N1", None, "E2"]
    assert list(copy.site_properties["charge_e"]) == [1.0, 2.0, -2.0]
    assert copy.labels == ["A", "B", "C"]
    assert copy.properties == {"net": "pcu"}


def test_a_structure_that_is_not_finite_is_refused() -> None:
    broken = Structure(Lattice.cubic(4.0), ["Na"], [[float("nan"), 0, 0]])
    with pytest.raises(GeometryError, match="must be a finite number"):
        encode_structure(broken)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"lattice_vectors": "x", "species_at_sites": ["Na"], "fractional_site_positions": [[0, 0, 0]]},
        {"lattice_vectors": np.eye(3).tolist(), "species_at_sites": ["?"], "fractional_site_positions": [[0, 0, 0]]},
        {"lattice_vectors": np.eye(3).tolist(), "species_at_sites": ["Na", "Na"], "fractional_site_positions": [[0]]},
    ],
)
def test_nonsense_is_not_a_structure(value: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="the store is damaged"):
        decode_structure(value)


@pytest.mark.parametrize(
    ("species", "formula"),
    [(["O", "Zn", "O", "Zn"], "OZn"), (["Si", "O", "O"], "O2Si"), ([{"Na": 0.5}, "Cl"], "ClNa0.5")],
)
def test_reduced_formulas_follow_optimade(species: list[Any], formula: str) -> None:
    coords = [[0.1 * n, 0.2 * n, 0.3 * n] for n in range(len(species))]
    columns = formula_columns(Structure(Lattice.cubic(9), species, coords))
    assert columns["chemical_formula_reduced"] == formula
    assert columns["elements"] == sorted(columns["elements"])


def test_plain_values_are_json_and_nothing_else() -> None:
    value = {
        "a": np.float64(1.5),
        "b": np.arange(3),
        "c": (np.int32(1), np.bool_(True)),
        "d": Path("x"),
        "e": {2, 1},
        "f": None,
    }
    assert json.loads(json.dumps(plain(value, "v"))) == {
        "a": 1.5,
        "b": [0, 1, 2],
        "c": [1, True],
        "d": "x",
        "e": [1, 2],
        "f": None,
    }
    with pytest.raises(InputError, match=r"v\.model\[0\] is a object, which JSON cannot hold"):
        plain({"model": [object()]}, "v")


# Tasks


def evaluate_wrongly(candidate: Candidate, settings: Config, seed: int) -> Any:
    return {"volume": 1.0}


def evaluate_to_infinity(candidate: Candidate, settings: Config, seed: int) -> Evaluation:
    moved = candidate.structure.copy()
    moved.translate_sites([0], [float("inf"), 0, 0], to_unit_cell=False)
    return Evaluation((), None, moved)


def evaluate_some(candidates: list[Candidate], settings: Config, seed: int) -> dict[str, Evaluation]:
    return {candidates[0].id: Evaluation()}


class NoSettings(Config):
    pass


def answer(function: str, **more: Any) -> dict[str, Any]:
    candidate = {"id": "a", "index": 0, "structure": encode_structure(NACL), "provenance": {}, "properties": []}
    task = {
        "kind": "evaluate",
        "stage": "s",
        "function": f"test_evaluators:{function}",
        "settings_class": "test_evaluators:NoSettings",
        "settings": {},
        "seed": 1,
        "candidate": candidate,
        "candidates": [candidate, {**candidate, "id": "b"}],
        **more,
    }
    return run_task(task)


def test_what_an_evaluator_does_wrong_is_an_answer() -> None:
    assert answer("evaluate_wrongly")["error"] == "the evaluator returned a dict, not an Evaluation"
    assert "must be a finite number" in answer("evaluate_to_infinity")["error"]
    error = answer("evaluate_some", kind="evaluate_batch")["error"]
    assert error == "the evaluator returned nothing for 1 candidates, the first b"
    assert answer("evaluate_nowhere")["error"].startswith("AttributeError: ")
    assert answer("evaluate_wrongly", settings={"x": 1})["error"].startswith("stage s, settings: unknown key 'x'")


def test_evaluations_are_plain_json() -> None:
    found = Evaluation((Property("a", np.float32(0.5), "eV", std=np.float64(0.1)),), "no", NACL)  # type: ignore[arg-type]
    encoded = json.loads(json.dumps(encode_evaluation(found)))
    assert encoded["properties"] == [
        {"name": "a", "value": 0.5, "unit": "eV", "std": 0.1, "method": "", "note": ""},
    ]
    assert encoded["rejected"] == "no"
    assert decode_structure(encoded["structure"]) == NACL


def test_text_from_anywhere_can_be_stored() -> None:
    odd = Property("a", True, None, note="f\udce9.cif")  # type: ignore[arg-type]
    encoded = encode_evaluation(Evaluation((odd,), rejected="\udce9"))
    assert encoded["properties"][0] == {
        "name": "a",
        "value": 1.0,
        "unit": "",
        "std": None,
        "method": "",
        "note": "f?.cif",
    }
    assert encoded["rejected"] == "?"


class Stingy:
    name = "stingy"

    def propose(self, indices: range, seed: int) -> Any:
        yield Proposal(indices.start, NACL, {"seed": np.int64(seed)})


class Confused:
    name = "confused"

    def propose(self, indices: range, seed: int) -> Any:
        yield Proposal(indices.start + 1, NACL, {})


def load_odd(name: str, settings: dict[str, Any]) -> Any:
    return {"stingy": Stingy, "confused": Confused}[name]()


def propose(name: str) -> dict[str, Any]:
    task = {"kind": "propose", "loader": "test_evaluators:load_odd", "proposer": name, "settings": {}}
    return run_task({**task, "seed": 5, "start": 3, "stop": 5})


def test_a_proposer_that_ends_early_or_loses_count_is_noticed() -> None:
    first, second = propose("stingy")["proposals"]
    assert first["id"] == content_id(NACL)
    assert first["provenance"] == {"seed": 5}
    assert (second["id"], second["failure"]) == (None, "the proposer stingy ended before proposal 4")
    assert propose("confused")["error"] == "the proposer returned proposal 4 where 3 was asked for"
