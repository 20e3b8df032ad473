import itertools

import numpy as np
import pytest

from diptych.data.order import ExactShuffle, generator, others, positions
from diptych.data.permutation import mix, permuted


def exact(samples, key=7):
    return ExactShuffle(np.array([samples]), key=key)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 16, 40, 1000, 65_537])
def test_permutations_hold_every_place_once(size):
    for key in (0, 1, 1 << 63):
        assert sorted(permuted(place, size, key) for place in range(size)) == list(range(size))


def test_small_permutations_are_all_equally_likely():
    found = [tuple(permuted(place, 4, mix(key)) for place in range(4)) for key in range(4800)]
    counts = [found.count(order) for order in itertools.permutations(range(4))]
    assert min(counts) > 140 and max(counts) < 260  # 200 expected, standard deviation 14


def test_a_permutation_looks_random():
    size = 30_011
    places = np.array([permuted(place, size, 42) for place in range(size)])
    for lag in (1, 2, 173, 174):  # 174: the columns of the network's rectangle
        steps, times = np.unique((places[lag:] - places[:-lag]) % size, return_counts=True)
        assert times.max() <= 9 and abs(len(steps) / size - 0.632) < 0.01
        assert abs(np.corrcoef(places[lag:], places[:-lag])[0, 1]) < 0.025
    shards = np.array([np.bincount(part // 301, minlength=100) for part in places[:30_000].reshape(30, 1000)])
    assert abs(((shards - 10) ** 2 / 10).sum(1).mean() - 96) < 8


def test_mix_depends_on_every_part():
    assert len({mix(*parts) for parts in itertools.product((0, 1, 1 << 40), repeat=3)}) == 27


@pytest.mark.parametrize("samples", [1, 2, 3, 40, 1000])
def test_each_epoch_visits_every_sample_once(samples):
    order = exact(samples)
    for epoch in (0, 1, 10**12):
        assert sorted(order(0, epoch * samples + place) for place in range(samples)) == list(range(samples))


def test_epochs_and_keys_have_orders_of_their_own():
    draws = [np.array([exact(1000, key)(0, epoch * 1000 + place) for place in range(1000)]) for key in (0, 1) for epoch in (0, 1)]
    assert all((one == two).mean() < 0.01 for one, two in itertools.combinations(draws, 2))


@pytest.mark.parametrize("samples", [1, 2, 9, 40])
def test_substitutes_are_all_the_others_of_the_epoch(samples):
    order = exact(samples)
    for place in (0, samples + 1, 10**12):
        assert sorted([order(0, place), *order.substitutes(0, place)]) == list(range(samples))
    assert list(exact(40).substitutes(0, 3)) == list(exact(40).substitutes(0, 3)) != list(exact(40).substitutes(0, 43))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_others(size):
    for offset, key in itertools.product(range(size), (0, 5, 1 << 60)):
        assert sorted([offset, *others(offset, size, key)]) == list(range(size))


def test_rows_of_a_batch_are_ordered_by_stream():
    assert positions(24, 12, np.arange(12), streams=4).tolist() == [24, 28, 32, 25, 29, 33, 26, 30, 34, 27, 31, 35]
    assert positions(24, 12, np.array([3, 4, 11]), streams=4).tolist() == [25, 29, 35]
    assert positions(5, 12, np.arange(12), streams=1).tolist() == list(range(5, 17))


def test_generators_differ_by_seed_position_and_stream():
    draws = {(seed, at, name): generator(seed, at, name).random() for seed in (0, 1) for at in (0, 1, 10**12) for name in ("a", "b")}
    assert len(set(draws.values())) == len(draws)
    assert generator(1, 10**12, "a").random() == draws[1, 10**12, "a"]


def test_generator_draws_are_uniform_over_positions():
    draws = np.array([generator(0, position, "augment").random(2) for position in range(4000)])
    assert abs(draws.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.05
