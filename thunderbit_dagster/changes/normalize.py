"""The text of a page without what changes by itself: times, counters, generated ids, session parameters.

The rules are a table; each line keeps the names of the rules that changed it, so that every exclusion can be shown.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from thunderbit_dagster.changes.markdown_lines import canonical_lines


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
    r"|subscribers?|upvotes?|votes?|repl(?:y|ies)|reactions?|retweets?|impressions?|clicks?|plays?|claps?|pins?|hearts?"
    r"|saves?|bookmarks?|ratings?|reviews?|applicants?|guests?|others|helpful|hits"
    r"|aufrufe?|besucher|kommentare?|bewertungen|vues|visiteurs|commentaires?|avis|visitas|comentarios?"
    r"|アクセス|累計|拍手|コメント|閲覧|いいね|次|浏览|评论|点赞)"
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
    _rule(
        "countdown",
        rf"(?:\d+\s*(?:{_UNIT}|[dhms]|std\.?|時間|分|秒)\b[\s,]*(?:and |et |und |y )?){{2,}}",
        "<time> ",
        "a span of several units, as countdowns have",
    ),
    _rule(
        "waiting",
        rf"\b((?:wait(?:ing)? time|wartezeit|temps d.attente|tiempo de espera)[^\d]{{0,12}}){_NUMBER}",
        r"\1<n>",
        "how long one waits now",
    ),
    _rule(
        "online",
        rf"\b(?:{_NUMBER}\s*)?{_PEOPLE}?\s*(?:online|here)\b.*|\b((?:read|liked|seen|viewed) by)\b.*",
        r"<people>",
        "who is here, or was",
    ),
    _rule(
        "interested",
        rf"\b{_NUMBER}\s*(?={_PEOPLE}?\s*(?:are )?(?:interested|going|attending|cooking))",
        "<n> ",
        "counts",
    ),
    _rule("hearts", rf"([♥♡❤★☆👍🔥]\ufe0f?\s*){_NUMBER}(?=\s*(?:[·|,(]|$))", r"\1<n>", "how often something was liked"),
    _rule(
        "quote-of-the-market",
        r"\b[A-Z]{2,6} \d[\d.,]* ?\([+\u2212-]?\d[\d.,]* ?%\)",
        "<quote>",
        "a price of the stock market beside the page",
    ),
    _rule(
        "load",
        r"\b(?:time|queries|(?:peak )?memory|cpu time usage|real time usage|preprocessor nodes)\s*: ?\d[\d.,]*\s*\w*",
        "<load>",
        "what making the page cost the server",
    ),
    _rule(
        "server",
        r"\b(served by) \S+|\b(req(?:uest)?|build|rev(?:ision)?) #?(?=[0-9a-f-]*\d)[0-9a-f-]{6,}\b",
        "<server>",
        "which server and which build made the page",
    ),
    _rule(
        "greeting",
        r"(?:^|(?<=[>|·] ))(?:good (?:morning|afternoon|evening|night)|hello|welcome back|guten (?:morgen|tag|abend)"
        r"|bonjour|bonsoir)\b[^.!|]{0,40}[!.]",
        "<greeting>",
        "greetings go by the time of day",
    ),
    _rule(
        "weather",
        r"^.*\b(?:weather|forecast|wetter|m[ée]t[ée]o|el tiempo|天気).*°.*$",
        "<weather>",
        "the weather beside the page",
    ),
    _rule(
        "advert",
        r"^.*\]\(https?://(?:ads?|adserver|adclick|adservice|sponsor\w*|doubleclick|clicks?|track(?:ing)?)[.\d-].*$"
        r"|^(?:promoted|sponsored|advertisement|anzeige|werbung|publicit[ée]|publicidad|広告)\W*$",
        "",
        "advertisements",
    ),
    _rule(
        "consent-banner",
        r"^.*\bcookies?\b.*\[[^\]]*(?:accept|agree|allow|necessary|akzept|notwendig|accepter|aceptar|同意).*$",
        "",
        "a consent banner on the page",
    ),
    _rule("counter", rf"(?<![\w$€£.]){_NUMBER}\s*(?={_COUNTED}\b)", "<n> ", "how often something was seen or liked"),
    _rule("counted", rf"({_COUNTED}\b[^:\d(]{{0,24}}[:( ]\s*){_NUMBER}", r"\1<n>", "the same, the other way round"),
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
        r"(©|\(c\)|copyright)\s*(?:\d{4}\s*-\s*)?\d{4}",
        r"\1 <year>",
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
_IMAGE: Final = re.compile(r"\.(?:jpe?g|png|gif|webp|avif|svg|ico)$", re.IGNORECASE)
_IMAGE_LINK: Final = re.compile(r"(!\[[^\]]*\])\([^)]*\)")
_TYPOGRAPHY: Final = str.maketrans(
    dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u300c\u300d\u2033", '"')
    | dict.fromkeys("\u2018\u2019\u201a\u201b\u2032`\u00b4", "'")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
)
_QUOTE_SPACE: Final = re.compile(r'(?<=\s)"\s(?=\S)|(?<=\S)\s"(?=[\s.,;:!?)]|$)|^"\s')
_EMPHASIS: Final = re.compile(r"\*+(?=\S)|(?<=\S)\*+|(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w)|\\(?=[\W_])")
_ANCHOR: Final = re.compile(r"\[(?:#|¶|§|🔗|\u200b)?\]\([^)]*\)|\{#[\w-]+\}|\s*¶$")
_QUERY: Final = re.compile(r"[?&]([^=&#\s]+)=?([^&#\s)]*)")
_SESSION: Final = re.compile(
    r"(?:utm_\w+|[gdf]clid|fbclid|msclkid|mc_[ce]id|_ga|_gl|igshid|yclid|ref_?src|sid|session(?:_?id)?|phpsessid"
    r"|jsessionid|token|nonce|csrf\w*|ts|t|_|cb|rnd|rand|random|cache\w*|timestamp|time|hash|sig|signature|expires"
    r"|visitor\w*|click\w*id|x|r|rev|build|nocache)",
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
        return [line for raw in canonical_lines(markdown) if (line := self.line(raw)).text]

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
        text = unicodedata.normalize("NFKC", raw).translate(_INVISIBLE)
        text = _SPACE.sub(" ", text).strip()
        yield "white-space", text
        text = html.unescape(text).translate(_TYPOGRAPHY)
        text = _QUOTE_SPACE.sub('"', text)
        yield "typography", text
        text = _ANCHOR.sub("", _EMPHASIS.sub("", text)).strip()
        yield "markup", text
        text = _IMAGE_LINK.sub(r"\1", text)
        yield "image-address", text
        text = _LINK.sub(_clean_link, text)
        yield "link-parameters", text
        for rule in self._rules:
            text = rule.pattern.sub(rule.replacement, text)
            yield rule.name, text


_OWN: Final = {
    "white-space": "white space and invisible characters",
    "typography": "quotation marks, dashes and how characters are written",
    "markup": "emphasis and the anchors of headings",
    "image-address": "where an image lies",
    "link-parameters": "session and tracking parameters of links",
    "rotation": "lines that stand on several pages of the host and replace each other",
    "volatile": "numbers that change from crawl to crawl on most pages of the host",
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
    if _IMAGE.search(base):
        return f"{found[1]}]({found[2]}{base}"
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
