"""The tools that test files can be exported to. A tool is one row, and a module with its form.

The label is only where a tool keeps it for its own scores: it is never part of what a model sees.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from data_prep import export_lmms_eval, export_openai_batch, export_vlmevalkit
from data_prep.export_task import Open, Rows, Settings, Written


class Tool(NamedTuple):
    """A tool that asks models our questions."""

    name: str  # --to
    write: Callable[[str, Rows, Settings, Open], Iterator[Written]]  # the files of one dataset and strategy
    run: Callable[[list[Written], Settings], list[str]]  # the commands that run it
    stale: str  # names of files that an earlier export of the task left, or the tool made of it: a pattern
    embeds: Callable[[Settings], bool] = lambda _: False  # whether its files hold the images
    options: tuple[str, ...] = ()  # those of the command that only some tools have
    needs: tuple[str, ...] = ()  # of these, those that must be given
    functions: Callable[[Settings, Open], None] = lambda _, open_: None  # writes what all tasks of a folder share


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "vlmevalkit",
            export_vlmevalkit.write,
            export_vlmevalkit.run,
            stale=r"_local\.tsv",  # images that it took out of a table of more than 1 GB
            embeds=lambda settings: settings.embed,
            options=("embed", "resize"),
        ),
        Tool(
            "lmms-eval",
            export_lmms_eval.write,
            export_lmms_eval.run,
            stale="(?!)",
            options=("max_tokens",),
            functions=export_lmms_eval.write_functions,
        ),
        Tool(
            "openai-batch",
            export_openai_batch.write,
            export_openai_batch.run,
            stale=r"-\d+\.jsonl",
            embeds=lambda settings: settings.image_url is None,
            options=("model", "image_url", "resize", "max_tokens", "body"),
            needs=("model",),
        ),
    )
}
