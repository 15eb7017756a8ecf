#!/usr/bin/env bash
# The times that scipy.signal.istft gives for several channels are as many as the channels, not as the samples.
# Versions: scipy 1.17.1, numpy 2.4.6.
# They are `arange(x.shape[0]) / fs`, and the first axis of x is the time only where there is one channel. The signal
# itself is right; take its length for the times: `arange(x.shape[-1]) / fs`.
# Seen: 2 times for 2 channels of 1024 samples, 1024 times for one channel.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
"$work/venv/bin/python" - <<'END'
import numpy as np
from scipy.signal import istft, stft

for shape, seen in (((1024,), 1024), ((2, 1024), 2)):
    signal = np.random.default_rng(0).standard_normal(shape)
    times, back = istft(stft(signal)[2])
    print(shape, "->", back.shape, "at", times.shape, "times")
    assert np.allclose(back, signal)
    assert len(times) == seen
END
