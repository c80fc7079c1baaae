"""The lab's page in a real browser: it shows the path of a device that is on it, breaks it, and is told what is broken.

It proves that Chromium runs the page under its own content security policy. How the page looks, a person has to see:
docs/view.png is what one saw.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator

import pytest
from device_agent.commands.doctor import CHECKS
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from lab.commands.view import serve
from tests.path.agent.house import Device, House

pytestmark = pytest.mark.path

# No background traffic: it has nowhere to go, and the page's own is on loopback.
_QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
_SLOW = 90_000
PHONE: ViewportSize = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "chromium is not installed: `tools/install-system-packages tests` brings it"
    # Chromium's own sandbox refuses to run as root.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        expect.set_options(timeout=_SLOW)
        browser = playwright.chromium.launch(executable_path=chromium, args=[*_QUIET, *sandbox])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(house: House) -> Iterator[str]:
    with serve(house.lab) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


@pytest.fixture
def page(browser: Browser, address: str, installed: Device) -> Iterator[Page]:
    """The page, which must not have complained of anything in the end."""
    complaints: list[str] = []
    page = browser.new_page()
    page.set_default_timeout(_SLOW)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    expect(page.locator("#hop-device")).to_have_class("hop up")
    yield page
    page.close()
    assert complaints == []


def test_it_shows_the_path_the_messages_and_the_refusal(page: Page, installed: Device) -> None:
    expect(page.locator(".hop.up")).to_have_count(5)
    expect(page.get_by_role("status").first).to_have_text("every hop is up")
    expect(page.locator("#hop-device .name")).to_have_text(installed.name)
    page.get_by_role("button", name="Examine now").click()
    expect(page.locator("#examined")).to_contain_text("healthy")
    expect(page.locator("#checks li.ok")).to_have_count(len(CHECKS))
    # The doctor has just tried the public way.
    expect(page.locator("#refused")).to_contain_text("no statement allows iot:Connect")
    page.get_by_role("button", name="Publish one").click()
    expect(page.locator("#messages li").filter(has_text=f"/{installed.name}/view (20 bytes)")).to_have_count(1)
    expect(page.get_by_role("alert")).to_be_empty()


def test_a_hop_is_broken_and_mended_by_keyboard_and_the_doctor_names_it(page: Page) -> None:
    page.locator("#seconds").select_option("300")
    page.get_by_role("button", name="Break: vpn-killed").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#hop-client-vpn")).to_have_class("hop down")
    expect(page.locator("#link-0")).to_have_class("link broken")
    expect(page.locator("#examined")).to_contain_text("broken")
    # Whether OpenVPN has noticed yet decides which hop is named: its own, or the first that needs it.
    expect(page.locator("#checks li.failed").first).to_contain_text(re.compile("interface|resolver"))
    page.get_by_role("button", name="End: vpn-killed").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#hop-client-vpn")).to_have_class("hop up")
    expect(page.locator(".link.broken")).to_have_count(0)


def test_it_fits_a_telephone_and_knows_the_dark(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) != light
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    tops = [box["y"] for hop in page.locator(".hop").all() if (box := hop.bounding_box())]
    assert tops == sorted(set(tops)), "the hops stand one below the other"
