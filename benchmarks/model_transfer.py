"""Uptakes under another model, estimated from its Henry coefficients, against the same computed outright.

    python benchmarks/model_transfer.py compute --sorbent UiO-66   # half a minute a sorbent; appended
    python benchmarks/model_transfer.py report                     # records E8l (0.15 bar) and E8m (1 bar)

What the ensemble stage of a campaign does (`screening/model_transfer.py`): the campaign's own model is UFF with
environment charges; the others are its force fields and charges. Every figure by the batched engines.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np

from benchmarks.experiment_sorbents import SORBENTS, structure_of
from benchmarks.record import record
from screening.candidate import Property
from screening.model_transfer import transferred

COMPUTED = Path("runs/model_transfer.jsonl")
PRESSURES = (15_000.0, 100_000.0)  # Pa
TEMPERATURE = 298.0  # K
MODELS = (
    ("uff-trappe", "environment"),
    ("uff-trappe", "eqeq"),
    ("dreiding-uff-trappe", "environment"),
    ("dreiding-uff-trappe", "eqeq"),
)
FRAMEWORKS = [name for name in SORBENTS if name != "silicalite"]


def compute(names: list[str], seed: int) -> None:
    """Henry coefficient and uptakes of each sorbent with each model, appended a sorbent at a time."""
    from potentials.errors import InputError
    from screening.adsorption.batched.isotherm import IsothermSettings, isotherm_of_host
    from screening.adsorption.force_fields import HostGuestModel
    from screening.adsorption.framework import prepare_host
    from screening.adsorption.henry import HenrySettings, henry_of_host

    done = {line["sorbent"] for line in computed()}
    for name in names:
        if name in done:
            continue
        structure = structure_of(SORBENTS[name])
        structure.remove_site_property("charge")
        found = {}
        for force_field, charges in MODELS:
            model = HostGuestModel.model_validate({"force_field": force_field, "charges": charges})
            try:
                host = prepare_host(structure, model)
            except InputError as error:
                print(f"{name}, {force_field}, {charges}: {error}")
                continue
            henry = henry_of_host(
                host, "CO2", TEMPERATURE, HenrySettings(model=model, gases=("CO2",), error=0.02), seed
            )
            points = isotherm_of_host(
                host, {"CO2": 1.0}, PRESSURES, TEMPERATURE, settings=IsothermSettings(error=0.02), seed=seed
            )
            uptakes = [[point["CO2"].uptake, point["CO2"].uptake_std] for point in points]
            found[f"{force_field}+{charges}"] = {"henry": henry.henry_coefficient, "uptakes": uptakes}
            print(name, force_field, charges, f"{henry.henry_coefficient:.3e}", uptakes, flush=True)
        COMPUTED.parent.mkdir(exist_ok=True)
        with COMPUTED.open("a") as stream:
            stream.write(json.dumps({"sorbent": name, "models": found}) + "\n")


def computed() -> list[dict]:
    """What has been computed so far."""
    return [json.loads(line) for line in COMPUTED.read_text().splitlines()] if COMPUTED.exists() else []


def report() -> None:
    """How far the estimates lie from the figures computed outright, beside making no estimate at all."""
    own = "+".join(MODELS[0])
    for k, (pressure, identity) in enumerate(zip(PRESSURES, ("E8l", "E8m"), strict=True)):
        estimated, kept, sorbents = [], [], set()
        for line in computed():
            base = line["models"].get(own)
            for model, other in line["models"].items():
                if base is None or model == own or math.isclose(other["henry"], base["henry"], rel_tol=1e-9):
                    continue  # environment charges fell back to EQeq: the same model twice
                name = f"co2_uptake_{pressure / 1e5:g}bar_{TEMPERATURE:g}K"
                henry = f"co2_henry_{TEMPERATURE:g}K"
                computed_here = {
                    name: Property(name, base["uptakes"][k][0], "mol/kg", base["uptakes"][k][1]),
                    henry: Property(henry, base["henry"], "mol/(kg Pa)"),
                }
                found = transferred(name, computed_here, {henry: Property(henry, other["henry"], "mol/(kg Pa)")})
                assert found is not None
                estimated.append(math.log(found[0] / other["uptakes"][k][0]))
                kept.append(math.log(base["uptakes"][k][0] / other["uptakes"][k][0]))
                sorbents.add(line["sorbent"])
        error, before = (float(np.median(np.abs(values))) for values in (estimated, kept))
        record(
            id=identity,
            value=error,
            unit="ln",
            peer="no estimate: the campaign's own uptake",
            peer_value=before,
            protocol=f"median |ln(estimated / computed)| of CO2 uptake at {pressure / 1e5:g} bar, 298 K, under another "
            f"model, {len(estimated)} pairs of {len(sorbents)} frameworks; own model UFF with environment charges, "
            "others UFF and DREIDING (UFF for the metals it lacks) with environment and EQeq charges; batched engines, "
            "2 % errors",
            data_sha256=None,
            seed=1,
            note=f"largest |ln| {np.abs(estimated).max():.2f}, without estimate {np.abs(kept).max():.2f}",
        )


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("compute", "report"))
    parser.add_argument("--sorbent", action="append", choices=sorted(FRAMEWORKS), help="default: all frameworks")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.what == "compute":
        compute(arguments.sorbent or FRAMEWORKS, arguments.seed)
    else:
        report()


if __name__ == "__main__":
    main()
