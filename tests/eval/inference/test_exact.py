"""The trie of all valid answers; tests/eval/inference/test_families.py has what a model makes of it."""

import pytest

from demo.model import SPECIAL, tokenizer
from eval.inference.trie import trie
from storm.datasets import SCALES
from storm.prompts import STRATEGIES, answers

pytestmark = pytest.mark.slow  # imports torch
WORDS = tokenizer()
END = WORDS.convert_tokens_to_ids("<|im_end|>")


def ids(scale, strategy: str) -> dict[int, list[int]]:
    return {label: [*WORDS(text).input_ids, END] for text, label in answers(scale, strategy).items()}


@pytest.mark.parametrize(("name", "strategy"), list(zip(("spaq", "eyepacs", "adience", "cacd"), STRATEGIES)))
def test_a_trie_spells_exactly_the_answers(name, strategy):
    answer_ids = ids(SCALES[name], strategy)
    whole = trie(answer_ids)
    nodes = []  # tokens from the prompt to each inner node
    for sees in whole.sees:
        seen = sees.nonzero().flatten()
        nodes.append(whole.tokens[seen[whole.depth[seen].argsort()]].tolist())
    assert [len(node) for node in nodes] == [depth + 1 for depth in whole.depth.tolist()]
    for row, answer in enumerate(answer_ids.values()):
        edges = whole.path[row].nonzero().flatten().tolist()
        spelt = {tuple([*(nodes[whole.source[e] - 1] if whole.source[e] else []), int(whole.token[e])]) for e in edges}
        assert spelt == {tuple(answer[:length]) for length in range(1, len(answer) + 1)}
    assert whole.labels == tuple(answer_ids)


def test_sets_that_are_not_answers():
    with pytest.raises(ValueError, match="empty"):
        trie({})
    with pytest.raises(ValueError, match="beginning"):
        trie({3: [7], 30: [7, 8]})
    with pytest.raises(ValueError, match="beginning"):
        trie({3: [7], 30: [7]})


def test_the_special_tokens_are_one_token_each():
    assert all(len(WORDS(token).input_ids) == 1 for token in SPECIAL)
