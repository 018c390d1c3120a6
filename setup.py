# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Packages of the wheel: those of the folder, and the configurations, which lie beside it."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=['torchgeo_saco*']), 'torchgeo_saco.configs'],
    package_dir={'torchgeo_saco.configs': 'configs'},
)
