"""`sorbus adsorb`: rows, ranks, files, resuming, bad input named on its row, workers that change no number."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from potentials.errors import InputError
from potentials.files import write_atomic
from potentials.structure_files import write_structures
from screening.adsorb_files import AdsorbSettings, adsorb_files, measure_structure, record_path
from screening.adsorption.process_evaluator import RecipeSettings, evaluate_process
from screening.adsorption.seeds import derive_seed
from screening.candidate import Candidate, content_id
from screening.cli import main
from screening.evaluators import EVALUATORS, resolve
from screening.intervals import is_positive
from screening.quantities import label
from screening.tasks import encode_evaluation

QUICK = {
    "model": {"charges": "none", "pockets": "open"},
    "insertions": 400,
    "heat_moves": 200,
    "isotherm_points": 3,
    "equilibration_cycles": 0,
    "gcmc_engine": "raspa",
    "production_cycles": 40,
    "pores": {"surface_samples": 20, "volume_samples": 200},
}
WORDS = [
    "model.charges=none",
    "model.pockets=open",
    "insertions=400",
    "heat_moves=200",
    "isotherm_points=3",
    "equilibration_cycles=0",
    "gcmc_engine=raspa",
    "production_cycles=40",
]


def lattice(edge: float) -> Structure:
    return Structure(Lattice.cubic(edge), ["Ar"], [[0, 0, 0]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    for edge in (7.0, 8.0, 9.0):
        write_structures(made / f"edge{edge:g}.cif", [lattice(edge)])
    return made


def rows(path: Path) -> dict[str, dict[str, str]]:
    with open(path, newline="") as stream:
        return {row["name"]: row for row in csv.DictReader(stream)}


def test_a_folder_is_measured_ranked_and_resumed(folder, tmp_path):
    (folder / "broken.cif").write_text("the quick brown fox")
    charged = lattice(8.5)
    charged.add_site_property("charge", [0.4])
    write_structures(folder / "charged.cif", [charged])
    settings = AdsorbSettings(**{**QUICK, "model": {"pockets": "open"}, "workers": 2})
    assert settings.recipe.prefix == "vsa"
    out = tmp_path / "out"
    result = adsorb_files([str(folder)], settings, out)
    found = rows(out / "adsorption.csv")
    assert found.keys() == {"edge7", "edge8", "edge9", "broken", "charged"}
    assert "sum to 0.400 e" in found["charged"]["error"]
    assert found["broken"]["error"]
    good = [found[f"edge{edge}"] for edge in (7, 8, 9)]
    assert sorted(int(row["place"]) for row in good) == [1, 2, 3]
    for row in good:
        assert int(row["place low"]) <= int(row["place"]) <= int(row["place high"])
        assert float(row["vsa_working_capacity [mol/kg]"]) > 0
        assert float(row["vsa_working_capacity std"]) > 0
        assert "bonds run on in 0 dimensions" in row["warnings"]
    assert found["edge9"].keys() >= {"co2_henry_298K [mol/(kg Pa)]", "co2_heat_298K [kJ/mol]", "helium_void_fraction"}
    with open(out / "isotherms.csv", newline="") as stream:
        points = list(csv.DictReader(stream))
    assert len(points) == 3 * 2 * 3
    assert {point["gas"] for point in points} == {"CO2", "N2"}
    assert all(path.stat().st_size > 1000 for path in result.pictures)
    assert "edge9" in result.summary
    assert "charged: " in result.summary

    again = adsorb_files([str(folder)], settings.model_copy(update={"workers": 1}), out)
    assert again.reused == 3
    assert rows(out / "adsorption.csv") == found

    # alone in this process, and once more after its record was cut short: the same numbers
    candidate = Candidate(content_id(lattice(8.0)), 0, lattice(8.0), {})
    alone = measure_structure(candidate, settings, derive_seed(settings.seed, "adsorb", candidate.id))
    value = next(item.value for item in alone.properties if item.name == "co2_henry_298K")
    assert float(found["edge8"]["co2_henry_298K [mol/(kg Pa)]"]) == pytest.approx(value, rel=1e-9)
    (record,) = (out / "structures").glob(f"{candidate.id}_*.json")
    assert json.loads(record.read_text())["rejected"] is None
    record.write_text(record.read_text()[:50])
    assert adsorb_files([str(folder)], settings, out).reused == 2
    assert rows(out / "adsorption.csv") == found


def test_files_that_differ_in_charges_alone_do_not_share_figures(tmp_path):
    from screening.adsorb_files import _identity

    plain, settings = Structure(Lattice.cubic(6.0), ["Mg", "O"], [[0, 0, 0], [0.3, 0, 0]]), AdsorbSettings(**QUICK)
    one, other, bare = plain.copy(), plain.copy(), plain.copy()
    one.add_site_property("charge", [0.5, -0.5])
    other.add_site_property("charge", [1.5, -1.5])
    bare.add_site_property("charge", [0.0, 0.0])
    ids = {_identity(each, settings) for each in (plain, one, other)}
    assert len(ids) == 3
    assert _identity(bare, settings) == _identity(plain, settings) == content_id(plain)
    swapped = plain.copy()
    swapped.add_site_property("charge", [-0.5, 0.5])
    assert _identity(swapped, settings) not in ids
    relabelled = Structure(plain.lattice, plain.species, plain.frac_coords, labels=["Mg1", "O2"])
    assert _identity(relabelled, settings) == content_id(plain)
    by_label = AdsorbSettings(**{**QUICK, "model": {"force_field": "irmof-1"}})
    assert _identity(relabelled, by_label) != _identity(plain, by_label)


def test_other_models_widen_the_places_and_stay_out_of_the_table(tmp_path):
    structures = [Structure(Lattice.cubic(edge), ["C"], [[0, 0, 0]]) for edge in (5.0, 6.0)]  # DREIDING has no argon
    settings = AdsorbSettings(
        **{**QUICK, "isotherm_points": 0, "ensemble": True, "conditions": "hmof-0.1bar"},
        force_fields=("uff-trappe", "dreiding-uff-trappe"),
        charge_methods=("none",),
    )
    paths = [write_structures(tmp_path / f"edge{k}.cif", [s]) for k, s in enumerate(structures)]
    for k, structure in enumerate(structures):  # as a worker does, in this process
        candidate = Candidate(content_id(structure), k, structure, {})
        answer = encode_evaluation(measure_structure(candidate, settings, seed=k))
        write_atomic(record_path(tmp_path / "out", candidate.id, settings), json.dumps(answer))
    result = adsorb_files([str(path) for path in paths], settings, tmp_path / "out")
    assert result.reused == 2
    assert len(result.distinction.models) == 2
    assert not any("@" in name for row in result.table.rows for name in row)
    with open(tmp_path / "out" / "models.csv", newline="") as stream:
        models = list(csv.DictReader(stream))
    assert {row["model"] for row in models} == {"dreiding-uff-trappe+none"}
    assert {row["property"] for row in models} == {"hmof_co2_uptake"}
    assert "over 2 models" in result.summary


@pytest.mark.slow  # another worker process
def test_the_command_line(folder, tmp_path, capsys):
    argv = [
        "adsorb",
        str(folder),
        "--gas",
        "CO2",
        "--gas",
        "Ar",
        "--conditions",
        "flue-gas",
        *WORDS,
        f"out={tmp_path}/o",
    ]
    assert main([*argv, "mixtures=iast"]) == 0
    printed = capsys.readouterr().out
    assert "vsa_working_capacity [mol/kg]" in printed
    assert "±" in printed
    assert "isotherms.png" in printed
    assert "ar_henry_298K [mol/(kg Pa)]" in rows(tmp_path / "o" / "adsorption.csv")["edge8"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--conditions", "flu-gas"], "did you mean 'flue-gas'?"),
        (["--gas", "CO3"], "gas 'CO3' is not in this force field"),
        (["--workers", "0"], "greater than 0"),
        (["prodution_cycles=3"], "did you mean 'production_cycles'?"),
        (["--conditions", "coal-tpsa", "isotherm_points=0"], "needs isotherms to fit"),
    ],
)
def test_unusable_requests_are_refused(words, message, folder, tmp_path, capsys):
    code = main(["adsorb", str(folder / "edge8.cif"), *words, f"out={tmp_path}/o"])
    captured = capsys.readouterr()
    assert code == 2
    assert message in captured.err + captured.out
    assert "Traceback" not in captured.err + captured.out


def test_all_conditions_are_listed(capsys):
    assert main(["adsorb", "--conditions", "list"]) == 0
    listed = capsys.readouterr().out
    assert "dac " in listed
    assert "Boyd" in listed


def test_the_campaign_evaluator_gives_the_same_figures():
    structure = lattice(8.0)
    candidate = Candidate(content_id(structure), 0, structure, {})
    settings = RecipeSettings(**{key: value for key, value in QUICK.items() if key != "pores"})
    entry = EVALUATORS["process"]
    assert resolve(entry.function) is evaluate_process
    evaluation = evaluate_process(candidate, settings, seed=5)
    full = measure_structure(candidate, AdsorbSettings(**QUICK), seed=5)
    assert {item.name: item.value for item in evaluation.properties}.items() <= {
        item.name: item.value for item in full.properties
    }.items()
    names = {item.name for item in evaluation.properties}
    assert {"vsa_working_capacity", "vsa_co2_n2_selectivity", "vsa_regenerability"} <= names
    lacking = evaluate_process(candidate, RecipeSettings(model={"force_field": "zeolite"}), seed=5)
    assert "no parameters for Ar" in lacking.rejected


def test_figures_read_well_and_have_the_right_sign():
    assert label("coal_tpsa_parasitic_energy") == "Coal TPSA parasitic energy"
    assert label("dac_co2_h2o_henry_ratio") == "DAC CO2/H2O Henry ratio"
    assert label("co2_n2_selectivity") == "CO2/N2 selectivity"
    assert label("co2_henry_298K") == "CO2 Henry coefficient, 298 K"
    assert is_positive("coal_tpsa_parasitic_energy")
    assert is_positive("vsa_co2_uptake")
    assert not is_positive("vsa_co2_excess_uptake")
    assert not is_positive("vsa_working_capacity")
    with pytest.raises(InputError):
        adsorb_files(["nowhere"], AdsorbSettings(), "out")
    assert np.isfinite(AdsorbSettings().deadline_s)


def test_what_cannot_be_measured_is_said_first_with_the_remedy(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("screening.adsorption.framework.MAX_HOST_ATOMS", 20)  # boxes of 4x4x4 and 3x3x3 cells
    rutherfordium = Structure(Lattice.cubic(13.0), ["Rf"], [[0, 0, 0]])
    write_structures(folder / "rf.cif", [rutherfordium])
    result = adsorb_files([str(folder)], AdsorbSettings(**QUICK), tmp_path / "out", progress=True)
    printed = capsys.readouterr().out
    for name in ("edge7", "edge8", "edge9"):
        assert f"refused: {name}: the simulation box of " in printed
    assert "give the primitive cell instead of a supercell" in printed
    assert "refused: rf: force field uff-trappe has no parameters for Rf" in printed
    assert "to measure" not in printed  # nothing is left
    assert result.table.succeeded == 0
