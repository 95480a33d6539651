"""The command line for backfills: ``python -m tasks.backfill``. A client of the API, like any other."""
