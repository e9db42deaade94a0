"""Charge in liquid argon: from energy deposits to the signals of wires and pixels."""
