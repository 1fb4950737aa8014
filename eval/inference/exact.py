"""The exact probability of every valid answer to a rating question, from one prompt and one more forward pass.

The valid answers of a scale share beginnings ("rate3-4(Above Fair), rate"), so they form a trie of tokens. After the
prompt has been read once, all inner nodes of the trie go through the model together: each sees the prompt and its own
ancestors only (a tree attention mask), at the position it would have if its answer stood alone. An answer's
log-probability is the sum over its tokens and its end token: equal to scoring each answer alone (tested to 1e-4).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from storm.models import family_of

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

    batch: what the model's forward takes (input_ids, attention_mask, pixel_values ...), padded on either side.
    """
    positions, following = _positions(model, batch)
    prompt = model.model(**batch, **positions, use_cache=True)
    mask = batch["attention_mask"].bool()
    last = mask.shape[1] - 1 - mask.flip(1).long().argmax(1)  # of each row, its last token that is no padding
    hidden = [prompt.last_hidden_state[torch.arange(len(last), device=last.device), last][:, None]]
    if len(answers.tokens):
        hidden.append(_grow(model, prompt.past_key_values, mask, following, answers))
    return _edges(model, torch.cat(hidden, 1), answers) @ answers.path.T


def _positions(model: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> tuple[dict, torch.Tensor]:
    """({"position_ids": ...}, the next text position of each row): 3-D for Qwen's image tokens, else plain."""
    mask = batch["attention_mask"]
    if not family_of(model.config).mrope:
        plain = (mask.long().cumsum(1) - 1).clamp(min=0)
        return {"position_ids": plain}, plain.amax(1) + 1
    grid = {key: batch[key] for key in ("image_grid_thw",) if key in batch}
    # Computed here and not in the model, which keeps deltas that count the padding.
    position_ids, _ = model.model.get_rope_index(batch["input_ids"], attention_mask=mask, **grid)
    return {"position_ids": position_ids}, position_ids.masked_fill(~mask.bool(), -1).amax((0, 2)) + 1


def _grow(model, cache, mask: torch.Tensor, following: torch.Tensor, answers: Trie) -> torch.Tensor:
    """The hidden states behind all inner nodes of each row: (rows, M, hidden size)."""
    rows, nodes = len(mask), len(answers.tokens)
    allowed = torch.cat([mask[:, None].expand(-1, nodes, -1), answers.sees.expand(rows, -1, -1)], 2)[:, None]
    dtype = next(model.parameters()).dtype
    tree_mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    tree_mask.masked_fill_(~allowed, torch.finfo(dtype).min)
    positions, family = following[:, None] + answers.depth, family_of(model.config)
    if family.mrope:
        positions = positions.expand(3, -1, -1)
    return getattr(model.model, family.text)(
        input_ids=answers.tokens.expand(rows, -1),
        attention_mask=tree_mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state


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
