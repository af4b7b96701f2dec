"""Chapters are converted the same way each time, and their cache is named after their inputs."""

import nbformat
import pytest
import yaml

from book import build, execution


def test_a_chapter_is_converted_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "NOTEBOOKS", tmp_path)
    chapter = execution.chapters()[0]
    first = execution.convert(chapter).read_bytes()
    (tmp_path / f"{chapter.stem}.ipynb").unlink()
    path = execution.convert(chapter)
    assert path.read_bytes() == first
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert len({cell["id"] for cell in notebook.cells}) == len(notebook.cells)


def test_the_digest_follows_every_input_and_nothing_else(tmp_path):
    def write(name, text):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    names = ("src", "requirements.txt", "missing")
    write("src/a.py", "1")
    write("requirements.txt", "x==1")
    digests = [execution.digest_of.__wrapped__(names, tmp_path)]
    for name, text in [("src/a.py", "2"), ("requirements.txt", "x==2"), ("src/b.py", "")]:
        write(name, text)
        digests.append(execution.digest_of.__wrapped__(names, tmp_path))
    assert len(set(digests)) == 4
    write("src/__pycache__/a.pyc", "noise")
    write("elsewhere.py", "noise")
    assert execution.digest_of.__wrapped__(names, tmp_path) == digests[-1]


CHAPTER = """---
kernelspec:
  name: python3
  display_name: Python 3
jupytext:
  text_representation:
    format_name: myst
---

# A chapter

```{code-cell} ipython3
print(1)
```
"""


def test_the_build_finds_what_the_tests_ran(tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "CACHES", tmp_path / "caches")
    chapter = tmp_path / "00_chapter.md"
    chapter.write_text(CHAPTER, encoding="utf-8")
    assert not execution.is_cached(chapter)
    ran = execution.read(chapter)
    execution.store(chapter, ran, [[nbformat.v4.new_output("stream", text="1\n")]], 2.5)
    assert execution.is_cached(chapter)
    record = execution.open_cache().match_cache_notebook(execution.read(chapter))
    assert record.data == {"execution_seconds": 2.5}
    _, cached = execution.open_cache().merge_match_into_notebook(execution.read(chapter))
    [cell] = execution.code_cells(cached)
    assert cell.outputs[0].text == "1\n"
    # Without it the code would have no colours, and the build, which knows no warnings, would fail.
    assert cached.metadata.language_info.pygments_lexer == "ipython3"


def test_outputs_of_other_code_are_not_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "CACHES", tmp_path / "caches")
    chapter = tmp_path / "00_chapter.md"
    chapter.write_text(CHAPTER, encoding="utf-8")
    ran = execution.read(chapter)
    chapter.write_text(CHAPTER.replace("print(1)", "print(2)"), encoding="utf-8")
    with pytest.raises(ValueError, match="changed while it ran"):
        execution.store(chapter, ran, [[nbformat.v4.new_output("stream", text="1\n")]], 2.5)
    assert not execution.is_cached(chapter)


def test_a_chapter_has_its_code_cells_in_the_notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "NOTEBOOKS", tmp_path)
    for chapter in execution.chapters():
        notebook = nbformat.read(execution.convert(chapter), as_version=4)
        expected = chapter.read_text(encoding="utf-8").count("\n```{code-cell}")
        assert sum(cell.cell_type == "code" for cell in notebook.cells) == expected > 0


@pytest.fixture(scope="module")
def settings():
    config = yaml.safe_load((execution.ROOT / "_config.yml").read_text(encoding="utf-8"))
    return build.sphinx_settings(config)


def test_no_page_loads_anything_from_another_host(settings):
    assert not set(build.DROPPED) & set(settings["extensions"])
    assert "://" not in settings["mathjax_path"]
    assert settings["nb_ipywidgets_js"] == {}
    assert settings["html_theme_options"].get("repository_url", "") == ""


def test_without_a_public_address_no_page_has_a_button_for_it(settings):
    config = yaml.safe_load((execution.ROOT / "_config.yml").read_text(encoding="utf-8"))
    expected = bool(config["repository"]["url"])
    assert settings["html_theme_options"]["use_repository_button"] is expected
    assert settings["html_theme_options"]["use_issues_button"] is expected


def test_errors_in_a_chapter_fail_the_build(settings):
    assert settings["nb_execution_raise_on_error"] is True
    assert settings["nb_execution_mode"] == "cache"
    assert settings["nb_execution_allow_errors"] is False


def test_every_chapter_is_in_the_table_of_contents():
    contents = (execution.ROOT / "_toc.yml").read_text(encoding="utf-8")
    missing = [c.stem for c in execution.chapters() if f"file: {c.stem}\n" not in contents]
    assert not missing


def test_the_reference_shows_every_module_of_the_library():
    pages = (execution.BOOK / "api").glob("*.md")
    shown = "".join(page.read_text(encoding="utf-8") for page in pages)
    source = execution.ROOT / "src"
    modules = [
        ".".join(file.relative_to(source).with_suffix("").parts)
        for file in (source / "peftlab").rglob("[a-z]*.py")
    ]
    assert len(modules) > 30
    missing = [module for module in modules if f"automodule:: {module}\n" not in shown]
    assert not missing


def test_only_chapters_that_changed_are_run(monkeypatch, capsys):
    ran = []
    names = [chapter.stem for chapter in execution.chapters()]
    monkeypatch.setattr(execution.subprocess, "call", lambda command, **_: ran.append(command) or 1)
    monkeypatch.setattr(execution, "is_cached", lambda chapter: chapter.stem != names[2])
    assert execution.run(["-n", "2"]) == 1
    [command] = ran
    assert command[-3:] == ["-n", "2", f"_build/notebooks/{names[2]}.ipynb"]
    assert f"1 of {len(names)} have changed" in capsys.readouterr().out
    monkeypatch.setattr(execution, "is_cached", lambda chapter: True)
    assert execution.run() == 0 and len(ran) == 1
