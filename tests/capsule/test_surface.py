"""What this package offers to others is what its modules say, and nothing it offers goes unnoticed."""

import importlib
import pkgutil

import pytest

import capsule
from capsule import errors

MODULES = sorted(module.name for module in pkgutil.walk_packages(capsule.__path__, "capsule.") if not module.ispkg)


@pytest.mark.parametrize("name", MODULES)
def test_module_says_what_is_public(name: str) -> None:
    module = importlib.import_module(name)
    public = module.__all__
    assert module.__doc__
    assert len(set(public)) == len(public)
    for each in public:
        offered = getattr(module, each)
        assert not each.startswith("_")
        if callable(offered) and getattr(offered, "__module__", name) == name:
            assert offered.__doc__, f"{name}.{each} has no docstring"


@pytest.mark.parametrize("name", ["capsule", "capsule.crypto", "capsule.policy"])
def test_packages_import_nothing(name: str) -> None:
    package = importlib.import_module(name)
    assert not hasattr(package, "__all__")


def test_errors_have_one_root_and_end_in_error() -> None:
    for name in errors.__all__:
        assert name.endswith("Error")
        assert issubclass(getattr(errors, name), errors.CapsuleError)


SURFACE = {
    "capsule.box": {"BoxKey", "seal_to"},
    "capsule.canonical": {"MAX_DEPTH", "Json", "decode", "encode"},
    "capsule.crypto.provider": {"PROVIDERS", "choose", "load", "provider"},
    "capsule.crypto.sm2": {
        "LIBRARIES",
        "MAX_SIGNATURE_BYTES",
        "MAX_USER_ID_BYTES",
        "POINT_BYTES",
        "USER_ID",
        "check_public_key",
        "check_secret",
        "choose",
        "library",
        "load",
        "message_digest",
        "new_secret",
        "public_key_of",
        "sign",
        "user_digest",
        "verify",
    },
    "capsule.crypto.sm2_library": {"SCALAR_BYTES", "A", "B", "G", "N", "P", "Sm2Library", "self_test"},
    "capsule.digest": {"Domain", "document_digest", "tagged"},
    "capsule.opening": {"CapsuleReader", "Level", "Verified", "inspect", "verify"},
    "capsule.policy.compiler": {
        "COMPILER_VERSION",
        "Compiled",
        "HolderChecks",
        "RuntimeChecks",
        "compile_policy",
        "policy_digest",
    },
    "capsule.policy.offer": {"offer"},
    "capsule.sealing": {"RebindPlan", "SealPlan", "Sealed", "rebind", "seal"},
    "capsule.share": {
        "MAX_RELEASE_BYTES",
        "Release",
        "ReleaseContext",
        "SealedShare",
        "ShareSecret",
        "holder_of",
        "open_release",
        "open_share",
        "rebuild_key",
        "seal_release",
        "seal_share",
        "verify_share",
    },
    "capsule.signature": {
        "ED25519",
        "MAX_KEY_BYTES",
        "MAX_SIGNATURE_BYTES",
        "SM2",
        "Ed25519Signer",
        "PublicKey",
        "Signer",
        "Sm2Signer",
        "new_secret",
        "signer_from_secret",
    },
    "capsule.tree": {
        "EMPTY_ROOT",
        "Tree",
        "TreeHasher",
        "consistency_proof",
        "inclusion_proof",
        "leaf_hash",
        "root",
        "verify_consistency",
        "verify_inclusion",
    },
}


@pytest.mark.parametrize("name", sorted(SURFACE))
def test_surface_changes_only_on_purpose(name: str) -> None:
    assert set(importlib.import_module(name).__all__) == SURFACE[name]
