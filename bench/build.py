"""How fast labels become conversations: python -m bench.build [FRACTION ...], by default 0.1 and 1.

Makes stand-ins for all 14 sources (tests/helpers/stand_ins.py) and runs `python -m data_prep --check exists` on them,
for one strategy. Results are in bench/README.md. Needs 2 GB of disk.
"""

import tempfile
from pathlib import Path

from bench.timed import timed
from storm.files import read_json
from storm.options import Parser
from tests.helpers.stand_ins import make


def main() -> None:
    parser = Parser(prog="python -m bench.build", description=__doc__.split(": python")[0])
    text = "share of the owners' rows (default: 0.1 and 1)"
    parser.add_argument("fractions", nargs="*", type=float, default=[0.1, 1.0], metavar="FRACTION", help=text)
    for fraction in parser.parse_args().fractions:
        with tempfile.TemporaryDirectory() as folder:
            raw, out = Path(folder) / "raw", Path(folder) / "out"
            make(raw, fraction)
            partial = ["--allow-partial"] if fraction < 1 else []
            took = timed("-m", "data_prep", "--media", raw, "--out", out, "--check", "exists", *partial)
            rows = sum(numbers["sizes"]["all"] for numbers in read_json(out / "summary.json").values())
        print(f"\n{rows:,} rows: {took}\n", flush=True)


if __name__ == "__main__":
    main()
