from pathlib import Path

import pytest
import style


def shortfalls(text: str) -> list[str]:
    return style.measure([("file.py", text)]).shortfalls()


def function(lines: int, name: str = "f") -> str:
    return f"def {name}() -> None:\n" + "    print()\n" * lines


def test_short_annotated_function_passes():
    assert shortfalls(function(3)) == []


def test_function_of_sixty_lines_is_long_enough_and_sixty_one_too_long():
    assert not any("body lines, at most" in line for line in shortfalls(function(60)))
    assert "file.py:1: f has 61 body lines, at most 60 are allowed" in shortfalls(function(61))


def test_docstring_does_not_count_as_body():
    docstring = '    """One.\n' + "\n    More.\n" * 40 + '    """\n'
    assert shortfalls("def f() -> None:\n" + docstring + "    print()\n") == []
    assert style.measure([("file.py", "def f() -> None:\n" + docstring)]).bodies == [0]


def test_median_and_p90_are_over_all_files():
    many = [(f"{n}.py", function(9)) for n in range(3)]
    assert style.measure(many).shortfalls() == ["median body lines: 9.0 > 8.0"]
    few_long = [(f"{n}.py", function(2)) for n in range(8)] + [(f"l{n}.py", function(40)) for n in range(3)]
    assert style.measure(few_long).shortfalls() == ["p90 body lines: 40.0 > 25.0"]


def test_functions_that_only_name_a_line_are_few():
    trivial = "def _f() -> None:\n    print()\n\n\n_f()\n"
    assert shortfalls(trivial) == ["% of functions that only name a line: 100.0 > 5.0"]
    assert shortfalls(trivial + "_f()\n") == []
    assert shortfalls(trivial.replace("print()", "print()\n    print()")) == []


@pytest.mark.parametrize("head", ["def f():", "async def f():", "class C:\n  def f(self):"])
def test_missing_return_annotation_is_named(head: str):
    (fault,) = shortfalls(f"{head}\n    pass\n")
    assert fault.endswith("f does not annotate what it returns")


def test_any_is_counted_by_the_thousand_lines():
    text = "import typing\n" + "x: typing.Any\n" * 5 + "\n" * 994
    assert shortfalls(text) == []
    assert shortfalls(text.removesuffix("\n") + "y: Any\n") == ["Any per 1,000 lines: 6.0 > 5.0"]


@pytest.mark.parametrize("caught", ["", " Exception", " BaseException as error", " (ValueError, Exception)"])
@pytest.mark.parametrize(
    ("handler", "passes"),
    [
        (":\n    pass", False),
        (":  # noqa: BLE001\n    pass", False),
        (":  # noqa: BLE001, S110\n    pass", False),
        (":  # noqa: BLE001 the callback is the user's own code\n    pass", True),
        (":\n    # A listener must not stop the server.\n    pass", True),
        (":\n    clean()\n    raise", True),
    ],
)
def test_broad_except_needs_a_raise_or_a_reason(caught: str, handler: str, passes: bool):
    found = shortfalls(f"try:\n    run()\nexcept{caught}{handler}\n")
    assert found == ([] if passes else ["file.py:3: broad except that neither raises nor says why in a comment"])


def test_narrow_except_needs_no_reason():
    assert shortfalls("try:\n    run()\nexcept ValueError:\n    pass\n") == []


def test_exit_status_and_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "good.py").write_text(function(2))
    assert style.main([str(tmp_path)]) == 0
    (tmp_path / "bad.py").write_text("def f():\n    pass\n")
    assert style.main([str(tmp_path)]) == 1
    assert "FAIL" in capsys.readouterr().out


def test_nothing_to_measure_is_a_failure(tmp_path: Path):
    assert style.main([str(tmp_path)]) == 1
