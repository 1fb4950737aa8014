# The environment of `make setup`, from the same constraints.txt:
#   docker build --tag storm .
#   docker run --rm storm make demo
# For GPUs (the host needs the NVIDIA Container Toolkit), with CUDA's compiler, which flash-attn is built with:
#   docker build --tag storm --build-arg BASE=nvidia/cuda:13.0.2-devel-ubuntu24.04 --build-arg GPU=1 .
#   docker run --rm --gpus all --ipc host --volume "$PWD/data:/storm/data" --volume "$PWD/saves:/storm/saves" storm \
#     python train/preflight.py recipes/storm_lite_1gpu.yaml
# For a driver older than 580: --build-arg TORCH_BACKEND=cu126 and a BASE of that CUDA, such as
# nvidia/cuda:12.6.3-devel-ubuntu24.04. Not built so far (docs/versions.md).
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}
ARG GPU=
ARG TORCH_BACKEND=
ARG MAX_JOBS=4
# git: provenance names the commit. The compiler: Triton, which liger-kernel is written in, compiles when it runs.
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
      build-essential ca-certificates git python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /storm
COPY . .
RUN make setup GPU=${GPU} TORCH_BACKEND=${TORCH_BACKEND} MAX_JOBS=${MAX_JOBS}
ENV PATH=/storm/.venv/bin:$PATH
