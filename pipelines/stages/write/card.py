"""The dataset card of a folder of Parquet files, and its upload to the Hugging Face Hub.

Refuses to upload where `huggingface_hub` is not installed or the hub does not take it.
"""

import json
from collections.abc import Sequence

from ....corpus.store.errors import MissingExtra, RequestError
from ....corpus.store.workspace import Workspace
from .settings import WriteSettings


def card(workspace: Workspace, settings: WriteSettings, files: Sequence[str], rows: int) -> str:
    """README.md: a configuration for each schema, the first the default, and how the rows came to be."""
    groups: dict[str, int] = {}
    for file in files:
        groups[file.split("/")[1]] = groups.get(file.split("/")[1], 0) + 1
    names = sorted(groups, key=lambda name: (name == "documents", -groups[name], name))
    lines = ["---", "configs:"]
    for number, name in enumerate(names):
        lines += [f"- config_name: {json.dumps('default' if number == 0 else name)}", "  data_files:"]
        lines += ["  - split: train", f"    path: {json.dumps(f'data/{name}/*.parquet')}"]
    lines += ["---", "", "# Documents", ""]
    what = "that were dropped, with the stage and rule that dropped each" if settings.dropped else "that are kept"
    lines += [f"{rows:,} documents {what}, written by gristmill.", ""]
    counts = [("stage", "kept", "dropped")]
    for stage, commit in workspace.commits().items():
        told = commit.tables.get(f"decisions/{stage}")
        if told is not None:
            counts.append((stage, f"{told.counts.get('kept', 0):,}", f"{told.counts.get('dropped', 0):,}"))
    if len(counts) > 1:
        lines += [f"| {' | '.join(counts[0])} |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in counts[1:])]
    return "\n".join(lines) + "\n"


def upload(folder: str, name: str) -> str:
    """Upload the folder as a dataset. Its URL. RequestError for what the hub refuses."""
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "remote") from error
    api = HfApi()
    try:
        url = api.create_repo(name, repo_type="dataset", exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=name, repo_type="dataset", delete_patterns="data/**")
    except (HfHubHTTPError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise RequestError(f"--push {name}: {type(error).__name__}: {said} (credentials: HF_TOKEN)") from error
    return str(url)
