"""Chance that can be asked for again: orders and draws that follow from a key alone. Imports no torch."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Draws = NDArray[np.uint64]
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_ROUND_CONSTANTS = [np.uint64(number * _GOLDEN % 2**64) for number in range(6)]


class Order:
    """The order in which things are seen: each once per epoch, every epoch in another order.

    A keyed permutation of ``0 .. count - 1``: a Feistel network over the next power of four, walked along its cycles
    until the value is in range (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). All of it is
    whole-number arithmetic on 64 bits, so every machine and version computes the same order, and any place in it can
    be asked for first: a resumed run needs no data position.

    Parameters
    ----------
    count
        How many things there are.
    seed, fingerprint
        Key of the order; ``fingerprint`` names the things.
    """

    def __init__(self, count: int, *, seed: int, fingerprint: str) -> None:
        self.count = count
        self._key = key_of(seed, fingerprint)
        self._half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))

    def take(self, first: int, number: int) -> tuple[Draws, Draws]:
        """Return the things at places ``first .. first + number - 1`` of the order, and the keys of their epochs."""
        order = np.arange(first, first + number, dtype=np.uint64)
        epoch, place = np.divmod(order, np.uint64(self.count))
        key = mix(self._key + epoch)
        return self._permuted(place, key), key

    def _permuted(self, place: Draws, key: Draws) -> Draws:
        value = self._feistel(place, key)
        outside = np.flatnonzero(value >= self.count)
        while outside.size:
            value[outside] = self._feistel(value[outside], key[outside])
            outside = outside[value[outside] >= self.count]
        return value

    def _feistel(self, value: Draws, key: Draws) -> Draws:
        mask = (np.uint64(1) << self._half) - np.uint64(1)
        left, right = value >> self._half, value & mask
        for constant in _ROUND_CONSTANTS:
            left, right = right, left ^ (mix(right ^ (key + constant)) & mask)
        return (left << self._half) | right


def key_of(*parts: object) -> np.uint64:
    """Return 64 bits that follow from the parts alone."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def mix(words: Draws) -> Draws:
    """Scramble 64-bit words: the output function of SplitMix64 (Steele, Lea and Flood, 2014)."""
    words = words + np.uint64(_GOLDEN)
    words = (words ^ (words >> np.uint64(30))) * _MIX_1
    words = (words ^ (words >> np.uint64(27))) * _MIX_2
    return words ^ (words >> np.uint64(31))


def draws(key: np.uint64, number: int) -> Draws:
    """Return so many words of 64 bits that look random and follow from the key."""
    start, places = np.array([int(key)], dtype=np.uint64), np.arange(number, dtype=np.uint64)
    return mix(np.add(mix(start), places, dtype=np.uint64))


def shares(words: Draws) -> NDArray[np.float64]:
    """Turn words into numbers from 0 to below 1."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
