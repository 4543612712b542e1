"""Charts: live, kept, by keys, in both themes, without WebSocket and without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import BrowserContext, expect

from tests.support import recorder, scripted
from tests.support.pages import Visit, drawn, points
from tests.support.people import Person
from tests.support.portal_server import PortalServer

SETTINGS = {**scripted.SETTINGS, "PORTAL_MAX_RUNNING_JOBS": "2"}
# The colour that most of the drawn pixels have, of those that are not grey.
COLOUR = """() => {
  const canvas = document.querySelector('.chart-canvas canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Map();
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue, alpha] = data.slice(at, at + 4);
    if (alpha < 255 || blue - red < 60) continue;
    const name = [red, green, blue].join();
    seen.set(name, (seen.get(name) ?? 0) + 1);
  }
  return [...seen].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
}"""


def test_chart_follows_live_and_is_kept_after_the_end(portal: PortalServer, visit: Visit) -> None:
    bob = Person(portal, "bob")
    lines = [scripted.transferring(number * 2000, 60_000) for number in range(1, 31)]
    job = bob.transfer("Followed", source=scripted.script(portal.root / "followed", lines))
    bob.wait_for(job, "running")
    page = visit(bob, f"/jobs/{job}")
    recorder.wait_for_state(page, "connected")
    page.wait_for_selector(".chart-canvas .uplot")
    expect(page.locator(".chart-plain")).to_have_css("visibility", "hidden")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    before = drawn(page)
    recorder.until(page, lambda: drawn(page) >= before + 3)
    # Within a few seconds, when nothing but events can have told it.
    assert [url for url in asked if url.endswith("/speed")] == []
    expect(page.locator("#speed figcaption")).to_have_text(
        re.compile(r"^Peak .* in the first [\d]+ s$"), timeout=15_000
    )
    recorder.until(page, lambda: [url for url in asked if url.endswith(f"/{job}/speed")])
    live = points(page)
    assert not [said for said in live[2:] if "–" in said], live

    bob.wait_for(job, "completed")
    expect(page.locator("#speed figcaption")).to_have_text(
        re.compile(r"^Peak [^,]+, average [^,]+, [\d]+ s$")
    )
    recorder.until(page, lambda: page.locator("#speed-poll").count() == 0)
    kept = points(page)
    assert len(kept) >= 12
    page.reload()
    assert points(page) == kept
    assert page.evaluate("portalLog.violations") == []


def test_page_that_waited_for_its_job_begins_to_draw(portal: PortalServer, visit: Visit) -> None:
    bob = Person(portal, "bob")
    blocks = [
        bob.transfer(f"Blocks {number}", source=scripted.endless(portal.root / f"block {number}"))
        for number in (1, 2)
    ]
    for job in blocks:
        bob.wait_for(job, "running")
    waits = bob.transfer("Waits", source=scripted.endless(portal.root / "waits"))
    page = visit(bob, f"/jobs/{waits}")
    recorder.wait_for_state(page, "connected")
    expect(page.locator("#speed")).to_contain_text("Its speed appears here once it runs.")
    assert page.evaluate("typeof uPlot") == "undefined"
    bob.cancel(blocks[0])
    page.wait_for_selector("#speed .uplot", timeout=15_000)
    recorder.until(page, lambda: drawn(page) >= 3)
    for job in (blocks[1], waits):
        bob.cancel(job)
    expect(page.locator(f"#job-{waits}[data-status=cancelled]")).to_be_visible()
    assert page.evaluate("portalLog.violations") == []


def test_keys_go_through_the_points(portal: PortalServer, visit: Visit) -> None:
    bob = Person(portal, "bob")
    job = bob.transfer("Keys", source=scripted.endless(portal.root / "keys"))
    bob.wait_for(job, "running")
    page = visit(bob, f"/jobs/{job}")
    page.wait_for_selector(".uplot")
    recorder.until(page, lambda: drawn(page) >= 4, seconds=20)
    bob.cancel(job)
    bob.wait_for(job, "cancelled")
    page.reload()
    page.wait_for_selector(".uplot")
    chart = page.get_by_role("slider", name="Speed over time")
    chart.focus()
    page.keyboard.press("Home")
    expect(chart).to_have_attribute("aria-valuetext", re.compile(r"^0 s: "))
    page.keyboard.press("ArrowRight")
    expect(chart).to_have_attribute("aria-valuetext", re.compile(r"^1 s: [\d.]+ (K?i?)B/s$"))
    shown = page.locator(".chart-at")
    expect(shown).to_be_visible()
    assert shown.inner_text() == chart.get_attribute("aria-valuetext")
    page.keyboard.press("Tab")
    expect(shown).to_be_hidden()


def test_chart_takes_the_colours_of_the_theme_and_the_width_of_the_window(
    portal: PortalServer, visit: Visit
) -> None:
    bob = Person(portal, "bob")
    job = bob.transfer("Colours", source=scripted.endless(portal.root / "colours"))
    bob.wait_for(job, "running")
    page = visit(bob, f"/jobs/{job}", color_scheme="light")
    page.wait_for_selector(".uplot")
    recorder.until(page, lambda: drawn(page) >= 4, seconds=20)
    light = page.evaluate(COLOUR)
    assert light is not None
    page.emulate_media(color_scheme="dark")
    recorder.until(page, lambda: page.evaluate(COLOUR) not in (None, light))
    page.set_viewport_size({"width": 360, "height": 740})
    fits = "document.querySelector('.uplot').offsetWidth <= 330"
    recorder.until(page, lambda: page.evaluate(fits))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    bob.cancel(job)


def test_chart_grows_by_polling_where_there_is_no_websocket(
    portal: PortalServer, visit: Visit
) -> None:
    bob = Person(portal, "bob")
    job = bob.transfer("Polled", source=scripted.endless(portal.root / "polled"))
    bob.wait_for(job, "running")
    page = visit(bob, f"/jobs/{job}", script="delete window.WebSocket")
    recorder.wait_for_state(page, "polling", seconds=3)
    page.wait_for_selector(".uplot")
    recorder.until(page, lambda: drawn(page) >= 6, seconds=30)
    assert recorder.events(page) == []
    assert not [said for said in points(page)[2:] if "–" in said]
    bob.cancel(job)


def test_without_scripts_a_plain_line_stands_there(
    portal: PortalServer, new_context: Callable[..., BrowserContext]
) -> None:
    bob = Person(portal, "bob")
    lines = [scripted.transferring(number * 2000, 12_000) for number in range(1, 7)]
    job = bob.transfer("Plain", source=scripted.script(portal.root / "plain", lines))
    bob.wait_for(job, "completed")
    context = new_context(java_script_enabled=False)
    context.add_cookies([bob.browser_cookie])  # type: ignore[list-item]
    page = context.new_page()
    page.goto(f"{portal.url}/jobs/{job}")
    expect(page.locator(".chart-plain")).to_be_visible()
    assert page.locator(".chart-plain polyline").bounding_box()
    expect(page.locator("#speed figcaption")).to_have_text(re.compile(r"^Peak .*, average .* s$"))
    page.goto(portal.url)
    page.get_by_role("link", name="Last day").click()
    expect(page.get_by_role("link", name="Last day")).to_have_attribute("aria-current", "true")
    expect(page.locator("#throughput figcaption")).to_contain_text("moved")


def test_throughput_is_fresh_after_each_change_and_told_by_the_readers_clock(
    portal: PortalServer, visit: Visit
) -> None:
    bob = Person(portal, "bob")
    page = visit(bob, "/")
    recorder.wait_for_state(page, "connected")
    before = page.locator("#throughput").inner_text()
    lines = [scripted.transferring(number * 200_000, 600_000) for number in range(1, 4)]
    job = bob.transfer("Moves", source=scripted.script(portal.root / "moves", lines))
    bob.wait_for(job, "completed")
    recorder.until(page, lambda: page.locator("#throughput").inner_text() != before)
    # Nothing draws it anew before somebody wants to know more than it shows at rest.
    assert page.evaluate("typeof uPlot") == "undefined"
    page.get_by_role("img", name="Throughput of all transfers, last hour").first.focus()
    said = points(page)
    assert len(said) == 60
    assert all(re.fullmatch(r"\d\d:\d\d: ([\d.]+ \w+/s|–)", one) for one in said), said
    day = page.get_by_role("link", name="Last day")
    day.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/?period=day#throughput")
    page.hover("#throughput .chart-picture")
    assert len(points(page)) == 288
    assert page.evaluate("portalLog.violations") == []
