# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Packages of the wheel: those of the folder, and the configurations, which lie beside it."""

from setuptools import find_namespace_packages, find_packages, setup

configs = ['', *(f'.{folder}' for folder in find_namespace_packages('configs'))]

setup(
    packages=[
        *find_packages(include=['torchgeo_saco*']),
        *(f'torchgeo_saco.configs{folder}' for folder in configs),
    ],
    package_dir={'torchgeo_saco.configs': 'configs'},
)
