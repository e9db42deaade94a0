"""Wire planes: an image of channel against time, and the waveform of a channel."""

import holoviews as hv
import numpy as np

from dptoolkit.events import Waveforms
from dptoolkit.views.assemble import Window, occupied, picture, strongest_channel, waveform
from dptoolkit.views.elements import as_steps, in_theme, quantity, styled, unless_coloured
from dptoolkit.views.theme import DIVERGING, SEQUENTIAL, TOKENS

BIPOLAR = 0.3
"""A plane whose lowest sample is below this share of its highest, negated, shows induction."""
WEAK = 0.02
"""Share of the largest sample below which samples do not count for the range of colours."""
SLIM = {"cticks": 5, "colorbar_opts": {
    "width": 8, "padding": 2, "label_standoff": 5, "major_tick_line_color": "#ffffff",
    "title_text_font_style": "normal", "title_text_font_size": "13px",
}}  # fmt: skip
"""Options of a slim colour bar."""


def wire_image(
    waveforms: Waveforms,
    group: int,
    event: int = 0,
    *,
    name: str = "",
    window: Window | None = None,
    limit: float | None = None,
) -> hv.Image:
    """Signals of one plane and drift volume, channel against time [us].

    Colours saturate at `limit`, by default where the strong signals do, and are symmetric about 0 for
    induction. Without a `window` the image is as large as the signals.
    """
    seen = picture(waveforms, group, event, window)
    low, high = color_limits(seen.values, limit)
    palette = DIVERGING if low < 0 else SEQUENTIAL
    unit = waveforms.unit
    element = hv.Image(
        (seen.channels, seen.times, seen.values),
        kdims=[quantity("channel", label=f"channel of {name}" if name else ""), quantity("time", "µs")],
        vdims=[quantity("signal", unit)],
        bounds=seen.bounds,
    )
    return styled(
        element,
        title=f"plane {name}" if name else "",
        xlabel="channel",
        xticks=4,
        cmap=palette["light"],
        clim=(low, high),
        colorbar=True,
        clabel=unit,
        **SLIM,
        tools=["hover"],
        hover_tooltips=[("channel", "$x{0}"), ("time", "$y{0.0} µs"), (unit, "@image{0.00}")],
        hooks=[in_theme("color_mapper", palette=palette)],
    )


def waveform_curve(
    waveforms: Waveforms,
    group: int,
    channel: int,
    event: int = 0,
    *,
    name: str = "",
    window: Window | None = None,
) -> hv.Curve:
    """Signal of one channel against time [us], over the ticks of `window` or where its plane has signals."""
    time, signal = waveform(waveforms, group, channel, event, window)
    plane, unit = f"plane {name}, " if name else "", waveforms.unit
    return styled(
        hv.Curve((time, signal), kdims=[quantity("time", "µs")], vdims=[quantity("signal", unit)]),
        title=f"{plane}channel {channel}",
        ylim=signal_range(signal),
        line_width=1.5,
        color=TOKENS["light"]["accent"],
        tools=["hover"],
        hover_mode="vline",
        hover_tooltips=[("time", "@time{0.0} µs"), (unit, "@signal{0.00}")],
        hooks=[as_steps, unless_coloured],
    )


def tapped_waveform(
    image: hv.Image, waveforms: Waveforms, group: int, event: int = 0, *, name: str = ""
) -> hv.DynamicMap:
    """The waveform of the channel last tapped in `image`, at first of the strongest; needs a running kernel.

    Make it before the image is shown, best as a part of the same layout.
    """
    window = occupied(waveforms, group, event)
    first = float(strongest_channel(waveforms, group, event))

    def chosen(x: float | None, y: float | None) -> hv.Curve:
        channel = round(first if x is None else x)
        return waveform_curve(waveforms, group, channel, event, name=name, window=window)

    return hv.DynamicMap(chosen, streams=[hv.streams.Tap(source=image, x=first, y=0.0)])


def color_limits(values: np.ndarray, limit: float | None = None) -> tuple[float, float]:
    """(low, high) of the colours: symmetric for signals of both signs, else from zero."""
    strong = values[values != 0].astype(float)
    high, low = strong.max(initial=0.0), strong.min(initial=0.0)
    strong = np.abs(strong[np.abs(strong) > WEAK * max(high, -low)])
    top = limit or (float(np.quantile(strong, 0.98)) if len(strong) else 1.0)
    return (-top if -low > BIPOLAR * high else 0.0), top


def signal_range(signal: np.ndarray) -> tuple[float, float]:
    """Ends of an axis that shows zero and all of `signal`."""
    low, high = float(signal.min(initial=0.0)), float(signal.max(initial=0.0))
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin
