"""The text of a page without what changes by itself: times, counters, generated ids, session parameters.

The rules are a table; each line keeps the names of the rules that changed it, so that every exclusion can be shown.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final


@dataclass(frozen=True, slots=True)
class NoiseRule:
    """A pattern that is replaced wherever it stands in a line, and why."""

    name: str
    pattern: re.Pattern[str]
    replacement: str
    why: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page: as it stands there, as it is compared, and which rules made the difference."""

    raw: str
    text: str
    rules: tuple[str, ...] = ()


def _rule(name: str, pattern: str, replacement: str, why: str) -> NoiseRule:
    return NoiseRule(name, re.compile(pattern, re.IGNORECASE), replacement, why)


_NUMBER: Final = r"\d[\d.,\u00a0\u202f' ]*(?:[kKmM]\b)?"
_UNIT: Final = (
    r"(?:seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?"
    r"|sekunden?|minuten?|stunden?|tage?n?|wochen?|monate?n?|jahre?n?"
    r"|secondes?|heures?|jours?|semaines?|mois|ans?"
    r"|segundos?|minutos?|horas?|d[ií]as?|semanas?|mes(?:es)?|a[ñn]os?)"
)
_COUNTED: Final = (
    r"(?:page ?views?|views?|visits?|visitors?|viewers?|readers?|comments?|likes?|shares?|downloads?|followers?"
    r"|subscribers?|upvotes?|votes?|repl(?:y|ies)|reactions?|retweets?|impressions?|clicks?|plays?"
    r"|aufrufe?|besucher|kommentare?|vues|visiteurs|commentaires?|visitas|comentarios?)"
)
_PEOPLE: Final = r"(?:people|users?|guests?|members?|shoppers?|customers?|others?|personen|personnes|personas)"
_ACTING: Final = r"(?:are |is |currently |now )*(?:viewing|watching|looking|online|browsing|reading|here)"
_MONTH: Final = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE: Final = (
    rf"(?:\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}}"
    rf"|\d{{1,2}}\.? {_MONTH},? \d{{4}}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})"
)
_CLOCK: Final = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?[ap]\.?m\.?)?(?: ?(?:UTC|GMT|[A-Z]{3,4}\b|Z|[+-]\d\d:?\d\d))?"
_CUE: Final = (
    r"(?:(?:last |page |content )?(?:updated?|modified|changed|refreshed|generated|rendered|built|retrieved|checked"
    r"|edited|synced|crawled|fetched|cached)|as of|current time|server time|today is|now|stand|aktualisiert"
    r"|mis à jour|actualizado)"
)

NOISE_RULES: Final[tuple[NoiseRule, ...]] = (
    _rule(
        "session-path",
        r";(?:jsessionid|phpsessid|sid)=[\w.-]+",
        "",
        "sessions that stand in the path of a link",
    ),
    _rule(
        "uuid",
        r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        "<id>",
        "UUIDs are generated",
    ),
    _rule(
        "request-id",
        r"\b((?:request|session|trace|ray|correlation|visitor|reference|build|error)[ -]?"
        r"(?:id|number|no\.?)?\s*[:#=]\s*)(?=\S*\d)[\w-]{6,}",
        r"\1<id>",
        "an id that is named as one of the request",
    ),
    _rule("hex", r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{16,}\b", "<id>", "long hexadecimal numbers are hashes"),
    _rule(
        "cued-date",
        rf"\b({_CUE}(?:\s+(?:on|at|am|le|el))?\s*[:-]?\s*){_DATE}(?:,?(?: at| um|T)?\s*{_CLOCK})?",
        r"\1<date>",
        "the date of an update, which is not what was updated",
    ),
    _rule("cued-time", rf"\b({_CUE}(?:\s+at)?\s*[:-]?\s*){_CLOCK}", r"\1<time>", "the time of an update"),
    _rule("timestamp", rf"\b{_DATE}[T ,]+\d{{1,2}}:\d{{2}}:\d{{2}}\S*", "<time>", "a moment to the second"),
    _rule("seconds", r"\b\d{1,2}:\d{2}:\d{2}(?:\.\d+)?(?: ?[ap]m)?\b", "<time>", "a time of day to the second"),
    _rule(
        "ago",
        rf"\b(?:(?:about |over |almost |less than )?(?:{_NUMBER}|an?|one|ein(?:er|em|e)?|une?|un[ao]?)\s*{_UNIT} ago"
        rf"|(?:vor|hace|il y a) (?:{_NUMBER}|ein(?:er|em)|une?|un[ao]?)\s*{_UNIT}"
        r"|just now|moments? ago|a moment ago|yesterday at|today at)\b",
        "<time>",
        "a time that is told from now",
    ),
    _rule(
        "ago-cjk", r"\d+ ?(?:秒|分钟|分|小时|時間|天|日|周|週間|个月|か月|年)(?:前|以前)", "<time>", "a time from now"
    ),
    _rule("counter", rf"(?<![\w$€£.]){_NUMBER}\s*(?={_COUNTED}\b)", "<n> ", "how often something was seen or liked"),
    _rule("counted", rf"\b({_COUNTED}\s*[:(]\s*){_NUMBER}", r"\1<n>", "the same, the other way round"),
    _rule(
        "viewed",
        rf"\b(viewed|read|shared|downloaded|gesehen|vu)\s+{_NUMBER}\s*(?=times|mal|fois)",
        r"\1 <n> ",
        "counts",
    ),
    _rule("people", rf"\b{_NUMBER}\s*(?={_PEOPLE}\s+{_ACTING})", "<n> ", "how many people look at the page"),
    _rule(
        "duration",
        r"\b((?:generated|rendered|loaded|served|built|took|page load(?:ed)?)\b[^.\d]{0,20})\d+(?:\.\d+)?\s*"
        r"(?:ms|s|sec(?:onds?)?)\b",
        r"\1<n>",
        "how long the page took",
    ),
    _rule(
        "copyright",
        r"((?:©|\(c\)|copyright)\s*(?:\d{4}\s*[-\u2013]\s*)?)\d{4}",
        r"\1<year>",
        "the year of the copyright",
    ),
)

MOST_KNOWN: Final = 100_000
"""How many different lines are remembered."""
# Not those of a locale.
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_LINK: Final = re.compile(r"(!?)\]\((<?)([^()\s<>]+)")
_IMAGE_LINK: Final = re.compile(r"(!\[[^\]]*\])\([^)]*\)")
_QUERY: Final = re.compile(r"[?&]([^=&#\s]+)=?([^&#\s)]*)")
_SESSION: Final = re.compile(
    r"(?:utm_\w+|[gdf]clid|fbclid|msclkid|mc_[ce]id|_ga|_gl|igshid|yclid|ref_?src|sid|session(?:_?id)?|phpsessid"
    r"|jsessionid|token|nonce|csrf\w*|ts|t|_|cb|rnd|rand|random|cache\w*|timestamp|time|hash|sig|signature|expires"
    r"|visitor\w*|click\w*id)",
    re.IGNORECASE,
)
_GENERATED: Final = re.compile(r"(?=.*\d)(?=.*[a-z])[0-9a-z_-]{16,}|\d{9,}", re.IGNORECASE)
_SPACE: Final = re.compile(r"\s+")
_INVISIBLE: Final = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))


class Normalizer:
    """Makes lines of pages that were fetched on one day comparable.

    Args:
        fetched: The day; it and the day before are no content wherever they stand.
        ignore: Regular expressions of the user's; what they match is left out.
    """

    def __init__(self, fetched: date | None, ignore: Sequence[str] = ()) -> None:
        days = [] if fetched is None else [fetched, fetched - timedelta(days=1)]
        own = [NoiseRule("ignore", re.compile(pattern), "", "a pattern of `Changes(ignore=...)`") for pattern in ignore]
        self._rules = (*own, *NOISE_RULES, *_day_rules(days))
        self._known: dict[str, Line] = {}

    def lines(self, markdown: str) -> list[Line]:
        """The lines of a page that have text, in its order."""
        return [line for raw in markdown.splitlines() if raw.strip() and (line := self.line(raw)).text]

    def line(self, raw: str) -> Line:
        """One line; lines repeat from page to page, so each is worked on once."""
        if raw not in self._known:
            if len(self._known) == MOST_KNOWN:
                self._known.clear()
            self._known[raw] = self._normalized(raw)
        return self._known[raw]

    def _normalized(self, raw: str) -> Line:
        text, used = raw, []
        for name, after in self._steps(raw):
            if after != text:
                used.append(name)
            text = after
        return Line(raw, text.strip(), tuple(used))

    def _steps(self, raw: str) -> Iterator[tuple[str, str]]:
        text = unicodedata.normalize("NFC", raw).translate(_INVISIBLE)
        text = _SPACE.sub(" ", text).strip()
        yield "white-space", text
        text = _IMAGE_LINK.sub(r"\1", text)
        yield "image-address", text
        text = _LINK.sub(_clean_link, text)
        yield "link-parameters", text
        for rule in self._rules:
            text = rule.pattern.sub(rule.replacement, text)
            yield rule.name, text


_OWN: Final = {
    "white-space": "white space and invisible characters",
    "image-address": "where an image lies",
    "link-parameters": "session and tracking parameters of links",
    "rotation": "lines that stand on several pages of the host and replace each other",
    "ignore": "a pattern of `Changes(ignore=...)`",
    "fetch-day": "the day of the crawl, or the day before",
}


def why(rules: str) -> str:
    """What the rules of a line, comma-separated, are for."""
    reasons = {rule.name: rule.why for rule in NOISE_RULES} | _OWN
    return "; ".join(reasons[name] for name in rules.split(", "))


def _clean_link(found: re.Match[str]) -> str:
    address, hash_sign, fragment = found[3].partition("#")
    base, question, _ = address.partition("?")
    kept = [f"{name}={value}" for name, value in _QUERY.findall(address[len(base) :]) if not _is_session(name, value)]
    query = f"?{'&'.join(kept)}" if question and kept else ""
    return f"{found[1]}]({found[2]}{base}{query}{hash_sign}{fragment}"


def _is_session(name: str, value: str) -> bool:
    return bool(_SESSION.fullmatch(name) or _GENERATED.fullmatch(value))


def _day_rules(days: Sequence[date]) -> tuple[NoiseRule, ...]:
    """The days on which a page may have been fetched, however they are written."""
    written = sorted({re.escape(text) for day in days for text in _spellings(day)}, key=len, reverse=True)
    if not written:
        return ()
    pattern = re.compile(rf"(?<!\d)(?:{'|'.join(written)})(?!\d)", re.IGNORECASE)
    return (NoiseRule("fetch-day", pattern, "<date>", "the day of the crawl, or the day before"),)


def _spellings(day: date) -> Iterator[str]:
    for form in ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y"):
        yield day.strftime(form)
    month = _MONTHS[day.month - 1]
    for name in (month, month[:3]):
        yield f"{name} {day.day}, {day.year}"
        yield f"{day.day} {name} {day.year}"
