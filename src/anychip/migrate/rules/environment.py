"""Variables of the environment that CUDA and its libraries read."""

from __future__ import annotations

from ..rule import Rule, Strings

VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "CUDA_MODULE_LOADING",
    "CUDA_CACHE_PATH",
    "CUDA_CACHE_DISABLE",
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_ROOT",
    "CUDA_TOOLKIT_ROOT_DIR",
    "CUDACXX",
    "CUDNN_HOME",
    "CUDNN_PATH",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUBLASLT_WORKSPACE_SIZE",
    "CUPY_CACHE_DIR",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_TF32_OVERRIDE",
    "NVIDIA_DRIVER_CAPABILITIES",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_NVML_BASED_CUDA_CHECK",
    "PYTORCH_NO_CUDA_MEMORY_CACHING",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_CUDA_ARCH_LIST",
    "TORCH_CUDNN_V8_API_ENABLED",
    "TORCHINDUCTOR_CUDAGRAPHS",
    "NUMBA_ENABLE_CUDASIM",
    "TF_FORCE_GPU_ALLOW_GROWTH",
)

VARIABLE = Rule(
    "AC601",
    "cuda-variable",
    "{found} is a variable that CUDA or its libraries read",
    "Other devices have variables of their own; choose devices in the program where that is possible.",
    strings=(Strings("|".join(VARIABLES)),),
    instead={
        "cpu": "It has no meaning on a CPU: OMP_NUM_THREADS and the affinity mask say which cores are used.",
        "xpu": "Intel's GPUs are chosen by ZE_AFFINITY_MASK.",
        "npu": "Ascend's chips are chosen by ASCEND_RT_VISIBLE_DEVICES.",
        "mlu": "Cambricon's chips are chosen by MLU_VISIBLE_DEVICES.",
        "musa": "Moore Threads' chips are chosen by MUSA_VISIBLE_DEVICES.",
        "hpu": "Gaudi's chips are chosen by HABANA_VISIBLE_DEVICES.",
    },
    harmless_elsewhere=True,
)

RULES = (VARIABLE,)
