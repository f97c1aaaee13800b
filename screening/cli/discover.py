"""`sorbus discover`: from a question in YAML to a ranked list, a store and a report."""

import argparse

from screening.cli.arguments import add_config_options, split_inputs, verb_parser


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verb_parser(
        verbs,
        "discover",
        "Run a campaign: propose, relax, measure, rank. Run the same command again to resume.",
        [
            "sorbus discover configs/discover/co2_flue_gas.yaml",
            "sorbus discover configs/discover/co2_flue_gas.yaml proposer.count=200 seed=7 --out runs/bigger",
            "sorbus discover configs/discover/co2_flue_gas.yaml --print-config",
        ],
    )
    add_config_options(parser, positional="the campaign's YAML file")
    parser.add_argument("--out", metavar="FOLDER", help="run folder (default runs/<name>)")
    parser.add_argument("--fresh", action="store_true", help="set an earlier run of this folder aside and start over")
    parser.add_argument(
        "--wandb", choices=["off", "offline", "online"], default="off", help="log to Weights & Biases (default off)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run or resume the campaign and print its ranking."""
    from potentials.config import load_config
    from potentials.errors import InputError
    from screening.campaign_config import CampaignConfig
    from screening.cli.arguments import print_config
    from screening.discovery import discover

    paths, overrides = split_inputs(arguments)
    path = paths[0] if paths else arguments.config
    if path is None or len(paths) > 1:
        raise InputError("name one campaign, e.g. sorbus discover configs/discover/co2_flue_gas.yaml")
    config = load_config(CampaignConfig, path, overrides)
    if arguments.print_config:
        return print_config(config)
    result = discover(config, folder=arguments.out, fresh=arguments.fresh, wandb=arguments.wandb, progress=True)
    print(f"\n{config.question}\n")
    print(result.text)
    print(f"\nranking  {result.folder / 'ranking.csv'}\nreport   {result.folder / 'report.html'}")
    return 0
