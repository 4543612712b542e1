"""The two ways in which a portal runs."""

from __future__ import annotations

ONE_PROCESS, SCALED_OUT = "one process", "scaled out"
