"""What the readers' tests write, as owners leave it, and where the images of rows are."""

from pathlib import Path

from data_prep.downloads import Files
from data_prep.locate import locate
from data_prep.source import Drop, Row
from storm.datasets import DATASETS


def write(path: Path, content: str | bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def put(root: Path, *images: str, **texts: str) -> Files:
    """A folder of empty images and of label files (name without extension, which is .txt or .csv, = content)."""
    for path in images:
        write(root / path)
    for name, text in texts.items():
        write(root / f"{name}{'.txt' if name.startswith('fold') else '.csv'}", text)
    return Files(root)


def read(module, root: Path) -> list[Row | Drop]:
    return list(module.read(Files(root)))


def image_of(root: Path, row: Row) -> str | None:
    return best(Files(root), *row.images)


def located(files: Files, rows: list[Row | Drop]) -> list[str | None]:
    return [best(files, *row.images) for row in rows if isinstance(row, Row)]


def best(files: Files, *ends: str) -> str | None:
    """The path of the best guess, None if there is none."""
    return next((found.path for found in files.find(*ends)), None)


def put_files(root: Path, files: dict[str, str | bytes]) -> Files:
    """A folder of these files: path below it -> content."""
    for name, content in files.items():
        write(root / name, content)
    return Files(root)


def located_as_built(files: Files, module) -> list[str | None]:
    """The image of each row, from the folders that a build would take."""
    rows = [row for row in module.read(files) if isinstance(row, Row)]
    folders = DATASETS[module.__name__.rpartition(".")[2]].folders
    paths = {row.id: path for path, row in locate(files, rows, folders).rows.items()}
    return [paths.get(row.id) for row in rows]
