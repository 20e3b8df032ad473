import jax
import jax.numpy as jnp

from diptych.sharding.flops import count_flops


def test_loops_gradients_and_nested_calls_are_counted():
    w, x = jnp.ones((3, 4, 4)), jnp.ones((2, 4))

    def loss(w, x):
        body = jax.jit(lambda x, layer: (x @ layer, None))
        return jax.lax.scan(body, x, w)[0].sum()

    product = 2 * 2 * 4 * 4
    assert count_flops(loss, w, x) == 3 * product
    assert count_flops(jax.grad(loss), w, x) == 9 * product, "forward, and two products a layer for the gradient"


def test_batched_products():
    assert count_flops(lambda a, b: jnp.einsum("bij,bjk->bik", a, b), jnp.ones((5, 2, 3)), jnp.ones((5, 3, 7))) == 2 * 5 * 2 * 3 * 7
