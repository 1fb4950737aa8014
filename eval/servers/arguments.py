"""The options of eval/predict.py that go with --server, read from a command line."""

import argparse
import math
from argparse import ArgumentTypeError
from dataclasses import fields

from eval.servers.options import DECODES, NONE, Servers, check, url_of
from storm.families import FAMILIES
from storm.options import Parser, not_empty, one_of, positive


def add_options(parser: Parser) -> None:
    """All but --server, which stands beside --model."""
    add = parser.add_argument_group("with --server").add_argument
    add("--served-model", type=not_empty, metavar="NAME", help="the model, as the servers call it")
    text = "the form they speak: chat completions, or decisions (default: %(default)s)"
    add("--api", type=one_of(DECODES), default=Servers.api, metavar="|".join(DECODES), help=text)
    text = "family of the served model (docs/models.md), for its system message (default: by its name, else none)"
    add("--family", type=one_of([*FAMILIES, NONE]), default=Servers.family, metavar="NAME", help=text)
    text = "requests at once to each server (default: %(default)s)"
    add("--concurrency", type=positive, default=Servers.concurrency, metavar="N", help=text)
    text = "environment variable that holds the API key (default: none; OPENAI_API_KEY for api.openai.com)"
    add("--api-key-env", type=not_empty, metavar="NAME", help=text)
    text = "prices of a million tokens read and written, to print the cost: 0.15,0.60"
    add("--price", type=_price, metavar="IN,OUT", help=text)
    add("--allow-remote", action="store_true", help="send images to servers that are not this machine")
    text = "datasets that you may pass on to them, whatever their terms in docs/datasets.md"
    add("--i-may-send", type=_names, default=(), metavar="NAME[,NAME]", help=text)


def servers_of(args: argparse.Namespace, decode: str) -> Servers | None:
    """None without --server. Raises ValueError for options that cannot go together."""
    values = {field.name: getattr(args, field.name) for field in fields(Servers)}
    if args.server is None:
        plain = vars(Servers((), "")) | {"server": None, "served_model": None}
        if given := [name for name, value in values.items() if value != plain[name]]:
            raise ValueError(f"--{given[0].replace('_', '-')} goes with --server")
        return None
    if not args.served_model:
        raise ValueError("--server needs --served-model NAME: what the server calls its model (curl URL/v1/models)")
    check(servers := Servers(**values), decode)
    return servers


def urls(text: str) -> tuple[str, ...]:
    """The value of --server."""
    try:
        listed = tuple(map(url_of, _names(text)))
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    if not listed:
        raise ArgumentTypeError("no URL; write for example http://127.0.0.1:8000")
    return listed


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _price(text: str) -> tuple[float, float]:
    try:
        read, written = map(float, text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"{text}: write two prices, read and written: 0.15,0.60") from None
    if not (0 <= read < math.inf and 0 <= written < math.inf):
        raise ArgumentTypeError(f"{text}: two prices of 0 or more")
    return read, written
