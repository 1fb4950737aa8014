"""What a mistyped value of an option is answered with."""

import argparse

import pytest

from storm.families import FAMILIES
from storm.options import did_you_mean, not_empty, one_of


def test_the_nearest_is_named():
    assert did_you_mean("spak", ["spaq", "koniq"]) == "did you mean spaq?"
    assert did_you_mean("lava", FAMILIES) == "did you mean llava?"
    assert did_you_mean("intern", FAMILIES) == "did you mean internvl?"


@pytest.mark.parametrize("value", ["qwen", "Qwen"])
def test_of_what_several_begin_with_all_are_named(value):
    with pytest.raises(argparse.ArgumentTypeError) as raised:
        one_of(FAMILIES)(value)
    assert str(raised.value).endswith("choose from qwen2_5_vl, qwen2_vl, qwen3_vl, qwen3_5")


def test_without_a_nearest_all_are_named():
    assert did_you_mean("", ["a", "b"]) == did_you_mean("zzz", ["a", "b"]) == "choose from a, b"


@pytest.mark.parametrize("text", ["", "  ", "\t"])
def test_what_is_empty_is_not_an_option_that_is_left_out(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is empty"):
        not_empty(text)
    assert not_empty(" a") == " a"
