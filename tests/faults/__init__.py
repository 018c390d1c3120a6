# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Bad inputs, and what the package must do with each: one row per fault.

Each module below lists faults of one kind as ``FAULTS``. ``test_faults.py`` meets each of them in a
test; ``python -m tests.faults`` meets each in a process of its own, of limited time and memory, and
counts what was silent, hung, or ended in a library's words.
"""
