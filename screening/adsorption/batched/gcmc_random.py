"""Random numbers of the compiled Monte Carlo: one generator a replica, and turns drawn from it. Imports numba.

xoshiro256+ (D. Blackman, S. Vigna, ACM Trans. Math. Softw. 47, 36 (2021)); a state is uint64 [4].
"""

import math

from numba import njit, uint64


@njit(cache=True, inline="always", error_model="numpy")
def _rotl(x, k):
    return (x << uint64(k)) | (x >> uint64(64 - k))


@njit(cache=True, error_model="numpy")
def uniform(s):
    """A number in [0, 1)."""
    result = s[0] + s[3]
    t = s[1] << uint64(17)
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = _rotl(s[3], 45)
    return float(result >> uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True, error_model="numpy")
def random_turn(random, turn):
    """Write a rotation matrix drawn uniformly into `turn` [3, 3] (K. Shoemake, Graphics Gems III, 124 (1992))."""
    u, v, w = uniform(random), 2.0 * math.pi * uniform(random), 2.0 * math.pi * uniform(random)
    quaternion_turn(
        math.sqrt(1.0 - u) * math.sin(v),
        math.sqrt(1.0 - u) * math.cos(v),
        math.sqrt(u) * math.sin(w),
        math.sqrt(u) * math.cos(w),
        turn,
    )


@njit(cache=True, error_model="numpy")
def quaternion_turn(x, y, z, s, turn):
    """Write the rotation of a unit quaternion, scalar part last, into `turn` [3, 3]."""
    turn[0, 0], turn[0, 1], turn[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - s * z), 2 * (x * z + s * y)
    turn[1, 0], turn[1, 1], turn[1, 2] = 2 * (x * y + s * z), 1 - 2 * (x * x + z * z), 2 * (y * z - s * x)
    turn[2, 0], turn[2, 1], turn[2, 2] = 2 * (x * z - s * y), 2 * (y * z + s * x), 1 - 2 * (x * x + y * y)
