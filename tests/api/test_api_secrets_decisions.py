"""Secrets given as text end in Dagster's database; whoever does that is told."""

import logging

import dagster as dg

from thunderbit_dagster import ParquetStore, ThunderbitResource, build_crawl_definitions

KEY = "tb_0123456789abcdef0123456789abcdef"


def warnings_of(caplog, **settings):
    with caplog.at_level(logging.WARNING):
        build_crawl_definitions([], thunderbit=ThunderbitResource(**settings), store=ParquetStore("memory://secrets"))
    return [record.getMessage() for record in caplog.records if "EnvVar" in record.getMessage()]


def test_a_key_given_as_text_is_warned_of(caplog):
    (warning,) = warnings_of(caplog, api_key=KEY, webhook_secret=dg.EnvVar("SECRET"))
    assert "api_key given as text" in warning
    assert KEY not in warning


def test_a_key_of_the_environment_and_the_emulators_key_are_fine(caplog):
    assert warnings_of(caplog, api_key=dg.EnvVar("THUNDERBIT_API_KEY")) == []
    assert warnings_of(caplog, api_key=KEY, base_url="http://127.0.0.1:8710/openapi/v1") == []
