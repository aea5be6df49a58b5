"""``python -m thunderbit_dagster.cli``."""

from thunderbit_dagster.cli import main

main(prog_name="thunderbit-dagster")
