"""The documentation: links that lead somewhere, generated pages in step, nothing left to fill in."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GENERATORS = sorted((ROOT / "scripts").glob("gen_*.py"))
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


def name(path):
    return str(path.relative_to(ROOT))


def prose(path):
    """A page without its code, where brackets mean something else."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^(    |\t).*$", "", text, flags=re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "code", text)


def anchors(path):
    """The fragment names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    broken = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, fragment = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if not there.exists() or (fragment and fragment not in anchors(there)):
            broken.append(target)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme():
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        targets = (target.partition("#")[0] for target in LINK.findall(prose(page)) if ":" not in target)
        todo += [(page.parent / target).resolve() for target in targets if target]
    assert [name(page) for page in PAGES if page not in reached] == []


@pytest.mark.parametrize("script", GENERATORS, ids=name)
def test_generated_pages_are_in_step(script):
    done = subprocess.run([sys.executable, script, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_page_out_of_step_is_found(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/exit-codes.md").write_text("old\n", encoding="utf-8")
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    probe = (
        "import sys, pathlib; sys.path.insert(0, 'scripts'); sys.argv = ['gen_exit_codes.py', '--check']\n"
        f"import generated; generated.ROOT = pathlib.Path({str(tmp_path)!r})\n"
        "import gen_exit_codes; generated.settle('exit-codes.md', 'gen_exit_codes.py', gen_exit_codes.page())"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: docs/exit-codes.md is not in step")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_nothing_is_left_to_fill_in(page):
    assert re.findall(r"TODO|FIXME|XXX|TBD|(?i:coming soon|lorem ipsum)", page.read_text(encoding="utf-8")) == []


def rows():
    """The threat model's rows: number -> (what wormsig does today, what is later)."""
    found = {}
    for line in (ROOT / "docs/threat-model.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]
        if line.startswith("|") and re.fullmatch(r"[CRSTM]\d+", cells[0]):
            found[cells[0]] = cells[1:]
    return found


def adversarial_tests():
    """The rows that tests carry in their names, `test_c3_...`: those of tests/adversarial/ and some beside the code."""
    sources = (path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py")))
    return {row.upper() for text in sources for row in re.findall(r"def test_([crstm]\d+)_", text)}


def test_the_threat_model_has_every_row():
    counts = {letter: max(int(row[1:]) for row in rows() if row[0] == letter) for letter in "CRSTM"}
    assert counts == {"C": 24, "R": 12, "S": 6, "T": 8, "M": 5}
    assert len(rows()) == sum(counts.values())


def test_a_row_says_tested_exactly_when_a_named_test_carries_it():
    claimed = {row for row, cells in rows().items() if cells[-1] in ("tested", "partly")}
    assert sorted(claimed - adversarial_tests()) == [], "the page says tested, but no test carries the row"
    assert sorted(adversarial_tests() - claimed) == [], "tests carry these rows; let docs/threat-model.md say so"
    assert {cells[-1] for cells in rows().values()} <= {"tested", "partly", "no"}
