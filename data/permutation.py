"""A permutation of 0..n-1 that is computed place by place: no table, no state."""

from __future__ import annotations

import math

ROUNDS = 8  # with 4, differences between neighbours repeat; 8 is clean
MASK = (1 << 64) - 1
ODD = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # of splitmix64 (Steele et al., 2014)


def mix(*parts: int) -> int:
    """A number of 64 bits that depends on all of `parts` and on their order: splitmix64's finaliser, chained. 0.3 us a part."""
    state = ODD[0]
    for part in parts:
        state = ((state ^ (part & MASK)) + ODD[0]) & MASK
        state = ((state ^ (state >> 30)) * ODD[1]) & MASK
        state = ((state ^ (state >> 27)) * ODD[2]) & MASK
        state ^= state >> 31
    return state


def permuted(place: int, size: int, key: int) -> int:
    """Where `place` of 0..size-1 goes in the permutation that `key`, of 64 bits, names. 4 us, whatever the size.

    A Feistel network on a rectangle that just holds `size` places, walked until it ends inside (Black and Rogaway, 2002, section 5).
    """
    rows = math.isqrt(size - 1) + 1 if size > 1 else 1
    columns = -(-size // rows)
    while True:
        row, column = divmod(place, columns)
        state = key
        for _ in range(ROUNDS // 2):
            state = (state + ODD[0]) & MASK
            hashed = ((column ^ state) * ODD[1]) & MASK
            row = (row + (((hashed ^ (hashed >> 32)) * ODD[2] & MASK) >> 32)) % rows
            state = (state + ODD[0]) & MASK
            hashed = ((row ^ state) * ODD[1]) & MASK
            column = (column + (((hashed ^ (hashed >> 32)) * ODD[2] & MASK) >> 32)) % columns
        place = row * columns + column
        if place < size:
            return place
