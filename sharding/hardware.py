"""What is known of accelerators: peak rates, for the utilisation of a run."""

from __future__ import annotations

# Dense bfloat16 TFLOP/s of one jax device, as its maker states them: TPU v2, v3 and 7x chips are two devices each, the others one.
# By the whole of `jax.Device.device_kind`: `NVIDIA H100` begins the names of three boards of different speed, and of their MIG slices.
PEAK_BF16_TFLOPS = {
    "TPU v2": 22.5,
    "TPU v3": 61.5,
    "TPU v4": 275.0,
    "TPU v5 lite": 197.0,
    "TPU v5e": 197.0,
    "TPU v5": 459.0,
    "TPU v5p": 459.0,
    "TPU v6 lite": 918.0,
    "TPU v6e": 918.0,
    "TPU7x": 1153.5,
    "NVIDIA A100-SXM4-40GB": 312.0,
    "NVIDIA A100-SXM4-80GB": 312.0,
    "NVIDIA A100-PCIE-40GB": 312.0,
    "NVIDIA A100 80GB PCIe": 312.0,
    "NVIDIA H100 80GB HBM3": 989.0,
    "NVIDIA H100 PCIe": 756.0,
    "NVIDIA H100 NVL": 835.0,
    "NVIDIA GH200 120GB": 989.0,
    "NVIDIA GH200 480GB": 989.0,
    "NVIDIA H200": 989.0,
    "NVIDIA H200 NVL": 835.0,
    "NVIDIA B200": 2250.0,
    "NVIDIA GB200": 2500.0,
}


def peak_tflops(device_kind: str) -> float | None:
    """The peak of a `jax.Device.device_kind`; None where it is unknown (a CPU, a MIG slice): no utilisation rather than a wrong one."""
    return PEAK_BF16_TFLOPS.get(device_kind)
