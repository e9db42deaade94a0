"""One file a format; `dptoolkit.io.readers` finds them all."""
