"""Build the book: ``python -m book.build``, or ``make book``.

Jupyter Book's settings (``_config.yml``, ``_toc.yml``) become a Sphinx configuration under
``_build/``, which this file corrects where Jupyter Book would ask other hosts for scripts or put
an error on every page. Sphinx then executes the chapters, or takes their outputs from the cache,
and writes ``_build/html``. Any warning fails the build.
"""

from __future__ import annotations

import os
import pprint
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from book import execution
from book.execution import BOOK, BUILD, ROOT
from peftcourse.labs.execute import ENVIRONMENT

CONFIGURATION = BUILD / "conf"
DOCTREES = BUILD / "doctrees"
HTML = BUILD / "html"

# Extensions that Jupyter Book always adds and that this book must not have.
DROPPED = {
    "sphinx_thebe": "declares one constant twice: a JavaScript error on every page",
    "sphinx_comments": "loads scripts from other hosts",
    "sphinx.ext.intersphinx": "asks other hosts at build time",
    "sphinx_jupyterbook_latex": "for PDF output only",
    "sphinx_multitoc_numbering": "chapters carry their own numbers",
}
# What pages look and work like, besides their own source.
ASSETS = ("book/_static", "book/_ext", "book/_vendor")
# Settings that hold paths relative to book/.
PATHS = ("html_static_path", "html_extra_path", "html_logo", "html_favicon", "bibtex_bibfiles")


def sphinx_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Translate the book's settings into Sphinx's.

    Args:
        config: The content of ``_config.yml``.

    Returns:
        Values by the names that Sphinx and its extensions give them.
    """
    from jupyter_book.config import get_final_config

    # Under `sphinx.config` this one would replace Jupyter Book's own theme options.
    theme_options = config["sphinx"]["config"].pop("html_theme_options")
    settings, _ = get_final_config(
        user_yaml=config,
        cli_config={"latex_individualpages": False},
        raise_on_invalid=True,
    )
    settings["extensions"] = [name for name in settings["extensions"] if name not in DROPPED]
    settings["extensions"].append("book.progress")
    for key in PATHS:
        value = settings[key]
        resolved = [str(BOOK / part) for part in ([value] if isinstance(value, str) else value)]
        settings[key] = resolved[0] if isinstance(value, str) else resolved

    repository = config["repository"]
    settings["html_theme_options"] |= theme_options
    settings["html_theme_options"]["use_repository_button"] = bool(repository["url"])
    settings["html_theme_options"]["use_issues_button"] = bool(repository["url"])
    settings["peftlab_repository"] = dict(repository)
    # Without it the theme finds no mode in its context and warns on each page in the console.
    settings["html_context"] = {"default_mode": "auto"}
    settings["external_toc_path"] = str(ROOT / "_toc.yml")
    settings["external_toc_exclude_missing"] = False
    # Sphinx copies these only when it writes a page, so a change in them has to write the pages.
    settings["peftlab_assets"] = execution.digest_of(ASSETS)
    settings["nb_execution_cache_path"] = str(execution.cache_path())
    return settings


def write_configuration() -> None:
    """Write ``_build/conf/conf.py``; an unchanged one is not touched."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    lines = [
        "# Written by book/build.py from _config.yml; edit that file.",
        "import sys",
        f"sys.path.insert(0, {str(BOOK / '_ext')!r})",
    ]
    settings = sphinx_settings(config)
    lines += [f"{key} = {pprint.pformat(settings[key])}" for key in sorted(settings)]
    text = "\n".join(lines) + "\n"
    path = CONFIGURATION / "conf.py"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def run_sphinx() -> int:
    """Run Sphinx on ``book/`` with every warning an error; return its exit status."""
    environment = (
        os.environ
        | ENVIRONMENT
        | {
            # The kernel of this environment, not one that the user has installed elsewhere.
            "JUPYTER_PREFER_ENV_PATH": "1",
            # More threads than cores make a small model several times slower.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(min(4, os.cpu_count() or 1))),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
    )
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "-n", "--keep-going", "-q"]
    command += ["-c", CONFIGURATION, "-d", DOCTREES, BOOK, HTML]
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    for line in process.stderr:
        # Each kernel says that it listens on a port of this machine; that is no fault of a page.
        if not line.startswith("[IPKernelApp]"):
            print(line, end="", file=sys.stderr, flush=True)
    return process.wait()


def remove_stale_pages() -> None:
    """Delete pages whose source is gone: Sphinx leaves them, and readers would still find them."""
    sources = {source.relative_to(BOOK).with_suffix("") for source in BOOK.rglob("*.md")}
    generated = {Path("genindex"), Path("search")}
    for page in HTML.rglob("*.html"):
        if page.relative_to(HTML).with_suffix("") not in sources | generated:
            page.unlink()


def main() -> int:
    """Build, saying what each stage does.

    Returns:
        0 if ``_build/html/index.html`` is there and nothing was warned about, else 1.
    """
    write_configuration()
    execution.drop_old_caches()
    waiting = [chapter.stem for chapter in execution.chapters() if not execution.is_cached(chapter)]
    if waiting:
        print(f"   executing {', '.join(waiting)} while reading", flush=True)
    if run_sphinx() != 0:
        # Sphinx would not look at the faulty page again, and a second build would pass.
        (DOCTREES / "environment.pickle").unlink(missing_ok=True)
        return 1

    remove_stale_pages()
    print(f"   The book is at {(HTML / 'index.html').as_uri()}, and make serve shows it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
