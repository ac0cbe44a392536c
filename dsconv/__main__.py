"""The console command `dsconv`: convolutions on a photo, each compared with the reference and timed."""

import argparse
import json
import os
import sys

from . import __version__, demonstration, images, runtime

OUT_OF_BOUND, BAD_USAGE = 1, 2

# heading, width, what stands in the column; the first four are set to the left
COLUMNS = [
    ("operation", 38, lambda line: line["operation"]),
    ("details", 38, lambda line: line["details"]),
    ("input", 10, lambda line: "x".join(map(str, line["shape"]))),
    ("channels", 8, lambda line: line["data_format"].removeprefix("channels_")),
    ("dtype", 10, lambda line: line["dtype"]),
    ("kernels", 8, lambda line: line["kernel_set"]),
    ("of bound", 8, lambda line: f"{line['error_of_bound']:.3f}"),
    ("MMAC", 5, lambda line: f"{line['macs'] / 1e6:.1f}"),
    ("standard", 8, lambda line: f"{line['standard_macs'] / 1e6:.1f}"),
    ("ms", 6, lambda line: f"{line['seconds'] * 1e3:.3f}"),
    ("GMAC/s", 6, lambda line: f"{line['gmacs_per_second']:.1f}"),
    ("NumPy ms", 8, lambda line: f"{line['reference_seconds'] * 1e3:.1f}"),
]
LEFT = 4

DESCRIPTION = "Convolutions on a photo, each compared with the reference and timed."
EPILOG = """\
In the table, "of bound" is the worst error as a fraction of the rigorous bound, MMAC the millions of
multiply-adds, "standard" those of the standard convolution that the operation stands for, and "NumPy ms" the
time of the plain NumPy reference.

Without IMAGE the command runs on a photo of its own. Formats: .npy, .npz, and binary .ppm and .pgm; others
through Pillow if it is installed (pip install "numpy-dsconv[image]"). For the table a larger picture is cut
to its middle 192 x 192 pixels; --output filters the whole of it. Exit status: 0 if every result is within its
error bound, 1 if not, 2 for bad usage or a file that cannot be read or written.
"""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(BAD_USAGE, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def parse(argv):
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="dsconv", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="a picture to run on")
    parser.add_argument("--output", metavar="FILE", help="write the picture as an ink drawing")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--threads", metavar="N", type=int, help="threads that a call may use, 1 to 256")
    parser.add_argument("--version", action="version", version=f"dsconv {__version__}")
    options = parser.parse_args(argv)
    if options.threads is not None:
        try:
            runtime.set_num_threads(options.threads)
        except (ValueError, OverflowError) as error:
            parser.error(f"argument --threads: {error}")
    return options


def show(line):
    print("  ".join(_cell(i, line) for i in range(len(COLUMNS))).rstrip(), flush=True)


def _cell(i, line):
    heading, width, text = COLUMNS[i]
    text = heading if line is None else text(line)
    return text.ljust(width) if i < LEFT else text.rjust(width)


def run_all(picture, verbose):
    """Run every case; return the lines of the table, printed as they come if `verbose`."""
    if verbose:
        show(None)
    lines = []
    for line in demonstration.run_all(picture):
        lines.append(line)
        if verbose:
            show(line)
    return lines


def report(options, picture):
    """All results as one dict, the picture written if asked for."""
    drawn, drawing_error = demonstration.ink(picture) if options.output else (None, None)
    if options.output:
        images.write(options.output, drawn)
    lines = run_all(picture, not options.json)
    worst = max([line["error_of_bound"] for line in lines] + [drawing_error or 0])
    return {
        "version": __version__,
        "image": options.image or "built-in photo",
        "image_size": list(picture.shape[:2]),
        "kernel_set": runtime.isa(),
        "threads": runtime.get_num_threads(),
        "operations": lines,
        "output": options.output,
        "output_error_of_bound": drawing_error,
        "worst_error_of_bound": worst,
        "all_within_bound": worst <= 1,
    }


def summary(result):
    """The closing line, in words."""
    wrong = sum(line["error_of_bound"] > 1 for line in result["operations"])
    wrong += (result["output_error_of_bound"] or 0) > 1
    count = len(result["operations"]) + (result["output"] is not None)
    outcome = "every result is within its error bound" if not wrong else f"{wrong} OUT OF BOUND"
    threads = result["threads"]
    return (
        f"{count} operations, {outcome} (worst error {result['worst_error_of_bound']:.3f} of the bound), "
        f"kernel set {result['kernel_set']}, {threads} thread{'s' if threads != 1 else ''}"
    )


def as_json(result):
    """A NaN or a wrong shape counts as an infinite error, which JSON does not have: null there."""

    def finite(value):
        if isinstance(value, dict):
            return {key: finite(each) for key, each in value.items()}
        if isinstance(value, list):
            return [finite(each) for each in value]
        return None if value == float("inf") else value

    return json.dumps(finite(result), indent=2)


def run(options):
    result = report(options, images.read(options.image or images.PHOTO))
    if options.json:
        print(as_json(result))
    else:
        if options.output:
            print(f"wrote {options.output}")
        print(summary(result))
    return 0 if result["all_within_bound"] else OUT_OF_BOUND


def main(argv=None):
    options = parse(argv)
    try:
        return run(options)
    except images.ImageError as error:
        print(f"dsconv: error: {error}", file=sys.stderr)
        return BAD_USAGE
    except BrokenPipeError:
        # whoever read the output has gone; nothing is left to be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUT_OF_BOUND


if __name__ == "__main__":
    sys.exit(main())
