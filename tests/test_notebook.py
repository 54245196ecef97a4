"""The tutorial runs from top to bottom, and shows tables and figures."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def test_the_tutorial_runs():
    notebook = nbformat.read(NOTEBOOK, 4)
    where = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=where).execute()  # raises at an error
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output.get("data", {}) for output in outputs]
    assert sum("image/png" in data for data in shown) == 3
    tables = [data["text/html"] for data in shown if "<caption><b>" in data.get("text/html", "")]
    assert len(tables) == 3 and "late-drums" in tables[0] and "heldout" in tables[0]
    assert not any(output.output_type == "stream" and output.name == "stderr" for output in outputs)
