"""``env`` in templates: a variable that is not set is no text, where Dagster's own gives ``None``."""

from jinja2 import Undefined, UndefinedError


class UnsetVariable(Undefined):
    """What ``env.NAME`` gives for a variable that is not set: false, replaced by ``default``, and an error as text."""

    def __str__(self) -> str:
        raise UndefinedError(self._undefined_message)


class Environment:
    """Dagster's ``env``, with a name for what is missing."""

    def __init__(self, scope: object) -> None:
        self._scope = scope

    def __call__(self, *arguments: object) -> object:
        """``env('NAME', 'default')``, as Dagster has it."""
        if not callable(self._scope):
            raise TypeError("`env` is no function here")
        return self._scope(*arguments)

    def __getattr__(self, name: str) -> object:
        value: object = getattr(self._scope, name)
        return UnsetVariable(hint=f"environment variable {name} is not set") if value is None else value
