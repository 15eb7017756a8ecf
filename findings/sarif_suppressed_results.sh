#!/usr/bin/env bash
# Suppressed and absent findings count as errors.
# Versions: sarif-tools 3.0.5.
# The SARIF 2.1.0 standard lets a result carry `suppressions` (somebody has accepted it) or `baselineState:
# "absent"` (it is no longer there). `sarif summary` counts both as errors, and `sarif --check error` ends
# with status 2 for a file that has nothing else. A tool whose reports are checked that way must leave such
# results out of the file instead of marking them.
# Seen:
#   error: 2, with one suppressed and one absent result
#   sarif --check error summary: status 2
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check sarif-tools==3.0.5
"$work/venv/bin/python" - "$work" <<'END'
import json
import subprocess
import sys

folder = sys.argv[1]
place = {"physicalLocation": {"artifactLocation": {"uri": "train.py"}, "region": {"startLine": 1}}}
marks = ({"suppressions": [{"kind": "inSource"}]}, {"baselineState": "absent"})
results = [
    {"ruleId": f"R{k}", "level": "error", "message": {"text": "a call"}, "locations": [place], **mark}
    for k, mark in enumerate(marks)
]
report = {
    "version": "2.1.0",
    "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
    "runs": [{"tool": {"driver": {"name": "linter"}}, "results": results}],
}
with open(folder + "/report.sarif", "w") as file:
    json.dump(report, file)
command = [folder + "/venv/bin/sarif"]
summary = subprocess.run([*command, "summary", file.name], capture_output=True, text=True).stdout
print(summary.strip().splitlines()[0])
assert "error: 2" in summary
status = subprocess.run([*command, "--check", "error", "summary", file.name], capture_output=True).returncode
print("status", status)
assert status == 2
END
