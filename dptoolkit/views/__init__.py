"""Figures of objects: pure functions from events and read-out to Bokeh models and HTML."""
