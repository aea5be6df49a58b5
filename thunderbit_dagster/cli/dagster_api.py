"""The few calls of Dagster's GraphQL API that the command line makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import httpx

from thunderbit_dagster.cli.processes import http_client

LOCATIONS = """
{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } pipelines { name } } }
                        ... on PythonError { message } } }
"""
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""


class _Named(TypedDict):
    name: str


class _Node(_Named):
    location: _Named
    pipelines: list[_Named]


class DagsterApiError(Exception):
    """Dagster's webserver refused a request; the text has its words."""


@dataclass(frozen=True)
class DagsterApi:
    """A webserver on this machine."""

    url: str

    def is_loaded(self) -> bool:
        """Whether the code location is loaded and its jobs can be launched."""
        try:
            return bool(self._repositories())
        except (httpx.HTTPError, DagsterApiError):
            return False

    def launch(self, job: str, tags: Mapping[str, str], config: Mapping[str, object] | None = None) -> str:
        """Launch a job; the run's id.

        Raises:
            DagsterApiError: no code location has the job, or Dagster refused it.
        """
        name, location = self._home_of(job)
        selector = {"repositoryName": name, "repositoryLocationName": location, "pipelineName": job}
        metadata = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
        params = {
            "selector": selector,
            "runConfigData": dict(config or {}),
            "mode": "default",
            "executionMetadata": metadata,
        }
        answer = self._post(LAUNCH, {"params": params}).get("launchRun")
        if not isinstance(answer, dict) or not isinstance(answer.get("run"), dict):
            raise DagsterApiError(f"Dagster did not launch {job}: {answer}")
        return str(answer["run"]["runId"])

    def _home_of(self, job: str) -> tuple[str, str]:
        for node in self._nodes():
            if any(one["name"] == job for one in node["pipelines"]):
                return node["name"], node["location"]["name"]
        raise DagsterApiError(f"no code location has the job {job}")

    def _repositories(self) -> list[tuple[str, str]]:
        return [(node["name"], node["location"]["name"]) for node in self._nodes()]

    def _nodes(self) -> list[_Node]:
        found = self._post(LOCATIONS, {}).get("repositoriesOrError")
        return found.get("nodes", []) if isinstance(found, dict) else []

    def _post(self, query: str, variables: Mapping[str, object]) -> dict[str, object]:
        body = {"query": query, "variables": variables}
        answer = http_client().post(f"{self.url}/graphql", json=body, timeout=60.0)
        answered = answer.raise_for_status().json()
        if answered.get("errors"):
            raise DagsterApiError(str(answered["errors"][0].get("message")))
        return dict(answered["data"])
