"""A real browser on the real service: whatever goes wrong on a page fails the test that looks at it.

    def test_the_invoices_can_be_read(screen: Screen) -> None:
        page = screen.finance("clerk", "/invoices")        # signed in, 1440 px, light
        expect(page.get_by_role("heading", name="Invoices")).to_be_visible()
        screen.check(page, "invoices")                     # axe, no overflow; light and dark, 390 and 1440 px

A string handed to `page.evaluate` would be an eval, which the pages' policy forbids: use locators, or `script` here.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright

from tests.service.dashboard.people import FINANCE, PORTAL, Dashboard

AXE = Path(__file__).parent / "vendor/axe/axe.min.js"
SIZES = {"wide": (1440, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


def chromium() -> str | None:
    """Where Chromium is on this machine."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    return None


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium. Skips where there is none, unless PERIMAGE_BROWSER=required."""
    path = chromium()
    if path is None:
        if os.environ.get("PERIMAGE_BROWSER") == "required":
            pytest.fail("no Chromium on this machine, and PERIMAGE_BROWSER=required: apt-get install chromium")
        pytest.skip("no Chromium on this machine: apt-get install chromium to run the tests of pages")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield made
        finally:
            made.close()


@dataclass
class Screen:
    """Browsers of people, each in a context of its own, all watched."""

    browser: Browser
    dashboard: Dashboard
    pictures: Path | None = None
    wrong: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)
    _contexts: list[BrowserContext] = field(default_factory=list)

    def finance(self, role: str = "admin", path: str = "/", **more: Any) -> Page:
        """A page of somebody of the licensor `guild`."""
        return self.of(FINANCE[role], path, **more)

    def portal(self, role: str = "manager", path: str = "/portal", **more: Any) -> Page:
        """A page of somebody of the licensee `north`."""
        return self.of(PORTAL[role], path, **more)

    def of(self, who: str, path: str = "/", *, size: str = "wide", theme: str = "light", zone: str = "UTC") -> Page:
        """A page of whoever has this address; of nobody for an empty one."""
        width, height = SIZES[size]
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, timezone_id=zone, locale="en-US",
            reduced_motion="reduce",
        )  # type: ignore[arg-type]  # fmt: skip
        self._contexts.append(context)
        if who:
            address = self.dashboard.door.address
            context.add_cookies(
                [
                    {
                        "name": "perimage",
                        "value": self.dashboard.token(who),
                        "url": address,
                        "httpOnly": True,
                        "sameSite": "Lax",
                    }
                ]
            )
        context.add_init_script(TELL_VIOLATIONS)
        page = context.new_page()
        self._watch(page)
        page.goto(self.dashboard.door.address + path)
        return page

    def allow(self, words: str) -> None:
        """Something that is meant to go wrong in this test, such as the 404 of a page that is not there."""
        self.allowed.append(words)

    def check(self, page: Page, name: str = "", *, part: str = "") -> None:
        """No serious finding of axe and no overflow, light and dark, wide and on a phone; pictures where wanted.

        `part`: a selector, where the rest of the page was looked at before.
        """
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            for size, (width, height) in SIZES.items():
                page.set_viewport_size({"width": width, "height": height})
                if (theme, size) != ("dark", "phone"):  # which differs from the others by nothing that axe looks at
                    findings = serious(page, part, colours_only=theme == "dark")
                    assert findings == [], f"{page.url} {theme} {size}:\n" + "\n".join(findings)
                wide = script(page, "document.documentElement.scrollWidth")
                assert wide <= width, f"{page.url} is {wide} px wide on a screen of {width} px: {overflowing(page)}"
                if name and self.pictures is not None:
                    page.wait_for_timeout(300)  # charts are drawn anew once the width has settled
                    self.shot(page, f"{name}-{size}-{theme}")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": SIZES["wide"][0], "height": SIZES["wide"][1]})

    def shot(self, page: Page, name: str) -> None:
        """A picture of the whole page, when a folder was given by PERIMAGE_PICTURES."""
        if self.pictures is not None:
            self.pictures.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=self.pictures / f"{name}.png", full_page=True)

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        self._contexts.clear()

    def demand_clean(self) -> None:
        """Fails for whatever went wrong on a page and was not allowed."""
        found = [each for each in self.wrong if not any(words in each for words in self.allowed)]
        self.wrong.clear()
        self.allowed.clear()
        assert found == [], "\n".join(found)

    def _watch(self, page: Page) -> None:
        def console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                where = message.location.get("url", "")
                self.wrong.append(f"{page.url} console {message.type}: {message.text} {where}")

        def answered(response: Response) -> None:
            if response.status >= 500:
                self.wrong.append(f"{response.url} answered {response.status}")

        def failed(request: Request) -> None:
            # What a page that is left no longer waits for is not a failure.
            if request.failure != "net::ERR_ABORTED":
                self.wrong.append(f"{request.url} failed: {request.failure}")

        page.on("console", console)
        page.on("pageerror", lambda error: self.wrong.append(f"{page.url} error: {error}"))
        page.on("response", answered)
        page.on("requestfailed", failed)


def script(page: Page, expression: str) -> Any:
    """The value of a JavaScript expression, which the page's policy does not keep us from."""
    session = page.context.new_cdp_session(page)
    try:
        asked = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = session.send("Runtime.evaluate", asked)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")
    finally:
        session.detach()


def serious(page: Page, part: str = "", *, colours_only: bool = False) -> list[str]:
    """What axe finds serious or critical, in a line each."""
    if not script(page, "typeof window.axe === 'object'"):
        script(page, AXE.read_text() + "; undefined")
    run = """
    axe.run(PART, {resultTypes: ["violations"]RULES}).then((found) => found.violations
      .filter((each) => ["serious", "critical"].includes(each.impact))
      .flatMap((each) => each.nodes.map((node) => `${each.id}: ${node.target.join(" ")} ${node.failureSummary}`)))
    """
    rules = ', runOnly: ["color-contrast"]' if colours_only else ""
    found: list[str] = script(
        page, run.replace("RULES", rules).replace("PART", json.dumps(part) if part else "document")
    )
    return found


def overflowing(page: Page) -> str:
    """Which elements stick out to the right."""
    found: str = script(
        page,
        "[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)"
        ".slice(0, 5).map((e) => e.tagName + '.' + e.className).join(', ')",
    )
    return found
