"""The pages name only what exists: Python names resolve, links lead somewhere."""

import re
from pathlib import Path

import keras
import pytest

import keras_resnets
import trainers
import tuners

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PACKAGES = {
    "keras": keras,
    "keras_resnets": keras_resnets,
    "kr": keras_resnets,
    "trainers": trainers,
    "tuners": tuners,
}
NAME = re.compile(rf"\b(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+")
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)")


def resolve(name):
    first, *rest = name.split(".")
    value = PACKAGES[first]
    for part in rest:
        value = getattr(value, part)
    return value


def is_file(name):
    return name.endswith((".py", ".md", ".keras", ".json"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_exist(page):
    missing = []
    for code in CODE.findall(page.read_text(encoding="utf-8")):
        for name in NAME.findall(code):
            try:
                resolve(name)
            except AttributeError:
                if not is_file(code):
                    missing.append(name)
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert not [link for link in local if not (page.parent / link).exists()]
