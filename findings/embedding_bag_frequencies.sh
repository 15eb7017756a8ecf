#!/usr/bin/env bash
# embedding_bag divides gradients by the frequency of another row.
# Version: torch 2.13.0 on CPUs.
# With scale_grad_by_freq=True each gradient is divided by how often its row occurs in the batch, so that every row
# that occurs gets the same from equal gradients, as `embedding` gives it. `embedding_bag` divides by the frequency of
# another row: indices 0, 0, 1 give row 1, which occurs once, half of its gradient.
# Seen:
#   embedding      [1.0, 1.0, 0.0]
#   embedding_bag  [1.0, 0.5, 0.0]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'END'
import torch
from torch.nn import functional as F

indices, starts = torch.tensor([0, 0, 1]), torch.tensor([0])


def gradient(function, *arguments, **keywords):
    weight = torch.zeros(3, 2, requires_grad=True)
    function(indices, weight, *arguments, scale_grad_by_freq=True, **keywords).sum().backward()
    return weight.grad[:, 0].tolist()


plain = gradient(F.embedding)
bag = gradient(F.embedding_bag, starts, mode="sum")
print("embedding     ", plain)
print("embedding_bag ", bag)
raise SystemExit(not (plain == [1.0, 1.0, 0.0] and bag == [1.0, 0.5, 0.0]))
END
