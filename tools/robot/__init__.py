"""Measures operators for robots: on boards (`python -m tools.robot.boards`), and beside other libraries
(`python -m tools.robot.peers`)."""
