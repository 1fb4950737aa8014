"""Reads tokens behind a prompt that a model of any family has read: all in one pass, or depth by depth.

What a model needs for it (its language model, the kinds of its layers, their window, its positions) is asked from the
model, as transformers 5 names it for every family.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache

from eval.inference.trie import Trie


class Prompt(NamedTuple):
    """What a model has read of some rows."""

    model: torch.nn.Module
    cache: Any
    mask: torch.Tensor  # (rows, prompt) bool: no padding
    following: torch.Tensor  # (rows,) the position of the token behind the prompt
    hidden: torch.Tensor  # (rows, 1, hidden size) behind its last token


def attends(model: torch.nn.Module) -> bool:
    """Whether all layers of a model attend, so that a mask can make a tree of what they read.

    Convolutions and linear attention read the tokens in their order.
    """
    layers = getattr(model.get_decoder().config, "layer_types", None) or ()
    return {*layers} <= {"full_attention", "sliding_attention"}


def read_prompt(model: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> Prompt:
    """batch: what the model's forward takes (input_ids, attention_mask, pixel_values ...), padded on the left."""
    mask = batch["attention_mask"].bool()
    if has_mrope(model):
        grid = {key: batch[key] for key in ("image_grid_thw",) if key in batch}
        # Computed here and not in the model, which keeps deltas that count the padding.
        positions, _ = model.model.get_rope_index(batch["input_ids"], attention_mask=mask.long(), **grid)
        following = positions.masked_fill(~mask, -1).amax((0, 2)) + 1
    else:
        positions = _places(mask).clamp(min=0)
        following = mask.sum(1)
    # Of whole layers: those with a window keep all of the prompt, too, and the mask hides what is beyond.
    cache = {"past_key_values": DynamicCache()} if attends(model) else {}
    read = model.model(**batch, position_ids=positions, use_cache=True, **cache)
    return Prompt(model, read.past_key_values, mask, following, read.last_hidden_state[:, -1:])


def read(
    prompt: Prompt, tokens: torch.Tensor, depth: torch.Tensor, sees: torch.Tensor, earlier: torch.Tensor | None = None
) -> torch.Tensor:
    """The hidden states of N more tokens of each row, (rows, N, hidden size), by a model that attends.

    tokens, depth: (rows, N), depth 0 right behind the prompt. sees: (rows, N, E + N) bool, of the E tokens that were
    read behind the prompt before, and of these. earlier: depth of the former, (rows, E).
    """
    mask, text = prompt.mask, prompt.model.get_decoder()
    behind = depth if earlier is None else torch.cat([earlier, depth], 1)
    places = torch.cat([_places(mask), mask.sum(1)[:, None] + behind], 1)
    sees = torch.cat([mask[:, None].expand(-1, tokens.shape[1], -1), sees], 2)
    return text(
        input_ids=tokens,
        attention_mask=_masks(prompt.model, sees, places),
        position_ids=_positions(prompt.model, prompt.following[:, None] + depth),
        past_key_values=prompt.cache,
        use_cache=True,
    ).last_hidden_state


def read_by_depth(prompt: Prompt, answers: Trie) -> torch.Tensor:
    """The hidden states behind all inner nodes of each row, (rows, M, hidden size), by any model.

    Every node goes on from a copy of what the layers remember of its parent.
    """
    model, mask, rows, text = prompt.model, prompt.mask, len(prompt.mask), prompt.model.get_decoder()
    parents = answers.sees & (answers.depth[:, None] == answers.depth + 1)  # a row for each node: its parent
    hidden, before = None, answers.depth[:0]
    for depth in range(int(answers.depth.max()) + 1):
        nodes = (answers.depth == depth).nonzero().flatten()
        # The place of each node's parent in the step before; of the first nodes, the prompt.
        place = parents[nodes][:, before].long().argmax(1) if depth else torch.zeros_like(nodes)
        first = torch.arange(rows, device=mask.device)[:, None] * max(1, len(before))
        prompt.cache.reorder_cache((first + place).flatten())
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
        states = text(
            input_ids=answers.tokens[nodes].expand(rows, -1).reshape(-1, 1),
            attention_mask=mask.long().repeat_interleave(len(nodes), 0),
            position_ids=_positions(model, (prompt.following + depth).repeat_interleave(len(nodes))[:, None]),
            past_key_values=prompt.cache,
            use_cache=True,
        ).last_hidden_state.view(rows, len(nodes), -1)
        if hidden is None:
            hidden = states.new_empty(rows, len(answers.tokens), states.shape[-1])
        hidden[:, nodes], before = states, nodes
    return hidden


def has_mrope(model: torch.nn.Module) -> bool:
    """Whether a position has three parts (time, height, width), as in Qwen's models."""
    return hasattr(model.model, "get_rope_index")


def _positions(model: torch.nn.Module, positions: torch.Tensor) -> torch.Tensor:
    return positions.expand(3, -1, -1) if has_mrope(model) else positions


def _places(mask: torch.Tensor) -> torch.Tensor:
    """Where each token of a prompt stands among those that are not padding."""
    return mask.long().cumsum(1) - 1


def _masks(model: torch.nn.Module, sees: torch.Tensor, places: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
    """What each token may look at, bool (rows, 1, N, all), as sdpa takes it; of each kind of layer, if there are two.

    places: of all tokens, where they stand if an answer stands alone, (rows, all).
    """
    text = model.get_decoder().config
    kinds, window = {*(getattr(text, "layer_types", None) or ())}, getattr(text, "sliding_window", None)
    full = sees[:, None]
    if not window or kinds == {"full_attention"}:
        return full
    # As transformers has it, a token looks at itself and at the window - 1 tokens before it.
    near = places[:, -sees.shape[1] :, None] - places[:, None] < window
    slid = (sees & near)[:, None]
    return {"full_attention": full, "sliding_attention": slid} if kinds else slid
