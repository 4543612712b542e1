"""Progress that a person can believe, for the eye and for the ear."""

from __future__ import annotations

import re
from itertools import pairwise

from tests.support import scripted
from tests.support.pages import Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.recorder import until
from tests.support.scripted import scanning, transferring

SETTINGS = scripted.SETTINGS
WATCH = """() => {
  const bar = () => document.querySelector('.job progress');
  const seen = { values: [], bytes: [], etas: [], titles: [], said: [] };
  window.seen = seen;
  const note = (list, value) => list.at(-1) !== value && list.push(value);
  const text = (field) => document.querySelector(`.job [data-field=${field}]`).textContent;
  const look = () => {
    note(seen.values, bar().getAttribute('value'));
    note(seen.bytes, text('bytes'));
    note(seen.etas, text('eta'));
    note(seen.titles, document.title);
    const heard = document.querySelector('[role=status].visually-hidden[data-keep]').textContent;
    if (heard) note(seen.said, heard);
  };
  look();
  new MutationObserver(look).observe(document, {
    subtree: true, childList: true, characterData: true, attributes: true,
  });
}"""


def test_progress_is_honest_from_the_scan_to_the_end(portal: PortalServer, visit: Visit) -> None:
    bob = Person(portal, "bob")
    # In its middle rclone finds more to do, so that its own share falls from 55 to 27 %.
    told = [scanning(12_400)] * 4 + [
        line
        for done, total in (
            (1000, 10_000),
            (3000, 10_000),
            (5500, 10_000),
            (5600, 20_000),
            (12_000, 20_000),
            (16_000, 20_000),
            (20_000, 20_000),
        )
        for line in [transferring(done, total)] * 2
    ]
    source = scripted.script(portal.root / "archive", told)
    job = bob.transfer("Laboratory archive", source=source)
    page = visit(bob, f"/jobs/{job}")
    page.evaluate(WATCH)
    until(page, lambda: page.evaluate("seen.values.at(-1) === '100'"), seconds=40)
    page.wait_for_function("() => document.querySelector('[data-status=completed]')")
    seen = page.evaluate("seen")

    assert "Scanning… 12,400 files found" in seen["bytes"]
    assert seen["etas"][0] == "–"
    assert "0 s left" not in seen["etas"]
    # No value while the total is unknown: a bar at zero would claim to know.
    assert seen["values"][:1] in ([None], ["0"])
    values = [float(value) for value in seen["values"] if value is not None]
    assert all(before <= after for before, after in pairwise(values)), values
    assert 55 in values
    assert seen["said"] == ["25 %", "50 %", "75 %", "Completed"]
    assert any(re.match(r"30 % · Laboratory archive", title) for title in seen["titles"])
    assert seen["titles"][-1].startswith("Laboratory archive")


def test_bar_has_a_name_and_its_value_in_words(portal: PortalServer, visit: Visit) -> None:
    bob = Person(portal, "bob")
    source = scripted.script(portal.root / "named", [transferring(62, 100)] * 20)
    job = bob.transfer("Nightly photos", source=source)
    page = visit(bob, "/")
    bar = page.locator(f"#job-{job} progress")
    page.wait_for_function(
        "(job) => document.querySelector(`#job-${job} progress`).value > 60", arg=job
    )

    assert bar.get_attribute("aria-label") == "Progress of Nightly photos"
    assert bar.get_attribute("aria-valuetext") == "62 %, 62 of 100 B"
    bob.cancel(job)


def test_line_of_the_jobs_page_follows_what_runs(portal: PortalServer, visit: Visit) -> None:
    bob = Person(portal, "bob")
    page = visit(bob, "/jobs")
    line = page.locator("#jobs-line")
    # A job that was cancelled a moment ago counts until its rclone is dead.
    until(page, lambda: "1 running" not in line.inner_text())
    source = scripted.script(portal.root / "followed", [transferring(62, 100)] * 8)
    bob.transfer("Followed", source=source)
    until(page, lambda: line.inner_text().startswith("1 running"))
    until(page, lambda: "1 running" not in line.inner_text(), seconds=20)
    assert line.count() == 1
