"""Independent random seeds for the parts of one calculation."""

from potentials.files import sha256_json


def derive_seed(seed: int, *labels: object) -> int:
    """A 31-bit seed that depends on the base seed and on what it is for, and on nothing else."""
    return int(sha256_json([int(seed), *map(str, labels)])[:8], 16) & 0x7FFFFFFF
