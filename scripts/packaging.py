"""Builds wheel and sdist, looks into both, and installs the wheel into fresh environments, where it must work.

python scripts/packaging.py                          every Python from 3.10 to 3.13 on this machine
python scripts/packaging.py 3.12 3.10-lowest         these; one that is missing is named and skipped
python scripts/packaging.py --gate                   the oldest with the lowest, the newest and this one with the newest

Each Python gets two environments: with the lowest versions that pyproject.toml allows, and with the newest. The oldest
with the lowest also crawls the bundled site through Dagster's daemon, but not with --gate; the one that runs this with
the newest checks a typed project.
Needs uv, which the extra `check` brings.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from email import message_from_string
from email.message import Message
from pathlib import Path

GATE = "--gate"
ROOT = Path(__file__).parent.parent
MINORS = (10, 11, 12, 13)
RESOLUTIONS = {"lowest": "lowest-direct", "highest": "highest"}
EXTRAS = ("bench", "check", "dev", "distributed", "emulator", "polars", "redis", "test", "webhooks")
IN_WHEEL = (
    "thunderbit_dagster/py.typed",
    "thunderbit_dagster/changes/quarantine.yaml",
    "thunderbit_dagster/cli/report/page.html",
    "thunderbit_dagster/emulator/site/templates/page.html",
    "thunderbit_dagster/emulator/site/content/revision-1/guides/alerts.md",
)
IN_SDIST = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "definitions.py",
    "pyproject.toml",
    "docs/getting-started.md",
    "examples/docs_rag/definitions.py",
    "scripts/packaging.py",
    "tests/conftest.py",
    "thunderbit_dagster/py.typed",
)
FOREIGN = (".git/", ".venv/", ".ci/venv/", ".mypy_cache/", ".hypothesis/", "data/", "__pycache__/")
MOST_BYTES = 5 * 1024 * 1024
SCRIPT = "thunderbit-dagster = thunderbit_dagster.cli:main"
REGISTRY = "thunderbit_dagster = thunderbit_dagster"


class PackagingError(Exception):
    """Something about the package is wrong; the text says what."""


def wheel_faults(wheel: Path) -> Iterator[str]:
    """What is wrong with a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        metadata = message_from_string(archive.read(f"{info}/METADATA").decode())
        entries = archive.read(f"{info}/entry_points.txt").decode()
    yield from (f"the wheel lacks {name}" for name in IN_WHEEL if name not in names)
    yield from (f"the wheel has {name}" for name in sorted(names) if not name.startswith(("thunderbit_dagster", info)))
    yield from _metadata_faults(metadata)
    yield from (f"the entry point {line!r} is missing" for line in (SCRIPT, REGISTRY) if line not in entries)
    if wheel.stat().st_size > MOST_BYTES:
        yield f"the wheel has {wheel.stat().st_size:,} bytes"


def _metadata_faults(metadata: Message) -> Iterator[str]:
    wanted = {
        "Name": "thunderbit-dagster",
        "License-Expression": "Apache-2.0",
        "Description-Content-Type": "text/markdown",
    }
    yield from (f"{name} is {metadata[name]!r}" for name, value in wanted.items() if metadata[name] != value)
    extras = set(metadata.get_all("Provides-Extra") or [])
    if extras != set(EXTRAS):
        yield f"the extras are {', '.join(sorted(extras))}"
    if not str(metadata.get_payload()).startswith("# thunderbit_dagster"):
        yield "the description is not the README"
    bare = [line for line in metadata.get_all("Requires-Dist") or [] if not set(line) & set("<>=~@[")]
    yield from (f"{line} has no lower bound" for line in bare)


