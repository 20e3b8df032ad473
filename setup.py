"""The root of the checkout is the package `diptych`; every folder with code in it is a subpackage."""

from setuptools import setup

SUBPACKAGES = [
    "configs",
    "data",
    "data.sources",
    "sharding",
    "pretrain",
    "pretrain.models",
    "pretrain.objectives",
    "pretrain.optimizers",
    "pretrain.evaluators",
    "pretrain.export",
    "launch",
]

FAST = ["simplejpeg>=1.9,<2", "cykooz-resizer>=4.0,<5"]
TEST = [*FAST, "pytest>=8,<10", "pytest-xdist>=3.6,<4", "tensorboard>=2.18,<3", "moto[server]>=5,<6", "s3fs>=2025.3"]

setup(
    name="diptych",
    version="0.1.0",
    description="Pretraining of image-text models in JAX, from a laptop to a pod",
    long_description=open("README.md", encoding="utf-8").read(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    package_dir={"diptych": "."} | {f"diptych.{name}": name.replace(".", "/") for name in SUBPACKAGES},
    packages=["diptych", *(f"diptych.{name}" for name in SUBPACKAGES)],
    package_data={"diptych": ["py.typed"]},
    install_requires=[
        "jax>=0.10.2,<0.12",
        "flax>=0.12.8,<0.13",
        "optax>=0.2.8,<0.3",
        "orbax-checkpoint>=0.12.8,<0.13",
        "grain>=0.2.18,<0.3",
        "webdataset>=1.0.2,<2",
        "braceexpand>=0.1.7,<1",
        "tensorflow-datasets>=4.9.10,<5",
        "ml_collections>=1.1,<2",
        "sentencepiece>=0.2.1,<0.3",
        "tokenizers>=0.21,<1",
        "ftfy>=6.3,<7",
        "fsspec>=2025.3",
        "aiohttp>=3.10,<4",
        "safetensors>=0.5,<1",
        "numpy>=2.0,<3",
        "absl-py>=2.1,<3",
        "pyarrow>=18,<27",
        "pillow>=11,<14",
        "rich>=14,<16",
        "matplotlib>=3.9,<4",
        "tensorboardX>=2.6.2,<3",
    ],
    extras_require={
        "tpu": ["jax[tpu]"],
        "cuda12": ["jax[cuda12]"],
        "cuda13": ["jax[cuda13]"],
        "plan": ["libtpu"],
        "plan_gpu": ["jax-cuda12-plugin>=0.10.2,<0.12", "nvidia-cuda-nvcc-cu12>=12.6"],
        "s3": ["s3fs>=2025.3"],
        "gs": ["gcsfs>=2026.7", "google-crc32c>=1.5,<2"],
        "hf": ["huggingface_hub>=0.30"],
        "wandb": ["wandb>=0.19"],
        "fast": FAST,
        "test": TEST,
        "parity": ["torch==2.13.0", "transformers>=5,<6", "open_clip_torch==3.3.0", "timm>=1.0.15,<2"],
        "dev": [*TEST, "ruff>=0.9", "mypy>=1.15"],
    },
    entry_points={"console_scripts": ["diptych=diptych.launch.cli:main"]},
)
