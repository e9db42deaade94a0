"""From blocks of a read-out to what figures are made of: dense images and waveforms, on the host."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dptoolkit.events import Hits, SensorHits, Waveforms

MAX_CELLS = 600_000
"""Cells of a picture; larger ones are rebinned."""
INT16_MAX = 32767


@dataclass(frozen=True)
class Window:
    """Channels and ticks, both half open."""

    channel0: int
    channel1: int
    tick0: int
    tick1: int


@dataclass(frozen=True)
class Picture:
    """A plane's read-out over a window, rebinned where it is large."""

    values: np.ndarray
    """(time bin, channel bin) float32, in the unit of the read-out."""
    channel0: int
    channels_per_bin: int
    tick0: int
    ticks_per_bin: int
    tick_period: float
    """[us]"""

    @property
    def channels(self) -> np.ndarray:
        """Middle of every channel bin: the channel itself where nothing is rebinned."""
        bins = np.arange(self.values.shape[1])
        return self.channel0 + bins * self.channels_per_bin + (self.channels_per_bin - 1) / 2

    @property
    def times(self) -> np.ndarray:
        """Middle of every time bin [us]: the time of the sample where nothing is rebinned."""
        ticks = self.tick0 + np.arange(self.values.shape[0]) * self.ticks_per_bin
        return (ticks + (self.ticks_per_bin - 1) / 2) * self.tick_period

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """First channel and time [us], last channel and time: edges of the outermost bins."""
        n_time, n_channel = self.values.shape
        channel, tick = self.channel0 - 0.5, self.tick0 - 0.5
        return (
            channel,
            tick * self.tick_period,
            channel + n_channel * self.channels_per_bin,
            (tick + n_time * self.ticks_per_bin) * self.tick_period,
        )


def groups(readout: Waveforms | Hits | SensorHits, event: int = 0) -> list[int]:
    """Drift volumes (or anode assemblies) with signals in `event`, the largest first."""
    if isinstance(readout, SensorHits):
        lit = np.asarray(readout.valid) & (np.asarray(readout.event) == event) & (np.asarray(readout.pe) > 0)
        return [0] if lit.any() else []
    if isinstance(readout, Hits):
        rows = np.asarray(readout.valid) & (np.asarray(readout.event) == event)
        size = (np.asarray(readout.probability) * np.abs(np.asarray(readout.charge))).sum(axis=1)
        label = np.asarray(readout.volume)
    else:
        rows = _rows(readout, event)
        size = np.abs(np.where(np.asarray(readout.mask()), np.asarray(readout.samples), 0.0)).sum(axis=(1, 2))
        label = np.asarray(readout.group)
    sums = {int(group): float(size[rows & (label == group)].sum()) for group in np.unique(label[rows])}
    return sorted((group for group, total in sums.items() if total > 0), key=lambda group: -sums[group])


def dense(
    waveforms: Waveforms, group: int, event: int = 0, window: Window | None = None
) -> tuple[np.ndarray, int, int]:
    """(image[channel, tick], first channel, first tick); by default around all of the signals."""
    block = np.flatnonzero(_rows(waveforms, event) & (np.asarray(waveforms.group) == group))
    samples = np.where(np.asarray(waveforms.mask())[block], np.asarray(waveforms.samples)[block], 0.0)
    channel, tick = np.asarray(waveforms.channel)[block], np.asarray(waveforms.tick)[block]
    _, n_wires, n_ticks = waveforms.samples.shape
    window = window or occupied(waveforms, group, event)
    shape = (window.channel1 - window.channel0, window.tick1 - window.tick0)
    # a margin of one block on every side: blocks that stick out of the window need no special case
    image = np.zeros((shape[0] + 2 * n_wires, shape[1] + 2 * n_ticks), samples.dtype)
    for number in range(len(block)):
        row = channel[number] - window.channel0 + n_wires
        column = tick[number] - window.tick0 + n_ticks
        if 0 <= row < image.shape[0] - n_wires + 1 and 0 <= column < image.shape[1] - n_ticks + 1:
            image[row : row + n_wires, column : column + n_ticks] += samples[number]
    return image[n_wires:-n_wires, n_ticks:-n_ticks], window.channel0, window.tick0