def sdist_faults(sdist: Path, tracked: Sequence[str]) -> Iterator[str]:
    """What is wrong with an sdist; `tracked` are the files of the repository."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    yield from (f"the sdist lacks {name}" for name in sorted({*IN_SDIST, *tracked} - names))
    yield from (f"the sdist has {name}" for name in sorted(names) if any(part in f"/{name}" for part in _inside()))
    if sdist.stat().st_size > MOST_BYTES:
        yield f"the sdist has {sdist.stat().st_size:,} bytes"


def _inside() -> list[str]:
    return [f"/{name}" for name in FOREIGN]


def output(command: Sequence[str | Path], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """The exit code of a command and what it printed, both streams as one."""
    done = subprocess.run(  # noqa: S603 - the commands are this file's own
        list(map(str, command)),
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def run(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> str:
    """What a command printed.

    Raises:
        PackagingError: it failed; the text has the end of what it printed.
    """
    code, printed = output(command, cwd=cwd, env=env)
    if code:
        raise PackagingError(f"{' '.join(map(str, command))}\n{printed[-6000:]}")
    return printed


def tracked_files() -> list[str]:
    """The files of the repository; none outside of one."""
    code, printed = output(["git", "-c", f"safe.directory={ROOT}", "ls-files"])
    return [name for name in printed.splitlines() if not code and (ROOT / name).is_file()]


def find_python(minor: int) -> Path | None:
    """A working interpreter of Python 3.`minor`; None when this machine has none."""
    named = shutil.which(f"python3.{minor}")
    installed = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
    own = [Path(sys.executable)] if sys.version_info[1] == minor else []
    for candidate in [*own, *([Path(named)] if named else []), *installed]:
        if output([candidate, "-c", "import sys; print(sys.version_info[1])"])[1].strip() == str(minor):
            return candidate
    return None


def oldest() -> int:
    """The minor version of the oldest Python on this machine."""
    return next(minor for minor in (*MINORS, sys.version_info[1]) if find_python(minor))


def settings() -> dict[str, str]:
    """The environment of uv: where pip, as it is set up here, gets packages and which certificates it trusts."""
    _, listed = output([sys.executable, "-m", "pip", "config", "list"])
    pairs = dict(line.partition("=")[::2] for line in listed.splitlines() if "=" in line)
    told = {name.rpartition(".")[2]: value.strip("'\"") for name, value in pairs.items()}
    known = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}
    found = {variable: told[name] for name, variable in known.items() if name in told}
    # The package must come from its wheel alone.
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**clean, **found, "UV_PYTHON_DOWNLOADS": "never", "DAGSTER_DISABLE_TELEMETRY": "yes"}


class Environment:
    """A fresh virtual environment with the wheel in it.

    Args:
        folder: Where it is made.
        python: Whose it is.
        resolution: `lowest-direct` or `highest`.
        env: The environment of uv and of what is run.
    """

    def __init__(self, folder: Path, python: Path, resolution: str, env: Mapping[str, str]) -> None:
        self.folder, self.env, self.resolution = folder, env, resolution
        self.bin = folder / "venv" / "bin"
        self.uv("venv", "-q", "--python", python, folder / "venv")

    def uv(self, *arguments: str | Path) -> str:
        """The output of a uv command."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return run([sys.executable, "-m", "uv", *arguments], cwd=self.folder, env=self.env)

    def install(self, wheel: Path) -> None:
        """The dependencies of the extra `dev` in the wanted versions, then the wheel alone."""
        into = ("--python", self.bin / "python")
        # Old versions are built from source on newer Pythons, if that works at all: the lowest with a wheel counts.
        chosen = ("--resolution", self.resolution, "--only-binary", ":all:", "--extra", "dev")
        self.uv("pip", "install", "-q", *into, *chosen, "-r", ROOT / "pyproject.toml")
        self.uv("pip", "install", "-q", *into, "--no-deps", wheel)
        self.uv("pip", "check", *into)

    def smoke(self) -> None:
        """Import every public name, ask for the version, and crawl a few pages."""
        self.call("thunderbit-dagster", "--version")
        self.call("python", "-I", ROOT / "tests" / "packaging" / "smoke.py")

    def demo(self) -> None:
        """Crawl the bundled site through a real daemon."""
        self.call("thunderbit-dagster", "demo", "--dir", self.folder / "demo")

    def types(self) -> None:
        """Check a user's project against the installed package."""
        self.uv("pip", "install", "-q", "--python", self.bin / "python", "mypy")
        for name in ("user_project.py", "user_glue.py", "mypy.ini"):
            shutil.copy(ROOT / "tests" / "typing" / name, self.folder)
        self.call("python", "-m", "mypy", "--config-file", "mypy.ini", "user_project.py", "user_glue.py")

    def call(self, program: str, *arguments: str | Path) -> None:
        """Run a program of the environment, away from the sources."""
        run([self.bin / program, *arguments], cwd=self.folder, env=self.env)

    def versions(self) -> str:
        """The versions of some dependencies."""
        listed = self.uv("pip", "freeze", "--python", self.bin / "python")
        known = dict(line.split("==") for line in listed.splitlines() if "==" in line)
        return ", ".join(f"{name} {known[name]}" for name in ("dagster", "pyarrow", "pydantic", "httpx", "obstore"))


