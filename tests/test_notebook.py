"""The notebook of own ratings: as it is read on GitHub, and executed again."""

import re

import nbformat
import pytest

from tests.helpers.paths import ROOT

NOTEBOOK = ROOT / "examples/own_ratings.ipynb"


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in outputs(notebook))


def test_it_has_its_outputs_without_an_error_or_a_path_of_a_machine():
    notebook = nbformat.read(NOTEBOOK, 4)
    kinds = {output.output_type for output in outputs(notebook)}
    assert kinds == {"stream", "display_data", "execute_result"}
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) == 2
    assert "MAE raw" in printed(notebook) and "Irresistible" in printed(notebook)
    assert not re.search(r"/(work|home|root|tmp)/", str(outputs(notebook)))
    assert NOTEBOOK.stat().st_size < 400_000, "GitHub shows larger ones slowly"


@pytest.mark.slow
def test_it_runs_from_the_csv_to_the_contact_sheet(copy, warm, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(copy))  # the copy's packages, not those of the shared .venv
    for name, value in (warm | {"CUDA_VISIBLE_DEVICES": ""}).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, 4)
    [cell] = [cell for cell in notebook.cells if "EPOCHS = 200" in cell.source]
    cell.source = cell.source.replace("EPOCHS = 200", "EPOCHS = 4")
    [cell] = [cell for cell in notebook.cells if "Path(sys.executable)" in cell.source]
    cell.source = f"import sys\nsys.executable = '{copy}/.venv/bin/python'\n{cell.source}"
    for cell in notebook.cells:
        cell.pop("outputs", None)
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(copy / "examples")}}).execute()
    assert len((copy / "saves/notebook.csv").read_text().splitlines()) == 16
    assert "data:image/jpeg;base64," in (copy / "saves/notebook.html").read_text()
    assert "appeal   cot       exact   5" in printed(notebook)
