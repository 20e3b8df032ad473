"""FLOPs of a traced function: matrix products and convolutions counted in the jaxpr, as often as their loops run.

XLA's own cost analysis counts the body of a scan once. Not counted: everything that is not a product of two arrays (element by element,
sums, gathers), the repetitions of a `while_loop`, which nothing says before it runs (its body counts once), and what a Pallas or
custom-call kernel does inside. Of the branches of a `cond` the dearest counts. Inside a `jax.shard_map` shapes are those of one device;
its FLOPs count once for each device of its mesh.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend import core

WRAPPERS = re.compile(r"\b(?:jvp|transpose|vmap)\(|\)")


@dataclasses.dataclass(frozen=True)
class Product:
    """A kind of products. scope: the outermost `jax.named_scope` around them, or empty.

    arithmetic: `bfloat16` (operands of at most 16 bits), else `float32` as the hardware likes it, `float32_high`, or `float32_highest`.
    """

    scope: str
    arithmetic: str


def count_flops(function: Callable, *args: Any) -> int:
    """2 x multiply-adds of the products in one call of `function`; args may be ShapeDtypeStruct. Nothing is compiled."""
    return count_products(jax.make_jaxpr(function)(*args).jaxpr).total()


def count_products(jaxpr: core.Jaxpr, *, scope: str = "") -> Counter[Product]:
    """FLOPs of a jaxpr, of all devices together, by kind; `jax.stages.Traced.jaxpr.jaxpr` is one. scope: of what is around it."""
    found = Counter[Product]()
    for equation in jaxpr.eqns:
        found.update(_equation_products(equation, scope or _scope(equation)))
    return found


def _scope(equation: core.JaxprEqn) -> str:
    parts = WRAPPERS.sub("", str(equation.source_info.name_stack)).split("/")
    return next((part for part in parts if part.isidentifier()), "")


def _equation_products(equation: core.JaxprEqn, scope: str) -> Counter[Product]:
    inner = [count_products(jaxpr, scope=scope) for jaxpr in core.jaxprs_in_params(equation.params)]
    times = 1
    match equation.primitive.name:
        case "dot_general":
            return Counter({Product(scope, _arithmetic(equation)): _product_flops(equation)})
        case "conv_general_dilated":
            return Counter({Product(scope, _arithmetic(equation)): _convolution_flops(equation)})
        case "cond":
            return max(inner, key=Counter.total)
        case "scan":
            times = equation.params["length"]
        case "shard_map":
            times = equation.params["mesh"].size
    return Counter({kind: times * sum(each[kind] for each in inner) for kind in set().union(*inner)})


def _arithmetic(equation: core.JaxprEqn) -> str:
    if min(var.aval.dtype.itemsize for var in equation.invars) < 4:  # type: ignore[attr-defined]
        return "bfloat16"
    precision = equation.params["precision"]
    name = str((precision[0] if isinstance(precision, tuple) else precision) or "").lower()
    return f"float32_{name}" if name in ("high", "highest") else "float32"


def _product_flops(equation: core.JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, out = (var.aval.shape for var in (equation.invars[0], equation.outvars[0]))  # type: ignore[attr-defined]
    return 2 * math.prod(out) * math.prod(left[dimension] for dimension in contracted)


def _convolution_flops(equation: core.JaxprEqn) -> int:
    """Of what meets an element of the input alone, so that a convolution and its two gradients have the same."""
    left, right, out = (var.aval.shape for var in (*equation.invars, equation.outvars[0]))  # type: ignore[attr-defined]
    params, numbers = equation.params, equation.params["dimension_numbers"]
    pairs = (
        _meetings(
            size=left[numbers.lhs_spec[2 + axis]],
            kernel=right[numbers.rhs_spec[2 + axis]],
            out=out[numbers.out_spec[2 + axis]],
            stride=params["window_strides"][axis],
            before=params["padding"][axis][0],
            spread=params["lhs_dilation"][axis],
            kernel_spread=params["rhs_dilation"][axis],
        )
        for axis in range(len(out) - 2)
    )
    batch, features, channels = out[numbers.out_spec[0]], out[numbers.out_spec[1]], right[numbers.rhs_spec[1]]
    return 2 * batch * features * channels * math.prod(pairs)


def _meetings(*, size: int, kernel: int, out: int, stride: int, before: int, spread: int, kernel_spread: int) -> int:
    """Along one dimension: pairs of a place of the output and one of the kernel that meet an element, no padding and no gap."""
    places = np.arange(out)[:, None] * stride + np.arange(kernel) * kernel_spread - before
    return int(np.sum((places >= 0) & (places % spread == 0) & (places // spread < size)))
