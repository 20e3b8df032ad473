import itertools

import numpy as np
import pytest

from diptych.pretrain.evaluators import ranking
from diptych.pretrain.evaluators.ranking import random_recall, ranks


def unit_rows(rng, count, width=8):
    rows = rng.normal(size=(count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def rank_by_definition(queries, keys, query_ids, key_ids):
    """Sorts each query's keys by score, wrong ones first among equals, and looks for the first right one."""
    found = []
    for query, query_id in zip(queries, query_ids):
        order = sorted((-float(np.dot(query, key)), key_id == query_id) for key, key_id in zip(keys, key_ids))
        wrong_before = [right for _, right in order].index(True)
        found.append(1 + wrong_before)
    return found


def grid_rows(rng, count):
    """Vectors of small integers: scores are exact in float32, with many ties."""
    return rng.integers(-2, 3, (count, 4)).astype(np.float32)


@pytest.mark.parametrize("rows", [unit_rows, grid_rows])
def test_ranks_are_those_of_the_definition(mesh, rows):
    rng = np.random.default_rng(0)
    queries, keys, key_ids = rows(rng, 37), rows(rng, 53), rng.integers(0, 20, 53)
    query_ids = rng.choice(key_ids, 37)
    found = ranks(queries, keys, query_ids=query_ids, key_ids=key_ids, mesh=mesh)
    assert found.tolist() == rank_by_definition(queries, keys, query_ids, key_ids)


def test_chunks_change_nothing(mesh, monkeypatch):
    rng = np.random.default_rng(1)
    rows, ids = unit_rows(rng, 41), np.arange(41)
    noisy = rows + 1.5 * unit_rows(rng, 41)
    whole = ranks(rows, noisy, query_ids=ids, key_ids=ids, mesh=mesh)
    monkeypatch.setattr(ranking, "SCORES_A_DEVICE", 3 * 41)
    assert ranks(rows, noisy, query_ids=ids, key_ids=ids, mesh=mesh).tolist() == whole.tolist()
    assert len(set(whole.tolist())) > 3


@pytest.mark.parametrize("value", [0.25, 0.0, np.nan])
@pytest.mark.parametrize("count", [24, 37])
def test_a_collapsed_model_ranks_last(mesh, value, count):
    rows, ids = np.full((count, 16), value, np.float32), np.arange(count)
    assert ranks(rows, rows, query_ids=ids, key_ids=ids, mesh=mesh).tolist() == [count] * count


def test_equal_keys_tie_whatever_their_place(mesh):
    rng = np.random.default_rng(2)
    one, query = unit_rows(rng, 1, 48), unit_rows(rng, 16, 48)
    keys, ids = np.repeat(one, 75, axis=0), np.arange(75)
    assert ranks(query, keys, query_ids=ids[:16], key_ids=ids, mesh=mesh).tolist() == [75] * 16


def test_random_recall_is_that_of_all_rankings():
    positives, candidates = np.array([1, 1, 2, 3]), 5
    for k in range(1, candidates + 1):
        rankings = list(itertools.permutations(range(candidates)))
        hits = [np.mean([min(ranking[:k]) < count for ranking in rankings]) for count in positives]
        assert random_recall(positives, candidates=candidates)[k - 1] == pytest.approx(np.mean(hits), abs=1e-12)
