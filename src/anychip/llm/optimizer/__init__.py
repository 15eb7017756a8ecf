"""Optimiser steps and what goes with them, each one pass over the memory of a tensor."""
