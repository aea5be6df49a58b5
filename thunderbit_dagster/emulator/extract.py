"""Fields of a schema from what a page states: matched by name, by synonym, and by the words of the description.

No model is asked and nothing is made up: a field the page does not state is null.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from lxml import html

from thunderbit_dagster.emulator import structured_data
from thunderbit_dagster.emulator.coerce import coerce, read_number
from thunderbit_dagster.emulator.entities import things
from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.schema import Field, FieldType, parse_schema
from thunderbit_dagster.emulator.structured_data import Fact, PageTable, Scalar, StatedRecord

_SYNONYMS: Final = (
    ("name", "title", "headline", "heading"),
    ("price", "cost", "amount", "lowprice"),
    ("currency", "pricecurrency"),
    ("description", "abstract", "teaser"),
    ("image", "picture", "photo", "thumbnail", "thumbnailurl", "imageurl"),
    ("author", "writer", "creator", "byline"),
    ("published", "date", "datepublished", "publisheddate", "publishdate", "publicationdate"),
    ("modified", "updated", "datemodified", "lastmodified"),
    ("brand", "manufacturer", "vendor", "maker"),
    ("rating", "ratingvalue", "stars", "score"),
    ("reviewcount", "ratingcount", "reviews", "ratings"),
    ("availability", "stock", "instock", "available"),
    ("url", "link", "href", "website", "homepage"),
    ("sku", "articlenumber", "productid", "itemnumber"),
    ("category", "section", "articlesection", "genre"),
    ("keywords", "tags"),
    ("language", "inlanguage"),
    ("email", "mail"),
    ("phone", "telephone"),
    ("quantity", "count", "number"),
)
_CANONICAL: Final[Mapping[str, str]] = {word: group[0] for group in _SYNONYMS for word in group}
_GENERIC: Final = frozenset({"product", "item", "page", "article", "offer", "offers", "value", "the", "of"})
_EXACT: Final = 1.0
_PER_STEP: Final = 0.02
_WHOLE_PATH: Final = 0.95
_QUALIFIED: Final = 0.8
_PART_NAMED: Final = 0.7
_HEAD_WORD: Final = 0.6
_DESCRIBED: Final = 0.5


def extract_rows(root: html.HtmlElement, base: str, schema: object) -> list[dict[str, object]]:
    """The rows of a page: one per row of a table that fits the schema, or per thing listed, or one for the page.

    Raises:
        ApiError: `INVALID_SCHEMA`; `EXTRACT_FAILED` when no field was found.
    """
    fields = parse_schema(schema)
    stated = things(root, base)
    rows = _table_rows(structured_data.tables(root), fields, base) or _listed_rows(stated, fields, base)
    rows = rows or _page_row(stated, root, fields, base)
    if not rows:
        raise EmulatorError("EXTRACT_FAILED", "None of the fields was found on the page.")
    return rows


def suggest(root: html.HtmlElement, base: str) -> list[Field]:
    """Fields that the page can fill: the columns of its largest table, or what it states about its main thing."""
    found = max(structured_data.tables(root), key=lambda table: len(table.rows), default=None)
    if found is not None and len(found.rows) > 1:
        return _distinct(
            Field(_snake(name), _kind_of([row[place] for row in found.rows]))
            for place, name in enumerate(found.headers)
            if _snake(name)
        )
    records = [
        *structured_data.json_ld(root),
        *structured_data.microdata(root),
        structured_data.labelled(root),
        structured_data.head(root, base),
    ]
    main = next(record for record in records if record.facts)
    return _distinct(Field(_snake(" ".join(fact.path)), _kind_of([fact.value])) for fact in main.facts)


def match(field: Field, path: Sequence[str], kind: str = "") -> float:
    """How well a statement's path fits a field: 1 for the same name, 0 for none."""
    wanted, last, whole = _tokens(field.name), _tokens(path[-1]), _tokens(" ".join(path))
    described = {_CANONICAL.get(word, word) for word in _words(field.description)}
    other = set(wanted) - set(last)
    fits = (
        (_EXACT - _PER_STEP * (len(path) - 1), "".join(wanted) == "".join(last)),
        (_WHOLE_PATH, set(wanted) == set(whole) or "".join(wanted) == "".join(whole)),
        (_QUALIFIED, set(last) <= set(wanted) and other <= _GENERIC | set(_tokens(kind)) | set(whole)),
        (_PART_NAMED, set(wanted) <= set(whole) and len(path) > 1 and last[-1:] in (["name"], ["value"], ["url"])),
        (_HEAD_WORD, len(last) > len(wanted) and last[-len(wanted) :] == wanted),
        (_DESCRIBED, bool(last) and set(last) <= described),
    )
    return next((score for score, holds in fits if holds), 0.0) if wanted else 0.0


