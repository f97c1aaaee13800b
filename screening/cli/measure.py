"""`sorbus measure`: what laboratories found, beside what was computed."""

import argparse

from potentials.errors import InputError
from screening.cli.arguments import verb_parser

_OPTIONS = ("gas", "temperature", "material", "source", "kind", "density", "cell_mass", "saturation_pressure",
            "pressure_unit", "loading_unit")  # fmt: skip


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verb_parser(
        verbs,
        "measure",
        "Read measured isotherms (CSV, AIF, NIST ISODB), enter them in a run, calibrate a model on them.",
        [
            "sorbus measure read isotherm.aif                                   # look before entering",
            "sorbus measure add runs/co2_flue_gas isotherm.csv --candidate 3f2a --source 10.1021/xyz",
            "sorbus measure add runs/co2_flue_gas --candidate 3f2a --property vsa_working_capacity --value 1.9 "
            "--std 0.1 --unit mol/kg --source 'our lab, batch 4'",
            "sorbus measure list runs/co2_flue_gas",
            "sorbus measure calibrate runs/co2_flue_gas --gas CO2 --out calibration.json",
            "sorbus measure apply runs/co2_flue_gas calibration.json --out runs/co2_flue_gas/calibrated",
        ],
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    read = actions.add_parser("read", help="print isotherms in Pa and mol/kg, with what was left out")
    read.add_argument("files", nargs="+", metavar="FILE", help=".csv, .aif, .json or single_gas*.csv.gz")
    _add_options(read)
    read.set_defaults(run=_read)

    add = actions.add_parser("add", help="enter isotherms or a single figure for a candidate of a run")
    add.add_argument("folder", metavar="RUN", help="a run folder with store.sqlite")
    add.add_argument("files", nargs="*", metavar="FILE", help=".csv, .aif or .json")
    add.add_argument("--candidate", metavar="ID", help="id, its first letters, proposal number, formula or file name")
    add.add_argument("--property", metavar="NAME", help="a single figure: the property it stands before")
    add.add_argument("--value", type=float, help="of --property")
    add.add_argument("--std", type=float, help="one standard error of --value")
    add.add_argument("--unit", help="of --property")
    add.add_argument("--method", default="", help="how --value was measured, such as breakthrough")
    _add_options(add)
    add.set_defaults(run=_add)

    listing = actions.add_parser("list", help="measured figures of a run beside the computed ones")
    listing.add_argument("folder", metavar="RUN")
    listing.set_defaults(run=_list)

    fit = actions.add_parser("calibrate", help="fit ln(measured/computed) over the measured candidates of runs")
    fit.add_argument("folders", nargs="+", metavar="RUN")
    fit.add_argument("--gas", default="CO2", help="default CO2")
    fit.add_argument("--out", default="calibration.json", metavar="FILE", help="default calibration.json")
    fit.set_defaults(run=_calibrate)

    apply = actions.add_parser("apply", help="rank a run with calibrated uptakes, into a folder of its own")
    apply.add_argument("folder", metavar="RUN")
    apply.add_argument("calibration", metavar="CALIBRATION")
    apply.add_argument("--out", required=True, metavar="FOLDER", help="where ranking.csv and report.html go")
    apply.set_defaults(run=_apply)


def _add_options(parser: argparse.ArgumentParser) -> None:
    """What a file does not say, or says wrong."""
    words = {
        "gas": "formula or name",
        "temperature": "K, or with unit: 25 C",
        "material": "what the laboratory calls it",
        "source": "DOI, or who measured it",
        "kind": "excess, absolute or unknown",
        "density": "kg/m3, for loadings a volume",
        "cell_mass": "g/mol of a unit cell, for molecules a unit cell",
        "saturation_pressure": "Pa, for relative pressures",
        "pressure_unit": "of the pressure column",
        "loading_unit": "of the loading column",
    }
    for name in _OPTIONS:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help=words[name])


def _options(arguments: argparse.Namespace) -> dict[str, str | None]:
    return {name: getattr(arguments, name) for name in _OPTIONS}


def _read(arguments: argparse.Namespace) -> int:
    """Print every isotherm; a broken one says why."""
    from screening.experiments.entering import isotherm_text
    from screening.experiments.read import read_isotherms

    sound = 0
    for path in arguments.files:
        for found in read_isotherms(path, _options(arguments)):
            if found.isotherm is None:
                print(f"{found.name}: {found.error}\n")
            else:
                print(f"{isotherm_text(found.isotherm)}\n")
                sound += 1
    print(f"{sound} isotherms read")
    return 0 if sound else 2


def _add(arguments: argparse.Namespace) -> int:
    """Enter measurements and write the run's ranking and report again."""
    from screening.discovery import read_snapshot, write_results
    from screening.experiments.entering import check_figure, enter_measurements, find_candidate
    from screening.experiments.read import read_isotherms
    from screening.experiments.record import figure_measurement, isotherm_measurement

    if bool(arguments.files) == bool(arguments.property):
        raise InputError("name isotherm files, or one --property with its --value: one of the two")
    snapshot = read_snapshot(arguments.folder)
    identity = find_candidate(snapshot, arguments.candidate, arguments.material)
    if arguments.property:
        if arguments.value is None or arguments.unit is None:
            raise InputError(f"--property {arguments.property} needs --value and --unit")
        figure = figure_measurement(
            arguments.property,
            arguments.value,
            arguments.unit,
            std=arguments.std,
            source=arguments.source or "",
            material=arguments.material or "",
            method=arguments.method,
        )
        remark = check_figure(snapshot, arguments.property, arguments.unit)
        if remark:
            print(remark)
        measurements = [figure]
    else:
        reads = [found for path in arguments.files for found in read_isotherms(path, _options(arguments))]
        for found in reads:
            if found.isotherm is None:
                print(f"not entered: {found.error}")
        measurements = [
            isotherm_measurement(r.isotherm, material=arguments.material or "", source=arguments.source or "")
            for r in reads
            if r.isotherm is not None
        ]
        if not measurements:
            return 2
    print(enter_measurements(arguments.folder, identity, measurements))
    result = write_results(read_snapshot(arguments.folder), arguments.folder)
    print(f"\n{result.text}\n\n{result.folder / 'report.html'}")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    """Measured beside computed."""
    from screening.discovery import read_snapshot
    from screening.experiments.entering import measured_text

    print(measured_text(read_snapshot(arguments.folder)))
    return 0


def _calibrate(arguments: argparse.Namespace) -> int:
    """Fit a calibration over the runs' measured candidates."""
    from screening.discovery import read_snapshot
    from screening.experiments.calibration import save_calibration
    from screening.experiments.entering import calibration_of_snapshots

    calibration = calibration_of_snapshots([read_snapshot(folder) for folder in arguments.folders], arguments.gas)
    save_calibration(calibration, arguments.out)
    print(
        f"{calibration.text}\nmedian measured/computed over materials {calibration.median_ratio:.3g}\n{arguments.out}"
    )
    return 0


def _apply(arguments: argparse.Namespace) -> int:
    """Rank with calibrated uptakes; the store keeps what was computed."""
    from pathlib import Path

    from screening.discovery import read_snapshot, write_results
    from screening.experiments.calibration import calibrated_snapshot, load_calibration

    if Path(arguments.out).resolve() == Path(arguments.folder).resolve():
        raise InputError(f"--out {arguments.out} is the run folder: name another, or the run's own results are lost")
    calibration = load_calibration(arguments.calibration)
    result = write_results(calibrated_snapshot(read_snapshot(arguments.folder), calibration), arguments.out)
    print(f"{result.text}\n\n{result.folder / 'report.html'}")
    return 0
