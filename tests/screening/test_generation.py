"""Generating to a folder and evaluating that folder, as a user does."""

import json
from pathlib import Path

import pytest
from pymatgen.core import Structure

from potentials.errors import InputError
from potentials.structure_files import read_structures
from screening.cli import main
from screening.generation import GenerateSettings, generate


def test_generated_crystals_are_written_with_symmetry_and_evaluated(tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["generate", "count=3", "seed=4", "steps=20", "conditions.chemical_system=Na-Cl", f"out={out}"]) == 0
    records = [json.loads(line) for line in (out / "provenance.jsonl").read_text().splitlines()]
    assert [record["index"] for record in records] == [0, 1, 2]
    assert {record["seed"] for record in records} == {4}
    for result, record in zip(read_structures(out), records, strict=True):
        assert result.error is None
        assert {site.specie.symbol for site in result.structure} == {"Na", "Cl"}
        written = (out / record["file"]).read_text()
        assert Structure.from_str(written, fmt="cif").get_space_group_info(symprec=0.1)[1] >= 1
    capsys.readouterr()
    assert main(["evaluate", str(out)]) == 0
    table = capsys.readouterr().out
    assert "structural_validity" in table
    assert "all distances > 0.5 Å" in table


def test_proposals_do_not_depend_on_how_many_are_asked_for(tmp_path: Path) -> None:
    few = generate(GenerateSettings(count=1, seed=9, steps=10))
    more = generate(GenerateSettings(count=2, seed=9, steps=10))
    assert few.structures[0].matches(more.structures[0])


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"chemical_system": "Li-Xx"}, "Xx"),
        ({"chemical_sytem": "Li-P"}, "chemical_system"),
        ({"composition": "NaCl", "num_atoms": 7}, "7"),
    ],
)
def test_impossible_conditions_are_refused(conditions: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        generate(GenerateSettings(count=1, conditions=conditions))