def _table_rows(tables: Sequence[PageTable], fields: Sequence[Field], base: str) -> list[dict[str, object]]:
    for table in tables:
        columns = {field.name: _column(field, table.headers) for field in fields}
        fitting = sum(place is not None for place in columns.values())
        if fitting * 2 >= len(fields) and fitting >= min(2, len(fields)):
            return [row for cells in table.rows if (row := _of_cells(cells, columns, fields, base)) is not None]
    return []


def _column(field: Field, headers: Sequence[str]) -> int | None:
    scores = [match(field, (header,)) for header in headers]
    best = max(scores, default=0.0)
    return scores.index(best) if best > 0 else None


def _of_cells(
    cells: Sequence[str], columns: Mapping[str, int | None], fields: Sequence[Field], base: str
) -> dict[str, object] | None:
    row = {
        field.name: None if (place := columns[field.name]) is None else _value(field, cells[place], base)
        for field in fields
    }
    return dict(row) if any(value is not None for value in row.values()) else None


def _listed_rows(stated: Sequence[StatedRecord], fields: Sequence[Field], base: str) -> list[dict[str, object]]:
    kinds = [thing.kind for thing in stated]
    repeated = [kind for kind in dict.fromkeys(kinds) if kinds.count(kind) > 1 and kind != "BreadcrumbList"]
    for kind in repeated:
        rows = [_fill([thing], fields, base) for thing in stated if thing.kind == kind]
        full = [row for row in rows if sum(value is not None for value in row.values()) * 2 >= len(fields)]
        if len(full) > 1:
            return full
    return []


def _page_row(
    stated: Sequence[StatedRecord], root: html.HtmlElement, fields: Sequence[Field], base: str
) -> list[dict[str, object]]:
    row = _fill([*stated, structured_data.labelled(root), structured_data.head(root, base)], fields, base)
    return [row] if any(value is not None for value in row.values()) else []


def _fill(records: Sequence[StatedRecord], fields: Sequence[Field], base: str) -> dict[str, object]:
    return {field.name: _find(field, records, base) for field in fields}


def _find(field: Field, records: Sequence[StatedRecord], base: str) -> object:
    if field.items:
        inner = _fill([_below(field, record) for record in records], field.items, base)
        found = inner if any(value is not None for value in inner.values()) else None
        return [found] if field.type == "array" and found else found
    if field.type == "object":
        return None
    ranked = sorted(
        (
            (score, -place, fact)
            for place, (fact, kind) in enumerate(_all(records))
            if (score := match(field, fact.path, kind)) > 0
        ),
        key=lambda found: found[:2],
        reverse=True,
    )
    if field.type == "array":
        best = ranked[0][2].path if ranked else None
        listed = [_value(field, fact.value, base) for _, _, fact in ranked if fact.path == best]
        return [value for value in listed if value is not None] or None
    values = (_value(field, fact.value, base) for _, _, fact in ranked)
    return next((value for value in values if value is not None), None)


def _value(field: Field, stated: Scalar, base: str) -> object:
    """What the page states as the field's type, or its element's, and as one of its choices; None when it is none."""
    kind = field.element if field.type == "array" else field.type
    found = coerce(stated, kind, base)
    if not field.choices:
        return found
    spelled = {str(choice).casefold(): choice for choice in reversed(field.choices)}
    return None if found is None else spelled.get(str(found).casefold())


def _all(records: Iterable[StatedRecord]) -> list[tuple[Fact, str]]:
    return [(fact, record.kind) for record in records for fact in record.facts]


def _below(field: Field, record: StatedRecord) -> StatedRecord:
    """The statements inside the part of a record that the field names."""
    named = [
        (fact, depth) for fact in record.facts for depth, name in enumerate(fact.path[:-1]) if match(field, (name,))
    ]
    return StatedRecord(record.kind, tuple(Fact(fact.path[depth + 1 :], fact.value) for fact, depth in named))


def _words(text: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z\d])(?=[A-Z])", " ", text)
    return [word for word in re.split(r"[\W_]+", spaced.lower()) if word]


def _tokens(name: str) -> list[str]:
    words = _words(name)
    whole = _canonical("".join(words))
    return [whole] if whole in _CANONICAL.values() else [_canonical(word) for word in words]


def _canonical(word: str) -> str:
    return _CANONICAL.get(word) or _CANONICAL.get(word.removesuffix("s"), word)


def _snake(name: str) -> str:
    return "_".join(_words(name))[:60]


def _kind_of(values: Sequence[Scalar]) -> FieldType:
    filled = [value for value in values if value != ""]
    if filled and all(isinstance(value, bool) for value in filled):
        return "boolean"
    if filled and all(_is_number(value) for value in filled):
        return "number"
    return "url" if filled and all(str(value).startswith(("http://", "https://")) for value in filled) else "string"


def _is_number(value: Scalar) -> bool:
    return read_number(value) is not None and re.fullmatch(r"[^\w]*[\d.,' ]+[^\w]*", str(value)) is not None


def _distinct(fields: Iterable[Field]) -> list[Field]:
    found: dict[str, Field] = {}
    for field in fields:
        found.setdefault(field.name, field)
    return list(found.values())
