import jax
import jax.numpy as jnp
import pytest

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


def test_the_dearest_branch_counts():
    w = jnp.ones((4, 4))
    branches = lambda x: jax.lax.cond(x.sum() > 0, lambda x: x @ w @ w, lambda x: x @ w, x)  # noqa: E731
    assert count_flops(branches, jnp.ones((2, 4))) == 2 * (2 * 2 * 4 * 4)


def convolution(x, kernel, **settings):
    return jax.lax.conv_general_dilated(x, kernel, dimension_numbers=("NHWC", "HWIO", "NHWC"), **settings)


def test_convolutions_are_counted():
    x, kernel = jnp.ones((2, 12, 12, 3)), jnp.ones((4, 4, 3, 8))
    assert (
        count_flops(lambda x, k: convolution(x, k, window_strides=(4, 4), padding="VALID"), x, kernel) == 2 * (2 * 3 * 3) * (4 * 4 * 3) * 8
    )
    same = count_flops(lambda x, k: convolution(x, k, window_strides=(1, 1), padding=[(1, 1), (0, 0)]), x, kernel)
    assert same == 2 * 2 * 3 * 8 * (11 * 4 - 2) * (9 * 4), "two of the eleven rows lie on padding with one of their four"


def test_grouped_convolutions_are_counted_by_group():
    x, kernel = jnp.ones((1, 5, 5, 6)), jnp.ones((3, 3, 2, 6))
    flops = count_flops(lambda x, k: convolution(x, k, window_strides=(1, 1), padding="VALID", feature_group_count=3), x, kernel)
    assert flops == 2 * (3 * 3) * 6 * (3 * 3 * 2)


@pytest.mark.parametrize(
    "settings",
    [
        {"window_strides": (1, 1), "padding": "SAME"},
        {"window_strides": (3, 2), "padding": "SAME"},
        {"window_strides": (2, 2), "padding": "VALID", "rhs_dilation": (2, 1)},
        {"window_strides": (1, 1), "padding": "VALID", "feature_group_count": 2},
    ],
    ids=str,
)
def test_a_convolutions_gradients_cost_what_it_costs(settings):
    x, kernel = jnp.ones((2, 9, 8, 4)), jnp.ones((3, 3, 4 // settings.get("feature_group_count", 1), 6))
    loss = lambda x, k: jnp.sin(convolution(x, k, **settings)).sum()  # noqa: E731
    assert count_flops(jax.grad(loss, (0, 1)), x, kernel) == 3 * count_flops(loss, x, kernel)