def occupied(waveforms: Waveforms, group: int, event: int = 0, share: float = 0.02) -> Window:
    """The window around the blocks whose largest sample is above `share` of the plane's largest."""
    block = np.flatnonzero(_rows(waveforms, event) & (np.asarray(waveforms.group) == group))
    if len(block) == 0:
        return Window(0, 1, 0, 1)
    peak = np.abs(np.asarray(waveforms.samples)[block]).max(axis=(1, 2))
    block = block[peak >= share * peak.max()]
    channel, tick = np.asarray(waveforms.channel)[block], np.asarray(waveforms.tick)[block]
    _, n_wires, n_ticks = waveforms.samples.shape
    last = min(int(channel.max()) + n_wires, waveforms.n_channels)
    return Window(max(int(channel.min()), 0), last, max(int(tick.min()), 0), int(tick.max()) + n_ticks)


def common_time(planes: Sequence[tuple[Waveforms, int, int]]) -> list[Window]:
    """The occupied window of each (plane, group, event), all over the same time."""
    windows = [occupied(*plane) for plane in planes]
    period = [waveforms.tick_period for waveforms, _, _ in planes]
    start = min(window.tick0 * tick for window, tick in zip(windows, period, strict=True))
    stop = max(window.tick1 * tick for window, tick in zip(windows, period, strict=True))
    return [
        replace(window, tick0=round(start / tick), tick1=round(stop / tick))
        for window, tick in zip(windows, period, strict=True)
    ]


def waveform(
    waveforms: Waveforms, group: int, channel: int, event: int = 0, window: Window | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(time [us], signal) of a channel, over the ticks of `window` or the occupied ones of its plane."""
    ticks = window or occupied(waveforms, group, event)
    only = Window(channel, channel + 1, ticks.tick0, ticks.tick1)
    image, _, tick0 = dense(waveforms, group, event, only)
    return (tick0 + np.arange(image.shape[1])) * waveforms.tick_period, image[0]


def strongest_channel(waveforms: Waveforms, group: int, event: int = 0) -> int:
    """Channel with the largest sample."""
    image, channel0, _ = dense(waveforms, group, event)
    return channel0 + int(np.abs(image).max(axis=1).argmax())


def picture(waveforms: Waveforms, group: int, event: int = 0, window: Window | None = None) -> Picture:
    """The picture of a figure; a rebinned cell keeps its sample of largest magnitude, with its sign."""
    image, channel0, tick0 = dense(waveforms, group, event, window)
    per_tick = per_channel = 1
    while (image.shape[0] // per_channel) * (image.shape[1] // per_tick) > MAX_CELLS:
        if image.shape[0] // per_channel > image.shape[1] // per_tick:
            per_channel *= 2
        else:
            per_tick *= 2
    values = np.ascontiguousarray(_strongest(image, per_channel, per_tick).T, np.float32)
    return Picture(values, channel0, per_channel, tick0, per_tick, waveforms.tick_period)


def sixteen_bits(values: np.ndarray) -> tuple[np.ndarray, float]:
    """(numbers, step) with `numbers * step` close to `values`; counts are kept exactly, with a step of 1."""
    largest = float(np.abs(values).max(initial=0.0))
    counts = bool((values == np.round(values)).all()) and largest <= INT16_MAX
    step = 1.0 if counts or largest == 0 else float(10.0 ** np.ceil(np.log10(largest / INT16_MAX)))
    return np.rint(values / step).astype(np.int16), step


def _strongest(image: np.ndarray, per_channel: int, per_tick: int) -> np.ndarray:
    if per_channel == per_tick == 1:
        return image
    pad = [(0, -image.shape[0] % per_channel), (0, -image.shape[1] % per_tick)]
    image = np.pad(image, pad)
    cells = image.reshape(image.shape[0] // per_channel, per_channel, image.shape[1] // per_tick, per_tick)
    high, low = cells.max(axis=(1, 3)), cells.min(axis=(1, 3))
    return np.where(high >= -low, high, low)


def _rows(waveforms: Waveforms, event: int) -> np.ndarray:
    return np.asarray(waveforms.valid) & (np.asarray(waveforms.event) == event)
