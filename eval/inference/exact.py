"""The exact probability of every valid answer to a rating question, from one prompt and one more forward pass.

The valid answers of a scale share beginnings ("rate3-4(Above Fair), rate"), so they form a trie of tokens. After the
prompt has been read once, all inner nodes of the trie go through the model together: each sees the prompt and its own
ancestors only (a tree attention mask), at the position it would have if its answer stood alone. Layers that read tokens
in their order (convolutions, linear attention) take the nodes depth by depth instead. An answer's log-probability is
the sum over its tokens and its end token: equal to scoring each answer alone (tested to 1e-4).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache

ROWS = 512  # hidden states that go through the vocabulary's matrix at once: 512 x 152,000 float32 are 0.3 GB


class Trie(NamedTuple):
    """The token trie of K answers: M inner nodes, parents first, and E edges."""

    labels: tuple[int, ...]  # of each answer
    tokens: torch.Tensor  # (M,) token of each inner node
    depth: torch.Tensor  # (M,) 0 right behind the prompt
    sees: torch.Tensor  # (M, M) bool: node i may look at node j, an ancestor or itself
    source: torch.Tensor  # (E,) where an edge starts: 0 the prompt's last token, m + 1 inner node m
    token: torch.Tensor  # (E,) the token that an edge adds
    path: torch.Tensor  # (K, E) float, 1 where an edge belongs to an answer


def trie(answers: Mapping[int, Sequence[int]], device: torch.device | str = "cpu") -> Trie:
    """From label -> token ids with the end token. Raises ValueError for no answers or one that begins another."""
    if not answers:
        raise ValueError("the set of valid answers is empty")
    wholes = [tuple(ids) for ids in answers.values()]
    begun = dict.fromkeys(ids[:length] for ids in wholes for length in range(1, len(ids)))
    nodes = {prefix: number for number, prefix in enumerate(begun)}  # of all inner nodes, parents first
    edges = list(dict.fromkeys(ids[:length] for ids in wholes for length in range(1, len(ids) + 1)))
    if len(set(wholes)) < len(answers) or nodes.keys() & set(wholes):
        raise ValueError("an answer is another one's beginning: the tokens must end with an end token")
    sees = [[prefix[: len(other)] == other for other in nodes] for prefix in nodes]
    whole = Trie(
        labels=tuple(answers),
        tokens=torch.tensor([prefix[-1] for prefix in nodes], dtype=torch.long),
        depth=torch.tensor([len(prefix) - 1 for prefix in nodes], dtype=torch.long),
        sees=torch.tensor(sees, dtype=torch.bool).view(len(nodes), len(nodes)),
        source=torch.tensor([nodes.get(prefix[:-1], -1) + 1 for prefix in edges]),
        token=torch.tensor([prefix[-1] for prefix in edges]),
        path=torch.tensor([[ids[: len(prefix)] == prefix for prefix in edges] for ids in wholes]).float(),
    )
    return Trie(whole.labels, *(tensor.to(device) for tensor in whole[1:]))


@torch.inference_mode()
def log_probabilities(model: torch.nn.Module, batch: Mapping[str, torch.Tensor], answers: Trie) -> torch.Tensor:
    """log P(answer | prompt and image) of each row and answer: float32, (rows, K). Not normalized over the answers.

    batch: what the model's forward takes (input_ids, attention_mask, pixel_values ...), padded on the left.
    """
    positions, following = _positions(model, batch)
    attends = _attends(model.get_decoder().config)
    # Of whole layers: those with a window keep all of the prompt, too, and the mask hides what is beyond.
    cache = {"past_key_values": DynamicCache()} if attends else {}
    prompt = model.model(**batch, **positions, **cache, use_cache=True)
    mask, hidden = batch["attention_mask"].bool(), [prompt.last_hidden_state[:, -1:]]
    if len(answers.tokens):
        grow = _together if attends else _step_by_step
        hidden.append(grow(model, prompt.past_key_values, mask, following, answers))
    return _edges(model, torch.cat(hidden, 1), answers) @ answers.path.T


def _attends(text: Any) -> bool:
    """Whether all layers of a language model attend, so that a mask can make a tree of what they read.

    Convolutions and linear attention read the tokens in their order.
    """
    return {*(getattr(text, "layer_types", None) or ())} <= {"full_attention", "sliding_attention"}


def _has_mrope(model: torch.nn.Module) -> bool:
    """Whether a position has three parts (time, height, width), as in Qwen's models."""
    return hasattr(model.model, "get_rope_index")


