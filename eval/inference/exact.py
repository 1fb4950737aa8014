"""The exact probability of every valid answer to a rating question, from one prompt and one or two more forward passes.

The valid answers of a scale share beginnings ("rate3-4(Above Fair), rate"), so they form a trie of tokens. After the
prompt has been read once, all inner nodes of the trie go through the model together: each sees the prompt and its own
ancestors only (a tree attention mask), at the position it would have if its answer stood alone. Layers that read tokens
in their order (convolutions, linear attention) take the nodes depth by depth instead. An answer's log-probability is
the sum over its tokens and its end token: equal to scoring each answer alone (tested to 1e-4).

Of ages, the shared beginnings are read first. They bound each answer, and only the tails of likely ones are read then:
exact to 1e-9 of the mass.
"""

from collections.abc import Mapping, Sequence

import torch

from eval.inference.reading import Prompt, attends, read, read_by_depth, read_prompt
from eval.inference.trie import Trie, trie

ROWS = 512  # hidden states that go through the vocabulary's matrix at once: 512 x 152,000 float32 are 0.3 GB
# Of the mass of all valid answers, how much those have together, at most, of which the tails are not read. Were all of
# it at the other end of 116 ages, the mean would change by 1e-7, a fifth of what its rounding in a file takes.
UNREAD = 1e-9


def answer_trie(model: torch.nn.Module, answers: Mapping[int, Sequence[int]]) -> Trie:
    """The trie of answers (label -> tokens) for a model, on its device, with tails where they may be left unread."""
    return trie(answers, next(model.parameters()).device, whole=not attends(model))


@torch.inference_mode()
def log_probabilities(
    model: torch.nn.Module, batch: Mapping[str, torch.Tensor], answers: Trie, unread: float = UNREAD
) -> torch.Tensor:
    """log P(answer | prompt and image) of each row and answer: float32, (rows, K). Not normalized over the answers.

    batch: as read_prompt() takes it. With tails, the least likely answers, which together have `unread` of the mass of
    the others at most, get the probability of their beginnings.
    """
    prompt = read_prompt(model, batch)
    hidden = [prompt.hidden]
    if len(answers.tokens):
        hidden.append(_nodes(prompt, answers) if attends(model) else read_by_depth(prompt, answers))
    logp = _edges(model, torch.cat(hidden, 1), answers) @ answers.path.T
    if answers.tails is None:
        return logp
    done, mass, heads = torch.zeros_like(logp, dtype=torch.bool), logp.logsumexp(1), prompt.cache.get_seq_length()
    # Of a trained model, tails are nearly certain, and one pass is enough. Else the first one tells the mass.
    # Half as much at first: so a tail may be as unlikely as one half.
    share = unread / 2
    while len((chosen := _likely(logp.masked_fill(done, -torch.inf), mass, share))[0][0]):
        share = unread
        prompt.cache.crop(heads)
        logp = logp.scatter_add(1, chosen[0], _tails(prompt, answers, *chosen))
        done = done.scatter(1, chosen[0], chosen[1] | done.gather(1, chosen[0]))
        mass = logp.masked_fill(~done, -torch.inf).logsumexp(1)
    return logp


def _likely(logp: torch.Tensor, mass: torch.Tensor, unread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, A) columns of each row, the likeliest first, and which of them are likely, bool.

    That is all but the least likely ones that have `unread` of a mass together. logp: of each answer, at most; -inf of
    those that are not asked about. mass: its logarithm, (rows,).
    """
    ordered, chosen = logp.double().sort(dim=1, descending=True)
    # Summed from the least likely one on, so that small numbers are not lost in large ones.
    share = (ordered - mass[:, None]).exp().flip(1).cumsum(1).flip(1)
    likely = (share > unread) & (ordered > -torch.inf)
    most = int(likely.sum(1).max())
    return chosen[:, :most], likely[:, :most]


def _nodes(prompt: Prompt, answers: Trie) -> torch.Tensor:
    """The hidden states behind all inner nodes of each row, (rows, M, hidden size), in one pass."""
    rows = len(prompt.mask)
    tokens, depth, sees = (part.expand(rows, *part.shape) for part in (answers.tokens, answers.depth, answers.sees))
    return read(prompt, tokens, depth, sees)


def _tails(prompt: Prompt, answers: Trie, chosen: torch.Tensor, likely: torch.Tensor) -> torch.Tensor:
    """log P of the tails of the chosen answers, (rows, A), 0 of those that are not likely, after _nodes()."""
    tails, (rows, count) = answers.tails, chosen.shape
    length = tails.tokens.shape[1]
    steps = torch.arange(length, device=chosen.device)
    depth = (tails.depth[chosen][:, :, None] + steps).flatten(1)
    answer, step = torch.arange(count, device=chosen.device).repeat_interleave(length), steps.repeat(count)
    chain = (answer[:, None] == answer) & (step[:, None] >= step)  # the tokens of its answer up to each one
    sees = torch.cat([tails.sees[chosen].repeat_interleave(length, 1), chain.expand(rows, -1, -1)], 2)
    hidden = read(prompt, tails.tokens[chosen].flatten(1), depth, sees, answers.depth.expand(rows, -1))
    logp = _picked(prompt.model, hidden.flatten(0, 1), tails.following[chosen].view(-1, 1)).view(rows, count, length)
    return logp.masked_fill(~(tails.real[chosen] & likely[:, :, None]), 0).sum(2)


def _edges(model: torch.nn.Module, hidden: torch.Tensor, answers: Trie) -> torch.Tensor:
    """log P(next token) of each row and edge."""
    rows, sources, _ = hidden.shape
    slot = (answers.source[:, None] == answers.source).tril(-1).sum(1)  # which of its source's edges an edge is
    # The tokens that follow each source, (sources, most followers), filled up with 0.
    followers = torch.zeros(sources, int(slot.max()) + 1, dtype=torch.long, device=answers.token.device)
    followers[answers.source, slot] = answers.token
    logp = _picked(model, hidden.flatten(0, 1), followers.expand(rows, -1, -1).flatten(0, 1))
    return logp.view(rows, sources, -1)[:, answers.source, slot]


def _picked(model: torch.nn.Module, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """log P(token) behind each hidden state, (n, size) and (n, T) to float32 (n, T), a part of the states at a time."""
    head, picked = model.get_output_embeddings(), []
    for part, columns in zip(hidden.split(ROWS), tokens.split(ROWS)):
        scores = head(part).float()
        picked.append(scores.gather(1, columns) - scores.logsumexp(1, keepdim=True))
    return torch.cat(picked)
