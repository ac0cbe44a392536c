"""What `fit` shows while it runs: a bar where tqdm is installed, a line per epoch where not."""

import sys
import warnings


class Progress:
    """Told of each batch and epoch; shows them on standard error, in a notebook on its output."""

    def __init__(self, shown, epochs, done, batches):
        self._bar, self._shown, self._epochs = None, shown, epochs
        if shown:
            self._bar = _bar(epochs, done, batches)

    def batch(self, epoch, loss):
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {epoch + 1}/{self._epochs}", refresh=False)
            self._bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
            self._bar.update()

    def epoch(self, epoch, record):
        text = ", ".join(f"{name} {value:.4g}" for name, value in record.items())
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        elif self._shown:
            print(f"epoch {epoch + 1}/{self._epochs}: {text}", file=_stream())

    def close(self):
        if self._bar is not None:
            self._bar.close()


def _bar(epochs, done, batches):
    try:
        with warnings.catch_warnings():
            # in a notebook without ipywidgets the bar is text, which is no news to whoever reads it
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ImportError:
        return None
    total = None if batches is None else epochs * batches
    begun = 0 if batches is None else done * batches
    return tqdm(total=total, initial=begun, unit="batch", file=_stream())


def _stream():
    """Notebooks show standard error in the colour of errors, which progress is none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return sys.stderr if getattr(shell, "kernel", None) is None else sys.stdout
