"""Do weights, gradients, optimizer and activations fit into a GPU? An estimate, never compared with a real GPU here.

What a CPU can tell was measured, with transformers 5.5.4: the bytes that a layer keeps (autograd's
saved_tensors_hooks) and that a logit costs (peak resident memory of ForCausalLMLoss). Adam, and attention that does
not keep its matrix (sdpa, FlashAttention), are taken for granted.
"""

from typing import Any, NamedTuple

from train.checks.keys import Parsed
from train.checks.length import Longest
from train.checks.model import Count
from train.checks.finding import Finding
from train.zero import Zero

GIB = 2**30  # what a "GB" is on the box of a GPU
LOGIT = 12  # bytes: log-probabilities, their gradient and the logits', 4 each, in the backward pass (measured)
OVERHEAD = 2 * GIB  # CUDA context, NCCL and cuBLAS workspaces (our choice)
LIVE = 1_000_000_000  # parameters that ZeRO-3 has gathered at most: DeepSpeed's stage3_max_live_parameters
FULL, TIGHT = 0.95, 0.80  # of a GPU's memory: error, warning (our choice: fragmentation takes 5-10%)


class Bytes(NamedTuple):
    """Bytes for one trained parameter."""

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
    """Bytes on one GPU."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float

    def total(self) -> float:
        return sum(self) + OVERHEAD


def training(
    recipe: dict, parsed: Parsed, known: Any, count: Count, longest: Longest, processes: int, zero: Zero
) -> Need:
    """What training a batch of the longest row takes. processes: GPUs of the whole run."""
    each, batch = per_parameter(recipe, zero), parsed.training.per_device_train_batch_size
    weights = each.weight * count.trained + 2 * (count.all - count.trained)
    gradients = each.gradient * count.trained
    optimizer = 0 if zero.offloads else each.optimizer * count.trained
    if zero.stage >= 1:
        optimizer /= processes
    if zero.stage >= 2:
        gradients /= processes
    if zero.stage == 3:
        weights = weights / processes + 2 * min(count.all, LIVE)
    if processes > 1 and not zero.stage:
        gradients *= 2  # DistributedDataParallel sends copies
    width = 2 if recipe.get("bf16") or recipe.get("fp16") or recipe.get("pure_bf16") else 4
    kept = not parsed.model.disable_gradient_checkpointing
    activations = batch * width / 2 * sum(_stack(*part, kept) for part in _stacks(known, longest))
    words = known.get_text_config().vocab_size
    logits = 0 if parsed.model.enable_liger_kernel else batch * sum(longest) * words * LOGIT
    return Need(weights, gradients, optimizer, activations, logits)


def predicting(parsed: Parsed, known: Any, count: Count, longest: Longest) -> Need:
    """What generating for a batch of the longest row takes: weights, the cache of keys and values, and one layer."""
    text = known.get_text_config()
    batch, tokens = parsed.training.per_device_eval_batch_size, sum(longest) + parsed.generating.max_new_tokens
    pairs = 2 * text.num_hidden_layers * text.num_key_value_heads * (text.hidden_size // text.num_attention_heads)
    layer = max(_stack(1, *part[1:], True) for part in _stacks(known, longest))
    return Need(2 * count.all, 0, 0, batch * (2 * pairs * tokens + layer), batch * text.vocab_size * 4)


def _stacks(known: Any, longest: Longest) -> list[tuple[int, int, int, int]]:
    """(layers, width, width of the MLP, positions of a row) of the language model and of the vision tower."""
    text, vision = known.get_text_config(), known.vision_config
    merged = getattr(vision, "spatial_merge_size", 1) ** 2
    layers = getattr(vision, "depth", None) or vision.num_hidden_layers
    return [
        (text.num_hidden_layers, text.hidden_size, text.intermediate_size, sum(longest)),
        (layers, vision.hidden_size, vision.intermediate_size, longest.image * merged),
    ]


def _stack(layers: int, width: int, inner: int, positions: int, checkpointing: bool) -> float:
    """Bytes of activations in 16 bits. A layer keeps 30 width + 8 inner for its backward pass, which adds 4 inner."""
    layer = positions * (30 * width + 8 * inner)
    return (layers * positions * 2 * width + layer if checkpointing else layers * layer) + positions * 4 * inner


def memory(need: Need, has: float, recipe: dict) -> list[Finding]:
    """Compare with a GPU of `has` GB."""
    parts = [f"{name} {value / GIB:.1f}" for name, value in need._asdict().items() if value >= GIB / 20]
    parts.append(f"other {OVERHEAD / GIB:.0f}")
    said = f"about {need.total() / GIB:.0f} of {has:.0f} GB on each GPU ({', '.join(parts)})"
    if need.total() <= TIGHT * has * GIB:
        return [Finding("ok", "memory", said)]
    fixes = []
    if recipe.get("do_predict"):
        fixes.append("a smaller per_device_eval_batch_size")
    elif need.logits + need.activations > 0.3 * has * GIB and recipe.get("per_device_train_batch_size", 8) > 1:
        fixes.append("half the per_device_train_batch_size with twice the gradient_accumulation_steps")
    if recipe.get("do_train") and recipe.get("finetuning_type", "lora") == "full":
        fixes.append("more GPUs" if recipe.get("deepspeed") else "deepspeed=ds_configs/zero3.json on several GPUs")
        fixes.append("recipes/storm_lora_1gpu.yaml")
    fixes.append("a smaller image_max_pixels")
    level = "error" if need.total() > FULL * has * GIB else "warning"
    return [Finding(level, "memory", f"{said}; {', or '.join(fixes)}")]


def gpu_memory(told: float | None, promised: int | None) -> float:
    """GB of one GPU: what --memory says, else the first visible GPU's, else the header's, else the paper's A100."""
    if told is not None:
        return told
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory / GIB
    return promised or 80
