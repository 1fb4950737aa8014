"""Do weights, gradients, optimizer and activations fit into a GPU? An estimate.

On an H100, bench/train.py allocated 76.5 GB at most where this says 79.3 (Qwen2.5-VL-3B, ZeRO-3 in one process, batches
of 4), 66.3 where it says 66.4 (batches of 1), and 39.1 where it says 47.3 (bf16 weights, no DeepSpeed: logits and
gradients are not there at the same time unless gradients are accumulated). OVERHEAD is not in these numbers.

What a CPU can tell was measured, with transformers 5.5.4: the bytes that a layer keeps (autograd's
saved_tensors_hooks) and that a logit costs (peak resident memory of ForCausalLMLoss). Adam, and attention that does
not keep its matrix (sdpa, FlashAttention), are taken for granted.
"""

from typing import NamedTuple

from storm.models import family_of
from train.checks.finding import Finding
from train.checks.job import Checked, Job
from train.checks.machine import expected_gpus, wanted_gpu
from train.recipe import Zero

GIB = 2**30  # what a "GB" is on the box of a GPU
LOGIT = 12  # bytes: log-probabilities, their gradient and the logits', 4 each, in the backward pass (measured)
OVERHEAD = 2 * GIB  # CUDA context, NCCL and cuBLAS workspaces (our choice)
LIVE = 1_000_000_000  # parameters that ZeRO-3 has gathered at most: DeepSpeed's stage3_max_live_parameters
FULL, TIGHT = 0.95, 0.80  # of a GPU's memory: error, warning (our choice: fragmentation takes 5-10%)
A100 = 80  # GB, the paper's GPU


class Bytes(NamedTuple):
    weight: int
    gradient: int
    optimizer: int  # Adam's two moments, and DeepSpeed's fp32 weights; a checkpoint holds them, too
    written: int  # the weight in a file


def per_parameter(recipe: dict, zero: Zero) -> Bytes:
    """By precision. Sources: ZeRO paper (Rajbhandari et al. 2020), section 3.1; LLaMA-Factory's model/adapter.py."""
    half = recipe.get("bf16") or recipe.get("fp16")
    if zero.stage and half:
        return Bytes(2, 2, 12, 2)
    if recipe.get("pure_bf16"):
        return Bytes(2, 2, 4, 2)
    # LLaMA-Factory makes what is trained fp32; autocast then keeps a copy of 2 bytes.
    return Bytes(4 + 2 * bool(half), 4, 8, 4)


class Need(NamedTuple):
    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float

    def total(self) -> float:
        return sum(self) + OVERHEAD


def check_memory(job: Job) -> Checked:
    counted = job.count and job.longest and (job.batch or not job.trains)  # check_keys reports the batch
    if not counted or not (job.processes or wanted_gpu(job.recipe)):
        return job, []
    memory = job.gpu_memory
    if memory is None:
        smallest = min((gpu.memory for gpu in job.devices), default=0) / GIB
        memory = smallest or job.header.memory or A100
    return job, [compare(training_need(job) if job.trains else predicting_need(job), memory, job.recipe)]


def training_need(job: Job) -> Need:
    """What training a batch of the longest row takes."""
    recipe, parsed, count, zero, gpus = job.recipe, job.parsed, job.count, job.zero, expected_gpus(job)
    size, batch = per_parameter(recipe, zero), parsed.training.per_device_train_batch_size
    weights = size.weight * count.trained + 2 * (count.all - count.trained)
    gradients = size.gradient * count.trained
    optimizer = 0 if zero.offloads else size.optimizer * count.trained
    if zero.stage >= 1:
        optimizer /= gpus
    if zero.stage >= 2:
        gradients /= gpus
    if zero.stage == 3:
        weights = weights / gpus + 2 * min(count.all, LIVE)
    if gpus > 1 and not zero.stage:
        gradients *= 2  # DistributedDataParallel sends copies
    width = 2 if recipe.get("bf16") or recipe.get("fp16") or recipe.get("pure_bf16") else 4
    checkpointing = not parsed.model.disable_gradient_checkpointing
    stacks = _stacks(job)
    activations = batch * width / 2 * sum(_activations(*stack, checkpointing) for stack in stacks)
    vocabulary = job.config.get_text_config().vocab_size
    logits = 0 if parsed.model.enable_liger_kernel else batch * sum(job.longest) * vocabulary * LOGIT
    return Need(weights, gradients, optimizer, activations, logits)


def predicting_need(job: Job) -> Need:
    """What generating for a batch of the longest row takes: weights, the cache of keys and values, and one layer."""
    text, parsed = job.config.get_text_config(), job.parsed
    batch, tokens = parsed.training.per_device_eval_batch_size, sum(job.longest) + parsed.generating.max_new_tokens
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    pairs = 2 * text.num_hidden_layers * text.num_key_value_heads * head
    layer = max(_activations(1, *stack[1:], True) for stack in _stacks(job))
    return Need(2 * job.count.all, 0, 0, batch * (2 * pairs * tokens + layer), batch * text.vocab_size * 4)


def _stacks(job: Job) -> list[tuple[int, int, int, int]]:
    """(layers, width, width of the MLP, positions of a row) of the language model and of the vision tower."""
    text, tower = job.config.get_text_config(), family_of(job.config).tower(job.config.vision_config)
    return [
        (text.num_hidden_layers, text.hidden_size, text.intermediate_size, sum(job.longest)),
        (*tower, round(job.longest_patches)),
    ]


def _activations(layers: int, width: int, inner: int, positions: int, checkpointing: bool) -> float:
    """Bytes in 16 bits. A layer keeps 30 width + 8 inner for its backward pass, which adds 4 inner."""
    layer = positions * (30 * width + 8 * inner)
    return (layers * positions * 2 * width + layer if checkpointing else layers * layer) + positions * 4 * inner


def compare(need: Need, gpu_memory: float, recipe: dict) -> Finding:
    """The need beside a GPU of so many GB."""
    parts = [f"{name} {value / GIB:.1f}" for name, value in need._asdict().items() if value >= GIB / 20]
    parts.append(f"other {OVERHEAD / GIB:.0f}")
    about = f"about {need.total() / GIB:.0f} of {gpu_memory:.0f} GB on each GPU ({', '.join(parts)})"
    if need.total() <= TIGHT * gpu_memory * GIB:
        return Finding("ok", "memory", about)
    fixes = []
    if recipe.get("do_predict"):
        fixes.append("a smaller per_device_eval_batch_size")
    elif need.logits + need.activations > 0.3 * gpu_memory * GIB and recipe.get("per_device_train_batch_size", 8) > 1:
        limit = "" if recipe.get("deepspeed") else " and half the max_grad_norm"
        fixes.append(f"half the per_device_train_batch_size with twice the gradient_accumulation_steps{limit}")
    if recipe.get("do_train") and recipe.get("finetuning_type", "lora") == "full":
        fixes.append("more GPUs" if recipe.get("deepspeed") else "deepspeed=ds_configs/zero3.json on several GPUs")
        fixes.append("LoRA, as in recipes/storm_lora_1gpu.yaml and storm_qwen3vl_4b_lora_1gpu.yaml")
    fixes.append("a smaller image_max_pixels")
    level = "error" if need.total() > FULL * gpu_memory * GIB else "warning"
    return Finding(level, "memory", f"{about}; {', or '.join(fixes)}")
