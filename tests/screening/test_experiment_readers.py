"""Readers of measured isotherms: each format, one isotherm; bad rows kept apart, wrong units found out."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from potentials.errors import InputError
from potentials.files import data_root
from screening.experiments.isodb import read_isodb_table
from screening.experiments.measured_isotherm import loading_at, make_isotherm
from screening.experiments.read import read_isotherms

CSV = """# gas: Carbon dioxide
# temperature: 25 C
# material: HKUST-1
# source: 10.1000/xyz
# kind: excess
pressure [bar], loading [mmol/g], error [mmol/g]
0.05, 0.35, 0.02
0.10, 0.68, 0.02
0.50, 2.60, 0.05
1.00, 4.20, 0.08
"""
AIF = """data_sample
_exptl_adsorptive 'Carbon Dioxide'
_exptl_temperature 298.15
_adsnt_material_id 'UiO-66 batch 3'
_citation_doi 10.1000/aif
_exptl_isotherm_type absolute
_units_pressure kPa
_units_loading 'cm3(STP)/g'
_units_temperature K
loop_
_adsorp_pressure
_adsorp_p0
_adsorp_amount
5.0 6434 4.48
15.0 6434 11.2
100.0 6434 44.8
loop_
_desorp_pressure
_desorp_amount
50.0 30.0
"""
ISODB = {
    "filename": "10.1000nist.Isotherm1",
    "DOI": "10.1000/nist",
    "temperature": 298,
    "adsorbent": {"name": "CuBTC", "hashkey": "NIST-MATDB-2da57e33"},
    "adsorbates": [{"InChIKey": "CURLTUGMZLYLDI-UHFFFAOYSA-N", "name": "Carbon Dioxide"}],
    "category": "exp",
    "pressureUnits": "bar",
    "adsorptionUnits": "mg/g",
    "isotherm_data": [
        {"pressure": 0.1, "species_data": [{"adsorption": 30.0}], "total_adsorption": 30.0},
        {"pressure": 0.5, "species_data": [{"adsorption": 110.0}]},
        {"pressure": 1.0, "species_data": [{"adsorption": -1.0}]},
    ],
}


def one(path: Path, **options: str):
    (found,) = read_isotherms(path, options)
    return found


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_csv(tmp_path: Path) -> None:
    isotherm = one(written(tmp_path, "a.csv", CSV)).sound
    assert (isotherm.gas, isotherm.material, isotherm.kind, isotherm.source) == (
        "CO2", "HKUST-1", "excess", "10.1000/xyz")  # fmt: skip
    assert isotherm.temperature == pytest.approx(298.15)
    assert isotherm.pressure == pytest.approx([5e3, 1e4, 5e4, 1e5])
    assert isotherm.loading == pytest.approx([0.35, 0.68, 2.6, 4.2])
    assert isotherm.loading_std == pytest.approx([0.02, 0.02, 0.05, 0.08])
    assert isotherm.notes == ()


def test_csv_options_win_over_the_file(tmp_path: Path) -> None:
    isotherm = one(written(tmp_path, "a.csv", CSV), gas="N2", temperature="313", source="our lab").sound
    assert (isotherm.gas, isotherm.temperature, isotherm.source) == ("N2", 313.0, "our lab")


def test_csv_with_semicolons_decimal_commas_and_units_in_the_names(tmp_path: Path) -> None:
    text = "\ufeffpressure_kPa;uptake (cm3(STP)/g)\n10,0;11,2\n100,0;44,8\n"
    isotherm = one(written(tmp_path, "a.csv", text), gas="CO2", temperature="298").sound
    assert isotherm.pressure == pytest.approx([1e4, 1e5])
    assert isotherm.loading == pytest.approx([0.49968, 1.99875], rel=1e-4)


def test_bad_rows_are_noted_and_the_rest_goes_on(tmp_path: Path) -> None:
    isotherm = one(written(tmp_path, "a.csv", CSV + "nonsense, 5\n1.5, -0.2\n1.6, 4.9, 0.1\n")).sound
    assert len(isotherm) == 5
    assert any("line 11" in note and "nonsense" in note for note in isotherm.notes)
    assert any("negative" in note for note in isotherm.notes)


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        ("pressure [bar]", "pressure [Pa]", r"below 100 Pa.*look like bar"),
        ("loading [mmol/g]", "loading [mol/g]", r"loadings reach"),
        ("25 C", "25", r"look.* like °C: declare 298.15 K"),
        ("pressure [bar]", "pressure", "does not say the unit of its pressure"),
        ("pressure [bar]", "pressure [inHg]", "'inHg' is not known"),
        ("loading [mmol/g]", "loading [mmol/cm3]", "density"),
        ("pressure [bar], loading", "depth [bar], loading", "none for pressure"),
        ("# gas: Carbon dioxide\n", "", "does not say the gas"),
        ("# temperature: 25 C\n", "", "does not say the temperature"),
        ("# kind: excess", "# kind: net", "'net' is none of"),
    ],
)
def test_csv_faults_in_one_sentence(tmp_path: Path, before: str, after: str, match: str) -> None:
    found = one(written(tmp_path, "a.csv", CSV.replace(before, after)))
    assert found.isotherm is None
    with pytest.raises(InputError, match=match):
        _ = found.sound
    assert "\n" not in (found.error or "")


def test_aif(tmp_path: Path) -> None:
    isotherm = one(written(tmp_path, "a.aif", AIF)).sound
    assert (isotherm.gas, isotherm.material, isotherm.kind, isotherm.source) == (
        "CO2", "UiO-66 batch 3", "absolute", "10.1000/aif")  # fmt: skip
    assert isotherm.pressure == pytest.approx([5e3, 1.5e4, 1e5])
    assert isotherm.loading == pytest.approx(np.array([4.48, 11.2, 44.8]) / 22.41397, rel=1e-6)


def test_aif_of_several_blocks_and_a_broken_one(tmp_path: Path) -> None:
    broken = AIF.replace("data_sample", "data_broken").replace("_exptl_temperature 298.15\n", "")
    first, second = read_isotherms(written(tmp_path, "a.aif", AIF + broken))
    assert first.isotherm is not None
    assert "_exptl_temperature is missing" in (second.error or "")
    with pytest.raises(InputError, match="no data_ block"):
        read_isotherms(written(tmp_path, "b.aif", "pressure, loading\n1, 2\n"))


def test_aif_without_units_means_the_formats_own(tmp_path: Path) -> None:
    lines = [line for line in AIF.splitlines() if not line.startswith("_units_")]
    found = one(written(tmp_path, "a.aif", "\n".join(lines)))
    assert "below 100 Pa" not in (found.error or "") or "look like" in (found.error or "")
    text = "\n".join(lines).replace("5.0 6434 4.48", "5000 6e6 0.2").replace("15.0 6434 11.2", "15000 6e6 0.5")
    isotherm = one(written(tmp_path, "b.aif", text.replace("100.0 6434 44.8", "100000 6e6 2.0"))).sound
    assert isotherm.loading == pytest.approx([0.2, 0.5, 2.0])
    assert any("not declared" in note for note in isotherm.notes)


def test_isodb_json(tmp_path: Path) -> None:
    isotherm = one(written(tmp_path, "a.json", json.dumps(ISODB))).sound
    assert (isotherm.gas, isotherm.material, isotherm.category, isotherm.source) == (
        "CO2", "CuBTC", "experiment", "10.1000/nist")  # fmt: skip
    assert isotherm.material_key.endswith("2da57e33")
    assert isotherm.loading == pytest.approx(np.array([30.0, 110.0]) / 44.0095, rel=1e-4)
    assert any("row 3 left out" in note for note in isotherm.notes)


def test_isodb_mixtures_and_junk_are_refused(tmp_path: Path) -> None:
    mixture = {**ISODB, "adsorbates": [{"name": "Nitrogen"}, {"name": "Methane"}]}
    reads = read_isotherms(written(tmp_path, "a.json", json.dumps([ISODB, mixture, 7, {}])))
    assert [r.isotherm is not None for r in reads] == [True, False, False, False]
    assert "2 gases" in (reads[1].error or "")
    with pytest.raises(InputError, match="not JSON"):
        read_isotherms(written(tmp_path, "b.json", "{"))


def test_the_derived_table(tmp_path: Path) -> None:
    path = tmp_path / "single_gas_open.csv.gz"
    columns = ["filename", "DOI", "category", "gas", "adsorbent", "adsorbent_hashkey", "temperature_K", "pressureUnits",
               "adsorptionUnits", "tabular_data", "n", "pressure", "adsorption"]  # fmt: skip
    with gzip.open(path, "wt", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerow(["a", "10.1/a", "", "CO2", "X", "k", "298", "bar", "mmol/g", "0", "2", "0.1 1.0", "0.5 3.0"])
        writer.writerow(["b", "10.1/b", "sim", "CO2", "X", "k", "298", "bar", "mmol/m2", "0", "1", "0.1", "0.5"])
        writer.writerow(["c", "10.1/c", "exp", "N2", "X", "k", "298", "bar", "mmol/g", "0", "2", "0.1 0.2", "0.5"])
    first, second, third = read_isotherms(path)
    assert first.sound.loading == pytest.approx([0.5, 3.0])
    assert "mmol/m2" in (second.error or "")
    assert "damaged" in (third.error or "")
    assert len(list(read_isodb_table(path, gas="CO2"))) == 2
    (tmp_path / "other.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    with pytest.raises(InputError, match="not the single-gas table"):
        read_isotherms(tmp_path / "other.csv.gz")


def test_the_open_half_of_the_database_is_read() -> None:
    path = data_root() / "sorbents/nist_isodb/single_gas_open.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is not at hand")
    reads = list(read_isodb_table(path))
    share = sum(r.isotherm is not None for r in reads) / len(reads)
    assert share > 0.85
    assert all("\n" not in (r.error or "") for r in reads)


def test_unknown_endings_and_missing_files() -> None:
    with pytest.raises(InputError, match="there is no file"):
        read_isotherms("nowhere.csv")
    with pytest.raises(InputError, match="ends in neither"):
        read_isotherms(__file__)


def isotherm_of(pressure, loading, **extra):
    return make_isotherm(
        gas="CO2", material="x", temperature=298.0, pressure=np.array(pressure), loading=np.array(loading), **extra
    )


def test_desorption_is_left_out_and_disorder_sorted() -> None:
    branch = isotherm_of([1e3, 1e4, 1e5, 5e4, 1e4, 2e3], [0.1, 0.8, 3.0, 2.8, 1.9, 0.9])
    assert branch.loading == pytest.approx([0.1, 0.8, 3.0])
    assert "3 points of desorption left out" in branch.notes[0]
    mixed = isotherm_of([1e4, 1e3, 1e5, 5e4], [0.8, 0.1, 3.0, 2.0])
    assert mixed.pressure == pytest.approx([1e3, 1e4, 5e4, 1e5])
    assert "sorted" in mixed.notes[0]


def test_loading_between_points() -> None:
    henry = isotherm_of([1e3, 1e4, 1e5], [0.02, 0.2, 2.0])
    assert loading_at(henry, 3e4) == pytest.approx(0.6)  # a power law is joined exactly
    assert loading_at(henry, 600.0) == pytest.approx(0.012)  # on the line from the origin
    assert loading_at(henry, 400.0) is None
    assert loading_at(henry, 1.1e5) is None
    twice = isotherm_of([1e3, 1e4, 1e4, 1e5], [0.02, 0.19, 0.21, 2.0])
    assert loading_at(twice, 1e4) == pytest.approx(0.2)


def test_no_usable_row_is_an_error() -> None:
    with pytest.raises(InputError, match="none of 2 rows"):
        isotherm_of([np.nan, -1.0], [1.0, 1.0])


@pytest.mark.parametrize("name", ["a.csv", "a.aif", "a.json"])
def test_damaged_files_give_a_sentence_never_a_traceback(tmp_path: Path, name: str) -> None:
    whole = {"a.csv": CSV, "a.aif": AIF, "a.json": json.dumps(ISODB)}[name]
    rng = np.random.default_rng(5)
    alphabet = list("0123456789.,;:#[]{}()'\"\n\t _-eE%°?/\\xyzNaN")
    for _ in range(400):
        text = list(whole)
        for _ in range(int(rng.integers(1, 12))):
            place = int(rng.integers(len(text)))
            match rng.integers(3):
                case 0:
                    text[place] = str(rng.choice(alphabet))
                case 1:
                    del text[place : place + int(rng.integers(1, 25))]
                case _:
                    text[place:place] = list(rng.choice(alphabet, size=3))
            if not text:
                break
        path = written(tmp_path, name, "".join(map(str, text)))
        try:
            reads = read_isotherms(path)
        except InputError:
            continue
        for found in reads:
            assert (found.isotherm is None) != (found.error is None)
            assert "\n" not in (found.error or "")
            if found.isotherm is not None:
                assert np.isfinite(found.isotherm.pressure).all()
                assert np.isfinite(found.isotherm.loading).all()
