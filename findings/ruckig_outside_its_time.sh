#!/usr/bin/env bash
# A jerk-limited trajectory answers outside of its own time.
# Versions: ruckig 0.19.4.
# `Trajectory.at_time` takes any number. After the end the robot goes on for ever with the target velocity,
# far beyond the target; before the start it moves backwards in time with the first jerk. No exception, no
# flag. And the velocity limit that an `InputParameter` starts with is 0, while acceleration and jerk start
# unlimited. Whoever samples a plan late (a controller that missed a period) must clamp the time.
# Seen:
#   at the end 1.0, ten seconds later 6.0, a second before the start -0.1666...
#   limits at the start: velocity 0.0, acceleration inf, jerk inf
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ruckig==0.19.4
"$work/venv/bin/python" - "$work" <<'END'
from ruckig import InputParameter, Ruckig, Trajectory

fresh = InputParameter(1)
limits = (fresh.max_velocity, fresh.max_acceleration, fresh.max_jerk)
print("limits at the start:", limits)
assert limits == ([0.0], [float("inf")], [float("inf")])

wanted = InputParameter(1)
wanted.current_position, wanted.target_position, wanted.target_velocity = [0.0], [1.0], [0.5]
wanted.max_velocity = wanted.max_acceleration = wanted.max_jerk = [1.0]
trajectory = Trajectory(1)
Ruckig(1).calculate(wanted, trajectory)
end, late, early = (trajectory.at_time(t)[0][0] for t in (trajectory.duration, trajectory.duration + 10, -1.0))
print("at the end", end, "ten seconds later", late, "a second before the start", early)
assert abs(end - 1.0) < 1e-9
assert abs(late - 6.0) < 1e-9
assert abs(early + 1 / 6) < 1e-9
END
