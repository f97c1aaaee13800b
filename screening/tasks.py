"""What a worker does: one task in, one answer out, both plain JSON values.

`run_task` is all an executor has to call, whether it is a supervised local process, a `concurrent.futures`
pool or a cluster. An exception of an evaluator is an answer (`{"error": ...}`), not a broken worker.
"""

import contextlib
import errno
import json
import sys
import time
import traceback
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

import pydantic

from gen.proposal import Proposal, Proposer
from potentials.errors import InputError, SorbusError
from screening.candidate import Candidate, Evaluation, Property, content_id
from screening.evaluators import evaluator_settings, resolve
from screening.geometry_json import decode_structure, encode_structure, formula_columns, plain

Payload = dict[str, Any]

_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

PROPOSER_LOADER = "gen.proposers:load_proposer"


def task_seed(campaign_seed: int, index: int, stage: str) -> int:
    """A seed in [0, 2^31) that depends on the campaign, the candidate and the stage alone.

    Worker count and order cannot enter; 31 bits suit every engine's seed type.
    """
    digest = sha256(f"{campaign_seed}:{index}:{stage}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def run_task(task: Payload) -> Payload:
    """Do one task.

    Args:
        task: `kind` is `propose` (`loader`, `proposer`, `settings`, `seed`, `start`, `stop`), `evaluate` (`stage`,
            `function`, `settings_class`, `settings`, `seed`, `candidate`), `evaluate_batch` (the same with
            `candidates`), `check_proposer` or `check_evaluator` (load and check, do nothing).

    Returns:
        The answer of that kind with `wall_seconds`, or `{"error": sentence, "wall_seconds": ...}`; with
        `"machine": True` when the disk is at fault, not the candidate.
    """
    start = time.perf_counter()
    try:
        answer: Payload = _KINDS[task["kind"]](task)
    except SorbusError as error:
        answer = {"error": _text(error)}
    except Exception as error:  # a broken evaluator costs its candidate, not the campaign
        with contextlib.suppress(OSError):  # the log may be what fills the disk
            print(f"\n{task['kind']} {task.get('stage', '')} {task.get('subject', '')}", file=sys.stderr)
            traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {_one_line(error)}"}
        if isinstance(error, OSError) and error.errno in _DISK_FAULTS:
            answer["machine"] = True
    answer["wall_seconds"] = time.perf_counter() - start
    return answer


def prepare_task(task: Payload) -> None:
    """Import what the task needs, so that its deadline does not pay for slow imports; errors wait for `run_task`."""
    try:
        if task["kind"].startswith("evaluate"):
            resolve(task["function"])
        else:
            resolve(task["loader"])
    except Exception:
        return


def encode_evaluation(evaluation: Evaluation) -> Payload:
    """An `Evaluation` as plain values; a number that is not finite becomes `None` with a note."""
    if not isinstance(evaluation, Evaluation):
        raise InputError(f"the evaluator returned a {type(evaluation).__name__}, not an Evaluation")
    return {
        "properties": [encode_property(item) for item in evaluation.properties],
        "rejected": None if evaluation.rejected is None else _text(evaluation.rejected),
        "structure": None if evaluation.structure is None else encode_structure(evaluation.structure),
    }


def encode_property(item: Property) -> Payload:
    """A `Property` as plain values; NaN and infinity become `None`, with a note that says so."""
    value, std, note = _number(item.value), _number(item.std), item.note
    if item.value is not None and value is None:
        note = "; ".join(filter(None, (note, f"the evaluator returned {item.value}")))
    return {
        "name": _text(item.name),
        "value": value,
        "unit": _text(item.unit),
        "std": std,
        "method": _text(item.method),
        "note": _text(note),
    }


def decode_candidate(value: Mapping[str, Any]) -> Candidate:
    """A `Candidate` from the plain values that `Store.candidate_values` gives."""
    properties = (Property(**item) for item in value["properties"])
    return Candidate(
        id=value["id"],
        index=value["index"],
        structure=decode_structure(value["structure"]),
        provenance=value["provenance"],
        properties={item.name: item for item in properties},
    )


def _propose(task: Payload) -> Payload:
    proposer = _proposer(task["loader"], task["proposer"], json.dumps(task["settings"]))
    wanted = range(task["start"], task["stop"])
    proposals: list[Payload] = []
    clock = time.perf_counter()
    for index, proposal in zip(wanted, proposer.propose(wanted, task["seed"]), strict=False):
        proposals.append(_encode_proposal(index, proposal, time.perf_counter() - clock))
        clock = time.perf_counter()
    for index in wanted[len(proposals) :]:
        proposals.append(_unbuilt(index, f"the proposer {task['proposer']} ended before proposal {index}", {}, 0.0))
    return {"proposals": proposals}


def _encode_proposal(index: int, proposal: Proposal, wall_seconds: float) -> Payload:
    if proposal.index != index:
        raise InputError(f"the proposer returned proposal {proposal.index} where {index} was asked for")
    provenance = plain(proposal.provenance, "provenance")
    if proposal.structure is None:
        failure = proposal.failure or "the proposer gave no reason"
        return _unbuilt(index, _text(failure), provenance, wall_seconds)
    try:
        return {
            "index": index,
            "id": content_id(proposal.structure),
            "structure": encode_structure(proposal.structure),
            **formula_columns(proposal.structure),
            "provenance": provenance,
            "failure": None,
            "wall_seconds": wall_seconds,
        }
    except SorbusError as error:
        return _unbuilt(index, str(error), provenance, wall_seconds)


def _unbuilt(index: int, failure: str, provenance: Payload, wall_seconds: float) -> Payload:
    return {"index": index, "id": None, "provenance": provenance, "failure": failure, "wall_seconds": wall_seconds}


def _evaluate(task: Payload) -> Payload:
    settings = _settings(task["settings_class"], task["stage"], json.dumps(task["settings"]))
    return encode_evaluation(resolve(task["function"])(decode_candidate(task["candidate"]), settings, task["seed"]))


def _evaluate_batch(task: Payload) -> Payload:
    settings = _settings(task["settings_class"], task["stage"], json.dumps(task["settings"]))
    candidates = [decode_candidate(value) for value in task["candidates"]]
    found = resolve(task["function"])(candidates, settings, task["seed"])
    missing = [candidate.id for candidate in candidates if candidate.id not in found]
    if missing:
        raise InputError(f"the evaluator returned nothing for {len(missing)} candidates, the first {missing[0]}")
    return {"evaluations": {candidate.id: encode_evaluation(found[candidate.id]) for candidate in candidates}}


def _check_proposer(task: Payload) -> Payload:
    _proposer(task["loader"], task["proposer"], json.dumps(task["settings"]))
    return {}


def _check_evaluator(task: Payload) -> Payload:
    resolve(task["function"])
    settings = evaluator_settings(task["settings_class"], task["settings"], f"stage {task['stage']}, settings")
    return {"settings": settings.model_dump(mode="json")}


_KINDS = {
    "propose": _propose,
    "evaluate": _evaluate,
    "evaluate_batch": _evaluate_batch,
    "check_proposer": _check_proposer,
    "check_evaluator": _check_evaluator,
}


@lru_cache(maxsize=4)
def _proposer(loader: str, name: str, settings: str) -> Proposer:
    """One proposer a process: its model or block library is loaded once."""
    return resolve(loader)(name, json.loads(settings))


@lru_cache(maxsize=64)
def _settings(settings_class: str, stage: str, settings: str) -> pydantic.BaseModel:
    return evaluator_settings(settings_class, json.loads(settings), f"stage {stage}, settings")


def _number(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    return number if -float("inf") < number < float("inf") else None


def _text(value: Any) -> str:
    """Text that any database takes: file names may hold bytes that are not Unicode."""
    return ("" if value is None else str(value)).encode(errors="replace").decode()


def _one_line(error: Exception) -> str:
    return " ".join(_text(error).split())[:300]
