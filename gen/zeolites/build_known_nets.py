"""Make `known_nets.json.gz`: `python -m gen.zeolites.build_known_nets` (a quarter of an hour on one core)."""

import gzip
import json
import logging

from tqdm import tqdm

from gen.zeolites.atlas import read_atlas
from gen.zeolites.framework import Framework
from gen.zeolites.known_nets import TABLE, KnownNet, to_payload
from gen.zeolites.nets import four_connected_nets, silica_of_net
from gen.zeolites.topology import signature
from potentials.errors import InputError
from potentials.files import write_atomic

MAX_SILICON = 120  # in the primitive cell; larger nets than that are not generated
logger = logging.getLogger(__name__)


def main() -> None:
    """Read every net, write the table."""
    logging.basicConfig(level=logging.INFO)
    nets = []
    for name in tqdm(four_connected_nets(), desc="RCSR", unit="net"):
        try:
            nets.append(known_net(name, "RCSR", silica_of_net(name, MAX_SILICON)))
        except InputError as error:
            logger.info("%s", error)
    for code, found in tqdm(read_atlas(MAX_SILICON), desc="IZA", unit="net"):
        if isinstance(found, Framework):
            nets.append(known_net(code, "IZA", found))
        else:
            logger.info("%s: %s", code, found)
    text = json.dumps(to_payload(nets), separators=(",", ":")).encode()
    write_atomic(TABLE, gzip.compress(text, mtime=0))
    logger.info("%d nets in %s", len(nets), TABLE)


def known_net(name: str, source: str, framework: Framework) -> KnownNet:
    """The table's line of a framework."""
    return KnownNet(name, source, framework.n_silicon, signature(*framework.edges(), framework.n_silicon))


if __name__ == "__main__":
    main()
