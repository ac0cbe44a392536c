"""What `fit` shows while it runs: a bar where tqdm is installed, a line per epoch where not."""

import sys
import warnings


class Progress:
    """Told of each batch and epoch; shows them on standard error."""

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
            print(f"epoch {epoch + 1}/{self._epochs}: {text}", file=sys.stderr)

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
    return tqdm(total=total, initial=0 if batches is None else done * batches, unit="batch")
