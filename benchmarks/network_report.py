"""The printed table of networks, their verdict and their JSON file."""

from . import measure, networks, peers, report

COLUMNS = (("network", 20), ("threads", 7), ("first ms", 9), ("last ms", 9))
PEER_COLUMNS = (
    ("torch channels_first", "torch 1st"),
    ("torch channels_last", "torch last"),
    ("onnxruntime", "ort"),
    ("openvino", "openvino"),
)
LAST_COLUMNS = (("ratio", 6), ("folded", 13))
WIDTH = 10


def run(options):
    """Measure all networks at each number of threads, print, and write the file that the options name."""
    names = [name for name in options.peers if name in networks.PEERS]
    modules, reasons = peers.load(names)
    counts = (options.threads,) if options.threads else (1, 2)
    found = environment(modules, counts)
    _print_environment(found, reasons)
    records = []
    try:
        for threads in counts:
            for case in networks.CASES:
                if options.only and not options.only.search(case.name):
                    continue
                records.append(networks.measure_case(case, modules, options, threads))
                print_record(records[-1])
    except KeyboardInterrupt:
        print("\ninterrupted: the networks so far")
    print_verdict(records)
    if options.json:
        report.write_json(options.json, found, records, {})


def environment(modules, counts):
    """What the numbers depend on, as of rows but for the limits."""
    return report.setting(modules) | {"suite": "networks", "threads": list(counts)}


def _print_environment(found, reasons):
    print(f"{found['cpu']}, {found['date']}, kernel set {found['kernel_set'] or '-'}")
    print(", ".join(f"{name} {value or 'absent'}" for name, value in found["versions"].items()))
    for name, reason in reasons.items():
        print(f"{name}: - ({reason})")
    print("milliseconds, batch 1, compiled; folded: what either layout takes without that\n")
    cells = [name.rjust(width) for name, width in COLUMNS[1:]]
    cells += [title.rjust(WIDTH) for _, title in PEER_COLUMNS] + [name.rjust(w) for name, w in LAST_COLUMNS]
    heading = "  ".join([COLUMNS[0][0].ljust(COLUMNS[0][1]), *cells])
    print(heading + "\n" + "-" * len(heading))


def print_record(record):
    times = record["times"]
    mine = [_millis(times.get(f"dsconv {layout}")) for layout in ("channels_first", "channels_last")]
    cells = [f"{record['threads']}".rjust(7), *(cell.rjust(9) for cell in mine)]
    cells += [_millis(times.get(name)).rjust(WIDTH) for name, _ in PEER_COLUMNS]
    ratio = record.get("ratio")
    cells.append(("-" if ratio is None else f"{ratio:.2f}").rjust(6))
    cells.append(" / ".join(map(_millis, record["folded"].values())).rjust(LAST_COLUMNS[1][1]))
    print("  ".join([record["name"].ljust(COLUMNS[0][1]), *cells]), flush=True)
    for warning in record["warnings"]:
        print(f"  WARNING: {warning}", flush=True)
    for name, reason in record["notes"].items():
        print(f"  {name}: - ({reason})", flush=True)


def _millis(seconds):
    return "-" if seconds is None else f"{seconds * 1e3:.2f}"


def print_verdict(records):
    rated = [record for record in records if record.get("ratio")]
    if not rated:
        print("\nverdict: nothing was compared with a peer")
        return
    won = sum(record["ratio"] >= measure.TIE for record in rated)
    lost = [f"{record['name']} on {record['threads']}" for record in rated if record["ratio"] < measure.TIE]
    print(f"\nverdict: won {won} of {len(rated)} (0.97 is a tie)")
    if lost:
        print(f"lost: {', '.join(lost)}")
