"""The command line for backfills: ``stokehold backfill``. A client of the API, like any other."""

__all__ = ["__main__", "progress"]
