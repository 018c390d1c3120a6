# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Evaluation of encoders on benchmarks, as a table and figures."""

from .baselines import ColorAndTexture, ImageFeatures, ImageStatistics, LBPHistograms
from .command import RunError, evaluate, main
from .intervals import Interval, paired_interval
from .plan import Run, plan_runs
from .report import Report
from .results import PanelSample, Result
from .runs import execute_run
from .settings import Settings, SettingsError, read_settings

__all__ = (
    'ColorAndTexture',
    'ImageFeatures',
    'ImageStatistics',
    'Interval',
    'LBPHistograms',
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
    'paired_interval',
    'plan_runs',
    'read_settings',
)
