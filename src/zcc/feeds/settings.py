"""Settings of the feeds: which files, and how often they are looked at."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from zcc.fields import Duration, Settings

__all__ = ["FeedSettings"]


class FeedSettings(Settings):
    """Files that rules look into; each may be missing from the settings, then nothing is known of its matter."""

    countries: Path | None = Field(default=None, description="a .mmdb file with countries of networks")
    categories: Path | None = Field(default=None, description="a directory; each directory or .txt file in it is a category")
    workloads: Path | None = Field(default=None, description="a YAML or JSON file of workloads and their tags")
    interval: Duration = Field(default=timedelta(seconds=5), description="how often the files are looked at for changes")
    stale_after: Duration | None = Field(default=None, description="how long workloads may go unconfirmed before rules with "
                                         "on_failure.tags_stale act on it")  # fmt: skip
