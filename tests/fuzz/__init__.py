"""The fuzzer: recorded traces and answers of servers, damaged by chance, through every reader, renderer and command.

What must hold of each run: no exception but the project's own, JSON that is JSON, an end within seconds, and memory in
proportion to the input. ``python -m tests.fuzz --runs 100000`` runs it for as long as you like; what fails is kept with
``--keep DIRECTORY`` and belongs into ``seeds/`` once it is mended, where ``tests/test_fuzz.py`` runs it again.

:mod:`.corpus` has what is damaged, :mod:`.damage` how, :mod:`.targets` what reads it, :mod:`.oracle` what must hold.
"""
