"""From thresholds to the fabric's requantization: bias, multiplier and shift that reach each level at the very same sum.

One bit:        y = clip(2 * (acc + bias) + 1, -1, 1), bias = -threshold: any threshold is exact.
More levels:    y = clip(round((acc + bias) * multiplier * 2**(shift - 31)) + zero_point, low, high). Its edges lie evenly, so
                it takes thresholds that do. Level zero_point + k is reached by all sums + bias that are at least

                    ceil(((2 * k - 1) << (30 - shift)) / multiplier)                                            one rounding
                    ceil((((k << right) - (1 << right >> 1) + away << 31) - 2**30) / multiplier / 2**left)      two

                (away: halves below 0 round down, so 1 where k <= 0 < right; a smaller multiplier with a shift of 0 rounds
                once). Multipliers are tried in the region that the thresholds leave, and the first that gives every one of
                them is taken.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ...sim.errors import ModelError
from ...sim.golden import quantize_multiplier
from ..ir import NumberArray, Requant
from .qonnx_values import Float64Array, Int64Array

_LEFT = 7  # largest shift to the left: hw.isa.MAX_LEFT_SHIFT, which a front end needs not know
_RIGHT = 22  # largest to the right
_WIDE_RIGHT = 31  # the same of numbers of more than 8 bits
_PAIRS = 1024  # levels that are compared with one another
_TRIES = 48  # biases that are tried
_REACH = 1 << 30  # of a bias
_WIDE_REACH = 1 << 34
_EXPONENT = 32  # of two, that a level or the rest of a division can be multiplied by
_Ends = Sequence[tuple[float, int]]


def sign_requant(thresholds: Int64Array, *, wide: bool = False) -> tuple[NumberArray, Requant]:
    """(bias, requant) of one bit; a threshold a channel."""
    channels = len(thresholds)
    requant = Requant(
        multiplier=np.full(channels, 1 << 30, np.int32),
        shift=np.full(channels, 2, np.int32),
        zero_point=1,
        low=-1,
        high=1,
        once=wide,
    )
    return -thresholds if wide else (-thresholds).astype(np.int32), requant


def level_requant(
    thresholds: Int64Array,
    *,
    lows: Int64Array,
    highs: Int64Array,
    low: int,
    high: int,
    zero_point: int,
    once: bool,
    wide: bool = False,
) -> tuple[NumberArray, Requant]:
    """(bias, requant) of low..high; thresholds (high - low, channels), sums in lows..highs, `once` as a fully-connected layer
    rounds, and `wide` layers, of numbers of more than 8 bits. `zero_point` is the level of the real 0. Raises ModelError where
    no multiplier does it."""
    failed: list[int] = []
    channels = thresholds.shape[1]
    for point in dict.fromkeys((zero_point, low, *([0] if wide else []))):
        if not -128 <= point <= 127:
            continue  # a byte holds it
        result, failed = _fit_all(thresholds, lows, highs, np.arange(low + 1, high + 1) - point, once, wide)
        if not failed:
            bias, multiplier, shift = result[0], *result[1:].astype(np.int32)
            requant = Requant(multiplier=multiplier, shift=shift, zero_point=point, low=low, high=high, once=wide)
            return bias if wide else bias.astype(np.int32), requant
    raise ModelError(
        f"the levels of {len(failed)} of its {channels} channels (the first is {failed[0]}) do not lie evenly on whole sums, as"
        " a multiplier and a whole bias place them: use a scale that is a power of two with rounding mode FLOOR, a bias in the"
        " unit of the sums in place of batch normalization, or one bit"
    )


def _fit_all(
    thresholds: Int64Array, lows: Int64Array, highs: Int64Array, levels: Int64Array, once: bool, wide: bool
) -> tuple[Int64Array, list[int]]:
    """(bias, multiplier, shift) a channel as (3, channels), and the channels that have none."""
    channels = thresholds.shape[1]
    found: dict[tuple[int, ...], tuple[int, int, int] | None] = {}
    result = np.zeros((3, channels), np.int64)
    failed: list[int] = []
    for channel in range(channels):
        column, least, most = thresholds[:, channel], int(lows[channel]), int(highs[channel])
        key = least, most, *column.tolist()
        if key not in found:
            found[key] = _fit(column, levels, least, most, once, wide)
        fit = found[key]
        if fit is None:
            failed.append(channel)
        else:
            result[:, channel] = fit
    return result, failed


def edges(levels: Int64Array, multiplier: int, shift: int, once: bool) -> Int64Array:
    """The smallest sum + bias that reaches each of the levels, which count from the zero point."""
    if once:
        return _divided(2 * levels - 1, 30 - shift, multiplier)
    right, left = max(-shift, 0), max(shift, 0)
    halves = (levels << right) - (1 << right >> 1) + ((levels <= 0) & (right > 0))
    whole = -(-((halves << 31) - (1 << 30)) // multiplier)
    return -(-whole // (1 << left))


def _divided(numbers: Int64Array, exponent: int, multiplier: int) -> Int64Array:
    """ceil(numbers * 2**exponent / multiplier), in two steps: what is divided may need more than 64 bits."""
    first = min(exponent, _EXPONENT)
    whole, rest = np.divmod(numbers << first, multiplier)
    return (whole << (exponent - first)) - (-(rest << (exponent - first)) // multiplier)


def _fit(
    thresholds: Int64Array, levels: Int64Array, low: int, high: int, once: bool, wide: bool
) -> tuple[int, int, int] | None:
    """(bias, multiplier, shift) for one channel, or None."""
    reach, right = (_WIDE_REACH, _WIDE_RIGHT) if wide else (_REACH, _RIGHT)
    inside = (thresholds > low) & (thresholds <= high)
    always, never = thresholds <= low, thresholds > high
    beyond = [(float(levels[never].min()) - 0.5, high)] if never.any() else []
    within = [(float(levels[always].max()) - 0.5, low)] if always.any() else []
    for multiplier, shift in _candidates(levels[inside], thresholds[inside], low, high, once, beyond, within):
        if shift < -right:
            continue
        reached = edges(levels, multiplier, shift, once)
        biases = reached - thresholds
        least, most = -reach, reach
        if inside.any():
            least, most = int(biases[inside].max()), int(biases[inside].min())
        if always.any():
            least = max(least, int((reached[always] - low).max()))
        if never.any():
            most = min(most, int((reached[never] - high - 1).min()))
        if least <= most:
            return min(max(least, 0), most), multiplier, shift
    return None


def _candidates(
    levels: Int64Array, thresholds: Int64Array, low: int, high: int, once: bool, beyond: _Ends, within: _Ends
) -> Iterator[tuple[int, int]]:
    """(multiplier, shift) that may do, for the levels whose thresholds lie within the sums.

    beyond: (half, sum) of the first level that no sum reaches, the largest sum; within: of the last that all reach, the least.
    """
    if len(levels) < 2:
        first = int(thresholds[0]) if len(levels) else low
        for room in (max(high - first, first - low) + 1, high - low + 2):
            yield from _multipliers([float(room)], single=True)
        return
    k, t = levels.astype(np.float64), thresholds.astype(np.float64)
    # Of very many, some: every candidate is tried on all.
    some = np.unique(np.linspace(0, len(k) - 1, min(len(k), _PAIRS)).astype(np.int64))
    apart = k[some, np.newaxis] - k[some]
    later = apart > 0
    rises = t[some, np.newaxis] - t[some]
    narrow = float(((rises - 1)[later] / apart[later]).max())
    wide = float(((rises + 1)[later] / apart[later]).min())
    if narrow > wide:
        return
    narrow = max(narrow, 2.0**-_LEFT)
    for single in (True,) if once else (True, False):
        yield from _near(k - 0.5, t, narrow, wide, beyond, within, single=single)


def _near(
    half: Float64Array, t: Float64Array, narrow: float, wide: float, beyond: _Ends, within: _Ends, *, single: bool
) -> Iterator[tuple[int, int]]:
    """Candidates whose edges, half * period - bias, lie at the thresholds t, for periods of narrow..wide."""
    # Two roundings move an edge towards 0, by half a unit to a whole one of the sums.
    edge = t if single else t + np.sign(half) * _moved((narrow + wide) / 2)
    nearest = int(np.argmin(np.abs(half)))
    ends = half[nearest] * np.array([narrow, wide]) - edge[nearest]
    begin, end = np.floor(ends.min()) - 1, np.ceil(ends.max()) + 2
    biases = np.unique(np.round(np.linspace(begin, end, min(int(end - begin) + 1, _TRIES))))
    for bias in biases[np.argsort(np.abs(biases - (begin + end) / 2))]:
        first, second = (edge + bias - 1) / half, (edge + bias) / half
        least, most = max(float(np.minimum(first, second).max()), 2.0**-_LEFT), float(np.maximum(first, second).min())
        if least > most:
            continue
        # A level that no sum reaches asks for a longer period or a shorter one, as its half is above 0 or below.
        bounds = [((end + bias) / place, place > 0) for place, end in beyond]
        bounds += [((end + bias) / place, place < 0) for place, end in within]
        longest = min([most, *(bound for bound, lower in bounds if not lower)])
        shortest = max([least, *(bound for bound, lower in bounds if lower)])
        if shortest <= longest:
            yield from _multipliers([(shortest + longest) / 2], single=single)
        yield from _multipliers([(least + most) / 2, most, least], single=single)


def _moved(period: float) -> float:
    multiplier, _ = quantize_multiplier(1 / period)
    return 2.0**30 / multiplier if multiplier else 0.0


def _multipliers(periods: Sequence[float], *, single: bool) -> Iterator[tuple[int, int]]:
    """The multipliers next to 1 / period; `single` allows those that a kernel of two roundings rounds once with, too."""
    for period in periods:
        multiplier, shift = quantize_multiplier(1 / period)
        if single and shift < 0:
            shortened = round(2.0**31 / period)
            yield from ((near, 0) for near in (shortened, shortened + 1, shortened - 1) if near > 0)
        for near in (multiplier, multiplier + 1, multiplier - 1):
            if 1 << 30 <= near < 1 << 31 and -_WIDE_RIGHT <= shift <= _LEFT:
                yield near, shift
