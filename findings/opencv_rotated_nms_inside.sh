#!/usr/bin/env bash
# A small turned box within a large one is suppressed as if they were equal.
# Versions: opencv-python-headless 5.0.0.93, numpy 2.4.6.
# `cv2.dnn.NMSBoxesRotated` counts the overlap of boxes, one of which lies within the other, as 1 whatever
# their sizes are, not as shared area by union: a box of 1 x 1 within one of 10 x 10 (0.01 of the union) goes at
# any threshold below 1, and so does the large one where the small one has the higher score. Move the small one
# over the edge of the large one, and both stay. `cv2.dnn.NMSBoxes`, of boxes that are not turned, keeps both.
# Seen:
#   turned, within: kept [0]; small one better: kept [1]; over the edge: kept [0, 1]; not turned: kept [0, 1]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
"$work/venv/bin/python" - <<'END'
import cv2

large, within, over = ((5.0, 5.0), (10.0, 10.0), 0.0), ((5.0, 5.0), (1.0, 1.0), 0.0), ((10.0, 5.0), (1.0, 1.0), 0.0)


def kept(boxes, scores):
    return sorted(int(k) for k in cv2.dnn.NMSBoxesRotated(boxes, scores, 0.0, 0.5))


flat = [[0, 0, 10, 10], [4, 4, 1, 1]]
found = (
    kept([large, within], [0.9, 0.8]),
    kept([large, within], [0.8, 0.9]),
    kept([large, over], [0.9, 0.8]),
    sorted(int(k) for k in cv2.dnn.NMSBoxes(flat, [0.9, 0.8], 0.0, 0.5)),
)
print("turned, within: kept %s; small one better: kept %s; over the edge: kept %s; not turned: kept %s" % found)
assert found == ([0], [1], [0, 1], [0, 1])
END
