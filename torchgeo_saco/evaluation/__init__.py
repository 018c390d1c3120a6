# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Evaluation of encoders on benchmarks, as a table and figures."""

from .command import RunError, evaluate, main
from .plan import Run, plan_runs
from .report import Report
from .results import PanelSample, Result
from .runs import execute_run
from .settings import Settings, SettingsError, read_settings

__all__ = (
    'PanelSample',
    'Report',
    'Result',
    'Run',
    'RunError',
    'Settings',
    'SettingsError',
    'evaluate',
    'execute_run',
    'main',
    'plan_runs',
    'read_settings',
)
