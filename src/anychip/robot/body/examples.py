"""Two small robots of our own, which proofs and tests run on: an arm of three joints of three kinds, and a
body with a leg and a mast that stands free. Their numbers are round and mean nothing."""

from __future__ import annotations

ARM = """<robot name="example_arm">
  <link name="base"/>
  <link name="upper"><inertial><origin xyz="0 0.02 0.15" rpy="0.1 0 0.2"/><mass value="2.5"/>
    <inertia ixx="0.03" ixy="0.001" ixz="0.002" iyy="0.028" iyz="-0.001" izz="0.006"/></inertial></link>
  <link name="slide"><inertial><origin xyz="0.05 0 0.1"/><mass value="1.2"/>
    <inertia ixx="0.01" ixy="0" ixz="0" iyy="0.012" iyz="0" izz="0.004"/></inertial></link>
  <link name="hand"><inertial><origin xyz="0 0 0.06"/><mass value="0.7"/>
    <inertia ixx="0.002" ixy="0" ixz="0.0001" iyy="0.0025" iyz="0" izz="0.001"/></inertial></link>
  <link name="tool"/>
  <joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/>
    <origin xyz="0 0 0.3" rpy="0 1.5707963267948966 0"/><axis xyz="0 0 1"/>
    <limit lower="-2" upper="2.5" effort="80" velocity="2"/></joint>
  <joint name="telescope" type="prismatic"><parent link="upper"/><child link="slide"/>
    <origin xyz="0.1 0 0.3" rpy="0.3 -0.4 0.5"/><axis xyz="1 1 0"/>
    <limit lower="0" upper="0.4" effort="200" velocity="0.5"/></joint>
  <joint name="wrist" type="continuous"><parent link="slide"/><child link="hand"/>
    <origin xyz="0.2 0.05 0" rpy="0 0 0.7"/><axis xyz="0 1 0"/><limit effort="10" velocity="4"/></joint>
  <joint name="flange" type="fixed"><parent link="hand"/><child link="tool"/>
    <origin xyz="0 0.02 0.15" rpy="0 0.2 0"/></joint>
</robot>"""

BRANCHED = """<robot name="example_walker">
  <link name="trunk"><inertial><origin xyz="0.01 0 0.05"/><mass value="6"/>
    <inertia ixx="0.08" ixy="0.001" ixz="0" iyy="0.1" iyz="0" izz="0.07"/></inertial></link>
  <link name="thigh"><inertial><origin xyz="0 0 -0.12"/><mass value="1.5"/>
    <inertia ixx="0.012" ixy="0" ixz="0" iyy="0.012" iyz="0" izz="0.002"/></inertial></link>
  <link name="mast"><inertial><origin xyz="0 0 0.2"/><mass value="0.4"/>
    <inertia ixx="0.004" ixy="0" ixz="0" iyy="0.004" iyz="0" izz="0.0005"/></inertial></link>
  <link name="tool"/>
  <joint name="hip" type="revolute"><parent link="trunk"/><child link="thigh"/>
    <origin xyz="0.1 -0.15 -0.05"/><axis xyz="0 0.6 0.8"/>
    <limit lower="-1" upper="1" effort="60" velocity="8"/></joint>
  <joint name="mount" type="continuous"><parent link="trunk"/><child link="mast"/>
    <origin xyz="0 0 0.2" rpy="0.2 0 0"/><axis xyz="0 0 1"/></joint>
  <joint name="tip" type="fixed"><parent link="mast"/><child link="tool"/><origin xyz="0 0 0.4"/></joint>
</robot>"""
