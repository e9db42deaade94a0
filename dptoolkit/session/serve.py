"""Serving the apps: where they are, their landing page, the server. Panel is imported when needed."""

import ast
import html
import importlib.util
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dptoolkit
from dptoolkit.io.errors import InputError
from dptoolkit.session.jobs import Job
from dptoolkit.session.upload import MAX_UPLOAD
from dptoolkit.views.theme import THEME_JS, css
from dptoolkit.workers import Progress

COMPILED = ("calibration", "landscape", "live_fit", "valley")
"""Apps whose first session of a process compiles."""
SWITCH = 5e-4
"""How long a thread that fits may keep the interpreter from the one that answers browsers [s]."""

PICTURES = "pictures"
"""Folder of the pictures of the apps, beside them."""

STYLE = """
body{margin:0;background:var(--page);color:var(--text);
  font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:980px;margin:0 auto;padding:36px 20px}
h1{margin:0 0 4px;font-size:28px}p{margin:0;color:var(--muted)}
div{display:grid;grid-template-columns:repeat(auto-fill,minmax(400px,1fr));gap:16px;margin-top:20px}
a{display:block;padding:0 0 14px;overflow:hidden;background:var(--surface);
  border:1px solid var(--line);border-radius:10px;
  color:inherit;text-decoration:none}
a:hover,a:focus{border-color:var(--accent)}
h2{margin:10px 18px 2px;font-size:18px;color:var(--accent)}a p{margin:0 18px}
img{display:block;width:100%;height:185px;object-fit:cover;object-position:top;
  border-bottom:1px solid var(--line)}
"""


@dataclass(frozen=True)
class App:
    """An app: a file that makes a Panel app servable."""

    name: str
    path: Path
    title: str
    about: str


def apps_folder() -> Path:
    """The folder of the apps: that of the checkout, or the one shipped with the package."""
    package = Path(dptoolkit.__file__).parent
    for folder in (package.parent / "apps", package / "_shipped" / "apps"):
        if folder.is_dir():
            return folder
    raise InputError(
        f"no apps beside {package} nor in it; expected the folder 'apps'; install dptoolkit again"
    )


def find_apps(names: Sequence[str] = ()) -> list[App]:
    """The apps of these names, or all; title and text come from the first lines of their docstrings."""
    files = sorted(path for path in apps_folder().glob("*.py") if not path.name.startswith("_"))
    known = {path.stem: path for path in files}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"no app {unknown[0]!r}; expected one of {', '.join(known)}")
    return [_describe(known[name]) for name in (names or known)]


def landing_page(apps: Sequence[App]) -> str:
    """A card for every app."""
    cards = "".join(
        f'<a href="{app.name}">{_picture(app)}<h2>{html.escape(app.title)}</h2>'
        f"<p>{html.escape(app.about)}</p></a>"
        for app in apps
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>dptoolkit</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{css()}{STYLE}</style><script>{THEME_JS}\ndptoolkit.followSystem();</script></head>"
        f"<body><main><h1>dptoolkit</h1><p>Differentiable models of neutrino detectors.</p>"
        f"<div>{cards}</div></main></body></html>"
    )


def serve(
    apps: Sequence[str] = (),
    port: int = 5006,
    address: str = "127.0.0.1",
    num_procs: int = 1,
    max_upload: float = 100.0,
) -> None:
    """Serve `apps` (all by default) until interrupted; `max_upload` is in MB."""
    running = server(apps, port, address, num_procs, max_upload)
    if num_procs == 1 and any(app.name in COMPILED for app in find_apps(apps)):
        Job(warm)  # several processes are forked when they start, which threads do not survive
    running.run_until_shutdown()


def warm(progress: Progress) -> Iterator[None]:
    """Make the first scenario ready: who opens an app first need not wait for it to compile."""
    import dptoolkit.views.panels as _panels  # noqa: F401  what all apps import
    from dptoolkit.session.scenario import LOSSES, scenario_names
    from dptoolkit.session.setup import minima_of, setup_of

    progress(0, 2)
    setup_of(scenario_names()[0])
    progress(1, 2)
    minima_of(scenario_names()[0], False, LOSSES[0])
    yield None


def server(
    apps: Sequence[str] = (),
    port: int = 5006,
    address: str = "127.0.0.1",
    num_procs: int = 1,
    max_upload: float = 100.0,
) -> Any:
    """The bound server, not yet running; port 0 takes a free one, which `.port` tells."""
    if importlib.util.find_spec("panel") is None:
        raise InputError(
            'the apps need Panel, which is not installed; mend it with: pip install "dptoolkit[apps]"'
        )
    import panel as pn
    from tornado.web import RequestHandler, StaticFileHandler

    found = find_apps(apps)
    page = landing_page(found)

    class Landing(RequestHandler):
        def get(self) -> None:
            self.finish(page)

    pictures = {"path": str(apps_folder() / PICTURES)}
    sys.setswitchinterval(SWITCH)
    port = port or _free_port(address)
    os.environ[MAX_UPLOAD] = f"{max_upload:g}"
    try:
        return pn.io.server.get_server(
            {app.name: str(app.path) for app in found},
            port=port,
            address=address,
            websocket_origin=_origins(address, port),
            num_procs=num_procs,
            use_index=False,
            extra_patterns=[("/", Landing), (f"/{PICTURES}/(.*)", StaticFileHandler, pictures)],
            websocket_max_message_size=int(1.4e6 * max_upload) + 2**20,  # base64 of the file, and the rest
            show=False,
            start=False,
        )
    except OSError as error:
        raise InputError(
            f"cannot listen on {address}:{port}: {error.strerror or error}; "
            f"choose another --port or end the program that uses it"
        ) from error


def _picture(app: App) -> str:
    """The picture of an app, where there is one."""
    name = f"{app.name}.png"
    found = (app.path.parent / PICTURES / name).is_file()
    return f'<img src="{PICTURES}/{name}" alt="{html.escape(app.title)}">' if found else ""


def _describe(path: Path) -> App:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem
    title, _, about = text.splitlines()[0].partition(":")
    about = about.strip()
    return App(path.stem, path, title.strip(), about[:1].upper() + about[1:])


def _origins(address: str, port: int) -> list[str]:
    """Hosts whose pages may open a connection."""
    hosts = ["localhost", "127.0.0.1", address]
    if address not in ("localhost", "127.0.0.1"):
        hosts += [socket.gethostname(), socket.getfqdn()]
    if address in ("", "0.0.0.0", "::"):
        hosts += socket.gethostbyname_ex(socket.gethostname())[2]
    return sorted({f"{host}:{port}" for host in hosts if host})


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]
