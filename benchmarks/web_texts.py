# ruff: noqa: E501, RUF001 - a line of prose is one line, and in many languages it has letters that look like others
"""The sites and the walls of `benchmarks.web`: word pools, templates and page furniture, as data.

In a template ``{thing}`` is a word of the site's pool of that name, ``{int 3 90}`` calls one of the fillers of
`benchmarks.web_page`, and ``{price}`` or ``{session id}`` is what the page shows of that fact or noise. Where a
template is a tuple, one of its texts is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from unicodedata import normalize

Template = str | tuple[str, ...]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


@dataclass(frozen=True, eq=False)
class Site:
    """A host and all that its pages have in common.

    Args:
        host: Its name.
        path: Template of a page's path; ``{number}`` is the page's own.
        words: Pools of words that the other templates name.
        headings: Templates of section headings, at least seven.
        lines: Templates by style of block: sentences of a ``text``, items of a ``list``, rows of a ``table`` and so on.
        tails: Templates of what most sentences end with, before the full stop.
        teasers: Templates of the lines with which pages of the site point at other pages.
        facts: What the page is about, by the kind of change that another value is; each has a ``title``.
        noise: What is not the page's content, by kind.
        header: Above the page.
        main: The page; ``{body}`` is its sections.
        footer: Below the page.
        table_head: Names of the columns, as a row.
        months: Their names, from January.
        weekdays: Their names, from Monday.
        thousands: What stands between the thousands of a number.
        between: What stands between two sentences.
    """

    host: str
    path: str
    words: Mapping[str, tuple[str, ...]]
    headings: tuple[str, ...]
    lines: Mapping[str, tuple[str, ...]]
    tails: tuple[str, ...]
    teasers: tuple[str, ...]
    facts: Mapping[str, Template]
    noise: Mapping[str, Template]
    header: str
    main: str
    footer: str
    table_head: str = ""
    months: tuple[str, ...] = _names(
        "January|February|March|April|May|June|July|August|September|October|November|December"
    )
    weekdays: tuple[str, ...] = _names("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday")
    thousands: str = ","
    between: str = " "


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.strip().splitlines())


def _words(**pools: str) -> Mapping[str, tuple[str, ...]]:
    return {name: _names(pool) for name, pool in pools.items()}


def _walls(text: str) -> tuple[tuple[str, str], ...]:
    """Kind and template of each; a line that begins with ``==`` names the kind of what follows."""
    pairs = (part.split("\n", 1) for part in text.strip().removeprefix("== ").split("\n== "))
    return tuple((kind, template.strip()) for kind, template in pairs)


def _joined(first: str, between: str, last: str) -> str:
    return "|".join(f"{one}{between}{other}" for one in first.split("|") for other in last.split("|"))


_NAMES = _joined(
    "Ada|Tom|Priya|Joel|Mina|Carla|Ben|Yusuf|Greta|Omar|Ines|Piotr|Lena|Samir|Ruth|Kofi|Nora|Hugo|Wei|Tessa|Ivan|Moira",
    " ",
    "Lindqvist|Okafor|Raman|Hart|Sato|Reyes|Whitlock|Demir|Vance|Haddad|Novak|Quist|Barros|Ferrer|Iyer|Munro|Tamm|Zeller",
)
_TOWNS = _joined(
    "Ash|Brin|Calder|Dun|Elm|Far|Glen|Har|Inver|Kestrel|Lark|Mar|North|Oak|Pen|Raven|Stain|Thorn|Up|Wester",
    "",
    "ford|mouth|mere|cross|holt|wick|ley|field|low|bridge|haven|stow|thorpe|combe",
)

SHOP = Site(
    host="shop.haldenoutdoor.example",
    path="/{aisle}/{stuff}-{thing}-{number}",
    words=_words(
        aisle="tents|lamps|packs|knives|stoves|clothing",
        stuff="canvas|titanium|waxed|merino|steel|ripstop|cork|aluminium",
        thing="tent|lantern|rucksack|stove|jacket|kettle|hammock|axe",
        look="sturdy|light|compact|quiet|weatherproof|packable|plain|hard-wearing",
        place="ridge|forest|shoreline|glacier|garden|allotment|island|moor",
        name=_NAMES,
        town=_TOWNS,
    ),
    headings=_lines("""
Why we made the {thing}
In the box
Care and repair
Materials
What it is not for
Sizes and weights
Questions we are asked
Field notes from the {place}
Warranty
"""),
    lines={
        "text": _lines("""
The shell is {stuff}, {int 2 9} mm at its thickest, and survives a night on a {place}.
We tested {int 3 80} prototypes on the {place} near {town} before this one.
It packs down to the size of a {thing} and weighs {int 180 4200} g.
Spare parts stay available for {int 5 15} years after the last one has been made.
{name} carried it for {int 40 900} km and sent it back with one loose seam.
Nothing in it is glued, so that any workshop can take it apart.
The {look} finish darkens over the first {int 2 9} months; that is how it should be.
Do not leave it wet: {stuff} keeps its strength only when it can dry.
Compared with last year's model the handle is {int 2 30} mm longer.
If you are between two sizes, take the {look} one.
Our workshop in {town} makes about {int 20 300} of them a week.
It fits the {look} {thing} and every accessory sold since 20{int 11 24}.
You don't need tools to put it up; two hands and {int 2 20} minutes are enough.
The zip is {stuff}, the cord is {stuff}, the rest is honest cotton.
At {price} it costs less than the repairs of a cheaper one.
Some customers asked whether it is a robot that answers our mail. It's {name}, in {town}.
"""),
        "list": _lines("""
{look} {stuff} shell, {int 100 400} g/m²
{int 2 12} pockets, {int 1 3} of them lockable
repair kit with {int 3 20} patches
fits persons from {int 140 170} to {int 175 205} cm
made in {town}
[Manual of the {thing} (PDF)](/manuals/{hex 6}.pdf)
tested down to -{int 5 30} °C
"""),
        "table": ("| {look} | {int 20 90} × {int 20 90} cm | {int 200 4800} g | {pick yes|no} |",),
        "figure": ("![A {look} {thing} on the {place}](https://img.haldenoutdoor.example/{hex 10}.jpg{image cache})",),
    },
    table_head="| Model | Size | Weight | Recycled |",
    tails=(
        ", says {name} in {town}",
        " (we measured it {int 2 90} times in {town})",
        ", as {name} found out on day {int 2 90} of the {place} crossing",
        ", unlike the {look} {thing} of 20{int 10 25}",
        " at {int 2 40} °C and {int 20 99} % humidity",
        ", a {look} {thing} being a {look} {thing}",
        ", which {name} can confirm after {int 12 400} nights",
        " (report {int 100 9999} of our workshop)",
    ),
    teasers=_lines("""
[{look} {stuff} {thing}](/{aisle}/{hex 5}{session id}) ${int 9 480}.{pick 00|50|90|95|99}
[{stuff} {thing} for the {place}](/{aisle}/{hex 5}{session id}) - {int 3 5}.{int 0 9} stars
"""),
    facts={
        "title": ("{look} {stuff} {thing}", "{stuff} {thing} no. {int 2 90}", "The {place} {thing}"),
        "price": "${int 9 890}.{pick 00|50|90|95|99}",
        "stock label": ("In stock", "Sold out", "Only {int 2 6} left", "Back in April", "Discontinued"),
        "delivery time": "{int 1 4}–{int 5 14} working days",
    },
    noise={
        "viewer counter": "{int 2 97} people are looking at this right now",
        "also bought": "## Customers also bought\n\n{teasers 4}",
        "rotating review": "> {pick Great|Fine|Decent|Solid} {thing}, used it on the {place} for {int 2 60} days. {name}, {town}",
        "rating count": "{int 3 4}.{int 0 9} out of 5 ({grows 20 4000 9} ratings)",
        "delivery countdown": "Order within {int 1 11} h {int 1 59} min and it leaves our warehouse today.",
        "session id": ("", "?sid={hex 26}", ";jsessionid={letters 24}"),
        "image cache": ("?v={int 1000 9999}", "?ts=17{int 10000000 99999999}", "?w=800&q={int 60 90}"),
        "announcement bar": (
            "Free returns until the end of {pick March|April|May}",
            "**{int 5 40} % off all lanterns** with the code TRAIL{int 5 40}",
            "New: the {place} collection",
            "We plant a tree for every order",
        ),
        "button label": (
            "[Add to basket](/cart{session id})",
            "[Buy now](/cart{session id})",
            "[Add to bag](/cart{session id})",
        ),
        "cookie banner": (
            "",
            "We use cookies to make this shop better. [Accept all](#) [Only necessary](#) [Settings](#)",
        ),
        "ampersands": ("plain ampersands", "escaped ampersands"),
        "copyright year": ("© 2026", "© 2025", "© 2009–2026", "© 2009-2025"),
    },
    header="""{cookie banner}

{announcement bar}

[Halden Outdoor](/{session id}) | [Tents & Tarps](/tents{session id}) | [Lamps](/lamps{session id}) | [Packs](/packs{session id})
""",
    main="""# {title}

