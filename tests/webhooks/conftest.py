import pytest
from webhook_support import SECRET, Notebook

from thunderbit_dagster.webhooks.receiver import Receiver
from thunderbit_dagster.webhooks.report import Reporter
from thunderbit_dagster.webhooks.server import Server
from thunderbit_dagster.webhooks.verify import DeliveryRules


@pytest.fixture
def notebook():
    return Notebook()


@pytest.fixture
def serve(notebook, end_later):
    """Starts receivers that report to the notebook."""
    running = []

    def start(*, rules=None, report=notebook, reporter=None, limits=None, **options):
        reporter = Reporter(report, pauses=(0.0, 0.0), **(reporter or {}))
        receiver = Receiver(rules or DeliveryRules(secrets=(SECRET,)), reporter, **options)
        running.append(Server(receiver, **(limits or {})).__enter__())
        return running[-1]

    yield start
    for server in running:
        end_later(server)
