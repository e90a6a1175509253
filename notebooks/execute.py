"""Execute the notebooks of this folder in place, so that they are stored with the outputs of a real workspace.

    python notebooks/execute.py --workspace demo

Outputs must be fit for publication: the notebook is left as it was, and the command fails, where a cell raises, writes
to the error stream, or shows a path of this machine. Needs the extra `notebooks`.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent


def execute(notebook: Path, workspace: Path, timeout: int = 1800) -> nbformat.NotebookNode:
    """The notebook with fresh outputs; the file is not touched. Raises what a cell raised."""
    content = nbformat.read(notebook, as_version=4)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "GRISTMILL_WORKSPACE": str(workspace.resolve())}
    with tempfile.TemporaryDirectory() as sockets:  # not TCP ports, which other users of the machine could reach
        manager = KernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        try:
            NotebookClient(content, km=manager, timeout=timeout).execute(env=environment, cwd=str(FOLDER))
        finally:
            manager.shutdown_kernel(now=True)
    for cell in content.cells:
        cell.metadata.pop("execution", None)  # times of day
    content.metadata.language_info = {"name": "python"}
    return content


def blemishes(content: nbformat.NotebookNode, workspace: Path) -> Iterator[str]:
    """What in the outputs must not be published."""
    private = {str(workspace.resolve()), str(FOLDER.parent), str(Path.home()), sys.prefix, sys.base_prefix}
    for number, cell in enumerate(content.cells):
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                yield f"cell {number} raised {output.ename}"
            if output.get("name") == "stderr":
                yield f"cell {number} wrote to the error stream: {output.text[:200]}"
            shown = [output.get("text", ""), *(v for k, v in output.get("data", {}).items() if k.startswith("text/"))]
            yield from (f"cell {number} shows {path}" for path in sorted(private) if any(path in s for s in shown))


def main(arguments: list[str] | None = None) -> int:
    """Execute and store every notebook, or those named. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=FOLDER.parent / "demo", help="default: demo")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of this folder")
    asked = parser.parse_args(arguments)
    for notebook in asked.notebooks or sorted(FOLDER.glob("*.ipynb")):
        content = execute(notebook, asked.workspace)
        found = list(blemishes(content, asked.workspace))
        if found:
            print(f"{notebook.name} is left as it was:", *found, sep="\n  ", file=sys.stderr)
            return 1
        nbformat.write(content, notebook)
        print(f"{notebook.name}: {sum(cell.cell_type == 'code' for cell in content.cells)} cells executed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
