"""What is known of accelerators: peak rates, for the utilisation of a run."""

from __future__ import annotations

# Dense bfloat16 TFLOP/s of one jax device as its maker states them (half of a v4 or v5p chip's figure where jax sees a core).
PEAK_BF16_TFLOPS = {
    "TPU v4": 275.0,
    "TPU v5 lite": 197.0,
    "TPU v5": 459.0,
    "TPU v6 lite": 918.0,
    "TPU7x": 1153.5,
    "NVIDIA A100": 312.0,
    "NVIDIA H100": 989.0,
    "NVIDIA H200": 989.0,
    "NVIDIA B200": 2250.0,
}


def peak_tflops(device_kind: str) -> float | None:
    """The peak of a `jax.Device.device_kind`, by its longest known beginning; None where it is unknown (a CPU, say)."""
    known = [name for name in PEAK_BF16_TFLOPS if device_kind.startswith(name)]
    return PEAK_BF16_TFLOPS[max(known, key=len)] if known else None
