# Generated from the contracts' ABI by scripts/build_contracts.py; do not edit.
"""One class per contract, one typed method per Solidity function."""

from __future__ import annotations

from contracts.bindings.access import Access
from contracts.bindings.assets import Assets
from contracts.bindings.devices import Devices
from contracts.bindings.directory import Directory
from contracts.bindings.operation_log import OperationLog
from contracts.bindings.participants import Participants

__all__ = ["Access", "Assets", "Devices", "Directory", "OperationLog", "Participants"]
