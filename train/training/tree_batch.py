"""A batch whose rows end in the tree of all valid answers instead of the one that is right.

    [padding] [prompt with its image] [inner nodes of the answers' trie]

One forward pass then gives the probability of every answer: a node sees the prompt and its own ancestors, at the
position it would have if its answer stood alone. It needs a mask with four dimensions, so `flash_attn: sdpa`, and a
model whose layers all attend and whose prompts are read in order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image

from eval.inference.model import Loaded, answer_ids, encoded
from eval.inference.reading import has_mrope
from eval.inference.trie import Trie, trie
from storm.prompts import STRATEGIES, question
from storm.scales import Scale

IGNORED = -100  # of labels: LLaMA-Factory's IGNORE_INDEX
TARGET = "storm"  # the key of a batch that is for the loss, not for the model


@dataclass(frozen=True)
class Asked:
    """A question with its valid answers."""

    scale: Scale
    strategy: str
    trie: Trie
    columns: Mapping[tuple[int, ...], int]  # tokens of an answer -> its level, 0 .. K - 1


@dataclass
class Row:
    """What the loss needs to know of a row."""

    asked: Asked
    column: int  # the level of its label
    image: str  # its path


@dataclass
class Questions:
    """Knows a training row's question by the tokens behind its image."""

    loaded: Loaded
    scales: Sequence[Scale]
    tails: dict[tuple[int, ...], tuple[Scale, str]] = field(default_factory=dict)
    asked: dict[tuple[Scale, str], Asked] = field(default_factory=dict)

    def __post_init__(self) -> None:
        dot = Image.new("RGB", (64, 64))
        for scale in self.scales:
            for strategy in STRATEGIES:
                ids = encoded(self.loaded, question(scale, strategy), dot)
                self.tails[self._tail(ids)] = scale, strategy

    def row(self, ids: Sequence[int], labels: Sequence[int], image: str) -> tuple[Row, int]:
        """The row of tokens, and how many of them are its prompt. Raises ValueError for one that we do not know."""
        begin = next((place for place, label in enumerate(labels) if label != IGNORED), len(labels))
        key = self.tails.get(self._tail(ids[:begin]))
        if key is None:
            raise ValueError(f"{image}: its question is none of ours, or is cut (cutoff_len); storm.scale=SCALE.yaml?")
        if key not in self.asked:
            answers = answer_ids(self.loaded, *key)
            columns = {tuple(tokens): column for column, tokens in enumerate(answers.values())}
            self.asked[key] = Asked(*key, trie(answers), columns)
        asked = self.asked[key]
        for tokens, column in asked.columns.items():
            if tuple(ids[begin : begin + len(tokens)]) == tokens:
                return Row(asked, column, image), begin
        raise ValueError(f"{image}: its answer is not one of the {len(asked.columns)} of its question, or is cut")

    def _tail(self, ids: Sequence[int]) -> tuple[int, ...]:
        """The tokens behind the last one of the image."""
        token = self.loaded.model.config.image_token_id
        last = max((place for place, id in enumerate(ids) if id == token), default=-1)
        return tuple(ids[last + 1 :])


@dataclass
class TreeCollator:
    """Makes batches as the host's collator does, with the tree behind each prompt."""

    inner: Callable[[list[dict]], dict]
    questions: Questions

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        rows, prompts = [], []
        for feature in features:
            row, begin = self.questions.row(
                feature["input_ids"], feature["labels"], str((feature["images"] or [""])[0])
            )
            rows.append(row)
            kept = {key: feature[key][:begin] for key in ("input_ids", "attention_mask", "labels")}
            prompts.append(dict(feature) | kept)
        tokenizer = self.inner.tokenizer
        side, tokenizer.padding_side = tokenizer.padding_side, "left"
        try:
            batch = dict(self.inner(prompts))
        finally:
            tokenizer.padding_side = side
        if "token_type_ids" in batch:
            raise ValueError("storm.objective: this family reads images in two directions; leave the objective out")
        if has_mrope(self.questions.loaded.model) and "position_ids" not in batch:
            raise RuntimeError("the host's collator gave no positions of an image's tokens")
        del batch["labels"]
        return grown(batch, [row.asked.trie for row in rows]) | {TARGET: rows}


def grown(batch: dict[str, torch.Tensor], tries: Sequence[Trie]) -> dict[str, torch.Tensor]:
    """A left-padded batch of prompts with the inner nodes of a trie behind each row, filled up at the end."""
    mask, nodes = batch["attention_mask"].bool(), max(len(answers.tokens) for answers in tries)
    rows, length = mask.shape
    positions = batch.get("position_ids")
    if positions is None:
        positions = (mask.long().cumsum(1) - 1).clamp(min=0)[None]
    elif positions.dim() == 2:
        positions = positions[None]
    positions = positions[-3:]  # the host puts those of text before the three of mrope
    following = positions.masked_fill(~mask, -1).amax((0, 2)) + 1
    tokens = torch.zeros(rows, nodes, dtype=torch.long)
    depth = torch.zeros(rows, nodes, dtype=torch.long)
    sees = torch.eye(nodes, dtype=torch.bool).repeat(rows, 1, 1)
    for row, answers in enumerate(tries):
        count = len(answers.tokens)
        tokens[row, :count], depth[row, :count] = answers.tokens, answers.depth
        sees[row, :count, :count] = answers.sees
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    prompt = (causal & mask[:, None]) | torch.eye(length, dtype=torch.bool)  # padding sees itself: no row of nothing
    above = torch.cat([prompt, torch.zeros(rows, length, nodes, dtype=torch.bool)], 2)
    below = torch.cat([mask[:, None].expand(-1, nodes, -1), sees], 2)
    whole = torch.cat([positions, (following[:, None] + depth).expand(len(positions), -1, -1)], 2)
    return batch | {
        "input_ids": torch.cat([batch["input_ids"], tokens], 1),
        "attention_mask": torch.cat([above, below], 1)[:, None],
        "position_ids": whole[0] if len(positions) == 1 else whole,
        "logits_to_keep": nodes + 1,
    }


def log_probabilities(logits: torch.Tensor, row: int, answers: Trie) -> torch.Tensor:
    """log P of each answer of a row, (K,) float32. logits: of the last prompt token and of the nodes, (rows, N, V)."""
    scores = logits[row, : len(answers.tokens) + 1].float()
    source, token, path = (part.to(scores.device) for part in (answers.source, answers.token, answers.path))
    logp = scores[source, token] - scores.logsumexp(1)[source]
    return path @ logp
