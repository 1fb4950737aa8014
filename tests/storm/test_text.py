"""Commands that are printed to be pasted."""

import subprocess

import pytest

from storm.text import command_line


@pytest.mark.parametrize(
    "word", ["plain", "my photos", "o'b$(touch x)", 'a"b', "a\nb", "\x1b[2J'\\", "größe\t", "-", ""]
)
def test_a_command_gives_back_its_words_in_bash(word):
    line = command_line(["printf", "%s|", word])
    assert line.isprintable()
    assert subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout == f"{word}|"
