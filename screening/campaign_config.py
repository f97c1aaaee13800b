"""The question in YAML: what to propose, what to measure in which order, who goes on, how to rank."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from potentials.config import Config
from screening.funnel import parse_requirement


def _requirement(text: str) -> str:
    parse_requirement(text)
    return text


Requirement = Annotated[str, AfterValidator(_requirement)]


class ProposerConfig(Config):
    """Where structures come from."""

    name: str  # `template`, `crystals`, `files`
    count: int = Field(gt=0)  # proposals asked for, including those that come to nothing
    settings: dict[str, Any] = Field(default_factory=dict)
    batch: int = Field(default=1, gt=0)  # proposals a worker makes at a time; changes speed, never results
    deadline_s: float = Field(default=120.0, gt=0)  # per proposal; then its worker is killed


class KeepConfig(Config):
    """Only the best `n` of a stage go on."""

    n: int = Field(gt=0)
    by: str  # a property measured by then
    order: Literal["max", "min"] = "max"  # which end is best


class StageConfig(Config):
    """One evaluator over all survivors, then a filter."""

    evaluator: str  # short name, see `screening.evaluators`
    name: str = ""  # of the stage; the evaluator's by default, needed where one evaluator runs twice
    settings: dict[str, Any] = Field(default_factory=dict)
    require: dict[str, Requirement] = Field(default_factory=dict)  # property -> ">= 3.3", or ">= 3, < 12"
    keep: KeepConfig | None = None
    deadline_s: float = Field(default=600.0, gt=0)  # per candidate; then its worker is killed

    @model_validator(mode="before")
    @classmethod
    def _name_after_evaluator(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and not values.get("name"):
            return {**values, "name": values.get("evaluator", "")}
        return values


class ObjectiveConfig(Config):
    """One axis of the ranking."""

    property: str
    direction: Literal["max", "min"] = "max"
    weight: float = Field(default=1.0, ge=0)


class RankingConfig(Config):
    """How the survivors are ordered."""

    objectives: tuple[ObjectiveConfig, ...] = Field(min_length=1)
    top: int = Field(default=10, gt=0)  # candidates shown and exported


class BaselineConfig(Config):
    """A second proposer to compare with: as many proposals, the same first stages, never ranked with the others."""

    name: str  # of the proposer
    settings: dict[str, Any] = Field(default_factory=dict)
    through: str  # name of the last stage its candidates go through; its `keep` does not hold for them
    by: str  # property compared, as that stage measures it
    order: Literal["max", "min"] = "max"  # which end is best
    batch: int = Field(default=1, gt=0)  # as of `ProposerConfig`
    deadline_s: float = Field(default=120.0, gt=0)  # as of `ProposerConfig`


class CampaignConfig(Config):
    """A whole campaign."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")  # also the folder under `runs/`
    question: str  # one plain sentence, printed above the ranking and the report
    seed: int = Field(default=0, ge=0)
    proposer: ProposerConfig
    stages: tuple[StageConfig, ...] = Field(min_length=1)
    ranking: RankingConfig
    baseline: BaselineConfig | None = None  # what the report compares the proposer with
    workers: int | None = Field(default=None, gt=0)  # processes; by default one a core
    max_attempts: int = Field(default=2, gt=0)  # worker deaths after which a candidate is given up
    output: str | None = None  # run folder; by default runs/<name>

    @model_validator(mode="after")
    def _stage_names_differ(self) -> "CampaignConfig":
        names = [stage.name for stage in self.stages]
        for name in names:
            if name == "proposed" or names.count(name) > 1:
                raise ValueError(f"two stages are called {name!r}: give one a `name` of its own")
        if self.baseline is not None and self.baseline.through not in names:
            raise ValueError(f"baseline.through: no stage is called {self.baseline.through!r}: {', '.join(names)}")
        return self


def differing_keys(old: Mapping[str, Any], new: Mapping[str, Any], begun: int, closed: int) -> list[str]:
    """Keys on which a stored and a new configuration disagree so that finished work would not fit.

    Free to change at any time: `workers`, `output`, `question`, `ranking`, `baseline`, `proposer.batch` (they change no
    measurement of the campaign's own; a baseline's store holds its own configuration). Stages that have not begun are
    free altogether, so a campaign can be extended; a begun one may still change who passes (`require`, `keep`) and its
    `deadline_s`; a closed one is fixed.

    Args:
        old: stored configuration, as plain values.
        new: the one to run now.
        begun: number of stages of `old` in which something was measured (a prefix).
        closed: number of stages of `old` that were finished and filtered (a prefix).

    Returns:
        Dotted keys with both values, e.g. `stages.1.settings.probe: 1.2 -> 1.86`.
    """
    left, right = (_fixed_part(config, begun, closed) for config in (old, new))
    return [f"{key}: {_show(left.get(key))} -> {_show(right.get(key))}" for key in sorted(left.keys() | right.keys())
            if left.get(key) != right.get(key)]  # fmt: skip


_FREE = ("workers", "output", "question", "ranking", "baseline")


def _fixed_part(config: Mapping[str, Any], begun: int, closed: int) -> dict[str, Any]:
    part = {key: value for key, value in config.items() if key not in _FREE and key != "stages"}
    part["proposer"] = {key: value for key, value in part["proposer"].items() if key != "batch"}
    part["stages"] = {
        str(n): stage if n < closed else {key: stage[key] for key in ("name", "evaluator", "settings")}
        for n, stage in enumerate(config["stages"][:begun])
    }
    return _flatten(part)


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {
            key: leaf
            for name, item in value.items()
            for key, leaf in _flatten(item, f"{prefix}.{name}" if prefix else str(name)).items()
        }
    return {prefix: value}


def _show(value: Any) -> str:
    return "absent" if value is None else str(value)
