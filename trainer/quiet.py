"""Silence for other libraries where their progress bars and notes would bury ours."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Within: no progress bars of Transformers and datasets, no warnings, errors only."""
    import datasets
    from transformers.utils import logging as hf_logging

    had_bars = hf_logging.is_progress_bar_enabled()
    had_dataset_bars = not datasets.are_progress_bars_disabled()
    noisy = [logging.getLogger(name) for name in ("transformers", "trl", "accelerate")]
    levels = [logger.level for logger in noisy]
    hf_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        for logger in noisy:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)
        if had_bars:
            hf_logging.enable_progress_bar()
        if had_dataset_bars:
            datasets.enable_progress_bars()
