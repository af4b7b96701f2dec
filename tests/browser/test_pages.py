"""Every page of the built book in headless Chromium, in both themes, wide and on a phone."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.browser
HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
# Before the first build there is one page to ask for, so that the tests say why they skip.
PAGES = sorted(str(page.relative_to(HTML)) for page in HTML.rglob("*.html")) or ["index.html"]
LESSONS = [page for page in PAGES if page[:2].isdigit()]


def settled(page):
    """Wait until MathJax, which is loaded later, has set every formula."""
    page.wait_for_function(
        "() => !document.querySelector('.math') || (window.MathJax && MathJax.startup"
        " && MathJax.startup.promise)"
    )
    page.evaluate("() => window.MathJax && MathJax.startup && MathJax.startup.promise")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_sound(visit, path, scheme):
    page = visit(path, width=390, height=844, scheme=scheme, shared=True)
    settled(page)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, f"{path} is {width} pixels wide on a phone"
    # Colours: a page whose text equals its background would pass everything else.
    text, back = page.evaluate(
        "[getComputedStyle(document.querySelector('article, main')).color,"
        " getComputedStyle(document.body).backgroundColor]"
    )
    assert (
        luminance(text) < luminance(back)
        if scheme == "light"
        else (luminance(text) > luminance(back))
    )
    assert not visit.faults, visit.faults


def luminance(css):
    """Rough brightness of ``rgb(r, g, b)``; transparent counts as black."""
    numbers = [float(part) for part in css[css.index("(") + 1 : -1].split(",")[:3]]
    return sum(numbers)


@pytest.mark.parametrize("path", LESSONS)
def test_formulas_are_set_figures_have_words_and_assertions_wait_behind_a_click(visit, path):
    page = visit(path)
    settled(page)
    text = page.inner_text("article")
    assert "\\(" not in text
    assert "\\[" not in text
    assert page.locator("mjx-container").count() > 0
    figures = page.locator(".pl-figure")
    assert figures.count() >= 2
    for figure in figures.all():
        drawings = figure.locator("[role=img]").all()  # several, where a slider chooses one
        assert drawings
        for drawing in drawings:
            assert len(drawing.get_attribute("aria-label")) > 40
            # A result that waits for a prediction is not drawn yet.
            assert not drawing.is_visible() or drawing.bounding_box()["width"] > 200
    assert page.locator("article img:not([alt])").count() == 0

    assert page.locator("details.pl-assertions").count() > 0
    shown = page.locator("div.cell_input pre").evaluate_all(
        "blocks => blocks.filter(block => block.checkVisibility()).map(block => block.innerText)"
    )
    assert shown and not [code for code in shown if "\nassert " in f"\n{code}"]
    page.locator("details.pl-assertions summary").first.click()
    assert "assert " in page.locator("details.pl-assertions pre").first.inner_text()
    assert not visit.faults, visit.faults


def test_a_figure_takes_the_colour_of_the_theme(visit):
    colours = set()
    for scheme in ("light", "dark"):
        page = visit("03_lora.html", scheme=scheme)
        first = page.locator(".pl-figure svg").first
        colours.add(first.evaluate("element => getComputedStyle(element).color"))
        around = page.locator(".cell_output .text_html").first
        back = around.evaluate("element => getComputedStyle(element).backgroundColor")
        assert back == "rgba(0, 0, 0, 0)"
    assert len(colours) == 2


def test_a_prediction_is_kept_and_uncovers_the_result(visit):
    page = visit("03_lora.html")
    card = page.locator(".pl-predict").first
    covered = page.locator(".pl-covered-note").first
    waiting = page.locator(".pl-covered").first  # text beside the result, which may tell it
    assert covered.is_visible()
    assert not waiting.is_visible()
    assert not card.locator(".pl-answer-text").is_visible()

    card.locator("button").click()  # nothing chosen yet
    assert "first" in card.locator(".pl-status").inner_text()
    assert not card.locator(".pl-answer-text").is_visible()

    card.locator("input").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert card.locator(".pl-answer-text").is_visible()
    assert not covered.is_visible()
    assert waiting.is_visible()

    page.reload()
    assert page.locator(".pl-predict").first.locator(".pl-answer-text").is_visible()
    assert not visit.faults, visit.faults


def test_a_quiz_answers_by_keyboard_and_explains(visit):
    page = visit("03_lora.html")
    form = page.locator(".pl-quiz form").first
    choices = form.locator("input")
    right = form.locator(".pl-choice").evaluate_all(
        "labels => labels.findIndex(label => label.classList.contains('pl-right'))"
    )
    wrong = (right + 1) % choices.count()
    for chosen, expected in ((wrong, "Not yet"), (right, "Right")):
        choices.nth(chosen).focus()
        page.keyboard.press("Space")
        form.locator("button").focus()
        page.keyboard.press("Enter")
        assert expected in form.locator(".pl-status").inner_text()
        feedback = form.locator(".pl-feedback").nth(chosen)
        assert feedback.is_visible()
        assert len(feedback.inner_text()) > 20
    assert not visit.faults, visit.faults


def test_without_javascript_the_answers_are_there(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/03_lora.html")
    answer = page.locator(".pl-predict .pl-answer").first
    answer.locator("summary").click()
    assert answer.locator(".pl-answer-text").is_visible()
    assert not page.locator(".pl-predict button").first.is_visible()
    context.close()


def test_search_finds_a_lesson(visit):
    page = visit("search.html?q=merge")
    page.wait_for_selector("#search-results li", timeout=15_000)
    assert "LoRA" in page.inner_text("#search-results")
    assert not visit.faults, visit.faults
