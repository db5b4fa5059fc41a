"""Sobol points: every prefix of the sequence fills the unit cube evenly."""

import numpy as np

BITS = 30
# Of each dimension after the first: a primitive polynomial over GF(2), as the bits of a whole
# number, and the initial direction numbers (Joe and Kuo, new-joe-kuo-6).
DIRECTIONS = """
3: 1; 7: 1 3; 11: 1 3 1; 13: 1 1 1; 19: 1 1 3 3; 25: 1 3 5 13; 37: 1 1 5 5 17; 41: 1 1 5 5 5;
47: 1 1 7 11 19; 55: 1 1 5 1 1; 59: 1 1 1 3 11; 61: 1 3 5 5 31; 67: 1 3 3 9 7 49;
91: 1 1 1 15 21 21; 97: 1 3 1 13 27 49; 103: 1 1 1 15 7 5; 109: 1 3 1 15 13 25;
115: 1 1 5 5 19 61; 131: 1 3 7 11 23 15 103; 137: 1 3 7 13 13 15 69; 143: 1 1 3 13 7 35 63;
145: 1 3 5 9 1 25 53; 157: 1 3 1 13 9 35 107; 167: 1 3 1 5 27 61 31; 171: 1 1 5 11 19 41 61;
185: 1 3 5 3 3 13 69; 191: 1 1 7 13 1 19 1; 193: 1 3 7 5 13 19 59; 203: 1 1 3 9 25 29 41;
211: 1 3 5 13 23 1 55; 213: 1 3 7 3 13 59 17; 229: 1 3 1 3 5 53 69; 239: 1 1 5 5 23 33 13;
241: 1 1 7 7 1 61 123; 247: 1 1 7 9 13 61 49; 253: 1 3 3 5 3 55 33; 285: 1 3 1 15 31 13 49 245;
299: 1 3 5 15 31 59 63 97; 301: 1 3 1 11 11 11 77 249; 333: 1 3 1 11 27 43 71 9;
351: 1 1 7 15 21 11 81 45; 355: 1 3 7 3 25 31 65 79; 357: 1 3 1 1 19 11 3 205;
361: 1 1 5 9 19 21 29 157; 369: 1 3 7 11 1 33 89 185; 391: 1 3 3 3 15 9 79 71;
397: 1 3 7 11 15 39 119 27; 425: 1 1 3 1 11 31 97 225; 451: 1 1 1 3 23 43 57 177;
463: 1 3 7 7 17 17 37 71; 487: 1 3 1 5 27 63 123 213; 501: 1 1 3 5 11 43 53 133;
529: 1 3 5 5 29 17 47 173 479; 539: 1 3 3 11 3 1 109 9 69; 545: 1 1 1 5 17 39 23 5 343;
557: 1 3 1 5 25 15 31 103 499; 563: 1 1 1 11 11 17 63 105 183; 601: 1 1 5 11 9 29 97 231 363;
607: 1 1 5 15 19 45 41 7 383; 617: 1 3 7 7 31 19 83 137 221; 623: 1 1 1 3 23 15 111 223 83;
631: 1 1 5 13 31 15 55 25 161; 637: 1 1 3 13 25 47 39 87 257
"""
MAX_DIMENSIONS = 1 + DIRECTIONS.count(":")


class Sobol:
    """A scrambled Sobol sequence.

    A random linear scramble and a random digital shift (Matousek) keep its evenness: of any
    aligned `2**k` points, every interval `[i / 2**k, (i + 1) / 2**k)` of every axis has one.

    Args:
        dimensions: of the cube, at most 64.
        seed: a whole number; the points follow from it on any platform.

    Example:

    >>> from tuners.sobol import Sobol
    >>> points = Sobol(3, seed=0).draw(16)
    >>> [len(set(np.floor(16 * axis))) for axis in points.T]
    [16, 16, 16]

    Reference:
        Joe and Kuo, Constructing Sobol sequences with better two-dimensional projections, 2008;
        Matousek, On the L2-discrepancy for anchored boxes, 1998.
    """

    def __init__(self, dimensions, seed=0):
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise ValueError(
                f"`dimensions` must be from 1 to {MAX_DIMENSIONS}. "
                f"Received: dimensions={dimensions!r}"
            )
        rng = np.random.default_rng(seed)
        self.directions = _scramble(_direction_numbers()[:dimensions], rng)
        self.shift = rng.integers(2**BITS, size=dimensions)
        self.drawn = 0

    def draw(self, n):
        """The next `n` points: an array `(n, dimensions)` in [0, 1)."""
        if self.drawn + n > 2**BITS:
            raise ValueError(f"The sequence has {2**BITS} points. Received: n={n!r} more")
        index = np.arange(self.drawn, self.drawn + n)
        self.drawn += n
        points = np.tile(self.shift, (n, 1))
        for bit in range(int(index[-1]).bit_length() if n else 0):
            points ^= np.where((index >> bit & 1)[:, None], self.directions[:, bit], 0)
        return points / 2**BITS


def _direction_numbers():
    """`(MAX_DIMENSIONS, BITS)` whole numbers of `BITS` bits: Joe and Kuo's recurrence."""
    numbers = [[1] * BITS]
    for row in DIRECTIONS.split(";"):
        polynomial, initial = row.split(":")
        polynomial, m = int(polynomial), [int(number) for number in initial.split()]
        degree = polynomial.bit_length() - 1
        for k in range(degree, BITS):
            value = m[k - degree]
            for j in range(1, degree + 1):
                if polynomial >> (degree - j) & 1:
                    value ^= m[k - j] << j
            m.append(value)
        numbers.append(m)
    return np.array(numbers) << np.arange(BITS - 1, -1, -1)


def _scramble(directions, rng):
    """Each axis' digits times a random lower triangular binary matrix, most significant first."""
    places = np.arange(BITS - 1, -1, -1)
    digits = directions[:, None] >> places[:, None] & 1  # axis, digit, direction
    matrix = np.tril(rng.integers(2, size=(len(directions), BITS, BITS)), -1) + np.eye(
        BITS, dtype=int
    )
    return (matrix @ digits % 2 << places[:, None]).sum(axis=1)
