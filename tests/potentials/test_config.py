"""Typed configuration: unknown keys, wrong values, overrides, hashes."""

from pathlib import Path

import pytest
from pydantic import Field

from potentials.config import Config, config_hash, dump_yaml, load_config
from potentials.errors import InputError


class Train(Config):
    lr: float = Field(1e-3, gt=0)
    epochs: int = 10


class Stage(Config):
    evaluator: str
    keep: int | None = None


class Example(Config):
    name: str = "x"
    train: Train = Train()
    stages: tuple[Stage, ...] = ()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "example.yaml"
    path.write_text(text)
    return path


def test_file_and_overrides_are_merged_in_order(tmp_path: Path) -> None:
    path = write(tmp_path, "name: run\ntrain:\n  lr: 0.1\n")
    config = load_config(Example, path, ["train.lr=1e-4", "train.epochs=3"])
    assert (config.name, config.train.lr, config.train.epochs) == ("run", 1e-4, 3)


def test_override_inside_a_list(tmp_path: Path) -> None:
    path = write(tmp_path, "stages:\n  - evaluator: pores\n    keep: 5\n")
    assert load_config(Example, path, ["stages.0.keep=7"]).stages[0].keep == 7


def test_unknown_key_names_file_line_and_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, "name: run\ntrain:\n  lrr: 0.1\n")
    with pytest.raises(InputError, match=r"example\.yaml, line 3: unknown key 'train\.lrr': did you mean 'lr'\?"):
        load_config(Example, path)


def test_unknown_key_in_a_list_item(tmp_path: Path) -> None:
    path = write(tmp_path, "stages:\n  - evaluator: pores\n    keeep: 5\n")
    with pytest.raises(InputError, match=r"line 3: unknown key 'stages\.0\.keeep': did you mean 'keep'\?"):
        load_config(Example, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("- a\n- b\n", "holds a list"),
        ("name: [", "not valid YAML"),
        ("train:\n  lr: -1\n", "greater than 0"),
        ("train:\n  lr: fast\n", "train.lr = 'fast'"),
        ("stages:\n  - keep: 1\n", "'stages.0.evaluator' is missing"),
    ],
)
def test_bad_files_give_one_clear_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_config(Example, write(tmp_path, text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_suggests_a_neighbour(tmp_path: Path) -> None:
    write(tmp_path, "name: a\n")
    with pytest.raises(InputError, match=r"did you mean .*example\.yaml"):
        load_config(Example, tmp_path / "exmaple.yaml")


@pytest.mark.parametrize("override", ["train.lr", "=3", "train..lr=3", "name.deeper=1"])
def test_malformed_overrides_are_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(InputError, match="override"):
        load_config(Example, write(tmp_path, "name: a\n"), [override])


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not valid YAML"):
        load_config(Example, write(tmp_path, "name: !!python/object/apply:os.system ['true']\n"))


def test_hash_sees_values_not_spelling(tmp_path: Path) -> None:
    first = load_config(Example, write(tmp_path, "train: {lr: 0.001}\n"))
    assert config_hash(first) == config_hash(Example())
    assert config_hash(first) != config_hash(Example(name="y"))


def test_dump_reads_back(tmp_path: Path) -> None:
    config = Example(name="Å", stages=(Stage(evaluator="pores"),))
    assert load_config(Example, write(tmp_path, dump_yaml(config))) == config
