# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Evaluation of encoders on benchmarks, as a table and figures."""

from .cells import run_cell
from .command import CellError, evaluate, main
from .plan import Cell, plan_cells
from .report import Report
from .results import PanelSample, Result
from .settings import Settings, SettingsError, read_settings

__all__ = (
    'Cell',
    'CellError',
    'PanelSample',
    'Report',
    'Result',
    'Settings',
    'SettingsError',
    'evaluate',
    'main',
    'plan_cells',
    'read_settings',
    'run_cell',
)
