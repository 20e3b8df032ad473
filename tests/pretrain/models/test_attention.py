import jax
import jax.numpy as jnp
import pytest

from diptych.pretrain.models import attention
from diptych.pretrain.models.attention import attend, parts_of


def test_in_as_few_parts_as_fit():
    assert parts_of(128, of=2**19) == 1
    assert parts_of(128, of=2**20) == 2
    assert parts_of(12, of=2**24) == 3
    assert parts_of(7, of=2**24) == 7, "a prime number of samples"
    assert parts_of(3, of=2**30) == 3, "one sample is never divided"


@pytest.mark.parametrize("mask", ["none", "shared", "own"])
def test_parts_are_the_same_function(monkeypatch, mask):
    q, k, v, direction = (jax.random.normal(key, (8, 5, 2, 4)) for key in jax.random.split(jax.random.key(0), 4))
    masks = {"none": None, "shared": jnp.tril(jnp.ones((5, 5), bool))[None, None]}
    masks["own"] = jnp.arange(5)[None, None, None] <= jnp.arange(8)[:, None, None, None] % 5

    def value(q, k, v):
        return jnp.sum(attend(q, k, v, mask=masks[mask]) * direction)

    whole = jax.value_and_grad(value, (0, 1, 2))(q, k, v)
    monkeypatch.setattr(attention, "LOGITS_BYTES", 2 * 4 * 2 * 5 * 5)
    assert "scan" in str(jax.make_jaxpr(value)(q, k, v))
    in_parts = jax.value_and_grad(value, (0, 1, 2))(q, k, v)
    assert jax.tree.all(jax.tree.map(lambda a, b: jnp.allclose(a, b, rtol=1e-6, atol=1e-6), whole, in_parts))
