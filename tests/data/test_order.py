import numpy as np
import pytest

from diptych.data.order import TABLE, Order, generator


@pytest.mark.parametrize("samples", [1, 2, 3, 40, 1000, TABLE, TABLE + 1, 2 * TABLE + 1])
def test_each_epoch_visits_every_sample_once(samples):
    for epoch in (0, 10**12 // samples):
        seen = Order(7, samples).many(epoch * samples, samples)
        assert np.array_equal(np.sort(seen), np.arange(samples))


@pytest.mark.parametrize("samples", [1000, TABLE + 1])
def test_epochs_and_seeds_have_orders_of_their_own(samples):
    first = Order(0, samples).many(0, 2000)
    assert (first == Order(0, samples).many(samples, 2000)).mean() < 0.02
    assert (first == Order(1, samples).many(0, 2000)).mean() < 0.02
    assert (Order(1, samples).many(0, 2000) == Order(0, samples).many(samples, 2000)).mean() < 0.02


def test_many_crosses_epochs():
    order = Order(3, 10)
    assert order.many(7, 25).tolist() == [order(position) for position in range(7, 32)]


@pytest.mark.parametrize("samples", [2, 9, 40, TABLE + 5])
def test_substitutes_are_others_of_the_same_epoch(samples):
    order = Order(5, samples)
    for position in (0, samples + 1, 10**12):
        attempts = range(1, min(samples, 9))
        found = [order.substitute(position, attempt) for attempt in attempts]
        assert len({order(position), *found}) == 1 + len(attempts)
        assert found == [order.substitute(position, attempt) for attempt in attempts]
    with pytest.raises(IndexError, match="no substitute"):
        order.substitute(0, samples)


def test_generators_differ_by_seed_position_and_stream():
    draws = {(seed, at, name): generator(seed, at, name).random() for seed in (0, 1) for at in (0, 1, 10**12) for name in ("a", "b")}
    assert len(set(draws.values())) == len(draws)
    assert generator(1, 10**12, "a").random() == draws[1, 10**12, "a"]


def test_generator_draws_are_uniform_over_positions():
    draws = np.array([generator(0, position, "augment").random(2) for position in range(4000)])
    assert abs(draws.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.05
