"""Times dsconv beside the other libraries on this machine."""

import argparse
import re
import sys

from . import limits, measure, ours, peers, report
from .shapes import SUITES


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--suite", choices=SUITES, default="forward")
    parser.add_argument("--only", metavar="REGEX", type=re.compile, help="rows whose name matches")
    parser.add_argument("--networks", action="store_true", help="whole networks instead of a suite's rows")
    parser.add_argument("--threads", type=_positive, help="default: 1; of --networks both 1 and 2")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for one row (default: 2)")
    parser.add_argument("--layout", choices=("both", "channels_first", "channels_last"), default="both")
    parser.add_argument("--peers", type=_peer_names, default=peers.DEFAULT, metavar="A,B", help=_PEERS)
    parser.add_argument("--allocate", action="store_true", help="dsconv allocates each result, without out=")
    parser.add_argument("--without-dsconv", action="store_true", help="time the peers alone, on every row")
    parser.add_argument("--details", action="store_true", help="print every contender's time")
    parser.add_argument("--json", metavar="FILE", help="write all numbers")
    parser.add_argument("--plot", metavar="FILE", help="draw the times, or a suite's ratios, as a PNG")
    parser.add_argument("--roofline", metavar="FILE", help="draw the roofline, as a PNG")
    parser.add_argument("--from", dest="source", metavar="FILE", help="a --json file instead of measuring")
    return parser.parse_args(arguments)


_PEERS = f"comma-separated, of {', '.join(peers.PEERS)}; empty for none (default: all but torch2d)"


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _peer_names(text):
    names = [name for name in text.split(",") if name]
    unknown = set(names) - set(peers.PEERS)
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; {_PEERS}")
    return names


def main(arguments=None):
    options = parse(arguments)
    if options.networks:
        # imported late: rows can be measured without a dsconv that has networks
        from . import network_report

        network_report.run(options)
        return
    options.threads = options.threads or 1
    found, records = _read(options) if options.source else _measure(options)
    summary = measure.summarise(records)
    report.print_verdict(summary, found)
    if options.json:
        report.write_json(options.json, found, records, summary)
    _draw(options, found, records)


def _read(options):
    """The environment and the records of an earlier run, printed like a new one."""
    found, records = report.read_json(options.source)
    records = [r for r in records if not options.only or options.only.search(r["name"])]
    if not records:
        sys.exit("no row matches")
    report.print_environment(found)
    print()
    report.print_heading()
    for record in records:
        report.print_record(record, options.details)
    return found, records


def _measure(options):
    """The environment and a record of each row; interrupted, of the rows so far."""
    rows = [row for row in SUITES[options.suite] if not options.only or options.only.search(row.name)]
    if not rows:
        sys.exit("no row matches")
    if ours.IMPORT_ERROR and not options.without_dsconv:
        sys.exit(f"{ours.IMPORT_ERROR}\n--without-dsconv times the peers alone.")
    modules, reasons = peers.load(options.peers)
    peak = limits.fma_peak(options.threads)
    found = report.environment(modules, options, peak)
    report.print_environment(found)
    for name, reason in reasons.items():
        print(f"{name}: - ({reason})")
    print()
    report.print_heading()
    records = []
    try:
        for row in rows:
            records.append(measure.measure_row(row, modules, options, peak))
            report.print_record(records[-1], options.details)
    except KeyboardInterrupt:
        print("\ninterrupted: the rows so far")
    return found, records


def _draw(options, found, records):
    if not (options.plot or options.roofline):
        return
    # Imported late: a run without a picture does not need matplotlib.
    from . import plot, roofline

    for path, save in (options.plot, plot.save), (options.roofline, roofline.save):
        if path and not save(path, found, records):
            print(f"{path}: no picture: no row was timed")


if __name__ == "__main__":
    main()
