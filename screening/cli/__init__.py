"""The `sorbus` command. Each verb parses, calls one public function and prints; nothing heavy is imported here."""

import sys
from collections.abc import Sequence

from potentials.errors import SorbusError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code.

    0 done; 2 the input cannot be used (one sentence on stderr); 130 interrupted. A bug keeps its traceback.
    """
    from screening.cli.parser import build_parser

    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and (any(word.startswith("-") for word in rest) or not hasattr(arguments, "inputs")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:  # argparse takes positional words only up to the first option between them
        arguments.inputs += rest
    try:
        return arguments.run(arguments) or 0
    except SorbusError as error:
        print(f"sorbus {arguments.verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"sorbus {arguments.verb}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `sorbus show … | head`
        sys.stderr.close()
        return 0


def run() -> None:
    """Console-script entry point."""
    sys.exit(main())
