"""What is left of `torch.cuda`, and the settings and versions of CUDA that PyTorch has elsewhere."""

from __future__ import annotations

from ..rule import Rule, Strings


def _cuda(*names: str) -> tuple[str, ...]:
    return tuple(f"torch.cuda.{name}" for name in names)


AVAILABLE = Rule(
    "AC301",
    "cuda-is-available",
    "{found} asks for CUDA only",
    "Use torch.accelerator.is_available(), together with devices that are named after what it finds.",
    names=_cuda("is_available"),
    harmless_elsewhere=True,
)
COUNT = Rule(
    "AC302",
    "cuda-device-count",
    "{found} counts CUDA devices only",
    "Use torch.accelerator.device_count().",
    names=_cuda("device_count", "can_device_access_peer"),
)
CURRENT = Rule(
    "AC303",
    "cuda-current-device",
    "{found} is about the current CUDA device",
    "Use torch.accelerator.current_device_index() and set_device_index(), or hand the device on.",
    names=_cuda("current_device", "set_device", "device", "device_of"),
    instead={"cpu": "There is one device: leave it out."},
)
SYNCHRONIZE = Rule(
    "AC304",
    "cuda-synchronize",
    "{found} waits for CUDA, and raises where there is none",
    "Use torch.accelerator.synchronize(), which raises on a CPU: ask torch.accelerator.is_available() first.",
    names=_cuda("synchronize"),
    instead={"cpu": "Nothing is left to wait for: leave it out."},
)
PROPERTIES = Rule(
    "AC305",
    "cuda-device-properties",
    "{found} asks for properties of a CUDA device",
    "Ask torch.get_device_module(device) for them; not every device has them, and capabilities such as "
    "(9, 0) "
    "mean something on NVIDIA's chips only.",
    names=_cuda(
        "get_device_name",
        "get_device_properties",
        "get_device_capability",
        "get_arch_list",
        "get_gencode_flags",
        "is_bf16_supported",
        "is_tf32_supported",
        "has_half",
        "has_magma",
    ),
)
MEMORY = Rule(
    "AC306",
    "cuda-memory",
    "{found} is about the memory of CUDA devices",
    "Use the function of torch.accelerator with that name where there is one (empty_cache, memory_allocated, "
    "max_memory_allocated, memory_reserved, memory_stats, reset_peak_memory_stats, get_memory_info); "
    "they raise on a CPU.",
    names=_cuda(
        "memory",
        "empty_cache",
        "memory_allocated",
        "max_memory_allocated",
        "memory_reserved",
        "max_memory_reserved",
        "memory_cached",
        "max_memory_cached",
        "memory_stats",
        "memory_stats_as_nested_dict",
        "memory_summary",
        "memory_snapshot",
        "mem_get_info",
        "reset_peak_memory_stats",
        "reset_accumulated_memory_stats",
        "reset_max_memory_allocated",
        "reset_max_memory_cached",
        "host_memory_stats",
        "set_per_process_memory_fraction",
        "get_per_process_memory_fraction",
        "ipc_collect",
        "caching_allocator_alloc",
        "caching_allocator_delete",
        "get_allocator_backend",
        "change_current_allocator",
        "CUDAPluggableAllocator",
        "MemPool",
        "use_mem_pool",
    ),
)
RANDOM = Rule(
    "AC307",
    "cuda-random",
    "{found} is about the random numbers of CUDA devices",
    "torch.manual_seed() seeds every device; take states from torch.get_device_module(device).",
    names=_cuda(
        "manual_seed",
        "manual_seed_all",
        "seed",
        "seed_all",
        "initial_seed",
        "get_rng_state",
        "get_rng_state_all",
        "set_rng_state",
        "set_rng_state_all",
        "random",
        "default_generators",
    ),
)
PROFILING = Rule(
    "AC308",
    "cuda-profiling",
    "{found} profiles CUDA",
    "Use torch.profiler with the activities that torch.profiler.supported_activities() gives, and "
    "torch.profiler.record_function for ranges.",
    names=(
        *_cuda("nvtx", "profiler", "cudart", "utilization", "temperature", "power_draw", "clock_rate"),
        *_cuda("memory_usage", "list_gpu_processes"),
        "torch.profiler.ProfilerActivity.CUDA",
        "torch.autograd.profiler.emit_nvtx",
    ),
)
OTHER = Rule(
    "AC309",
    "cuda-other",
    "{found} belongs to CUDA",
    "Look for it in torch.accelerator or torch.get_device_module(device), or leave it out elsewhere.",
    names=("torch.cuda", "torch._C._cuda_*"),
)
SETTINGS = Rule(
    "AC310",
    "cuda-settings",
    "{found} sets or asks for libraries of CUDA",
    "It changes nothing elsewhere. torch.set_float32_matmul_precision() and "
    "torch.use_deterministic_algorithms() are for every device.",
    names=("torch.backends.cuda", "torch.backends.cudnn", "torch.backends.cusparselt"),
    harmless_elsewhere=True,
)
VERSION = Rule(
    "AC311",
    "cuda-version",
    "{found} is None in builds without CUDA",
    "Ask for what is needed, not for the version of CUDA that PyTorch was built with.",
    names=("torch.version.cuda",),
    harmless_elsewhere=True,
)
MODULE_NAME = Rule(
    "AC312",
    "cuda-module-name",
    "{found} names a module of torch.cuda",
    "Name the module of the device in use: torch.get_device_module(device).",
    strings=(Strings(r"torch\.cuda(\.[a-z_]+)*"),),
)

RULES = (
    AVAILABLE,
    COUNT,
    CURRENT,
    SYNCHRONIZE,
    PROPERTIES,
    MEMORY,
    RANDOM,
    PROFILING,
    OTHER,
    SETTINGS,
    VERSION,
    MODULE_NAME,
)
