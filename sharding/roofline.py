"""The roofline of a step: the time that each of compute, memory, links and network needs alone; the longest bounds the step from below."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from .flops import Product
from .hardware import Hardware
from .traffic import Traffic

# Time of a product against one in bfloat16. TPUs make float32 of 3 or 6 bfloat16 passes, and by default of one. GPUs have TF32 at half the
# rate, which is also the default; `highest` runs on the plain float32 units, whose rate is the hardware's own.
TPU_COST: Mapping[str, float] = {"bfloat16": 1, "float32": 1, "float32_high": 3, "float32_highest": 6}
GPU_COST: Mapping[str, float] = {"bfloat16": 1, "float32": 2, "float32_high": 6}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Roofline:
    """Seconds a step on every device. link: ICI or NVLink. network: DCN or InfiniBand.

    hbm: the least; None on GPUs, whose caches keep what kernels pass on, so that all that these take in and put out (hbm_at_most) is no
    limit.
    """

    compute: float
    hbm: float | None
    hbm_at_most: float
    link: float
    network: float

    @property
    def limits(self) -> dict[str, float]:
        """Part -> seconds that it cannot do without."""
        parts = {"compute": self.compute, "hbm": self.hbm, "link": self.link, "network": self.network}
        return {name: seconds for name, seconds in parts.items() if seconds is not None}

    @property
    def seconds(self) -> float:
        """Below which no step can be."""
        return max(self.limits.values())

    @property
    def binds(self) -> str:
        """The limit that takes longest."""
        return max(self.limits.items(), key=lambda item: item[1])[0]


def roofline(
    products: Mapping[Product, int], *, devices: int, hbm_bytes: float, traffic: Iterable[Traffic], hardware: Hardware
) -> Roofline:
    """products: FLOPs of all devices together. hbm_bytes and traffic: of one device."""
    rows = list(traffic)
    memory = hbm_bytes / hardware.hbm_bandwidth
    return Roofline(
        compute=compute_seconds(products, hardware) / devices,
        hbm=None if hardware.platform == "cuda" else memory,
        hbm_at_most=memory,
        link=sum(row.link_bytes / link_bandwidth(row, hardware) for row in rows),
        network=sum(row.network_bytes for row in rows) * hardware.devices_per_host / hardware.host_bandwidth,
    )


def compute_seconds(products: Mapping[Product, int], hardware: Hardware) -> float:
    """Of one device that does all of them, float32 at what it costs there."""
    plain = hardware.float32_tflops
    cost = TPU_COST if plain is None else {**GPU_COST, "float32_highest": hardware.peak_bf16_tflops / plain}
    return sum(flops * cost[kind.arithmetic] for kind, flops in products.items()) / (hardware.peak_bf16_tflops * 1e12)


def link_bandwidth(row: Traffic, hardware: Hardware) -> float:
    """Bytes/s that a device can send: on a torus over the links of the dimensions that a group spans; a permutation takes one of two."""
    if not hardware.torus:
        return hardware.link_bandwidth
    links = 0.5 if row.kind == "collective-permute" else min(max(row.dimensions, 1), hardware.torus)
    return hardware.axis_bandwidth * links
