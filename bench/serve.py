"""How much of the model's speed eval/serve.py passes on: python -m bench.serve --model DIR [--pixels N] [--turns N]

The same photographs through eval/serve.py, with 1, 8 and 32 clients that ask one after the other, and through
Rater.rate in this process, in batches of the same size, in turns, so that a noisy machine slows both alike. Medians of
the images a second, and of the milliseconds that a request takes (50th and 99th percentile of the last turn). Clients
and server share the cores of this machine; torch gets one thread in both, as two of its threads on two busy cores wait
for each other, spinning.
"""

import argparse
import base64
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median, quantiles

from storm.text import table

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = (1, 8, 32)
BATCH = 8


def photographs(folder: Path, side: int, count: int) -> list[Path]:
    """JPEGs of side x side pixels: blurred noise."""
    from PIL import Image, ImageFilter

    paths = []
    for number in range(count):
        paths.append(folder / f"{number}.jpg")
        image = Image.effect_noise((side, side), 40 + number % 50).convert("RGB")
        image.filter(ImageFilter.GaussianBlur(1)).save(paths[-1], quality=90)
    return paths


def bodies(model: Path, paths: list[Path]) -> list[bytes]:
    """A request for each photograph."""
    from storm.scales import IQA

    levels = [{"label": level.word} for level in IQA.fine]
    question = {"type": "score", "instructions": "Rate the image.", "levels": levels}
    found = []
    for path in paths:
        url = f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"
        content = [{"type": "input_image", "image_url": url}]
        request = {"model": model.name, "input": [{"role": "user", "content": content}], "questions": [question]}
        found.append(json.dumps(request).encode())
    return found


def through_server(port: int, requests: list[bytes], clients: int) -> tuple[float, list[float]]:
    """(seconds for all, seconds of each) of requests by so many clients. Raises AssertionError for one that fails."""
    left, seconds, lock = iter(requests), [], threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while True:
            with lock:
                body = next(left, None)
            if body is None:
                return
            start = time.perf_counter()
            connection.request("POST", "/v1/decisions", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise AssertionError(f"status {answer.status}")
            seconds.append(time.perf_counter() - start)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(seconds) < len(requests):
        raise AssertionError(f"{len(requests) - len(seconds)} requests failed")
    return time.perf_counter() - start, seconds


def rater_of(model: str, pixels: int, media: Path):
    import torch

    from eval.inference.model import load
    from eval.inference.rater import Rater
    from eval.inference.settings import Settings

    settings = Settings(model, image_max_pixels=pixels, media=media)
    return Rater(load(settings, torch.device("cpu")), settings)


def directly(rater, paths: list[Path]) -> float:
    """Seconds for all."""
    from storm.rows import Example
    from storm.scales import IQA

    examples = [Example(str(number), "bench", path.name, 0, IQA, "cot") for number, path in enumerate(paths)]
    start = time.perf_counter()
    for first in range(0, len(examples), BATCH):
        rater.rate(examples[first : first + BATCH])
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="a model folder")
    parser.add_argument("--pixels", type=int, default=12544, help="of an image (default: %(default)s, 112 x 112)")
    parser.add_argument("--images", type=int, default=128, help="a turn (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="(default: %(default)s)")
    args = parser.parse_args()
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    command = [sys.executable, "eval/serve.py", "--model", args.model, "--image-max-pixels", args.pixels]
    command += ["--port", port, "--batch-size", BATCH]
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([str(word) for word in command], cwd=ROOT, env=environment) as server,
    ):
        try:
            paths = photographs(Path(folder), int(args.pixels**0.5), args.images)
            requests, rater = bodies(Path(args.model), paths), rater_of(args.model, args.pixels, Path(folder))
            while server.poll() is None and socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.2)
            directly(rater, paths[:BATCH]), through_server(port, requests[:32], 8)  # warm
            rates: dict[str, list[float]] = {"directly": [], **{f"{count} clients": [] for count in CLIENTS}}
            last: dict[str, list[float]] = {}
            for _ in range(args.turns):
                rates["directly"].append(args.images / directly(rater, paths))
                for count in CLIENTS:
                    seconds, each = through_server(port, requests, count)
                    rates[f"{count} clients"].append(args.images / seconds)
                    last[f"{count} clients"] = each
        finally:
            server.terminate()
    rows = [["contender", "images/s", "of directly", "p50 ms", "p99 ms"]]
    for name, values in rates.items():
        share = median(one / direct for one, direct in zip(values, rates["directly"]))
        cuts = [round(cut * 1000, 1) for cut in quantiles(last[name], n=100)] if name in last else None
        rows.append([name, round(median(values), 2), share, *((cuts[49], cuts[98]) if cuts else (None, None))])
    print(table(rows, "markdown"))


if __name__ == "__main__":
    main()
