"""Draw many prompts, and fetch the images: ``stokehold backfill run prompts.jsonl --out results/``."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from tasks.api_client import LINES, ApiClient
from tasks.backfill.downloads import download
from tasks.backfill.progress import batch_record, read_batch, watch
from tasks.backfill.sources import PLAIN_FIELDS, Line, completed, read_lines
from tasks.backfill.state import BackfillState, read_state, write_state
from tasks.batches.batch import BatchStatus, OnError
from tasks.batches.record import BatchRecord
from tasks.errors import InvalidRequest, StokeholdError
from tasks.settings import settings

DEFAULT_URL = "http://127.0.0.1:8000"
FIELDS = {name: kind for name, kind in PLAIN_FIELDS.items() if name not in ("prompt", "webhook_url")}
"""Fields of a request that may be given for all lines. A batch has one webhook for itself."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says.

    Raises:
        SystemExit: with a message, it cannot be done; with 1, some lines have no images.
    """
    options = parser().parse_args(arguments)
    command: Callable[[ApiClient, argparse.Namespace], BatchRecord] = options.command
    try:
        with ApiClient(options.url, settings().api_key) as client:
            record = command(client, options)
    except StokeholdError as error:
        sys.exit(f"stokehold: {error}")
    except KeyboardInterrupt:
        sys.exit("\nThe batch goes on without this window. The same command finds it again.")
    say(summary(record))
    if record.status is not BatchStatus.PLANNED and (record.counts.failed or record.error):
        sys.exit(1)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="stokehold backfill", description=__doc__)
    top.add_argument("--url", default=DEFAULT_URL, help=f"URL of the API (default: {DEFAULT_URL})")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    runs = commands.add_parser(
        "run", help="submit a file, wait for its images and download them; can be run again to go on"
    )
    runs.add_argument("source", help=".jsonl, .csv, .txt, a product of lists in .toml, or - for JSON lines")
    runs.add_argument("--out", type=Path, required=True, help="folder for the images")
    runs.add_argument(
        "--adapter", action="append", metavar="REF[=SCALE]", help="adapter for all lines; can be repeated"
    )
    for name, kind in FIELDS.items():
        runs.add_argument(f"--{name.replace('_', '-')}", type=kind, help="for all lines that do not set it")
    runs.add_argument("--on-error", choices=list(OnError), default=OnError.REJECT, help="what an invalid line does")
    runs.add_argument("--dry-run", action="store_true", help="print what it would take, and generate nothing")
    runs.set_defaults(command=run)
    for name, command, what in (
        ("status", status, "how far it is"),
        ("cancel", cancel, "cancel what is not generated yet"),
        ("retry-failed", retry_failed, "generate the missing images, and download them"),
        ("download", fetch, "fetch what is drawn"),
    ):
        one = commands.add_parser(name, help=what)
        one.add_argument("--out", type=Path, required=True, help="folder for the images, as given to run")
        one.set_defaults(command=command)
    return top


def run(client: ApiClient, options: argparse.Namespace) -> BatchRecord:
    """Send a file and fetch its images, or continue with the batch that was sent before."""
    with tempfile.TemporaryFile(prefix="stokehold-") as file:
        digest = write_lines(file, options)
        if options.dry_run:
            record = submit(client, file, f"{digest}-plan", on_error=options.on_error, dry_run=True)
            return watch(client, record.id)
        state = read_state(options.out)
        if state is not None and state.digest != digest:
            raise InvalidRequest(f"{options.out} belongs to another file. Choose another folder, or remove it.")
        if state is None:
            record = submit(client, file, digest, on_error=options.on_error, dry_run=False)
            state = BackfillState(batch_id=record.id, digest=digest)
            write_state(options.out, state)
    return finish(client, state.batch_id, options.out)


def submit(client: ApiClient, file: IO[bytes], idempotency_key: str, *, on_error: str, dry_run: bool) -> BatchRecord:
    """Send a file of lines.

    Raises:
        RequestRefused, ServiceUnavailable: it is not accepted.
    """
    path = f"/v1/batches?on_error={on_error}&dry_run={str(dry_run).lower()}"
    return batch_record(client.send("POST", path, file, {**LINES, "Idempotency-Key": idempotency_key}))


def write_lines(file: IO[bytes], options: argparse.Namespace) -> str:
    """Write the lines as they are sent, and return their SHA-256."""
    digest = hashlib.sha256()
    for line in completed(read_lines(options.source), defaults(options)):
        row = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        digest.update(row)
        file.write(row)
    file.seek(0)
    return digest.hexdigest()


def defaults(options: argparse.Namespace) -> Line:
    """The fields that the command line gives to all lines."""
    given = {name: getattr(options, name) for name in FIELDS if getattr(options, name) is not None}
    return given | ({"adapters": [adapter(text) for text in options.adapter]} if options.adapter else {})


def adapter(text: str) -> Line:
    """Return an adapter of the command line: a reference, and perhaps a scale, but not behind a query."""
    if "?" in text:  # an address with a query, in which "=" means something else
        return {"ref": text}
    ref, equals, scale = text.partition("=")
    try:
        return {"ref": ref, "scale": float(scale)} if equals else {"ref": ref}
    except ValueError as error:
        raise InvalidRequest(f"{text!r} has no number after '='. Write REF or REF=SCALE.") from error


def finish(client: ApiClient, batch_id: str, folder: Path) -> BatchRecord:
    """Wait for the end of a batch, and fetch its images."""
    record = watch(client, batch_id)
    if record.error is None:
        fetch_all(client, batch_id, folder)
    return record


def fetch_all(client: ApiClient, batch_id: str, folder: Path) -> None:
    """Fetch the images that are drawn and not in the folder yet."""
    results = client.lines(f"/v1/batches/{batch_id}/results")
    done = download(results, folder, lambda url: client.get(url).require_success().body)
    say(f"{done.fetched} images downloaded, {done.kept} were there already: {folder}")


def known(folder: Path) -> BackfillState:
    """The state of a folder.

    Raises:
        InvalidRequest: it has none.
    """
    state = read_state(folder)
    if state is None:
        raise InvalidRequest(f"{folder} does not belong to a batch. Begin with: run FILE --out {folder}")
    return state


def status(client: ApiClient, options: argparse.Namespace) -> BatchRecord:
    """Print the progress of a batch."""
    return read_batch(client, known(options.out).batch_id)


def cancel(client: ApiClient, options: argparse.Namespace) -> BatchRecord:
    """Cancel a batch."""
    return batch_record(client.send("POST", f"/v1/batches/{known(options.out).batch_id}/cancel"))


def retry_failed(client: ApiClient, options: argparse.Namespace) -> BatchRecord:
    """Retry the lines without images, and fetch these."""
    batch_id = known(options.out).batch_id
    client.send("POST", f"/v1/batches/{batch_id}/retry").require_success()
    return finish(client, batch_id, options.out)


def fetch(client: ApiClient, options: argparse.Namespace) -> BatchRecord:
    """Fetch the images that are drawn."""
    batch_id = known(options.out).batch_id
    fetch_all(client, batch_id, options.out)
    return read_batch(client, batch_id)


def summary(record: BatchRecord) -> str:
    """Return the outcome of a batch, beside its forecast."""
    counts, forecast = record.counts, record.forecast
    lines = [f"{record.status}: {counts.succeeded} succeeded, {counts.failed} failed, {counts.canceled} canceled"]
    lines += [f"  line {error.line}: {error.message}" for error in record.errors[:20]]
    if counts.skipped > 20:
        lines.append(f"  and {counts.skipped - 20} more")
    if record.error is not None:
        lines.append(f"  {record.error.message}")
    if forecast is not None:
        took = record.outcome
        lines += [
            f"  {'':<18}{'forecast':>10}{'so far':>10}",
            f"  {'swaps':<18}{forecast.swaps:>10}{took.swaps:>10}",
            f"  {'device seconds':<18}{number(forecast.device_s):>10}{number(took.device_s):>10}",
            f"  {'seconds in all':<18}{number(forecast.finish_s):>10}{number(took.elapsed_s):>10}",
            f"  {forecast.images} images, {forecast.adapters} adapters of {forecast.adapter_bytes} bytes together",
        ]
    return "\n".join(lines)


def number(value: float | None) -> str:
    """A number for the table."""
    return "?" if value is None else f"{value:.1f}"


def say(text: str) -> None:
    """Print."""
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