def _positions(model: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> tuple[dict, torch.Tensor]:
    """({"position_ids": ...}, the next text position of each row)."""
    mask = batch["attention_mask"]
    if not _has_mrope(model):
        plain = (mask.long().cumsum(1) - 1).clamp(min=0)
        return {"position_ids": plain}, plain.amax(1) + 1
    grid = {key: batch[key] for key in ("image_grid_thw",) if key in batch}
    # Computed here and not in the model, which keeps deltas that count the padding.
    position_ids, _ = model.model.get_rope_index(batch["input_ids"], attention_mask=mask, **grid)
    return {"position_ids": position_ids}, position_ids.masked_fill(~mask.bool(), -1).amax((0, 2)) + 1


def _together(
    model: torch.nn.Module, cache: Any, mask: torch.Tensor, following: torch.Tensor, answers: Trie
) -> torch.Tensor:
    """The hidden states behind all inner nodes of each row, (rows, M, hidden size), in one pass."""
    rows, text = len(mask), model.get_decoder()
    positions = following[:, None] + answers.depth
    read = text(
        input_ids=answers.tokens.expand(rows, -1),
        attention_mask=_tree_masks(model, mask, following, answers),
        position_ids=positions.expand(3, -1, -1) if _has_mrope(model) else positions,
        past_key_values=cache,
        use_cache=True,
    )
    return read.last_hidden_state


def _tree_masks(
    model: torch.nn.Module, mask: torch.Tensor, following: torch.Tensor, answers: Trie
) -> torch.Tensor | dict[str, torch.Tensor]:
    """What each inner node may look at, to be added to the scores, (rows, 1, M, prompt + M); of each kind of layer, if
    a model has two."""
    rows, nodes, text = len(mask), len(answers.tokens), model.get_decoder().config
    allowed = torch.cat([mask[:, None].expand(-1, nodes, -1), answers.sees.expand(rows, -1, -1)], 2)
    kinds, window = {*(getattr(text, "layer_types", None) or ())}, getattr(text, "sliding_window", None)
    full = _added(model, allowed)
    if not window or kinds == {"full_attention"}:
        return full
    # By positions: as transformers has it, a token looks at itself and at the window - 1 tokens before it. A prompt's
    # tokens stand where they are counted, an image's each with a position of its own.
    begins = mask.sum(1)[:, None]
    places = torch.cat([mask.long().cumsum(1) - 1, begins + answers.depth], 1)
    near = (begins + answers.depth)[:, :, None] - places[:, None] < window
    slid = _added(model, allowed & near)
    return {"full_attention": full, "sliding_attention": slid} if kinds else slid


def _added(model: torch.nn.Module, allowed: torch.Tensor) -> torch.Tensor:
    dtype = next(model.parameters()).dtype
    added = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return added.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]


def _step_by_step(
    model: torch.nn.Module, cache: Any, mask: torch.Tensor, following: torch.Tensor, answers: Trie
) -> torch.Tensor:
    """As _together(), depth by depth: every node goes on from a copy of what its parent's layers remember."""
    rows, text = len(mask), model.get_decoder()
    parents = answers.sees & (answers.depth[:, None] == answers.depth + 1)  # a row for each node: its parent
    hidden, before = None, None
    for depth in range(int(answers.depth.max()) + 1):
        nodes = (answers.depth == depth).nonzero().flatten()
        # The place of each node's parent in the step before; of the first nodes, the prompt.
        place = parents[nodes][:, before].long().argmax(1) if depth else torch.zeros_like(nodes)
        width = len(before) if depth else 1
        rows_before = torch.arange(rows, device=mask.device)[:, None] * width
        cache.reorder_cache((rows_before + place).flatten())
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
        positions = (following + depth)[:, None].expand(-1, len(nodes)).reshape(-1, 1)
        read = text(
            input_ids=answers.tokens[nodes].expand(rows, -1).reshape(-1, 1),
            attention_mask=mask.long().repeat_interleave(len(nodes), 0),
            position_ids=positions.expand(3, -1, -1) if _has_mrope(model) else positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state.view(rows, len(nodes), -1)
        if hidden is None:
            hidden = read.new_empty(rows, len(answers.tokens), read.shape[-1])
        hidden[:, nodes], before = read, nodes
    return hidden


def _edges(model: torch.nn.Module, hidden: torch.Tensor, answers: Trie) -> torch.Tensor:
    """log P(next token) of each row and edge, in float32, without keeping the scores of the whole vocabulary."""
    head, (rows, sources, size) = model.get_output_embeddings(), hidden.shape
    slot = (answers.source[:, None] == answers.source).tril(-1).sum(1)  # which of its source's edges an edge is
    # The tokens that follow each source, (sources, most followers), filled up with 0.
    followers = torch.zeros(sources, int(slot.max()) + 1, dtype=torch.long, device=answers.token.device)
    followers[answers.source, slot] = answers.token
    picked, total = [], []
    parts = hidden.reshape(-1, size).split(ROWS)
    for part, columns in zip(parts, followers.expand(rows, -1, -1).flatten(0, 1).split(ROWS)):
        scores = head(part).float()
        total.append(scores.logsumexp(1))
        picked.append(scores.gather(1, columns))
    logp = torch.cat(picked).view(rows, sources, -1) - torch.cat(total).view(rows, sources, 1)
    return logp[:, answers.source, slot]