def try_python(minor: int, resolutions: Sequence[str], wheel: Path, folder: Path, env: Mapping[str, str]) -> None:
    """Install and run the wheel with one Python, once for each of some resolutions.

    Raises:
        PackagingError: it does not install or does not work.
    """
    python = find_python(minor)
    if python is None:
        print(f"Python 3.{minor}: skipped, there is none on this machine", flush=True)
        return
    for resolution in resolutions:
        began = time.monotonic()
        place = Environment(folder / f"{minor}-{resolution}", python, resolution, env)
        place.install(wheel)
        place.smoke()
        if minor == oldest() and resolution == "lowest-direct" and GATE not in sys.argv:
            place.demo()  # with the newest `make demo` runs it
        if minor == sys.version_info[1] and resolution == "highest":
            place.types()
        seconds = time.monotonic() - began
        print(f"Python 3.{minor}, {resolution}: works ({place.versions()}), {seconds:.0f} s", flush=True)
        shutil.rmtree(place.folder)


def build(folder: Path, env: Mapping[str, str]) -> Path:
    """Build the sdist, and from it the wheel, and look into both; the wheel.

    Raises:
        PackagingError: one cannot be built, or holds too much or too little.
    """
    run([sys.executable, "-m", "uv", "build", "-q", "--out-dir", folder, ROOT], cwd=folder, env=env)
    wheel, sdist = next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))
    if faults := [*wheel_faults(wheel), *sdist_faults(sdist, tracked_files())]:
        raise PackagingError("\n".join(faults))
    print(f"{wheel.name} {wheel.stat().st_size:,} bytes, {sdist.name} {sdist.stat().st_size:,} bytes", flush=True)
    return wheel


def chosen(arguments: Sequence[str]) -> dict[int, list[str]]:
    """The resolutions to try, by the minor version of Python."""
    own, every = sys.version_info[1], list(RESOLUTIONS.values())
    if not arguments:
        return dict.fromkeys([*MINORS, own], every)
    if list(arguments) == [GATE]:
        arguments = [f"3.{oldest()}-lowest", f"3.{MINORS[-1]}-highest", f"3.{own}-highest"]
    wanted: dict[int, list[str]] = {}
    for text in arguments:
        python, _, resolution = text.partition("-")
        minor = int(python.rpartition(".")[2])
        wanted[minor] = wanted.get(minor, []) + ([RESOLUTIONS[resolution]] if resolution else every)
    return {minor: list(dict.fromkeys(resolutions)) for minor, resolutions in wanted.items()}


def main(arguments: Sequence[str]) -> int:
    """The exit status: 1 when something is wrong, else 0."""
    env = settings()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            wheel = build(folder, env)
            for minor, resolutions in chosen(arguments).items():
                try_python(minor, resolutions, wheel, folder, env)
        except PackagingError as error:
            print(error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
