"""What real machines answer to train/checks/ask_gpus.py: names, capabilities and memory as torch reports them, and the
texts of torch's warnings and errors."""

from train.checks.devices import Cuda, Gpu

OLD_DRIVER = (
    "CUDA initialization: The NVIDIA driver on your system is too old (found version 12040). Please update your GPU "
    "driver by downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx "
    "Alternatively, go to: https://pytorch.org to install a PyTorch version that has been compiled with your version "
    "of the CUDA driver. (Triggered internally at /pytorch/c10/cuda/CUDAFunctions.cpp:119.)"
)
NO_FABRIC = (  # an H100 machine whose fabric manager does not run
    "CUDA initialization: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling "
    "NumCudaDevices() that might have already set an error? Error 802: system not yet initialized (Triggered "
    "internally at /pytorch/c10/cuda/CUDAFunctions.cpp:119.)"
)
NO_KERNEL = "CUDA error: no kernel image is available for execution on the device"
BUSY = "CUDA error: all CUDA-capable devices are busy or unavailable"


def gpu(name: str, capability: tuple[int, int], memory: int, free: float = 0.99, fault: str = "") -> Gpu:
    """A GPU with a share of its memory free."""
    return Gpu(name, capability, memory, int(free * memory), fault)


A100 = gpu("NVIDIA A100-SXM4-80GB", (8, 0), 85_094_825_984)
H100 = gpu("NVIDIA H100 80GB HBM3", (9, 0), 85_017_493_504)
RTX_4090 = gpu("NVIDIA GeForce RTX 4090", (8, 9), 25_386_352_640)
T4 = gpu("Tesla T4", (7, 5), 15_828_320_256)
V100 = gpu("Tesla V100-SXM2-16GB", (7, 0), 16_935_682_048, fault=NO_KERNEL)


def machine(*gpus: Gpu, driver: str = "580.65.06", warning: str = "") -> Cuda:
    return Cuda("2.11.0+cu130", "13.0", driver, warning, gpus)
