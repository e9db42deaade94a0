"""Keys of an app: pressed anywhere on the page but in a control that takes them itself."""

from collections.abc import Callable, Mapping
from typing import Any

import panel as pn
import param

LISTEN_JS = """
const CONTROLS = "input:not([type=checkbox]):not([type=radio]), textarea, select, [role=slider]";

export function render({model}) {
  const own = (event) => event.composedPath().some((node) => node.matches?.(CONTROLS));
  const known = (event) => !event.ctrlKey && !event.metaKey && !event.altKey
    && model.names.includes(event.key) && !own(event);
  const pressed = (event) => {
    if (!known(event)) return;
    event.preventDefault();
    if (!event.repeat) model.send_msg(event.key);
  };
  // a button that has the focus would be clicked when the space bar is released
  const released = (event) => { if (known(event)) event.preventDefault(); };
  document.addEventListener("keydown", pressed, true);
  document.addEventListener("keyup", released, true);
  model.on("remove", () => {
    document.removeEventListener("keydown", pressed, true);
    document.removeEventListener("keyup", released, true);
  });
}
"""


class Keys(pn.custom.JSComponent):
    """What keys do, by the names that browsers give them (`" "`, `"ArrowRight"`); takes no room."""

    names = param.List(item_type=str)
    _esm = LISTEN_JS

    def __init__(self, actions: Mapping[str, Callable[[], Any]]):
        super().__init__(names=list(actions), width=0, height=0, margin=0)
        self._actions = dict(actions)

    def _handle_msg(self, data: Any) -> None:
        action = self._actions.get(data)
        if action is not None:
            action()