![{title}](https://img.haldenoutdoor.example/main.jpg{image cache})

**{price}** incl. VAT, {stock label}. Delivery: {delivery time}.

{button label}

{viewer counter}. {rating count}

{delivery countdown}

{body}

{also bought}

## What others say

{rotating review}""",
    footer="""[Terms & Conditions](/terms{session id}) [Privacy & Cookies](/privacy{session id}) [Log in](/account{session id})

Free delivery over $80. Returns within 60 days.

{copyright year} Halden Outdoor & Sons""",
)

DOCS = Site(
    host="docs.quillstream.example",
    path="/{area}/{topic}-{number}.html",
    words=_words(
        area="guide|reference|tutorials|operations",
        topic="buffers|cursors|sinks|topics|retries|leases|schemas|windows|offsets|quotas",
        verb="open|flush|rewind|drain|pause|lease|commit|merge",
        noun="stream|buffer|cursor|sink|lease|partition|window|broker",
        unit="ms|seconds|MiB|records|retries",
        name=_NAMES,
    ),
    headings=_lines("""
Synopsis
Parameters of {verb}
Errors
Limits of a {noun}
Example
How a {noun} is closed
Upgrading
Notes on {topic}
See also
Troubleshooting {topic}
"""),
    lines={
        "text": _lines("""
Call `{verb}()` once per {noun}; a second call within {int 2 900} {unit} raises `{noun}_busy`.
A {noun} holds at most {int 2 900} {unit} before it is flushed.
When the {noun} is closed, every open {noun} of the same {noun} is closed first.
The default of `{noun}.{topic}` is {int 1 512}.
This differs from `{verb}()`, which never blocks.
If the server answers `429 Too Many Requests`, wait for the time in `Retry-After` and `{verb}` again.
Requests without a token are answered with `403 Forbidden` and the text "Access denied".
Set `QUILL_{hex 4}` to change this for all {topic}.
The order of {topic} is kept within a {noun}, but not between two of them.
Since {version} the {noun} is also written to the log.
You can't {verb} a {noun} that another process has leased.
On shutdown the broker waits {int 1 60} seconds for each {noun}.
Use `quill {verb} --{topic} {int 1 99}` to try it by hand.
The [chapter on {topic}](/guide/{topic}.html) explains why.
A failed `{verb}` is tried {int 2 12} times with growing pauses.
"""),
        "list": _lines("""
`{topic}`: number of {unit}, default {int 1 900}
`{verb}_timeout`: in seconds, {int 1 300} unless set
`{noun}`: what to {verb}
[`{verb}`](/reference/{verb}.html) for a single {noun}
"""),
        "table": ("| `{noun}_{topic}` | int | {int 0 4096} | {pick yes|no|since 2.3|since 3.0} |",),
        "code": _lines("""
{noun} = quill.{verb}({int 1 99})
for record in {noun}.{topic}(limit={int 1 999}):
    record.{verb}()
quill.{verb}({noun}, timeout={int 1 90})
assert {noun}.{topic} == {int 0 99}
# {verb} the {noun} before its {topic}
"""),
    },
    table_head="| Name | Type | Default | Required |",
    tails=(
        ", unless `{noun}.{topic}` is above {int 2 9999}",
        " (see issue {int 100 99999})",
        "; measured at {int 2 9000} {unit} with {int 2 64} {topic}",
        ", as of build {int 1000 99999}",
        ", provided that fewer than {int 2 9999} {topic} are open",
        ", which `quill {verb} --check {int 1 999}` shows",
        ", and is logged as Q{int 1000 9999}",
    ),
    teasers=_lines("""
[How to {verb} a {noun}](/guide/{hex 5}.html)
[{topic}: a primer](/tutorials/{hex 5}.html), {int 3 25} min read
"""),
    facts={
        "title": ("{verb}() of a {noun}", "Working with {topic}", "{noun} and {topic}"),
        "version": "v{int 1 6}.{int 0 24}.{int 0 12}",
        "download link": "https://dl.quillstream.example/releases/quill-{int 1 6}.{int 0 24}.{int 0 12}-{pick linux|macos}.tar.gz",
        "stability label": ("stable", "beta", "experimental", "deprecated"),
    },
    noise={
        "rendering clock": "Built on {now %Y-%m-%d at %H:%M:%S} UTC",
        "build hash": "docs build {hex 7} (site-generator 4.{int 0 30}.{int 0 9})",
        "heading anchors": ("headings alone", "headings with pilcrow", "headings with hash"),
        "form token": '<input name="authenticity_token" value="{letters 43}=">',
        "helpful votes": "{grows 3 900 5} of {grows 1000 4000 9} readers found this page helpful.",
        "rotating teaser": "**Up next for you**\n\n{teasers 1}",
        "markup dialect": ("dashes as bullets", "stars as bullets", "underlined title"),
        "white space": ("single spaces", "double spaces", "trailing spaces", "wrapped lines"),
        "ask box": (
            "Ask the assistant: *How do I {verb} a {noun}?*",
            "Ask the assistant: *What is a {noun}?*",
            "Ask the assistant: *Why are my {topic} slow?*",
        ),
    },
    header="""- [Quillstream](/)
- [Guide](/guide/)
- [Reference](/reference/)

Search the docs {form token}""",
    main="""# {title}

Version {version} · *{stability label}* · [Download]({download link})

{ask box}

{body}""",
    footer="""Was this page helpful? [Yes](#yes) [No](#no). {helpful votes}

{rotating teaser}

Found a mistake? Tell us. Every page has an edit link. {rendering clock}. {build hash}""",
)

NEWS = Site(
    host="www.themorningledger.example",
    path="/2026/{desk}/{thing}-{act}-{number}",
    words=_words(
        desk="politics|business|sport|science|local|culture",
        thing="harbour|council|railway|orchestra|reservoir|hospital|stadium|university",
        act="opens|closes|grows|waits|votes|strikes|moves|pays",
        who="the mayor|the union|a spokeswoman|the operator|residents|the regulator|an inspector|the minister",
        mood="cautious|angry|relieved|divided|hopeful|unmoved",
        name=_NAMES,
        town=_TOWNS,
    ),
    headings=_lines("""
What happened in {town}
The background
'We had no choice'
Reactions from {town}
What comes next
The numbers
A long dispute
How the {thing} got here
"""),
    lines={
        "text": _lines("""
The {thing} in {town} will be closed for {int 2 30} weeks, {who} said on Tuesday.
"We have waited {int 2 20} years for this," said {name}, who lives in {town}.
According to {who}, {int 20 9000} people are affected.
The vote ended {int 20 60} to {int 2 19}, with {int 2 9} abstentions.
Repairs of the {thing} are expected to cost {int 2 90}.{int 1 9} million.
{name} declined to comment.
It's the second time since 20{int 10 25} that the {thing} had to close.
Visitors of the council's website saw only the words "Access denied" for {int 2 50} minutes.
In {town} the mood was {mood}; in {town} it wasn't.
{who} had asked for {int 2 12} more inspections, which were never made.
Work began in {pick spring|autumn|winter} and should have ended after {int 3 40} months.
The new timetable brings {int 2 40} more trains a day to {town}.
Shares of the company fell by {int 2 19} % after the announcement.
"Nobody told us," {name} said. "We read it in the Ledger."
An earlier version of the plan, seen by this newspaper, named {int 2 9} other towns.
The site's users were asked to verify that they're human before they could file a complaint.
"""),
        "list": _lines("""
{int 2 90} of the {int 91 300} lifts do not work
{town}: {int 100 9000} signatures
the {thing} remains open on Sundays
cost so far: {int 2 90} million
"""),
        "quote": _lines("""
"The {thing} belongs to {town}, and {town} will pay for it." {name}
"I'm {mood}, but I'm not surprised." {name}
"Ask {who}, not me." {name}
"""),
        "figure": ("![The {thing} in {town}. Photo: {name}](https://media.themorningledger.example/{hex 12}.webp)",),
    },
    tails=(
        ", {name} of {town} told this newspaper",
        ", according to a report of {int 12 400} pages by {name}",
        ", {int 2 40} km from {town}",
        ", although {town} had objected {int 2 30} times",
        ", while {who} waited in {town}",
        ", as {name} had predicted in 20{int 10 25}",
        ", to the surprise of {name} and {int 12 900} others",
    ),
    teasers=_lines("""
[{town}: {thing} {act} after {int 2 90} days](/2026/{desk}/{hex 6}{tracking parameters})
[Why {town} is {mood} about its {thing}](/2026/{desk}/{hex 6}{tracking parameters})
[{name}: 'The {thing} {act}'](/2026/{desk}/{hex 6}{tracking parameters})
"""),
    facts={
        "title": ("{town}'s {thing} {act}", "{thing} {act}: {town} is {mood}", "{name} on the {thing} that {act}"),
        "author": "{name}",
        "score": "{town} {int 0 5} : {int 0 5} {town} ({pick final|half-time|after extra time})",
        "ranking": "{ranked 6}",
    },
    noise={
        "date of today": "{now %A, %d %B %Y}",
        "relative time": (
            "Updated {int 2 59} minutes ago",
            "Updated {int 2 23} hours ago",
            "Updated yesterday at {now %H:%M}",
        ),
        "advert": (
            "",
            "ADVERTISEMENT\n\n[{pick Refinance|Insure|Sell} your home in {town}](https://ads.example/c/{hex 14})",
            "Sponsored: [One trick that {pick dentists|bankers|pilots} hate](https://ads.example/c/{hex 14})",
        ),
        "latest posts": "## Latest\n\n{newest 4}",
        "most read": "## Most read\n\n{teasers 5}",
        "weather": "{town} {int -6 31}° {pick sunny|cloudy|rain|sleet|fog}",
        "stock ticker": "LDX {int 4000 9000}.{int 10 99} ({pick +|-}{int 0 3}.{int 10 99} %) · Oil {int 60 99}.{int 10 99}",
        "comment count": "[{grows 0 900 4} comments](#comments)",
        "tracking parameters": ("", "?utm_source=site&utm_campaign={letters 6}", "?ref=n{int 1 40}&cid={hex 8}"),
        "typographic quotes": ("straight quotes", "curly quotes"),
        "poll result": "**Poll:** is it {mood}? Yes {int 10 49} %, no {int 10 49} %. {grows 90 9000 40} votes",
    },
    header="""{date of today} · {weather} · {stock ticker}

[The Morning Ledger](/{tracking parameters}) [Politics](/politics) [Business](/business) [Sport](/sport) [Sign in](/login)

{advert}""",
    main="""# {title}

By {author}. {relative time}. {comment count}

{body}

Result of the day: {score}

**The ranking**

{ranking}""",
    footer="""{poll result}

{most read}

{latest posts}

Don't miss a morning. [Subscribe to the Ledger's newsletter](/newsletter{tracking parameters})

The Ledger isn't responsible for other sites' content.""",
)

BLOG = Site(
    host="notes.slowcompiler.example",
    path="/posts/{number}-{topic}-{trait}",
    words=_words(
        topic="parsers|caches|linkers|monads|editors|profilers|keyboards|backups",
        trait="slowly|twice|again|backwards|by-hand|in-anger",
        tool="the linker|my editor|a profiler|the build|the debugger|a shell script",
        feel="odd|lovely|boring|tricky|obvious|surprising",
        author="E. Dijkstra|G. Hopper|D. Knuth|A. Kay|B. Liskov|anonymous",
        name=_NAMES,
        town=_TOWNS,
    ),
    headings=_lines("""
The {feel} part
Measuring {topic}
What {tool} says
A detour through {topic}
Things I got wrong
Does it matter?
Thanks
"""),
    lines={
        "text": _lines("""
I've been writing {topic} for {int 2 30} years and {tool} still surprises me.
The first run took {int 2 900} ms, the second {int 2 900}.
It's {feel}, but it's also {int 2 90} % faster.
{name} wrote to say that {tool} does this since 20{int 10 24}.
Most of that time {tool} isn't doing anything at all.
You'd think that {topic} are {feel}. They aren't.
I removed {int 2 400} lines and nobody noticed, {tool} included.
There's a comment from 19{int 80 99} in there that says "fix this {trait}".
So I did it {trait}, and then I did it {trait}.
My captcha for comments is one question: what's {int 2 9} plus {int 2 9}? It stopped every bot.
If {tool} crashes, turn off {topic}; if it doesn't, don't ask.
The table has {int 2 64} entries, of which {int 2 9} are ever used.
Don't read this as a case against {topic}.
One [old post](/posts/{hex 4}) of mine claimed the contrary.
Reader, I profiled it: {int 51 99} % in one function.
"""),
        "list": _lines("""
{topic}: {int 2 900} ms
{tool}, but {trait}
{int 2 40} lines that do nothing
everything that's {feel} about {topic}
"""),
        "code": _lines("""
let {topic} = load({int 1 99});
while ({topic}.next()) step += {int 1 9};
if (step > {int 10 900}) return;
// {feel}: see {topic}
print(step * {int 2 64});
"""),
        "quote": ("Premature {topic} are {feel}.", "Every program has {topic}, and {int 2 9} of them are {feel}."),
    },
    tails=(
        ", as {name} once put it on page {int 2 900}",
        ", at least on my {int 2 30}-year-old laptop",
        ", says {name}, who has {int 2 900} {topic}",
        " (commit {hex 7})",
        ", and I have {int 2 900} {topic} to prove it",
        ", give or take {int 2 90} {topic}",
        "; ask {name} about the {int 2 90} others",
    ),
    teasers=_lines("""
[On {topic}, {trait}](/posts/{hex 5})
[{topic} considered {feel}](/posts/{hex 5}), {int 2 30} min
"""),
    facts={
        "title": ("On {topic}, {trait}", "{topic} are {feel}", "I wrote {topic} {trait}"),
        "version": "{int 0 3}.{int 1 30}.{int 0 9}",
    },
    noise={
        "rotating quote": "*{pick Simple|Small|Slow|Honest} {topic} are {feel} {topic}.* {author}",
        "like count": "♥ {grows 2 800 7}",
        "related order": "### Related\n\n{own 5}",
        "visitor counter": "You are visitor no. {grows 10000 900000 800}",
        "e-mail protection": "[[email protected]](/cdn-cgi/l/email-protection#{hex 36})",
        "tag cloud": "Tags: {cloud 7}",
        "typographic quotes": ("straight quotes", "curly quotes"),
        "generation time": "Rendered in {int 2 400} ms",
        "greeting": ("Good morning!", "Good afternoon!", "Good evening!", "Hello, night owl!"),
        "comment count": ("{grows 2 90 3} comments",),
    },
    header="""# notes from a slow compiler

{greeting} [Home](/) [Archive](/archive) [RSS](/feed.xml)""",
    main="""## {title}

Applies to quux {version}. {like count} · {comment count}

{body}

{tag cloud}

{related order}""",
    footer="""{rotating quote}

It's all mine, nobody else's opinion. Mail: {e-mail protection}

{visitor counter} · {generation time}""",
)

WIKI = Site(
    host="wiki.fenlandatlas.example",
    path="/wiki/{kind}_{number}",
    words=_words(
        kind="River|Parish|Windmill|Abbey|Drain|Bridge|Manor|Fen",
        era="Saxon|Norman|Tudor|Georgian|Victorian|modern",
        goods="barley|eels|peat|reed|salt|wool|bricks|turf",
        side="north|south|east|west",
        name=_NAMES,
        town=_TOWNS,
    ),
    headings=_lines("""
History
Etymology
Geography
{era} period
Economy
Notable people
{goods} trade
Transport
References
"""),
    lines={
        "text": _lines("""
It lies {int 2 40} km {side} of [{town}](/wiki/{town}) and drains into the {kind} of {town}.
The {era} {kind} was built in 1{int 100 899} and rebuilt after a fire.
In 1{int 100 899} it produced {int 20 900} tons of {goods} a year.
The name is first recorded in 1{int 100 899} as "{town}ham".
{name} was born here in 1{int 700 980}.[\\[{int 1 40}\\]](#cite_note-{int 1 40})
A {era} hoard of {int 20 900} coins was found {side} of the {kind}.
Since 19{int 10 99} the {kind} has been protected as a monument.
The population was {population} at the last count.
The railway to {town} closed in 19{int 50 80}.
Its highest point is only {int 2 40} m above the sea.
Trade in {goods} declined when the {side} drain was cut.
The parish has {int 2 9} churches, of which the {era} one is in use.
A weekly market for {goods} is held on the {side} green.
Floods in 19{int 10 99} covered {int 2 90} % of the parish.
The council has {int 5 15} members and meets {int 4 12} times a year.
"""),
        "list": _lines("""
[{town} {kind}](/wiki/{hex 4}), {era}, 1{int 100 899}
{name} (born 1{int 900 990}), {pick painter|engineer|miller|poet}
{goods}: {int 20 900} tons
"""),
        "table": ("| {town} | {int 200 9000} | 1{int 100 899} | {era} |",),
    },
    table_head="| Hamlet | Inhabitants | First record | Church |",
    tails=(
        ", according to {name} of {town}",
        ", {int 2 90} km {side} of {town}",
        ", as a survey of 1{int 100 899} by {name} shows",
        ", when {name} was abbot of {town}",
        ", together with {int 2 90} acres of {goods}",
        " (then in the parish of {town})",
        ", which {name} sold to {town} in 1{int 100 899}",
    ),
    teasers=_lines("""
... that the {kind} of {town} once paid its rent in {goods}?
... that {name} walked {int 20 400} km {side} to sell {goods}?
"""),
    facts={
        "title": ("{kind} of {town}", "{town} {kind}", "{era} {kind} of {town}"),
        "population": "{num 400 98000}",
        "mayor": "{name}",
        "ranking": "{ranked 5}",
        "protection label": ("listed grade I", "listed grade II", "not listed", "at risk"),
    },
    noise={
        "rotating teaser": "**Did you know**\n\n{teasers 1}",
        "request id": "Served by mw-{int 1 60} · req {hex 8}-{hex 4}-{hex 4}-{hex 12}",
        "generation time": "<!-- Cached, CPU time usage: 0.{int 100 999} seconds, Preprocessor nodes: {int 100 9000} -->",
        "page accesses": "This page has been accessed {grows 300 90000 60} times.",
        "list order": "**Categories**\n\n{mine 6}",
        "related order": "**See also**\n\n{own 4}",
        "form token": '<input type="hidden" name="wpEditToken" value="{hex 32}+\\\\">',
        "white space": ("single spaces", "double spaces", "trailing spaces", "airy lines"),
        "random article": "[Random article](/wiki/Special:Random?x={int 1000 99999})",
        "donation banner": (
            "",
            "**Please read this.** {int 2 9} of 100 readers give. [Donate](/donate) [Maybe later](#)",
            "The Atlas needs {int 2 30},000 more. [Give once](/donate) [Give monthly](/donate?m=1)",
        ),
    },
    header="""{donation banner}

[Main page](/) [Contents](/contents) {random article} [Log in](/login) [Create account](/signup)""",
    main="""# {title}

From the Fenland Atlas. The free gazetteer.

| | |
| --- | --- |
| Population | {population} |
| Mayor | {mayor} |
| Status | {protection label} |

{body}

## Records

{ranking}

{related order}

{list order}""",
    footer="""{rotating teaser}

{page accesses} Text is available under a free licence. Additional terms may apply.

{form token}

{request id} {generation time}""",
)

EVENTS = Site(
    host="events.portsidehall.example",
    path="/e/{act}-{number}",
    words=_words(
        act="recital|circus|debate|screening|workshop|fair|quiz|premiere",
        genre="jazz|puppetry|chamber music|flamenco|poetry|science|silent film",
        room="Great Hall|Cellar|Rooftop|Foyer|Studio 2|Boathouse",
        mood="loud|tender|short|unseated|family-friendly|bilingual",
        name=_NAMES,
        town=_TOWNS,
    ),
    headings=_lines("""
About the {act}
Programme
Who is on stage
Getting here
Access
Good to know
House rules
"""),
    lines={
        "text": _lines("""
{name} brings {genre} to the {room} for {int 1 9} nights only.
Doors open {int 20 90} minutes before the {act} starts.
The {act} lasts {int 40 180} minutes with {pick no|one|a short} interval.
Last year {int 90 900} people came, so book early.
It's a {mood} evening; children under {int 3 12} get in free.
The bar in the {room} takes cards only.
Bus {int 2 90} stops {int 50 900} m from the {room}.
{name}, who grew up in {town}, plays a {genre} set of her own.
Seats are not numbered. Come early if you'd like to sit in the {room}.
If you cancel {int 2 14} days ahead, you get {int 50 90} % back.
There is a hearing loop in the {room} and {int 2 12} spaces for wheelchairs.
The {act} moves on to {town} afterwards.
A ticket for {price} includes the programme.
Please do not queue before {int 10 17} o'clock; you are not in line until you have a number.
"""),
        "list": _lines("""
{int 18 22}:{pick 00|15|30|45} {name}, {genre}
{mood} {act} in the {room}
supported by the town of {town}
cloakroom: ${int 1 4}
"""),
        "steps": _lines("""
Take tram {int 1 30} to {town}
Walk {int 2 15} minutes along the quay
Show your ticket at the {room}
Leave large bags in locker {int 1 90}
"""),
    },
    tails=(
        ", as {name} promised in {town}",
        ", in a version for {int 2 40} players by {name}",
        ", like the one in {town} in 20{int 10 25}",
        ", thanks to {name} and {int 12 90} volunteers",
        " (ask for {name} at desk {int 2 30})",
        ", {int 12 190} years after {name} of {town}",
        ", supported by {town} with ${int 100 9000}",
    ),
    teasers=_lines("""
[{genre} {act}, {room}](/e/{hex 6}{session id}), {int 1 30} {pick March|April|May}
[A {mood} {act} with {name}](/e/{hex 6}{session id})
"""),
    facts={
        "title": ("{name}: {genre} {act}", "The {mood} {act}", "{genre} at the {room}"),
        "event date": "{soon %A, %d %B %Y}, {int 17 21}:{pick 00|15|30}",
        "price": "${int 8 120}",
        "ticket label": ("Tickets available", "Sold out", "Cancelled", "Last tickets", "Postponed"),
        "venue": "{room}, {town}",
    },
    noise={
        "countdown": "Starts in {int 2 90} days {int 1 23} hours {int 1 59} minutes",
        "interested counter": "{grows 20 900 9} people are interested · {grows 5 90 4} going",
        "weather": "Forecast for tonight: {int -4 29} °C, {pick dry|showers|windy|clear}",
        "also bought": "## People who went also went to\n\n{teasers 3}",
        "session id": ("?PHPSESSID={letters 26}", "?s={hex 16}", ""),
        "image cache": ("?itok={letters 8}", "?h={hex 8}", "?rev={int 100 999}"),
        "button label": (
            "[Get tickets](/buy{session id})",
            "[Book now](/buy{session id})",
            "[See you there!](/buy{session id})",
        ),
        "map token": "[Map](https://maps.example/embed?lat=5{int 0 9}.{int 1000 9999}&token={letters 20})",
        "promotion": (
            "",
            "**Spring pass:** {int 3 9} evenings for the price of {int 1 2}.",
            "Gift cards are here. Give an evening.",
            "We're hiring ushers. Ask at the {room}.",
        ),
        "markup dialect": ("dashes as bullets", "stars as bullets", "underlined title"),
    },
    header="""[Portside Hall](/{session id}) · [Calendar](/calendar{session id}) · [Tickets](/tickets{session id}) · [Visit](/visit)

{promotion}""",
    main="""# {title}

![Poster](https://portsidehall.example/poster.png{image cache})

- When: {event date}
- Where: {venue}
- Price: {price}
- {ticket label}

{button label}

{countdown}. {interested counter}

{body}

{weather}

{map token}

{also bought}""",
    footer="""Portside Hall, Quay 4. Box office open Tuesday to Saturday. [Imprint](/imprint) [Cookies](/cookies)""",
)

FORUM = Site(
    host="forum.tinkerbench.example",
    path="/t/{part}-{fault}/{number}",
    words=_words(
        part="stepper|hotend|relay|lathe|router|inverter|encoder|bandsaw",
        fault="stalls|overheats|squeals|drifts|resets|jams|smokes",
        nick="boltcutter|mrs_solder|kiwi77|lathe_larry|ohmbre|qwertz|rustybit|tinfoil|weldon|zed_axis",
        advice="the driver|the belt|the ground|a new firmware|grease|the fuse|the bearings|cable chains",
        name=_NAMES,
        town=_TOWNS,
        mood="cheers|thanks|sorry|weird|lol|hm",
    ),
    headings=_lines("""
{nick} wrote:
Reply by {nick}
{nick} answered
Edit by {nick}
{nick} (moderator)
{nick} replied {int 2 40} days later
Answer no. {int 2 90} by {nick}
"""),
    lines={
        "text": _lines("""
Mine {fault} after {int 2 90} minutes, whatever I do.
Have you checked {advice}? That's what it was with my {part}.
I swapped {advice} and it still {fault}.
{mood}, that didn't help, it now {fault} at {int 20 400} rpm.
Don't buy the cheap {part}, it {fault} within {int 2 30} weeks.
Measured {int 2 48} V at the {part}, should be {int 2 48}.
@{nick} what's the part number of your {part}?
It's in the manual, page {int 2 200}: "do not run the {part} without {advice}".
{mood}! {advice} it was.
With firmware {int 1 4}.{int 0 9}.{int 0 20} it only {fault} when it's cold.
I'd say {advice}, then {advice}, in that order.
The vendor's site only says "checking your browser", so I can't get the manual.
Same here, {int 2 12} machines, all of them have a {part} that {fault}.
Ordered {advice} for {int 4 90} euros, will report.
It's not the {part}. It's never the {part}.
"""),
        "quote": _lines("""
{nick} said: it {fault} at {int 20 400} rpm
{nick} said: check {advice}
{nick} said: mine never {fault}
"""),
        "code": _lines("""
M92 X{int 10 400} Y{int 10 400}
M906 X{int 400 900} ; {part}
G28 ; {fault} here
error {int 100 999}: {part} {fault}
"""),
        "list": _lines("""
{part}, {int 1 9} years old
{advice}: checked
{int 12 48} V supply, {int 2 20} A
"""),
    },
    tails=(
        ", serial number {int 10000 99999}",
        ", see my photo {int 100 9999}",
        ", at least on the {part} that {name} sold me",
        " (bought in {town} in 20{int 10 25})",
        ", measured {int 2 90} times at {int 2 40} °C",
        ", and {nick} in {town} says {int 2 900} rpm is too much",
        ", like in thread {int 1000 99999}",
        ", on {int 2 90} of {int 91 400} parts",
    ),
    teasers=_lines("""
[{part} {fault}, please help](/t/{hex 5}{session id}) by {nick}, {int 2 59} min ago
[Which {part} for {int 12 48} V?](/t/{hex 5}{session id}) by {nick}
"""),
    facts={
        "title": ("{part} {fault}", "{part} {fault} after {int 2 30} minutes", "Why is it that my {part} {fault}?"),
        "thread label": ("Open", "Solved", "Locked", "Moved to Workshop"),
        "accepted answer": "It was {advice}. Replace it and set {int 2 48} V. ({nick})",
    },
    noise={
        "users online": "{int 20 400} users online, {int 2 19} of them here: {nick}, {nick} and {int 2 30} guests",
        "view counter": "{grows 40 9000 30} views",
        "relative time": "Last reply {int 2 59} {pick minutes|hours|days} ago",
        "latest posts": "**New in the forum**\n\n{newest 4}",
        "rotating quote": "-- \n*{nick}'s signature: measure {pick twice|thrice|once}, cut {pick once|never|later}*",
        "session id": ("?sid={hex 32}", "?PHPSESSID={letters 26}", ""),
        "rendering clock": "It is currently {now %A %d %B %Y, %H:%M}",
        "generation time": "Time: 0.{int 10 999}s | Queries: {int 8 40} | Peak memory: {int 2 9}.{int 10 99} MiB",
        "like count": "{grows 0 90 3} likes",
        "members who read": "Read by {nick}, {nick}, {nick} and {grows 3 90 4} others",
        "typographic quotes": ("straight quotes", "curly quotes"),
        "avatar cache": "![avatar](/avatars/{int 1 9}.png?cb={hex 6})",
        "hot topics": "**Hot**\n\n{teasers 3}",
    },
    header="""[Tinkerbench](/{session id}) » [Workshop](/c/workshop{session id}) » Machines

{rendering clock} · [Log in](/login{session id}) · [Register](/register)""",
    main="""# {title}

[{thread label}] {view counter} · {like count} · {relative time}

{avatar cache}

> **Accepted answer:** {accepted answer}

{body}

{rotating quote}

You must log in or register to reply here.""",
    footer="""{members who read}

{hot topics}

{latest posts}

{users online}. It's a friendly place, isn't it?

Forum software 2.4. {generation time}""",
)

JOBS = Site(
    host="jobs.northbaycareers.example",
    path="/vacancy/{trade}/{number}",
    words=_words(
        trade="welder|nurse|bookkeeper|gardener|data-engineer|baker|electrician|teacher",
        firm="Arden Mills|Bluegate|Corvid Labs|Delph & Sons|Eastmoor Trust|Fulmar Shipping|Grange Clinic",
        perk="a bicycle|free lunches|a pension|a quiet desk|training|a sauna|a season ticket",
        trait="careful|punctual|curious|patient|cheerful|experienced",
        name=_NAMES,
        town=_TOWNS,
    ),
    headings=_lines("""
Your tasks
About {firm}
What you bring
What we offer
How to apply
Your week at {firm}
The team in {town}
"""),
    lines={
        "text": _lines("""
{firm} employs {int 20 900} people in {town} and is looking for a {trait} {trade}.
You work {int 20 40} hours a week, {int 1 4} days of them in {town}.
We've been in {town} since 19{int 10 99} and we're not going anywhere.
You have at least {int 1 12} years of experience as a {trade}.
After {int 2 9} months you get {perk} and {int 24 35} days of leave.
Your contact is {name}, who answers within {int 2 9} days.
It isn't a problem if you can't do everything yet; {firm} pays for {perk}.
Shifts begin at {int 5 9} and end at {int 14 18} o'clock.
We offer {salary} a year, {perk} and {perk}.
A {trait} colleague shows you around for {int 2 8} weeks.
Please apply on our own site; you don't need to sign in or create an account.
The contract is limited to {int 6 36} months and can be extended.
{firm} will be {int 20 90} years old this summer.
Last year {int 2 19} of our {int 20 90} apprentices stayed.
"""),
        "list": _lines("""
{trait} and {trait}
a licence of class {pick B|C|D}
{int 1 9} years as a {trade}
{perk}, and after a year {perk}
{int 24 35} days of leave
"""),
        "table": ("| {pick Early|Late|Night|Weekend} {int 1 9} | {int 5 13}:00 | {int 14 22}:00 | {int 2 30} % |",),
    },
    table_head="| Shift | From | To | Extra pay |",
    tails=(
        ", says {name}, who came from {town} in 20{int 10 25}",
        ", together with {name} and {int 2 40} colleagues",
        " (reference {int 1000 99999})",
        ", in building {int 2 90} in {town}",
        ", as {name} from {firm} explains",
        ", {int 2 60} minutes from {town} by bus",
        ", with {perk} from week {int 2 50}",
    ),
    teasers=_lines("""
[{trade} at {firm}, {town}](/vacancy/{hex 6}{tracking parameters})
[{firm} seeks a {trait} {trade}](/vacancy/{hex 6}{tracking parameters}), ${int 24 90},000
"""),
    facts={
        "title": ("{trade} (m/f/d) in {town}", "{trait} {trade} for {firm}", "{trade} at {firm}"),
        "salary": "${int 24 60},{pick 000|500|250} to ${int 61 140},{pick 000|500}",
        "vacancy label": ("Accepting applications", "Closed", "Position filled", "Urgent"),
        "closing date": "{soon %d %B %Y}",
        "location": "{town}, {pick on site|hybrid|remote}",
    },
    noise={
        "relative time": (
            "Posted {int 2 23} hours ago",
            "Posted {int 2 30} days ago",
            "Posted 30+ days ago",
            "Reposted today",
        ),
        "applicants counter": "{grows 2 200 5} applicants so far",
        "rotating teaser": "## Similar vacancies\n\n{teasers 4}",
        "advert": ("", "Promoted\n\n[{firm} is hiring {trade}s](https://ads.example/j/{hex 10})"),
        "tracking parameters": ("", "?trk=pub_{letters 9}", "?src={hex 4}&pos={int 1 25}"),
        "request id": "Ref. {hex 8}-{hex 4}-4{hex 3}-{hex 12}",
        "greeting": ("Good morning, job seeker", "Good evening, job seeker", "Welcome back", "Hello"),
        "navigation": (
            "[Jobs](/) [Employers](/employers) [Advice](/advice)",
            "[Jobs](/) [Employers](/employers) [Advice](/advice) [Salary calculator](/salary)",
            "[Jobs](/) [Advice](/advice) [Employers](/employers) [Events](/fairs)",
        ),
        "button label": ("[Apply now](/apply)", "[Apply in two minutes](/apply)", "[I'm interested](/apply)"),
        "white space": ("single spaces", "double spaces", "wrapped lines", "airy lines"),
        "recruiter": "{name} is {pick online now|away|typically replies within a day|in a meeting}",
        "typographic quotes": ("straight quotes", "curly quotes"),
    },
    header="""{navigation}

{greeting}. It's two minutes' work to find one's next job.""",
    main="""# {title}

{location} · {salary} · **{vacancy label}** · closes on {closing date}

{relative time}. {applicants counter}. {recruiter}

{button label}

{body}

{advert}

{rotating teaser}""",
    footer="""[About](/about{tracking parameters}) [Privacy](/privacy{tracking parameters})

Northbay Careers lists what employers send. We don't check every word. {request id}""",
)

RECIPES = Site(
    host="www.copperladle.example",
    path="/recipes/{number}/{main}-{dish}",
    words=_words(
        main="leek|lentil|plum|barley|trout|pumpkin|walnut|rhubarb|chickpea",
        dish="soup|pie|stew|salad|crumble|dumplings|gratin|pancakes",
        way="slowly|gently|well|briefly|overnight|twice",
        spice="cumin|thyme|nutmeg|sumac|mustard|dill|ginger",
        vessel="a cast-iron pan|a wide bowl|the oven dish|a tall pot",
        name=_NAMES,
        town=_TOWNS,
    ),
    headings=_lines("""
Ingredients
Method
Why this {dish} works
Variations with {spice}
Storing the {dish}
What to drink with it
Notes from the kitchen
"""),
    lines={
        "text": _lines("""
My grandmother made this {dish} with {spice}, and {int 2 9} of us fought over the last spoon.
Use {vessel}, otherwise the {main} sticks.
The {dish} keeps {int 2 6} days in the fridge and {int 2 9} months in the freezer.
Stir {way}, until the {main} is soft, about {int 5 50} minutes.
If you have no {spice}, take {spice} and a little more salt.
A whole {main} weighs about {int 100 900} g; you'll need {int 1 6}.
Serve it warm, with bread and {int 1 3} spoons of yoghurt.
I tested it {int 3 20} times, {int 2 9} of them with frozen {main}.
The secret is to toast the {spice} {way} before anything else.
It isn't pretty, but it's the best {dish} that I know.
Leave out the {spice} for children.
Each portion has about {int 180 900} kcal.
Cook it {way} and taste after {int 5 30} minutes.
{name} asked for a vegan version: oil in place of butter, that's all.
"""),
        "list": _lines("""
{int 50 900} g {main}
{int 1 4} teaspoons {spice}
{int 1 9} eggs
{int 100 900} ml stock
a pinch of {spice}
{int 20 250} g butter
"""),
        "steps": _lines("""
Chop the {main} and fry it {way} in {vessel}.
Add {int 100 900} ml water and the {spice}; simmer for {int 5 60} minutes.
Whisk {int 1 4} eggs and fold them in {way}.
Bake for {int 10 80} minutes at {int 140 240} °C.
Let the {dish} rest for {int 5 30} minutes.
Season {way} with {spice}.
"""),
        "figure": ("![{main} {dish} in {vessel}](https://cdn.copperladle.example/{hex 9}.jpg{image cache})",),
    },
    tails=(
        ", as {name} taught me in {town}",
        ", or {int 2 90} g more if the {main} is from {town}",
        ", says {name}, who has made {int 12 900} of them",
        " (tip no. {int 2 900} by {name})",
        ", at {int 2 40} °C in the kitchen",
        ", like at {name}'s in {town} in 20{int 10 25}",
        ", with {int 2 90} ml of {spice} oil if you have it",
    ),
    teasers=_lines("""
[{main} {dish} with {spice}](/recipes/{hex 5}), {int 15 90} min
[{name}'s {main} {dish}](/recipes/{hex 5})
"""),
    facts={
        "title": ("{main} {dish}", "{main} {dish} with {spice}", "{name}'s {dish}"),
        "servings": "{int 2 12} servings",
        "oven temperature": "{int 140 240} °C",
        "diet label": ("vegetarian", "vegan", "contains nuts", "contains fish"),
    },
    noise={
        "rating count": "★ {int 3 4}.{int 0 9} from {grows 9 3000 8} votes",
        "rotating teaser": "## More from the ladle\n\n{teasers 4}",
        "advert": (
            "",
            "*Advertisement* [Knives that stay sharp for {int 2 20} years](https://ads.example/k/{hex 10})",
            "*Advertisement* [{int 3 9} meals a week, from ${int 20 60}](https://ads.example/m/{hex 10})",
        ),
        "lazy loading": ("loaded images", "pending images"),
        "image cache": ("?fit={int 300 1200}%2C{int 300 900}&ssl=1", "?resize={int 300 1200}", "?x={hex 6}"),
        "newsletter box": (
            "",
            "**Hungry for more?** Get {int 3 9} recipes a week. [Sign up](#)",
            "**Wait!** Before you go: the free {dish} booklet. [Send it to me](#)",
        ),
        "cooking now": "{int 3 300} people are cooking this today",
        "rotating review": '> "{pick Lovely|Too salty|Perfect|Easy}, made it with {spice} for {int 2 20} guests." {name}',
        "tag cloud": "{cloud 6}",
        "markup dialect": ("dashes as bullets", "stars as bullets", "underlined title"),
        "copyright year": ("© 2026", "© 2025", "© 2014-2026"),
        "pin count": "{grows 90 9000 30} pins · {grows 9 900 6} shares",
    },
    header="""[The Copper Ladle](/) · [Soups](/soups) · [Pies](/pies) · [About](/about)

{newsletter box}""",
    main="""# {title}

{rating count} · {pin count} · {cooking now}

![{title}](https://cdn.copperladle.example/hero.jpg{image cache})

Makes {servings}. Oven: {oven temperature}. {diet label}

[Jump to recipe](#recipe) [Print](#print) [Photo](https://cdn.copperladle.example/large.jpg{image cache})

{advert}

{body}

{rotating review}

{tag cloud}

{rotating teaser}""",
    footer="""As an affiliate we earn from qualifying purchases. You pay no more.

{copyright year} The Copper Ladle. All rights reserved.""",
)

GOVERNMENT = Site(
    host="www.stadt-lindenau.example",
    path="/{office}/{matter}-{number}.html",
    words=_words(
        office="buergeramt|bauamt|standesamt|ordnungsamt|jugendamt",
        matter="ausweis|ummeldung|gewerbe|parkausweis|bauantrag|hundesteuer|urkunde",
        amt="Bürgeramt|Bauamt|Standesamt|Ordnungsamt|Jugendamt",
        antrag="Personalausweis|Parkausweis|Bauantrag|Wohngeld|Führerschein|Anwohnerausweis",
        beleg="Geburtsurkunde|Meldebescheinigung|Vollmacht|Passfoto|Lageplan|Mietvertrag",
        strasse="Lindenallee|Schulstraße|Am Mühlgraben|Rathausplatz|Königsweg",
        name="Frau Özdemir|Herr Krüger|Frau Schäfer|Herr Böhm|Frau Nowak|Herr Jäger",
    ),
    headings=_lines("""
Voraussetzungen
Erforderliche Unterlagen
Gebühren
Bearbeitungsdauer
Rechtsgrundlagen
Hinweise zum {antrag}
Ansprechpartner im {amt}
Häufige Fragen
"""),
    lines={
        "text": _lines("""
Den {antrag} beantragen Sie persönlich im {amt}, Zimmer {int 1 400}.
Bitte bringen Sie {int 1 4} Kopien und das Original mit ({beleg}).
Die Bearbeitung dauert in der Regel {int 2 12} Wochen.
Für Kinder unter {int 6 16} Jahren genügt eine {beleg}.
Die Gebühr beträgt {fee} und ist bar oder mit Karte zu zahlen.
Wegen Wartungsarbeiten im Aufzug ist das {amt} nur über die {strasse} erreichbar.
{name} berät Sie nach Terminvereinbarung.
Seit dem Jahr 20{int 10 25} ist eine {beleg} nicht mehr nötig.
Ein abgelaufener {antrag} kann bis zu {int 2 12} Monate später verlängert werden.
Das Formular liegt im {amt} in der {strasse} {int 1 90} aus.
Widerspruch können Sie innerhalb von {int 2 8} Wochen einlegen.
Sie müssen seit mindestens {int 1 12} Monaten in Lindenau gemeldet sein.
Bei Verlust wenden Sie sich bitte sofort an das {amt}.
Im Jahr 20{int 10 25} wurden {int 200 9000} Anträge gestellt.
Ohne {beleg} ist eine Bearbeitung leider nicht möglich.
"""),
        "list": _lines("""
{beleg}, nicht älter als {int 2 12} Monate
{beleg} im Original
{int 1 4} Passfotos
§ {int 1 90} Absatz {int 1 9} der Satzung
ausgefülltes Formular {int 10 99}-{int 100 999}
"""),
        "table": ("| {antrag} | {int 5 200},{pick 00|50|80} € | {int 2 12} Wochen | {amt} |",),
    },
    table_head="| Leistung | Gebühr | Dauer | Zuständig |",
    tails=(
        " (Auskunft: {name}, Durchwahl {int 100 999})",
        ", zuletzt geändert am {int 1 28}.{int 1 12}.20{int 10 25}",
        " (Beschluss Nr. {int 100 9999}/20{int 10 25})",
        ", siehe Merkblatt {int 10 999} des {amt}s",
        ", auch in der {strasse} {int 1 190}",
        ", sofern Sie nach dem {int 1 28}.{int 1 12}.19{int 50 99} geboren sind",
        " (Aktenzeichen {int 10 99}-{int 100 999}-{int 10 99})",
    ),
    teasers=_lines("""
[{amt}: neue Hinweise zum {antrag}](/aktuelles/{hex 5}.html)
[{strasse} bis {int 2 28}. Mai gesperrt](/aktuelles/{hex 5}.html)
"""),
    facts={
        "title": ("{antrag} beantragen", "{antrag} verlängern", "{antrag}: {beleg} einreichen"),
        "fee": "{int 5 290},{pick 00|50|80} €",
        "opening hours": "Mo–Do {int 7 9}:00–{int 12 18}:{pick 00|30} Uhr, Fr {int 7 9}:30–12:00 Uhr",
        "form link": "/formulare/antrag-{int 10 99}-{int 100 999}-stand-{int 2021 2026}.pdf",
        "office label": ("geöffnet", "vorübergehend geschlossen", "nur mit Termin", "nur telefonisch erreichbar"),
        "phone": "0{int 3000 9999} {int 10 99}-{int 100 999}",
        "deadline": "{soon %d. %B %Y}",
    },
    noise={
        "rendering clock": "Stand: {now %d.%m.%Y, %H:%M} Uhr",
        "date of today": "Heute ist {now %A, %d. %B %Y}",
        "waiting time": "Aktuelle Wartezeit: ca. {int 2 90} Minuten · aufgerufene Nummer: {pick A|B|C}{int 100 999}",
        "weather": "Wetter in Lindenau: {int -8 33} °C, {pick heiter|bedeckt|Regen|Schneefall}",
        "visitor counter": "Besucher seit 2004: {grows 900000 4000000 700}",
        "session id": (";jsessionid={hex 32}.node{int 1 4}", ";jsessionid={hex 32}", ""),
        "rotating teaser": "## Aktuelles\n\n{teasers 3}",
        "unicode form": ("composed letters", "decomposed letters"),
        "form token": '<input type="hidden" name="csrf" value="{hex 40}">',
        "footer language": (
            "[Impressum](/impressum) [Datenschutz](/datenschutz) [Barrierefreiheit](/barrierefrei)",
            "[Imprint](/impressum) [Privacy](/datenschutz) [Accessibility](/barrierefrei)",
            "[Impressum](/impressum) [Datenschutz](/datenschutz) [Leichte Sprache](/leicht) [English](/en)",
        ),
        "print link": "[Seite drucken](/print?id={int 1000 9999}&t=17{int 10000000 99999999})",
        "notice bar": (
            "",
            "Am {now %d.%m.} bleibt die Telefonzentrale ab {int 11 15} Uhr geschlossen.",
            "Neu: Termine jetzt auch online buchen.",
            "Die Stadtwerke warnen vor Glätte.",
        ),
    },
    header="""[Stadt Lindenau](/{session id}) > [Rathaus](/rathaus{session id}) > [Bürgerservice](/service{session id})

{notice bar}

{date of today}. {weather}""",
    main="""# {title}

Gebühr: **{fee}** · Frist: {deadline} · Derzeit {office label}

Öffnungszeiten: {opening hours} · Telefon: {phone}

[Formular herunterladen (PDF)]({form link})

{waiting time}

{body}

{rotating teaser}""",
    footer="""{form token}

{print link} · {rendering clock} · {visitor counter}

{footer language}""",
    months=_names("Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember"),
    weekdays=_names("Montag|Dienstag|Mittwoch|Donnerstag|Freitag|Samstag|Sonntag"),
    thousands=".",
)

BOUTIQUE = Site(
    host="boutique.atelierdulin.example",
    path="/fr/{rayon}/{piece}-{number}",
    words=_words(
        rayon="linge|table|vetements|rideaux",
        piece="nappe|drap|chemise|tablier|rideau|torchon|robe|coussin",
        teinte="écru|bleu nuit|terracotta|vert sauge|blanc cassé|ocre",
        matiere="lin lavé|lin épais|chanvre|coton bio|métis",
        lieu="Bretagne|Normandie|Alsace|Provence|Ardèche|Picardie",
        nom="Élodie M.|Gaëlle R.|Benoît T.|Noémie L.|François D.|Anaïs P.",
    ),
    headings=_lines("""
Description
Conseils d'entretien
Composition
Guide des tailles
Notre atelier en {lieu}
Livraison et retours
Questions fréquentes
"""),
    lines={
        "text": _lines("""
Cette pièce en {matiere} est tissée en {lieu} et cousue dans l'atelier.
Le coloris {teinte} s'adoucit après {int 2 9} lavages.
Comptez un retrait de {int 2 6} % au premier lavage à {int 30 60} °C.
L'ourlet de {int 2 9} cm est fait à la main.
Pour une table de {int 4 14} personnes, prenez la taille au-dessus.
{nom} l'utilise tous les jours depuis {int 2 9} ans !
Le {matiere} sèche vite et n'a pas besoin d'être repassé.
Chaque série compte {int 20 300} pièces, numérotées à la main.
À {price}, c'est aussi un joli cadeau.
Vous hésitez ? Demandez un échantillon gratuit ; il arrive sous {int 2 9} jours.
Le fil vient de la région {lieu}, où le lin pousse sans irrigation.
Le poids est de {int 120 480} g/m², soit un {matiere} assez lourd.
L'étiquette est en {matiere} elle aussi.
Évitez l'assouplissant : il abîme le {matiere}.
Depuis 20{int 10 24}, nos chutes sont recyclées en {lieu}.
"""),
        "list": _lines("""
{matiere}, coloris {teinte}
{int 40 300} × {int 40 300} cm
lavable à {int 30 90} °C
fabriqué en {lieu}
garantie {int 2 10} ans
"""),
        "table": ("| {pick XS|S|M|L|XL} {int 34 48} | {int 60 130} cm | {int 40 120} cm | {teinte} |",),
        "figure": ("![{piece} {teinte}](https://img.atelierdulin.example/{hex 9}.jpg{image cache})",),
    },
    table_head="| Taille | Tour | Longueur | Coloris |",
    tails=(
        ", comme le dit {nom} dans son avis n° {int 100 9999}",
        ", d'après {int 12 400} essais en {lieu}",
        " (réf. {int 1000 99999})",
        ", depuis la collection {int 2 90} de 20{int 10 25}",
        ", avec une tolérance de {int 2 40} mm",
        ", surtout en {teinte} et à {int 12 40} °C",
        ", selon l'atelier n° {int 2 90} en {lieu}",
    ),
    teasers=_lines("""
[{piece} en {matiere}](/fr/{rayon}/{hex 5}{session id}) {int 9 290},{pick 00|50|90} €
[{piece} {teinte}, {lieu}](/fr/{rayon}/{hex 5}{session id})
"""),
    facts={
        "title": ("{piece} en {matiere}", "{piece} {teinte}", "{piece} « {lieu} »"),
        "price": "{int 9 390},{pick 00|50|90} €",
        "stock label": ("En stock", "Rupture de stock", "Plus que {int 2 6} exemplaires", "Sur commande"),
        "delivery time": "sous {int 2 4} à {int 5 12} jours ouvrés",
    },
    noise={
        "viewer counter": "{int 2 60} personnes regardent cet article",
        "also bought": "## Vous aimerez aussi\n\n{teasers 4}",
        "rotating review": "> « {pick Superbe|Conforme|Très doux|Un peu court}, acheté pour {int 2 12} amis. » {nom}",
        "session id": ("", "?SID={hex 26}", "?___store=fr&SID={letters 22}"),
        "image cache": ("?v={int 10000 99999}", "?_={hex 8}", "?format=webp&v={int 100 999}"),
        "announcement bar": (
            "Livraison offerte dès {int 50 120} € d'achat",
            "-{int 5 40} % sur les rideaux jusqu'à dimanche",
            "Nouveau : le coloris {teinte} est arrivé",
        ),
        "delivery countdown": "Commandez dans les {int 1 9} h {int 1 59} min pour un envoi dès aujourd'hui",
        "loyalty points": "Cet achat vous rapporte {int 2 390} points de fidélité",
        "button label": ("[Ajouter au panier](/panier)", "[J'en profite](/panier)", "[Acheter](/panier)"),
        "white space": ("single spaces", "no-break spaces", "narrow no-break spaces"),
        "apostrophes": ("straight quotes", "curly quotes"),
        "cookie banner": (
            "",
            "Ce site utilise des cookies. [Tout accepter](#) [Tout refuser](#) [Personnaliser](#)",
        ),
        "unicode form": ("composed letters", "decomposed letters"),
    },
    header="""{cookie banner}

{announcement bar}

[L'Atelier du Lin](/fr/{session id}) | [Linge](/fr/linge{session id}) | [Table](/fr/table{session id}) | [Soldes](/fr/soldes)""",
    main="""# {title}

![{title}](https://img.atelierdulin.example/une.jpg{image cache})

**{price}** TTC : {stock label}, livraison {delivery time}

{button label}

{viewer counter}. {delivery countdown}. {loyalty points}.

{body}

## Avis

{rotating review}

{also bought}""",
    footer="""Une question ? L'équipe répond au 02 99 00 00 00 : du lundi au vendredi !

[Mentions légales](/fr/mentions) [CGV](/fr/cgv) [Mon compte](/fr/compte{session id})""",
    months=_names("janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre"),
    weekdays=_names("lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche"),
    thousands=" ",
)

JAPANESE = Site(
    host="blog.yamabiko.example",
    path="/entry/{number}",
    words=_words(
        basho="高尾山|鎌倉|尾道|松本|小樽|熊野|屋久島|金沢",
        mono="カメラ|登山靴|弁当|テント|自転車|温泉|珈琲|地図",
        kimochi="楽しかった|疲れた|静かだった|意外だった|寒かった|懐かしかった",
        hito="妻|友人|息子|隣のおじさん|山岳会の仲間|宿の女将",
        tenki="晴れ|曇り|小雨|雪|霧",
        na="ゆき|たけし|やまねこ|はる|kuma3|みどり",
    ),
    headings=_lines("""
{basho}へ行ってきました
今日の{mono}
アクセス
費用まとめ
持ち物
感想
次回の予定
"""),
    lines={
        "text": _lines("""
{basho}まで電車で{int 1 6}時間、思ったより近かったです。
{hito}と一緒に歩いて、とにかく{kimochi}。
朝は{int 2 20}度、天気は{tenki}でした。
{mono}を忘れて、途中の店で{int 500 9000}円で買いました。
頂上には{int 2 90}人ほどいました。
帰りに寄った食堂の定食が{int 700 2400}円で、量が多い。
{hito}は「もう一度{basho}に行きたい」と言っています。
新しい{mono}は{int 200 2000}グラムで、とても軽い。
標高{int 300 2900}メートル、登りは{int 2 8}時間かかりました。
バスは一日{int 2 9}本しかないので注意してください。
{basho}は二回目ですが、前より{kimochi}。
サイトがメンテナンス中で、予約できたのは{int 2 9}日後でした。
写真を{int 20 400}枚撮ったのに、{mono}が写っていません。
来月は{hito}を連れて{basho}に行く予定です。
{mono}の使い方は[前の記事](/entry/{hex 5})に書きました。
"""),
        "list": _lines("""
{mono}({int 300 9000}円)
{basho}から徒歩{int 3 60}分
{tenki}のち{tenki}
{hito}の{mono}
入場料{int 200 1500}円
"""),
        "table": ("| {basho} | {int 200 4000}円 | {int 10 200}分 | {tenki} |",),
        "figure": ("![{basho}の{mono}](https://img.yamabiko.example/{hex 8}.jpg{image cache})",),
    },
    table_head="| 区間 | 運賃 | 時間 | 天気 |",
    tails=(
        "({na}さんの{int 2 90}番目の写真)",
        "(20{int 10 25}年{int 1 12}月{int 1 28}日のメモ)",
        "({basho}の地図{int 2 90}ページ)",
        "、{hito}によると{int 2 99}点",
        "(歩数{int 1000 40000}歩)",
        "、{int 5 21}時{int 10 59}分の時点で",
        "(標識{int 2 90}番の近く)",
    ),
    teasers=_lines("""
[{basho}で{mono}を使ってみた](/entry/{hex 5})
[{hito}と行く{basho}、{int 2 20}回目](/entry/{hex 5})
[{mono}が{kimochi}話](/entry/{hex 5})({int 1 90})
"""),
    facts={
        "title": ("{basho}と{mono}", "{basho}を{hito}と歩く", "{mono}を買い替えた話"),
        "event date": "{soon %Y年%m月%d日}",
        "price": "{int 800 19000}円",
        "opening label": ("営業中", "本日休業", "冬季休業", "予約制", "閉店しました"),
    },
    noise={
        "date of today": "{now %Y年%m月%d日}({now %A})",
        "access counter": "本日のアクセス:{int 20 900} / 累計:{grows 20000 900000 300}",
        "rotating teaser": "## おすすめ記事\n\n{teasers 4}",
        "advert": (
            "",
            "【PR】[{basho}の宿を{int 10 60}%オフで予約](https://ads.example/jp/{hex 10})",
            "スポンサーリンク",
        ),
        "ranking position": "人気ブログランキング 登山部門 {int 2 90}位",
        "comment count": "コメント({grows 0 60 3})",
        "latest posts": "## 最新記事\n\n{newest 4}",
        "weather": "現在の{basho}:{int -8 32}℃ {tenki}",
        "relative time": ("{int 2 59}分前に更新", "{int 2 23}時間前に更新", "昨日更新"),
        "rotating quote": "今日の一言:「{basho}は逃げない、{mono}は逃げる」{na}",
        "image cache": ("?{int 100000 999999}", "?t={hex 8}", "?w=600&v={int 1 99}"),
        "markup dialect": ("dashes as bullets", "stars as bullets", "underlined title"),
        "claps": "拍手 {grows 2 90 4}",
    },
    header="""[やまびこ日記](/) [プロフィール](/about) [ログイン](/login)

{date of today} {weather}

{advert}""",
    main="""# {title}

{relative time} {comment count} {claps}

![{title}](https://img.yamabiko.example/top.jpg{image cache})

- 次の集まり:{event date}
- 参加費:{price}
- 山小屋:{opening label}

{body}

{rotating quote}

{rotating teaser}""",
    footer="""{latest posts}

{ranking position}

{access counter}

無断転載を禁じます。""",
    months=_names("1月|2月|3月|4月|5月|6月|7月|8月|9月|10月|11月|12月"),
    weekdays=_names("月|火|水|木|金|土|日"),
    between="",
)

SITES = (SHOP, DOCS, NEWS, BLOG, WIKI, EVENTS, FORUM, JOBS, RECIPES, GOVERNMENT, BOUTIQUE, JAPANESE)
_ACCENTED = "äöüÄÖÜéèêàâçîïôûùëÉÈÊÀÇ"

STYLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "double spaces": ((r"(?<=[\w)][.?]) (?=[A-Z])", "  "),),
    "trailing spaces": ((r"(?m)(?<=\S)$", "  "),),
    "airy lines": ((r"\n\n", "\n\n\n"),),
    "wrapped lines": ((r"([^\n|]{72,}?) (?=\S)", r"\1\n"),),
    "no-break spaces": ((" (?=[?!:;€»])|(?<=«) ", "\u00a0"),),
    "narrow no-break spaces": ((" (?=[?!:;€»])|(?<=«) ", "\u202f"),),
    "curly quotes": ((r"'(?<=\w')(?=\w)", "’"), (r'"([^"\n]*)"', r"“\1”")),
    "stars as bullets": (("(?m)^- ", "* "),),
    "underlined title": (("(?m)^# (.+)$", r"\1\n================"),),
    "headings with pilcrow": (("(?m)^(##+ .*)$", r'\1 [¶](#section "Permanent link to this headline")'),),
    "headings with hash": (("(?m)^(##+) (.*)$", r"\1 [#](#section) \2"),),
    "pending images": (
        (r"!\[(.*?)\]\(.*?\)", r"![\1](data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==)"),
    ),
    "escaped ampersands": (("&", "&amp;"),),
    "decomposed letters": tuple((letter, normalize("NFD", letter)) for letter in _ACCENTED),
}
"""What some kinds of noise do to the finished text: pattern and replacement, by what is drawn of the noise."""

WALLS = _walls("""
== bot wall (Cloudflare)
# {host}

## Verifying you are human. This may take a few seconds.

{host} needs to review the security of your connection before proceeding.

Ray ID: `{hex 16}`

Performance & security by [Cloudflare](https://www.cloudflare.com)
== bot wall (Cloudflare)
Just a moment...

Enable JavaScript and cookies to continue
== bot wall (Cloudflare)
# Sorry, you have been blocked

## You are unable to access {host}

## Why have I been blocked?

This website is using a security service to protect itself from online attacks. The action you just performed triggered \
the security solution. There are several actions that could trigger this block including submitting a certain word or \
phrase, a SQL command or malformed data.

## What can I do to resolve this?

You can email the site owner to let them know you were blocked. Please include what you were doing when this page came up.

Cloudflare Ray ID: **{hex 16}** • Your IP: {ip}
== bot wall (Cloudflare)
# Error 1020

Ray ID: {hex 16} • {now %Y-%m-%d %H:%M:%S} UTC

## Access denied

### What happened?

This website is using a security service to protect itself from online attacks.
== bot wall (Cloudflare)
# {host}

## Überprüfung, ob Sie ein Mensch sind. Dies kann einige Sekunden dauern.

{host} muss die Sicherheit Ihrer Verbindung überprüfen, bevor Sie fortfahren können.

Ray-ID: `{hex 16}`
== bot wall (Cloudflare)
# {host}

## Vérification que vous êtes un humain. Cela peut prendre quelques secondes.

{host} doit vérifier la sécurité de votre connexion avant de continuer.

Ray ID : `{hex 16}`
== bot wall (Cloudflare)
# {host}

あなたが人間であることを確認します。これには数秒かかる場合があります。

続行する前に、{host} は接続のセキュリティを確認する必要があります。

Ray ID: {hex 16}
== bot wall (Cloudflare)
# {host}

Verificando que usted es un ser humano. Esto puede tardar unos segundos.

{host} necesita revisar la seguridad de su conexión antes de proceder.

Ray ID: `{hex 16}`
== bot wall (Akamai)
# Access Denied

You don't have permission to access "http://{host}/" on this server.

Reference #18.{hex 8}.17{int 10000000 99999999}.{hex 8}

https://errors.edgesuite.net/18.{hex 8}.17{int 10000000 99999999}.{hex 8}
== bot wall (Akamai)
# Pardon Our Interruption

As you were browsing {host} something about your browser made us think you were a bot. There are a few reasons this might \
happen:

- You're a power user moving through this website with super-human speed.
- You've disabled cookies in your web browser.
- A third-party browser plugin is preventing JavaScript from running.

To regain access, please make sure that cookies and JavaScript are enabled before reloading the page.
== bot wall (DataDome)
Please enable JS and disable any ad blocker
== bot wall (DataDome)
# {host}

We want to make sure it is actually you we are dealing with and not a robot.

Slide right to complete the puzzle.

Why is this verification required? Something about the behaviour of the browser has caught our attention.

ID: {hex 8}-{hex 4}-{hex 4}-{hex 4}-{hex 12}
== bot wall (DataDome)
Vous avez été bloqué.

Quelque chose dans le comportement de votre navigateur nous a intrigué. Plusieurs raisons possibles :

- vous surfez et cliquez à une vitesse surhumaine
- quelque chose bloque JavaScript sur votre ordinateur
- un robot est sur le même réseau ({ip}) que vous

Un problème d'accès ? [Contactez l'assistance](mailto:help@{host})
== bot wall (HUMAN)
# Access to this page has been denied

because we believe you are using automation tools to browse the website.

This may happen as a result of the following:

- JavaScript is disabled or blocked by an extension (ad blockers for example)
- Your browser does not support cookies

Reference ID: #{hex 8}-{hex 4}-11f0-{hex 4}-{hex 12}

Powered by PerimeterX, Inc.
== bot wall (HUMAN)
# Before we continue...

Press & Hold to confirm you are a human (and not a bot).

Reference ID {hex 8}-{hex 4}-11f0-{hex 4}-{hex 12}
== bot wall (Imperva)
Request unsuccessful. Incapsula incident ID: {int 100 999}000{int 100000000 999999999}-{int 100000000 999999999}
== bot wall (Imperva)
# Additional security check is required

hCaptcha

This question is for testing whether you are a human visitor and to prevent automated spam submission.

What code is in the image? Your support ID is: {int 100000000 999999999}{int 100000000 999999999}.

Powered by Imperva
== bot wall (AWS WAF)
# Human Verification

JavaScript is disabled

In order to continue, we need to verify that you're not a robot. This requires JavaScript. Enable JavaScript and then \
reload the page.
== bot wall (AWS WAF)
# Let's confirm you are human

Complete the security check before continuing. This step verifies that you are not a bot, which helps to protect your \
account and prevent spam.

Begin >

English Deutsch Español Français Italiano 日本語 Português 中文
== bot wall (CloudFront)
# 403 ERROR

## The request could not be satisfied.

Request blocked. We can't connect to the server for this app or website at this time. There might be too much traffic or \
a configuration error.

Generated by cloudfront (CloudFront)
Request ID: {letters 54}==
== bot wall (F5)
The requested URL was rejected. Please consult with your administrator.

Your support ID is: {int 1000000000 9999999999}{int 100000000 999999999}

[Go Back](javascript:history.back();)
== bot wall (F5)
Please enable JavaScript to view the page content.
Your support ID is: {int 1000000000 9999999999}{int 100000000 999999999}.

This question is for testing whether you are a human visitor and to prevent automated spam submission.

Audio is not supported in your browser.
== bot wall (Kasada)
Loading the page, hold on.

If this takes longer than {int 5 20} seconds, your network has been flagged. x-kpsdk-ct {hex 24}
== bot wall (Google)
# About this page

Our systems have detected unusual traffic from your computer network. This page checks to see if it's really you sending \
the requests, and not a robot.

IP address: {ip}
Time: {now %Y-%m-%dT%H:%M:%S}Z
URL: https://{host}/
== bot wall (Google)
## Über diese Seite

Unsere Systeme haben ungewöhnlichen Datenverkehr aus Ihrem Computernetzwerk festgestellt. Auf dieser Seite wird überprüft, \
ob die Anfragen wirklich von Ihnen und nicht von einem Robot gesendet werden.

IP-Adresse: {ip}
Uhrzeit: {now %Y-%m-%dT%H:%M:%S}Z
== bot wall (reCAPTCHA)
# One more step

Please complete the security check to access {host}

[ ] I'm not a robot

reCAPTCHA [Privacy](https://policies.google.com) - [Terms](https://policies.google.com)
== bot wall (hCaptcha)
Please click each image containing a {pick bicycle|boat|bridge|hydrant}

If there are none, click skip.

hCaptcha · Refresh challenge · Get an audio challenge
== bot wall (GeeTest)
# 安全验证

请完成下方拼图,向右拖动滑块以继续访问 {host}

您的IP:{ip} 事件编号:{hex 32}
== bot wall (Sucuri)
# Access Denied - Sucuri Website Firewall

If you are the site owner (or you manage this site), please whitelist your IP or if you think this block is an error \
please open a support ticket.

Block details:

| Your IP: | {ip} |
| --- | --- |
| URL: | {host}/ |
| Time: | {now %Y-%m-%d %H:%M:%S} |
| Server ID: | {int 11000 19000} |
== bot wall (DDoS-Guard)
## Проверка браузера перед переходом на {host}

Это займёт несколько секунд. Пожалуйста, включите JavaScript и файлы cookie.

DDoS-Guard · {ip} · {now %d/%m/%Y %H:%M:%S}
== bot wall (Vercel)
**Vercel Security Checkpoint**

We're verifying your browser

[Website owner? Click here to fix](https://vercel.link/security-checkpoint)

fra1::17{int 10000000 99999999}-{letters 32}
== bot wall (Anubis)
# Making sure you're not a bot!

Loading...

You are seeing this because the administrator of this website has set up Anubis to protect the server against the scourge of \
AI companies aggressively scraping websites. Anubis uses a proof-of-work scheme, difficulty {int 3 6}.
== bot wall (Radware)
We apologize for the inconvenience...

...but your activity and behavior on this site made us think that you are a bot.

**Please solve this CAPTCHA to request unblock to the website**

Incident ID: {hex 8}-{hex 4}-{hex 4}
== bot wall (Fastly)
Client Challenge

JavaScript is disabled in your browser. Please enable JavaScript to proceed. A required part of this site couldn't load.
== bot wall (Fortinet)
# Web Page Blocked!

The page cannot be displayed. Please contact the administrator for additional information.

URL: {host}/
Client IP: {ip}
Attack ID: {int 20000000 29999999}
Message ID: {int 100000000 999999999}
== bot wall (home-made)
# {title}

{opening}

### Sind Sie ein Mensch?

Wir haben sehr viele Anfragen von Ihrer Adresse ({ip}) erhalten. Bitte geben Sie die Zeichen aus dem Bild ein.
== bot wall (home-made)
Por favor, confirma que no eres un robot

Escribe los caracteres que ves en la imagen: ______

Incidencia {hex 10}
== bot wall (home-made)
Zugriff verweigert. Ihr Browser wurde als automatisiertes Programm eingestuft (Code {int 100 999}).

Falls Sie dies für einen Irrtum halten, schreiben Sie an webmaster@{host}.
== bot wall (home-made)
Potwierdź, że nie jesteś robotem

Wykryliśmy nietypowy ruch z Twojej sieci. Zaznacz pole poniżej, aby przejść dalej.

Identyfikator zdarzenia: {hex 12}
== bot wall (home-made)
Подтвердите, что запросы отправляли вы, а не робот

Нам очень жаль, но запросы с вашего устройства похожи на автоматические.

Ключ: {hex 24}
== bot wall (home-made)
Verifica di sicurezza

Per continuare su {host} dimostra di non essere un robot. Trascina la freccia verso destra.
== bot wall (home-made)
접속이 차단되었습니다

비정상적인 접근이 감지되었습니다. 로봇이 아님을 확인해 주세요.

IP: {ip}
== consent wall
# We value your privacy

We and our {int 100 1600} partners store and/or access information on a device, such as unique identifiers in cookies, to \
process personal data. You may accept or manage your choices by clicking below, including your right to object where \
legitimate interest is used.

[MORE OPTIONS](#) [DISAGREE](#) [AGREE](#)
== consent wall
## Before you continue to {host}

We use cookies and data to

- Deliver and maintain our services
- Track outages and protect against spam, fraud and abuse
- Measure audience engagement and site statistics

If you choose to "Accept all", we will also use cookies and data to develop and improve new services.

[Reject all](#) [Accept all](#) [More options](#)
== consent wall
# Willkommen bei {host}

Nutzen Sie unser Angebot mit Werbung und Tracking oder werbefrei im Abo für {int 2 5},99 €/Monat.

## Weiter mit Werbung

Besuchen Sie {host} wie gewohnt mit Werbung und Tracking. Ihre Zustimmung ist jederzeit widerrufbar.

[Akzeptieren und weiter](#)

## Pur-Abo

[Jetzt abonnieren](#) Bereits Pur-Abonnent? [Hier anmelden](#)
== consent wall
Datenschutz-Einstellungen

Wir und unsere bis zu {int 90 900} Partner benötigen Ihre Zustimmung, um Informationen auf Ihrem Gerät zu speichern und \
darauf zuzugreifen.

- Essenziell
- Statistik
- Marketing
- Externe Medien

[Alle akzeptieren](#) [Speichern](#) [Nur essenzielle Cookies](#)
== consent wall
# Le respect de votre vie privée est notre priorité

Avec nos {int 50 900} partenaires, nous utilisons des cookies et des traceurs pour stocker et accéder à des informations \
personnelles, comme votre visite sur ce site.

[Continuer sans accepter](#) [Paramétrer](#) [Accepter et fermer](#)
== consent wall
Votre accès à {host}

Vous pouvez accéder gratuitement au site en acceptant le dépôt de cookies publicitaires, ou vous abonner à partir de \
{int 1 4},99 € par mois.

[Accepter](#) [S'abonner](#) [Se connecter](#)
== consent wall
# Tu privacidad es importante para nosotros

Nosotros y nuestros {int 90 900} socios almacenamos o accedemos a información en un dispositivo y procesamos datos personales.

[Rechazar y suscribirse](#) [Aceptar y continuar](#) [Configurar](#)
== consent wall
## Informativa

Noi e terze parti selezionate utilizziamo cookie o tecnologie simili per finalità tecniche e, con il tuo consenso, anche per \
le finalità di esperienza, misurazione e marketing.

[Rifiuta](#) [Accetta](#) [Scopri di più e personalizza](#)
== consent wall
{host} gebruikt cookies

Wij en {int 10 300} partners plaatsen cookies om je ervaring te verbeteren. Kies of je dat goed vindt voordat je verdergaat.

[Ja, ik accepteer cookies](#) [Instellingen](#) [Weigeren](#)
== consent wall
Vi värnar om din integritet

Vi och våra {int 20 400} partner lagrar och får åtkomst till information på din enhet.

[Godkänn alla](#) [Endast nödvändiga](#) [Inställningar](#)
== consent wall
Szanowny Użytkowniku

Zanim klikniesz „Przejdź do serwisu”, prosimy o zapoznanie się z informacją o przetwarzaniu danych przez nas i \
{int 90 900} zaufanych partnerów.

[Ustawienia zaawansowane](#) [Przejdź do serwisu](#)
== consent wall
Valorizamos a sua privacidade

Nós e os nossos {int 90 900} parceiros armazenamos cookies no dispositivo para anúncios e conteúdos personalizados.

[ACEITO](#) [NÃO ACEITO](#) [MAIS OPÇÕES](#)
== login wall
# Log in

Email or username

Password

[ ] Remember me

[Log in](#) [Forgot your password?](#)

New here? [Create an account](#)
== login wall
{header}

# {title}

{opening}

**You have reached your limit of free articles.** Subscribe for ${int 1 9}.99 a month to continue reading, or \
[log in](/login) if you already have an account.
== login wall
{header}

# Please sign in

You must be signed in to view this page. Your session has expired after {int 10 60} minutes of inactivity.

[Sign in](/login?next={hex 8}) [Register](/register)
== login wall
# Anmelden

Bitte melden Sie sich an, um diese Seite zu sehen.

E-Mail-Adresse

Passwort

[Anmelden](#) [Passwort vergessen?](#) [Registrieren](#)
== login wall
# {title}

{opening}

## Weiterlesen mit Plus

Testen Sie unser Angebot {int 1 3} Monate für {int 1 9} €. Danach jederzeit kündbar.

[Jetzt testen](#) [Ich habe schon ein Konto](#)
== login wall
# {title}

{opening}

Il vous reste {int 51 95} % de cet article à lire. La suite est réservée aux abonnés.

[Je m'abonne](#) [Déjà abonné ? Connectez-vous](#)
== login wall
Inicia sesión para continuar

Correo electrónico

Contraseña

[Entrar](#) ¿Aún no tienes cuenta? [Regístrate](#)
== login wall
# ログイン

このページを表示するにはログインが必要です。

メールアドレス

パスワード

[ログイン](#) [新規会員登録](#)
== login wall
# {title}

{opening}

この記事は会員限定です。残り{int 400 3000}文字。

[会員登録(無料)](#) [ログイン](#)
== login wall
Accedi per continuare

Questo contenuto è riservato agli utenti registrati di {host}.

[Accedi](#) [Registrati](#)
== login wall
# Single sign-on

You are being redirected to your identity provider. If nothing happens within {int 3 10} seconds, [click here](#).

SAMLRequest {letters 40}
== rate limit
# 429 Too Many Requests

nginx
== rate limit
# Error 1015

Ray ID: {hex 16} • {now %Y-%m-%d %H:%M:%S} UTC

## You are being rate limited

### What happened?

The owner of this website ({host}) has banned you temporarily from accessing this website.
== rate limit
## Whoa there!

You have sent {int 60 900} requests in the last minute. Slow down and try again in {int 10 600} seconds.
== rate limit
Zu viele Anfragen

Sie haben diese Seite zu oft in kurzer Zeit aufgerufen. Bitte versuchen Sie es in {int 2 30} Minuten erneut.
== rate limit
Trop de requêtes

Vous avez effectué un trop grand nombre de requêtes. Merci de patienter {int 10 120} secondes.
== rate limit
アクセスが集中しています

短時間に多数のリクエストがありました。{int 1 30}分後にもう一度お試しください。
== rate limit
访问过于频繁,请{int 1 60}分钟后再试。

错误代码:{int 400 499}-{hex 6}
== rate limit
{"error":{"code":"rate_limited","message":"Too many requests from {ip}","retry_after":{int 5 900}}}
== queue
# You are now in line

When it is your turn, you will have {int 5 15} minutes to enter the website.

Number of users in line ahead of you: {int 100 90000}

Your estimated wait time is: {pick more than an hour|less than a minute|half an hour}

Queue ID: {hex 8}-{hex 4}-{hex 4}-{hex 4}-{hex 12}
== queue
Sie befinden sich im Warteraum

Aufgrund der hohen Nachfrage werden Sie in {int 2 50} Minuten weitergeleitet. Bitte aktualisieren Sie diese Seite nicht.
== maintenance
# We'll be back soon!

Sorry for the inconvenience. We're performing some maintenance at the moment. We'll be back online shortly!

The {host} team
== maintenance
{header}

# Scheduled maintenance

Our systems are being upgraded until {int 5 11}:00 UTC. Thank you for your patience.
== maintenance
# 503 Service Temporarily Unavailable

nginx/1.{int 18 27}.{int 0 5}
== maintenance
# Error 503 Backend fetch failed

Backend fetch failed

### Guru Meditation:

XID: {int 1000000 99999999}

Varnish cache server
== maintenance
Briefly unavailable for scheduled maintenance. Check back in a minute.
== maintenance
# Wartungsarbeiten

Unsere Website wird gerade für Sie überarbeitet. Ab {int 6 12} Uhr sind wir wieder für Sie da.
== maintenance
# Site en maintenance

Nous effectuons une mise à jour. {host} sera de nouveau disponible vers {int 6 12} h. Merci de votre patience.
== maintenance
# ただいまメンテナンス中です

ご迷惑をおかけしております。{now %m月%d日} {int 5 12}:00 頃に終了する予定です。
== maintenance
Sitio en mantenimiento

Estamos realizando mejoras. Volveremos a estar disponibles en unos {int 10 90} minutos.
== maintenance
Em manutenção

Estamos melhorando o site para você. Voltamos em {int 1 6} horas.
== maintenance
Технические работы

Сайт {host} временно недоступен. Мы вернёмся через {int 10 90} минут.
== geo block
# 451

This content is not available in your country ({pick DE|US|SG|BR|IN}) for legal reasons.

Your IP address: {ip}
== geo block
Thank you for visiting {host}. We recognize you are attempting to access this website from a country belonging to the \
European Economic Area including the EU which enforces the GDPR and therefore access cannot be granted at this time.
== age check
# Are you over {pick 16|18|21}?

You must be of legal age to enter {host}.

[Yes, enter](#) [No, leave](#)
""")
