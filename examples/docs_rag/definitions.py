"""A documentation site as Markdown, split into chunks for retrieval."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from thunderbit_dagster import (
    Crawl,
    Distill,
    Sitemap,
    build_crawl_definitions,
    resource_from_environment,
    store_from_environment,
)

SITE = os.environ.get("THUNDERBIT_DEMO_SITE", "http://127.0.0.1:8711")
CHUNKS = Path(os.environ.get("CHUNKS_DIR", "data/docs/chunks"))
LONGEST = 1_200
"""Characters of a chunk, unless one paragraph alone is longer."""

SCHEMA = pa.schema(
    [
        pa.field("chunk_id", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("heading", pa.string()),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)

docs = Crawl(
    name="docs",
    urls={
        "guides": Sitemap(f"{SITE}/sitemap.xml", include=["/guides/a*", "/guides/b*"]),
        "reference": Sitemap(f"{SITE}/sitemap.xml", include=["/reference/c*"]),
    },
    request=Distill(metadata=True),
)
store = store_from_environment()


def sections(markdown: str) -> Iterator[tuple[str, str]]:
    """Heading and text of each section."""
    parts = re.split(r"^(#{1,6} .*)$", markdown, flags=re.MULTILINE)
    yield from (("", parts[0]), *zip((one.lstrip("# ") for one in parts[1::2]), parts[2::2], strict=True))


def pieces(text: str) -> Iterator[str]:
    """A section's paragraphs, joined as long as they fit."""
    piece = ""
    for paragraph in re.split(r"\n{2,}", text.strip()):
        if piece and len(piece) + len(paragraph) > LONGEST:
            yield piece
            piece = ""
        piece = f"{piece}\n\n{paragraph}".strip()
    if piece:
        yield piece


def chunks_of(url: str, markdown: str) -> list[dict[str, object]]:
    """The chunks of a page. The id hashes URL and text, so an unchanged chunk keeps it."""
    found = [(heading, piece) for heading, text in sections(markdown) for piece in pieces(text)]
    return [
        {
            "chunk_id": hashlib.sha256(f"{url}\0{heading}\0{piece}".encode()).hexdigest()[:32],
            "url": url,
            "heading": heading,
            "position": position,
            "text": piece,
        }
        for position, (heading, piece) in enumerate(found)
    ]


@dg.asset(
    key=["docs", "chunks"],
    deps=[docs.key("succeeded")],
    partitions_def=docs.partitions_def,
    automation_condition=dg.AutomationCondition.eager(),
    kinds={"parquet"},
)
def chunks(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Chunks of the pages of a section, one Parquet file a partition."""
    rows = store.read("docs", "succeeded", {"urls": context.partition_key}, columns=["url", "markdown"])
    found = [chunk for row in rows.to_pylist() for chunk in chunks_of(row["url"], row["markdown"] or "")]
    file = CHUNKS / f"urls={context.partition_key}" / "chunks.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".part")
    pq.write_table(pa.Table.from_pylist(found, schema=SCHEMA), fresh)
    fresh.replace(file)
    return dg.MaterializeResult(metadata={"pages": rows.num_rows, "chunks": len(found), "file": str(file)})


defs = dg.Definitions.merge(
    build_crawl_definitions([docs], thunderbit=resource_from_environment(), store=store),
    dg.Definitions(assets=[chunks]),
)
