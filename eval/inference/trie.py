"""The valid answers of a rating question as a trie of tokens: what the answers share is read once.

Of many answers (ages), most tokens are behind the last one that an answer shares with another: "39" in the ages, then
" years", " old", and the end. Such tails are kept apart, so that only those of likely answers need to be read.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

PAYS = 64  # inner nodes of tails, from which on they are kept apart: our choice, a second pass costs time, too


class Tails(NamedTuple):
    """Of K answers, the tokens that no other one shares: at most L of each, filled up at the end."""

    tokens: torch.Tensor  # (K, L) the tokens that are read
    following: torch.Tensor  # (K, L) the token behind each of them
    real: torch.Tensor  # (K, L) bool: not filled up
    depth: torch.Tensor  # (K,) of the first one; 0 right behind the prompt
    sees: torch.Tensor  # (K, M) bool: the inner nodes of the trie before an answer's tail


class Trie(NamedTuple):
    """The token trie of K answers: M inner nodes, parents first, and E edges. With tails, it ends where these begin."""

    labels: tuple[int, ...]  # of each answer
    tokens: torch.Tensor  # (M,) token of each inner node
    depth: torch.Tensor  # (M,) 0 right behind the prompt
    sees: torch.Tensor  # (M, M) bool: node i may look at node j, an ancestor or itself
    source: torch.Tensor  # (E,) where an edge starts: 0 the prompt's last token, m + 1 inner node m
    token: torch.Tensor  # (E,) the token that an edge adds
    path: torch.Tensor  # (K, E) float, 1 where an edge belongs to an answer
    tails: Tails | None = None


def trie(answers: Mapping[int, Sequence[int]], device: torch.device | str = "cpu", whole: bool = True) -> Trie:
    """From label -> token ids with the end token. Raises ValueError for no answers or one that begins another.

    whole: without tails. Else they are kept apart where that pays.
    """
    if not answers:
        raise ValueError("the set of valid answers is empty")
    wholes = [tuple(ids) for ids in answers.values()]
    shared = Counter(ids[:length] for ids in wholes for length in range(1, len(ids) + 1))
    inner = {ids[:length] for ids in wholes for length in range(1, len(ids))}
    if len(set(wholes)) < len(answers) or inner & set(wholes):
        raise ValueError("an answer is another one's beginning: the tokens must end with an end token")
    # Of each answer, how many tokens it shares with another.
    common = [max((n for n in range(1, len(ids)) if shared[ids[:n]] > 1), default=0) for ids in wholes]
    if whole or sum(len(ids) - 1 - count for ids, count in zip(wholes, common)) < PAYS:
        return _trie(tuple(answers), wholes, device)
    spelt = _trie(tuple(answers), [ids[: count + 1] for ids, count in zip(wholes, common)], device)
    return spelt._replace(tails=_tails(wholes, common, spelt, device))


def _trie(labels: tuple[int, ...], wholes: Sequence[tuple[int, ...]], device: torch.device | str) -> Trie:
    begun = dict.fromkeys(ids[:length] for ids in wholes for length in range(1, len(ids)))
    nodes = {prefix: number for number, prefix in enumerate(begun)}  # of all inner nodes, parents first
    edges = list(dict.fromkeys(ids[:length] for ids in wholes for length in range(1, len(ids) + 1)))
    sees = [[prefix[: len(other)] == other for other in nodes] for prefix in nodes]
    tensors = (
        torch.tensor([prefix[-1] for prefix in nodes], dtype=torch.long),
        torch.tensor([len(prefix) - 1 for prefix in nodes], dtype=torch.long),
        torch.tensor(sees, dtype=torch.bool).view(len(nodes), len(nodes)),
        torch.tensor([nodes.get(prefix[:-1], -1) + 1 for prefix in edges]),
        torch.tensor([prefix[-1] for prefix in edges]),
        torch.tensor([[ids[: len(prefix)] == prefix for prefix in edges] for ids in wholes]).float(),
    )
    return Trie(labels, *(tensor.to(device) for tensor in tensors))


def _tails(wholes: Sequence[tuple[int, ...]], common: Sequence[int], spelt: Trie, device: torch.device | str) -> Tails:
    length = max(len(ids) - 1 - count for ids, count in zip(wholes, common))
    tokens, following = (torch.zeros(len(wholes), length, dtype=torch.long) for _ in range(2))
    real = torch.zeros(len(wholes), length, dtype=torch.bool)
    sees = torch.zeros(len(wholes), len(spelt.tokens), dtype=torch.bool)
    inner = {}  # tokens from the prompt on -> inner node
    for node, seen in enumerate(spelt.sees.cpu()):
        places = seen.nonzero().flatten()
        inner[tuple(spelt.tokens.cpu()[places[spelt.depth.cpu()[places].argsort()]].tolist())] = node
    for row, (ids, count) in enumerate(zip(wholes, common)):
        own = len(ids) - 1 - count
        tokens[row, :own], following[row, :own] = torch.tensor(ids[count:-1]), torch.tensor(ids[count + 1 :])
        real[row, :own] = True
        sees[row, [inner[ids[:n]] for n in range(1, count + 1)]] = True
    tensors = tokens, following, real, torch.tensor(common), sees
    return Tails(*(tensor.to(device) for tensor in tensors))
