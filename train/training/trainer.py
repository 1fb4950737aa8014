"""LLaMA-Factory's trainer with what a recipe's `storm:` block adds to it: an objective, and scores while it trains.

Nothing of LLaMA-Factory is changed on the disk: train/run.py puts this class in the place of the host's own.
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from llamafactory.data import SFTDataCollatorWith4DAttentionMask
from llamafactory.data.processor import UnsupervisedDatasetProcessor
from llamafactory.train.sft.trainer import CustomSeq2SeqTrainer
from transformers import PreTrainedModel

from eval.inference.model import Loaded, uncut
from eval.inference.reading import attends
from storm.models import family_of, lines_of
from train.training.block import Block, refusing
from train.training.objectives import OBJECTIVES, TARGETS
from train.training.scores import Scores
from train.training.setting import Setting
from train.training.tree_batch import TARGET, Questions, Row, TreeCollator, log_probabilities


def base_of(model: torch.nn.Module) -> PreTrainedModel:
    """A model without what adapters and data parallelism put around it."""
    while not isinstance(model, PreTrainedModel):
        model = model.module if hasattr(model, "module") else model.base_model.model
    return model


def loaded_of(model: PreTrainedModel, setting: Setting, collator: SFTDataCollatorWith4DAttentionMask) -> Loaded:
    """The trainer's model as predictions ask it: prompts are padded on the left. Its training is not changed."""
    tokenizer, processor, template = deepcopy(collator.tokenizer), collator.processor, collator.template
    tokenizer.padding_side = "left"
    parts = {"tokenizer": tokenizer, "processor": processor}
    encoder = UnsupervisedDatasetProcessor(template=template, **parts, data_args=uncut(setting.data_args))
    parts |= {"attn_implementation": "sdpa", "compute_dtype": collator.compute_dtype}
    asking = SFTDataCollatorWith4DAttentionMask(template=template, **parts)
    pixel_limits = setting.model_args.image_max_pixels, setting.model_args.image_min_pixels
    counts = partial(lines_of, model.config, pixel_limits=pixel_limits, processor=processor.image_processor.to_dict())
    return Loaded(model, tokenizer, encoder, asking, {}, {}, counts, setting.data_args.cutoff_len)


class OrdinalTrainer(CustomSeq2SeqTrainer):
    """The host's trainer. setting: set by a subclass that train/run.py makes for one run."""

    setting: Setting

    def __init__(self, **more: Any) -> None:
        block, collator = self.setting.block, more["data_collator"]
        loaded = loaded_of(base_of(more["model"]), self.setting, collator)
        if block.objective:
            with refusing():
                _check(loaded.model, block)
            more["data_collator"] = TreeCollator(collator, Questions(loaded, self.setting.scales))
        super().__init__(**more)
        if block.evaluate:
            self.add_callback(Scores(self, loaded, self.setting))

    def compute_loss(
        self, model: torch.nn.Module, inputs: Mapping[str, Any], return_outputs: bool = False, **more: Any
    ) -> Any:
        """The weighted sum of the objective, a mean over rows, and of plain training, a mean over tokens."""
        rows = inputs.pop(TARGET, None)
        if rows is None:
            return super().compute_loss(model, inputs, return_outputs, **more)
        outputs = model(**inputs, use_cache=False)
        loss = mixed(outputs.logits, rows, self.setting)
        return (loss, outputs) if return_outputs else loss


def mixed(logits: torch.Tensor, rows: list[Row], setting: Setting) -> torch.Tensor:
    """The loss of a batch. logits: (rows, N, V) of the last prompt token and of the nodes of the tries.

    Plain training beside it is over the tokens of the answer and its end token. The host's is also over what its
    template writes behind that (a line break for Qwen's).
    """
    block, function = setting.block, OBJECTIVES[setting.block.objective].function
    objective, plain, tokens = [], [], 0
    for number, row in enumerate(rows):
        logp = log_probabilities(logits, number, row.asked.trie)
        votes = setting.votes.get((row.image, row.asked.scale.name), ())
        if block.target == "votes" and not votes:
            raise ValueError(f"{row.image}: has no votes in the rows of the recipe; storm.target=laplace needs none")
        target = TARGETS[block.target](row.column, len(logp), block.width, votes).to(logp.device)
        objective.append(function(logp, target))
        plain.append(-logp[row.column])
        tokens += int(row.asked.trie.path[row.column].sum())
    return block.weight * torch.stack(objective).mean() + block.sft * torch.stack(plain).sum() / tokens


def _check(model: PreTrainedModel, block: Block) -> None:
    """Raises ValueError for a model that cannot be trained with an objective, with the fix."""
    title = family_of(model.config).title
    if not attends(model):
        text = f"{title} has layers that read tokens in their order, so not a tree of answers"
        raise ValueError(f"storm.objective={block.objective}: {text}; leave the objective out")
    if (kind := model.config._attn_implementation) != "sdpa":
        raise ValueError(f"storm.objective={block.objective}: needs a mask that {kind} cannot take; flash_attn: sdpa")
    if getattr(model.get_decoder().config, "sliding_window", None):
        text = f"{title} has a window, which this mask leaves out"
        raise ValueError(f"storm.objective={block.objective}: {text}; leave the objective out")
