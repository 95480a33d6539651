"""``stokehold retry``: queue failed jobs of all owners again."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial

import click

from tasks.celery import app
from tasks.client_jobs.retry import FailedJobs, RetryReport
from tasks.errors import StokeholdError


@click.command()
@click.option("--code", help="Only jobs that failed with this code, such as drawing_failed.")
@click.option("--since", type=click.DateTime(), help="Only jobs that failed at this time or later (UTC).")
@click.option("--key", "owner", help="Only jobs of the API key with this id.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Maximum number of jobs.")
def retry(code: str | None, since: datetime | None, owner: str | None, limit: int) -> None:
    """Queue failed jobs again, each once, however often the command is repeated."""
    selection = FailedJobs(code, None if since is None else since.replace(tzinfo=UTC))
    try:
        retries = app.service.retries
        jobs = retries.failed_of_all(selection) if owner is None else retries.failed_of(owner, selection)
        show(retries.retry_all(jobs, limit))
    except StokeholdError as error:
        sys.exit(f"stokehold: {error}")


main = partial(retry.main, prog_name="stokehold retry")


def show(report: RetryReport) -> None:
    """Print the outcome."""
    for one in report.retried:
        click.echo(f"{one.job}  queued again as {one.retry}")
    for other in report.skipped:
        click.echo(f"{other.job}  not queued again: {other.reason}")
    click.echo(f"{report.count} queued again, {len(report.skipped)} skipped.", err=True)
    if report.stopped is not None:
        click.echo(report.stopped, err=True)
