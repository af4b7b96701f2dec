"""The built book on a loopback port, and one headless Chromium for all tests."""

import functools
import http.server
import shutil
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """No line for each request."""


@pytest.fixture(scope="session")
def site():
    """Address of the built book."""
    if not (HTML / "index.html").is_file():
        pytest.skip("the book is not built; run make book first")
    handler = functools.partial(QuietHandler, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the PATH")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def shared_contexts(browser):
    """By size and theme, a context for pages that are only looked at: one loads MathJax once."""
    contexts = {}

    def context(**settings):
        key = str(settings)
        if key not in contexts:
            contexts[key] = browser.new_context(**settings)
        return contexts[key]

    yield context
    for each in contexts.values():
        each.close()


@pytest.fixture
def visit(browser, shared_contexts, site):
    """Open pages; what went wrong on any of them is collected in ``visit.faults``.

    Each has a context of its own, in which nothing is stored yet, unless it is ``shared``.
    """
    opened, faults = [], []

    def open_page(path, *, width=1280, height=900, scheme="light", shared=False):
        settings = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
        context = (shared_contexts if shared else browser.new_context)(**settings)
        page = context.new_page()
        opened.append(page if shared else context)
        page.on(
            "console",
            lambda message: (
                faults.append(f"{path}: console {message.type}: {message.text}")
                if message.type in ("error", "warning")
                else None
            ),
        )
        page.on("pageerror", lambda error: faults.append(f"{path}: {error}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((site, "data:", "blob:"))
                else faults.append(f"{path}: asks {request.url}")
            ),
        )
        page.on(
            "response",
            lambda response: (
                faults.append(f"{path}: {response.status} for {response.url}")
                if response.status >= 400
                else None
            ),
        )
        page.goto(f"{site}/{path}", wait_until="load")
        return page

    open_page.faults = faults
    yield open_page
    for each in opened:
        each.close()
