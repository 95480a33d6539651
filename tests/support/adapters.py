"""Adapters as the merge engine takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from workers.adapters.parser import parse_adapter
from workers.adapters.shell import LoaderShell
from workers.swap.engine import PreparedAdapter


def prepared(pipeline: Any, path: Path, scale: float = 1.0) -> PreparedAdapter:
    """An adapter's file, parsed for a pipeline into which nothing is merged."""
    return prepared_with(LoaderShell(pipeline), path, scale)


def prepared_with(shell: LoaderShell, path: Path, scale: float = 1.0) -> PreparedAdapter:
    """An adapter's file, parsed with a shell that was made when the pipeline was loaded, as a worker does it,
    with PEFT's configuration if it lies beside."""
    adapter = ResolvedAdapter(
        ref=path.stem,
        source=AdapterSource.FOLDER,
        repository=path.stem,
        commit="0" * 64,
        weight_name=path.name,
        base_model="tiny",
    )
    beside = path.with_name("adapter_config.json")
    config = json.loads(beside.read_text("utf-8")) if beside.exists() else None
    return PreparedAdapter(adapter, scale, path, adapter.commit, parse_adapter(shell, path, path.stem, config))
