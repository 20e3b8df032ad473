"""What is known of accelerators: the rates and sizes that a roofline needs. What was measured on them: measurements.py."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hardware:
    """One jax device of a kind, and the host it sits in.

    Bandwidths are bytes/s; those of links and networks one way: what can be sent while as much is received.
    name: what recipes and plans call it. platform: `tpu` or `cuda`.
    peak_bf16_tflops: dense. float32_tflops: of the units that keep all of float32; None on TPUs, which make it of bfloat16 passes.
    hbm_bytes: what a program may use. hbm_bandwidth: reads and writes together.
    link_bandwidth: over all ICI or NVLink links of a device together.
    torus: dimensions of the ICI torus, each with an equal share of the links; 0: a switch, through which all links lead everywhere.
    host_bandwidth: over all network cards (DCN, InfiniBand) of a host, a host being a process of jax. devices_per_host: of such a host.
    """

    name: str
    platform: str
    peak_bf16_tflops: float
    hbm_bytes: float
    hbm_bandwidth: float
    link_bandwidth: float
    torus: int
    host_bandwidth: float
    devices_per_host: int
    float32_tflops: float | None = None

    @property
    def axis_bandwidth(self) -> float:
        """Bytes/s that a collective over one mesh axis can send from a device, where the axis lies along one dimension of the torus."""
        return self.link_bandwidth / max(self.torus, 1)


GB, GIB = 1e9, 2.0**30

# TPUs. Peak, HBM bandwidth and DCN: Cloud TPU's documentation of each generation ("System architecture"; read 2026-11). hbm_bytes: what the
# compiler of libtpu 0.0.51 says it may use when a program is too large. Hosts: those of libtpu's multi-host topologies.
V4 = Hardware(  # Links: 6 x 50 GB/s (Jouppi et al., 2023, table 4). DCN: not documented; taken as v5p's.
    name="v4",
    platform="tpu",
    peak_bf16_tflops=275.0,
    hbm_bytes=30.75 * GIB,
    hbm_bandwidth=1200 * GB,
    link_bandwidth=300 * GB,
    torus=3,
    host_bandwidth=25 * GB,
    devices_per_host=4,
)
V5E = Hardware(  # ICI 400 GB/s a chip in both directions. DCN: 2 x 100 Gb/s a machine of 8 chips, which is two hosts of a slice.
    name="v5e",
    platform="tpu",
    peak_bf16_tflops=197.0,
    hbm_bytes=15.75 * GIB,
    hbm_bandwidth=819 * GB,
    link_bandwidth=200 * GB,
    torus=2,
    host_bandwidth=12.5 * GB,
    devices_per_host=4,
)
V5P = Hardware(  # ICI 1,200 GB/s a chip in both directions. DCN 50 Gb/s a chip.
    name="v5p",
    platform="tpu",
    peak_bf16_tflops=459.0,
    hbm_bytes=95.73 * GIB,
    hbm_bandwidth=2765 * GB,
    link_bandwidth=600 * GB,
    torus=3,
    host_bandwidth=25 * GB,
    devices_per_host=4,
)
V6E = Hardware(  # ICI 800 GB/s a chip in both directions. DCN 100 Gb/s a chip (4 x 200 Gb/s a machine of 8).
    name="v6e",
    platform="tpu",
    peak_bf16_tflops=918.0,
    hbm_bytes=31.24 * GIB,
    hbm_bandwidth=1638 * GB,
    link_bandwidth=400 * GB,
    torus=2,
    host_bandwidth=50 * GB,
    devices_per_host=4,
)
V7X = Hardware(  # A chip, two devices: 2,307 TFLOP/s, HBM 7,380 GB/s, ICI 1,200 GB/s in both directions, DCN 100 Gb/s.
    name="7x",
    platform="tpu",
    peak_bf16_tflops=1153.5,
    hbm_bytes=94.74 * GIB,
    hbm_bandwidth=3690 * GB,
    link_bandwidth=300 * GB,
    torus=3,
    host_bandwidth=50 * GB,
    devices_per_host=8,
)

# GPUs in nodes of eight behind NVSwitch, each with a network card of its own. Peak, NVLink (half of the "bidirectional" figure) and cards:
# NVIDIA's data sheets of the boards and of DGX A100, H100, H200, B200. hbm_bytes and hbm_bandwidth: device_memory_size and
# memory_bandwidth of XLA's target configurations (xla/backends/gpu/target_config/specs); jax takes three quarters unless told otherwise.
A100_40 = Hardware(  # Cards: 8 x 200 Gb/s. HBM: data sheet, 40 GB at 1,555 GB/s.
    name="a100-40",
    platform="cuda",
    peak_bf16_tflops=312.0,
    float32_tflops=19.5,
    hbm_bytes=40e9,
    hbm_bandwidth=1555 * GB,
    link_bandwidth=300 * GB,
    torus=0,
    host_bandwidth=200 * GB,
    devices_per_host=8,
)
A100 = dataclasses.replace(A100_40, name="a100", hbm_bytes=85100068864.0, hbm_bandwidth=2039 * GB)
H100 = Hardware(  # Cards: 8 x 400 Gb/s.
    name="h100",
    platform="cuda",
    peak_bf16_tflops=989.0,
    float32_tflops=67.0,
    hbm_bytes=84942979072.0,
    hbm_bandwidth=3352 * GB,
    link_bandwidth=450 * GB,
    torus=0,
    host_bandwidth=400 * GB,
    devices_per_host=8,
)
H200 = dataclasses.replace(H100, name="h200", hbm_bytes=151397597184.0, hbm_bandwidth=4800 * GB)
B200 = Hardware(  # Cards: 8 x 400 Gb/s.
    name="b200",
    platform="cuda",
    peak_bf16_tflops=2250.0,
    float32_tflops=80.0,
    hbm_bytes=191514411008.0,
    hbm_bandwidth=7672 * GB,
    link_bandwidth=900 * GB,
    torus=0,
    host_bandwidth=400 * GB,
    devices_per_host=8,
)

# By the whole of `jax.Device.device_kind`: `NVIDIA H100` begins the names of three boards of different speed, and of their MIG slices.
HARDWARE = {
    "TPU v4": V4,
    "TPU v5 lite": V5E,
    "TPU v5e": V5E,
    "TPU v5": V5P,
    "TPU v5p": V5P,
    "TPU v6 lite": V6E,
    "TPU v6e": V6E,
    "TPU7x": V7X,
    "NVIDIA A100-SXM4-40GB": A100_40,
    "NVIDIA A100-SXM4-80GB": A100,
    "NVIDIA H100 80GB HBM3": H100,
    "NVIDIA H200": H200,
    "NVIDIA H200 141GB HBM3e": H200,  # as XLA's target configuration calls it
    "NVIDIA B200": B200,
}

# Dense bfloat16 TFLOP/s of one jax device, as its maker states them, where no more is known here. v2 and v3 chips are two devices.
OTHER_PEAKS = {
    "TPU v2": 22.5,
    "TPU v3": 61.5,
    "NVIDIA A100-PCIE-40GB": 312.0,
    "NVIDIA A100 80GB PCIe": 312.0,
    "NVIDIA H100 PCIe": 756.0,
    "NVIDIA H100 NVL": 835.0,
    "NVIDIA GH200 120GB": 989.0,
    "NVIDIA GH200 480GB": 989.0,
    "NVIDIA H200 NVL": 835.0,
    "NVIDIA GB200": 2500.0,
}


def find_hardware(device_kind: str) -> Hardware | None:
    """By `jax.Device.device_kind`; None where it is unknown (a CPU, a MIG slice)."""
    return HARDWARE.get(device_kind)


def peak_tflops(device_kind: str) -> float | None:
    """The peak of a `jax.Device.device_kind`; None where it is unknown (a CPU, a MIG slice): no utilisation rather than a wrong one."""
    known = find_hardware(device_kind)
    return OTHER_PEAKS.get(device_kind) if known is None else known.peak_bf16_tflops
