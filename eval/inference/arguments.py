"""The options of a command that predicts, and the settings that they give: for eval/predict.py and train/sweep.py."""

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from eval.inference.settings import DECODES, Settings
from eval.servers.arguments import add_options as add_servers
from eval.servers.arguments import servers_of, urls
from storm.options import Parser, not_empty, one_of, positive

WITH_MODEL = ("adapter", "bf16", "batch_size", "cutoff_len", "workers")  # options that do not go with --server


def add_options(parser: Parser, title: str = "", decode: str = Settings.decode, required: bool = True) -> Callable:
    """--model or --server, and what goes with them. title: of their group in --help. required: one of the two.

    Returns what adds an option to the group.
    """
    who = parser.add_mutually_exclusive_group(required=required)
    text = "a model folder, or a model of the Hugging Face hub"
    who.add_argument("--model", type=not_empty, metavar="DIR_OR_NAME", help=text)
    text = "servers that answer instead of a model here, by commas: http://127.0.0.1:8000 (docs/servers.md)"
    who.add_argument("--server", type=urls, metavar="URL[,URL]", help=text)
    add = (parser.add_argument_group(title) if title else parser).add_argument
    add("--adapter", type=not_empty, metavar="DIR", help="folder with a LoRA adapter of that model")
    text = f"the image root (default: {Settings.media}, or the folder of a list of images)"
    add("--media", type=Path, metavar="FOLDER", help=text)
    text = "exact: probabilities of all valid answers; generate: greedy text (default: %(default)s)"
    add("--decode", type=one_of(DECODES), default=decode, metavar="|".join(DECODES), help=text)
    add("--bf16", action="store_true", help="cast the weights to bfloat16 (bf16_full_eval in our recipes)")
    text = "rows at once (default: auto, rows of 16,384 tokens on a GPU, 8,192 without); out of memory halves them"
    add("--batch-size", type=_size, default=Settings.batch_size, metavar="auto|N", help=text)
    text = "processes that read images ahead of the model (default: auto, the cores beside a GPU, 0 without)"
    add("--workers", type=_workers, default=Settings.workers, metavar="auto|N", help=text)
    add("--limit", type=positive, metavar="N", help="the first N rows of each file, or the first N images")
    for name, text in (
        ("image_max_pixels", "most pixels of an image, as in training"),
        ("cutoff_len", "most tokens of a prompt, as in training"),
        ("max_new_tokens", "most tokens of a generated answer"),
    ):
        option, default = f"--{name.replace('_', '-')}", getattr(Settings, name)
        add(option, type=positive, default=default, metavar="N", help=f"{text} (default: %(default)s, our recipes')")
    add_servers(parser)
    return add


def settings_of(args: argparse.Namespace, **more: Any) -> Settings:
    """The settings that a command line gives. more: those for which the command has no option.

    Raises ValueError in one line for options that cannot go together.
    """
    given = {name: getattr(args, name) for name in (field.name for field in fields(Settings)) if hasattr(args, name)}
    given |= {"media": args.media or Settings.media, "model": args.model or ""} | more
    given["data"] = tuple(given["data"])
    if odd := [name for name in WITH_MODEL if args.server and given[name] != getattr(Settings, name)]:
        raise ValueError(f"--{odd[0].replace('_', '-')} goes with --model: a server has its own; leave it out")
    return Settings(**given, servers=servers_of(args, args.decode))


def _workers(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) > 256:
        raise argparse.ArgumentTypeError(f"{text!r}: auto, or a number from 0 to 256")
    return int(text)


def _size(text: str) -> int:
    return 0 if text == "auto" else positive(text)
