"""The first cell of every lab, on Colab and elsewhere; pip itself is not asked."""

import importlib.util
import sys
from types import ModuleType

import pytest
from IPython.core.interactiveshell import InteractiveShell

from peftcourse.labs.generate import _setup_cell

WHEEL = "peftlab-0.1.0-py3-none-any.whl"


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """Run the cell as Colab would: returns what pip was asked for, given what is uploaded."""
    monkeypatch.chdir(tmp_path)
    asked = []

    def run(uploaded, *, installs=True, cell=None):
        files = ModuleType("google.colab.files")
        files.upload = lambda: uploaded
        colab = ModuleType("google.colab")
        colab.files = files
        for name, module in (("google", ModuleType("google")), ("google.colab", colab)):
            monkeypatch.setitem(sys.modules, name, module)
        asked.clear()
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name: (
                ((asked or None) if installs else None) if name == "peftlab" else find(name)
            ),
        )
        shell = InteractiveShell()
        shell.register_magic_function(asked.append, magic_name="pip")
        result = shell.run_cell(cell or _setup_cell(tmp_path))
        result.raise_error()
        return asked

    return run


@pytest.mark.parametrize("name", [WHEEL, WHEEL.replace(".whl", " (1).whl")])
def test_the_uploaded_wheel_is_installed_with_what_labs_import(colab, tmp_path, name, capsys):
    assert colab({name: b"content"}) == [f'install --quiet "./{WHEEL}[labs]"']
    assert (tmp_path / WHEEL).read_bytes() == b"content"
    assert "Nothing is installed" not in capsys.readouterr().out


def test_a_cancelled_upload_says_what_to_do(colab, capsys):
    assert colab({}) == []
    assert "Run this cell again, and choose the file peftlab-" in capsys.readouterr().out


def test_another_file_says_what_to_do(colab, capsys):
    colab({"notes.txt": b""}, installs=False)
    assert "Nothing is installed" in capsys.readouterr().out


def test_a_public_address_is_installed_with_what_labs_import(colab, tmp_path):
    (tmp_path / "_config.yml").write_text("repository: {url: 'https://example.org/course'}")
    assert colab({}) == ['install --quiet "peftlab[labs] @ git+https://example.org/course"']


def test_elsewhere_it_does_nothing(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    InteractiveShell().run_cell(_setup_cell(tmp_path)).raise_error()
    assert list(tmp_path.iterdir()) == []
