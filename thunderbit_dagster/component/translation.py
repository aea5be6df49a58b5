"""``translation``: what a project changes about the assets of its crawls."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

import dagster as dg
from pydantic import Field

from thunderbit_dagster.component.errors import errors_at_line
from thunderbit_dagster.component.templates import Checked, Template, render
from thunderbit_dagster.crawl.crawl import Crawl

Translation: TypeAlias = Callable[[dg.AssetSpec, Crawl], dg.AssetSpec]
"""From the spec of an asset as the crawl has it to the one that Dagster shows."""

MERGED = frozenset({"tags", "metadata", "kinds"})
"""What is added to the asset's own; everything else takes its place."""


class TranslationShape(dg.Model):
    """Each value may be a template over ``crawl``, ``asset`` (such as ``succeeded``) and ``spec``."""

    key_prefix: Annotated[list[str], Template()] = Field(
        default_factory=list, description="Goes before the name of the crawl in every asset key."
    )
    group_name: str = Field(default="", description="The default is the name of the crawl.")
    description: str = Field(default="", description="In place of the asset's own.")
    owners: Annotated[list[str], Template()] = Field(
        default_factory=list, description="E-mail addresses, or teams as in `team:search`."
    )
    tags: Annotated[dict[str, str], Template()] = Field(default_factory=dict, description="Added to every asset.")
    kinds: Annotated[list[str], Template()] = Field(default_factory=list, description="Added to every asset.")
    metadata: Annotated[dict[str, object], Template()] = Field(
        default_factory=dict, description="Added to every asset."
    )
    automation_condition: str = Field(
        default="", description="A template, such as `\"{{ dg.AutomationCondition.eager() if asset == 'changes' }}\"`."
    )


Translations: TypeAlias = Annotated[dict[str, object], Checked(TranslationShape)]


def read_translation(context: dg.ResolutionContext, given: Mapping[str, object]) -> Translation:
    """The function that the YAML describes; its templates are filled in for each asset."""

    def translate(spec: dg.AssetSpec, crawl: Crawl) -> dg.AssetSpec:
        scope = context.with_scope(spec=spec, crawl=crawl, asset=spec.key.path[-1])
        changed = {name: render(scope.at_path(name), value) for name, value in given.items()}
        for name, value in changed.items():
            with errors_at_line(context.at_path(name)):
                spec = _changed(spec, name, value)
        return spec

    return translate


def _changed(spec: dg.AssetSpec, name: str, value: object) -> dg.AssetSpec:
    if name == "key_prefix":
        return spec.replace_attributes(key=spec.key.with_prefix(value)) if isinstance(value, list) else spec
    change: Callable[..., dg.AssetSpec] = spec.merge_attributes if name in MERGED else spec.replace_attributes
    return change(**{name: value})


@dataclass(frozen=True, kw_only=True)
class TranslatedCrawl(Crawl):
    """A crawl some of whose assets have other keys."""

    asset_keys: Mapping[str, dg.AssetKey] = field(default_factory=dict)

    @classmethod
    def of(cls, crawl: Crawl, asset_keys: Mapping[str, dg.AssetKey]) -> Crawl:
        """The crawl with these keys; itself when they are its own."""
        if all(crawl.key(asset) == key for asset, key in asset_keys.items()):
            return crawl
        make: Callable[..., Crawl] = cls
        settings = {name: getattr(crawl, name) for name in Crawl.__dataclass_fields__}
        return make(**settings, asset_keys=dict(asset_keys))

    def key(self, asset: str) -> dg.AssetKey:
        """The key of one of the crawl's assets, as translated."""
        return self.asset_keys.get(asset) or super().key(asset)
