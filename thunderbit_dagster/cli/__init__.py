"""``thunderbit-dagster``: the command line."""

from __future__ import annotations

import click

from thunderbit_dagster.cli.backfill.command import backfill
from thunderbit_dagster.cli.backfill.plan_command import plan
from thunderbit_dagster.cli.dev.command import dev
from thunderbit_dagster.cli.dev.demo import demo
from thunderbit_dagster.cli.diff import diff
from thunderbit_dagster.cli.doctor.command import doctor
from thunderbit_dagster.cli.emulator import emulator, site
from thunderbit_dagster.cli.jobs.command import jobs
from thunderbit_dagster.cli.report.command import report
from thunderbit_dagster.cli.webhooks import webhooks
from thunderbit_dagster.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="thunderbit-dagster")
def main() -> None:
    """Batch crawls with the Thunderbit API, in Dagster."""


for command in (backfill, demo, dev, diff, doctor, emulator, jobs, plan, report, site, webhooks):
    main.add_command(command)
